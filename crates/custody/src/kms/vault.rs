//! The transit engine of Vault or OpenBao. Specified in docs/spec/kms.md.

pub(super) mod answer;
#[cfg(feature = "vault")]
mod cell;
#[cfg(feature = "vault")]
mod client;
#[cfg(feature = "vault")]
mod request;
#[cfg(feature = "vault")]
mod settings;

#[cfg(feature = "vault")]
pub use cell::VaultCell;
#[cfg(feature = "vault")]
pub use client::VaultKms;
#[cfg(feature = "vault")]
pub use settings::{VaultSettings, VaultToken};
