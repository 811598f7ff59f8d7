//! Where the long-lived keys of an agent live: a file, sealed under a passphrase.
//!
//! [`FileKeyStore`] draws an agent's private keys on the machine that uses them, keeps them
//! in a file sealed with Argon2id and XChaCha20-Poly1305, and does the operations of
//! [`KeyStore`](sealwire_core::KeyStore) with them. [`atomic`] is the way the file is
//! written, for other files of an agent too; [`KeyFile`] is what the file says without its
//! passphrase. [`kms`] wraps the data keys of envelopes, with a key in such a file or with one
//! that a key service holds.
//!
//! # What it is not
//!
//! There is no way to get a private key out: none of this crate returns, prints or exports
//! one. It makes, changes and destroys no key of a service. It asks nobody for a passphrase;
//! that is the application's. It does not make a weak passphrase strong: Argon2id multiplies
//! the cost of each guess, and a short list of guesses stays short. It runs on Unix, whose
//! file permissions and locks it uses.
//!
//! # The picture
//!
//! ```text
//! passphrase --Argon2id(salt, parameters)--> key
//!                                             |
//! seeds ------XChaCha20-Poly1305(key, nonce, associated data = header)--> sealed
//!
//! file = header (magic, version, parameters, salt, nonce, length) || sealed
//!
//! write: lock, .NAME.tmp, fsync, rename to NAME, fsync of the directory, unlock
//! ```
//!
//! # Example
//!
//! ```
//! use sealwire_core::{KeyStore, label::Label};
//! use sealwire_custody::{FileKeyStore, Passphrase, system_rng};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! let path = home.path().join("agent/keys");
//! let passphrase = Passphrase::from_bytes(b"correct horse battery staple")?;
//! let created = FileKeyStore::create(&path, &passphrase, &mut system_rng())?;
//!
//! let mut keys = FileKeyStore::open(&path, &passphrase)?;
//! assert_eq!(keys.identity(), created.identity());
//! let message = Label::CARD.context(None, &[b"what is signed"])?;
//! keys.identity().verify(&message, &keys.sign(&message)?)?;
//!
//! let second = keys.rotate_exchange_keys(&passphrase, &mut system_rng())?;
//! assert_eq!((second.get(), keys.newest()), (2, second));
//!
//! let wrong = Passphrase::from_bytes(b"a guess that is wrong")?;
//! let refused = FileKeyStore::open(&path, &wrong).expect_err("not this one");
//! assert_eq!(refused.to_string(), "the passphrase is wrong, or the file was changed");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: the cryptography of `sealwire-core` on its faster backend. Same files, same
//!   errors.
//! - `vault`: [`kms`] has a provider for Vault and OpenBao.
//! - `aws`: [`kms`] has a provider for AWS KMS.
//! - `hazmat`: what these make of answers, without a service; for fuzzing only.
//!
//! # Security
//!
//! The file is mode 0600 and is refused when group or others may read it. A thief of the file
//! pays 64 MiB and three passes of Argon2id for each guess at the passphrase; nothing in the
//! file, changed by whoever, makes it cheaper or makes the owner spend more than the bounds
//! of [`Params`]. Replacing the file by an older copy of itself is not noticed: keys are added
//! and never changed, so an old copy lacks the newest exchange keys and holds no others, but
//! rotating on top of it gives a number a second time. The keys are in the process's memory
//! while it runs; core dumps and debuggers see them.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

#[cfg(not(unix))]
compile_error!("sealwire-custody needs the file permissions and locks of Unix");

pub mod atomic;
mod error;
mod file;
mod format;
pub mod kms;
mod params;
mod passphrase;
mod private;
mod rng;
mod sealed;

pub use error::Error;
pub use file::FileKeyStore;
pub use format::KeyFile;
pub use params::Params;
pub use passphrase::Passphrase;
pub use rng::system_rng;
