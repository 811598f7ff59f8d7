//! Envelope encryption of objects at rest.
//!
//! Each object is sealed under a data key of its own (DEK), and that key is wrapped by a key
//! that a key service holds (KEK), so that rotation rewraps keys and never data.
#![forbid(unsafe_code)]

mod binding;
mod dek;
pub mod kms;

pub use binding::{ObjectId, WrapBinding};
pub use dek::Dek;
