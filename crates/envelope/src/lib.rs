//! Objects at rest: each sealed under a data key of its own, and that key wrapped for whoever may
//! open the object.
//!
//! Rotation of the wrapping key changes key records and never data. Deleting a key record makes an
//! object unreadable for good.
//!
//! # What it is not
//!
//! Without the feature `store` it does no I/O: it takes bytes, the time and a random number
//! generator, and gives bytes. Key services stand behind the trait [`Kms`](kms::Kms), whose
//! implementations are in `sealwire-custody`. It knows no identities: a sealer's id and card are opaque bytes, which
//! [`Sealers`] judges. It says nothing of freshness: an older object with its older key record
//! opens.
//!
//! # The picture
//!
//! ```text
//!   Context ── Draft ── object id, data key, salt: drawn here, and nowhere else
//!                │
//!                ├─ data key, W ── Kms::wrap or an agent's X-Wing key ── KeyRecord   .keys/ab/abcd…
//!                │                                                          │
//!                └─ into_sealer ── Sealer ── head ‖ chunks                  │        the object
//!                                              │                            │
//!   required context ── W, rebuilt ── Head ────┴──────────────── unlock ────┘
//!                                                                  │
//!                                          Unlocked ── Opener, or chunks by their numbers
//! ```
//!
//! # Order of calls
//!
//! Store the key record first, only if there is none of that name; then the object. A [`Sealer`]
//! completes the object in [`Sealer::finish`] only. What an [`Opener`] gives is authentic from the
//! first byte, and known to be whole when [`Opener::finish`] has returned.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use sealwire_core::{Suite, Timestamp};
//! use sealwire_envelope::{Context, Draft, Error, Head, KeyRecord, Pairs};
//! use sealwire_envelope::local::{LocalKek, LocalKeys};
//! # use sealwire_testkit::rng::SeededRng;
//! # fn main() -> Result<(), Error> {
//! # let (mut rng, now) = (SeededRng::new(1), Timestamp::from_secs(1_800_000_000));
//! let kek = LocalKek::new(Arc::new(LocalKeys::generate("backups", &mut rng)?), rng.clone());
//! # let mut rng = SeededRng::new(2);
//!
//! // Seal. A key service is asked in the same way: `KeyRecord::wrap(&draft, &kms, now).await`.
//! let context = Context::new([("tenant", "acme"), ("content-type", "text/plain")])?;
//! let draft = Draft::new(Suite::preferred(), &context, &mut rng)?;
//! let record = KeyRecord::new(*draft.binding(), kek.wrap_now(draft.dek(), draft.binding())?, now)?;
//! let name = KeyRecord::name(draft.object());
//! let body = draft.seal(&record, b"what the agent found")?;
//!
//! // Open: the head says which object it is, and the caller which tenant it must be of.
//! let (head, _) = Head::split(&body)?;
//! assert_eq!(KeyRecord::name(head.header().object()), name);
//! let required = Pairs::new([("tenant", "acme")])?;
//! # let unlocked = wait(record.unlock(&kek, &head, &required, &()))?;
//! # /*
//! let unlocked = record.unlock(&kek, &head, &required, &()).await?;
//! # */
//! assert_eq!(*unlocked.open(&body)?, b"what the agent found");
//!
//! // A part of it: the chunks that hold it, by their numbers.
//! let layout = unlocked.layout(body.len() as u64)?;
//! assert_eq!(layout.chunks_of(&(5..8)).body, layout.last().body);
//! # Ok(())
//! # }
//! # fn wait<T>(future: impl Future<Output = T>) -> T {
//! #     let mut task = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::pin!(future).poll(&mut task) {
//! #         std::task::Poll::Ready(value) => value,
//! #         std::task::Poll::Pending => unreachable!("a local key is at hand"),
//! #     }
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: faster primitives. Same bytes, same errors.
//! - `store`: the module `store`, which keeps objects and their records in object stores. `fs` adds
//!   folders; `aws`, `azure` and `gcp` add clouds.
//!
//! # Security
//!
//! Wrong key, wrong tenant, changed, cut: one error, [`Error::Open`]. A body commits to its key, so
//! that no key record, whoever wrote it, makes it open to something else. Whoever has the data key
//! of an object can write other content under it: a sealer's signature is about the key. Taking a
//! slot out of a key record takes no right away from whoever kept the data key.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

pub mod audit;
mod binding;
mod cache;
pub mod census;
pub mod chunks;
pub mod context;
mod dek;
mod error;
mod header;
mod hex;
pub mod kms;
mod layout;
pub mod local;
mod open;
mod record;
pub mod ring;
mod seal;
#[cfg(feature = "store")]
pub mod store;

pub use binding::{ObjectId, WrapBinding};
pub use cache::Cache;
pub use context::{Context, Pairs};
pub use dek::Dek;
pub use error::Error;
pub use header::{Head, Header, MAGIC};
pub use layout::{ChunkRange, Layout};
pub use open::{Opener, Unlocked};
pub use record::{AGENT_ALGORITHM, KeyRecord, SealerStatement, Sealers, Slot};
pub use seal::{Draft, SealRun, Sealed, Sealer};
