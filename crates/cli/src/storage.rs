//! Sealed files: where they are kept, and which keys wrap their data keys.
//!
//! ```text
//! KEY    file:PATH | vault:[MOUNT/]NAME | arn:aws:kms:…     key.rs, kms.rs
//! PLACE  PATH | file:///… | s3://… | gs://… | az://…        place.rs, service.rs
//! ```
//!
//! Secrets are neither in the configuration nor in arguments: a key file asks for its passphrase,
//! and what services ask for stands in the environment or in files.

pub(crate) mod context;
mod key;
mod kms;
pub(crate) mod look;
pub(crate) mod meter;
pub(crate) mod opening;
pub(crate) mod people;
mod place;
pub(crate) mod sealing;
mod service;
pub(crate) mod sink;
mod unlocked;

pub(crate) use self::{
    key::KeyName,
    kms::{kms, vault, vault_settings},
    place::Place,
    unlocked::Unlocked,
};
