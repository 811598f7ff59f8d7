//! Envelope encryption of objects at rest.
//!
//! Each object is sealed under a data key of its own (DEK), and that key is wrapped by a key
//! that a key service holds (KEK), so that rotation rewraps keys and never data.
#![forbid(unsafe_code)]

pub mod audit;
mod binding;
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
mod object;
mod record;
pub mod ring;

pub use binding::{ObjectId, WrapBinding};
pub use context::{Context, Pairs};
pub use dek::Dek;
pub use error::Error;
pub use header::{Head, Header, MAGIC};
pub use layout::{ChunkRange, Layout};
pub use object::{Draft, Opener, SealRun, Sealed, Sealer, Unlocked};
pub use record::{AGENT_ALGORITHM, KeyRecord, SealerStatement, Sealers, Slot};
