//! Key services, and a key of our own, that wrap the data keys of envelopes.
//!
//! Each provider is a [`Kms`](sealwire_envelope::kms::Kms). [`KekFile`] gives one for a key of our
//! own; those for services stand behind a feature each, `vault` and `aws`. All pass one contract,
//! `tests/kms/contract.rs`, and guarantee what docs/spec/kms.md says.
//!
//! ```text
//! Kms::wrap, unwrap, rewrap
//!   |
//!   +-- LocalKek             in this process, over a KekFile
//!   +-- VaultKms, AwsKms     one request, signed or with a token
//!         |
//!       retry                pauses, deadline
//!         |
//!       http                 TLS, no redirect, bounded answer
//! ```

#[cfg(any(feature = "aws", feature = "hazmat", feature = "vault"))]
mod answer;
#[cfg(any(feature = "aws", feature = "hazmat"))]
mod aws;
#[cfg(any(feature = "aws", feature = "vault"))]
mod driver;
#[cfg(feature = "hazmat")]
pub mod hazmat;
#[cfg(any(feature = "aws", feature = "vault"))]
mod http;
mod local;
#[cfg(any(feature = "aws", feature = "vault"))]
mod retry;
#[cfg(any(feature = "aws", feature = "hazmat", feature = "vault"))]
mod secret_text;
#[cfg(any(feature = "hazmat", feature = "vault"))]
mod vault;

#[cfg(feature = "aws")]
pub use aws::{AwsCredentials, AwsKms, AwsSettings};
#[cfg(any(feature = "aws", feature = "vault"))]
pub use http::HttpSettings;
pub use local::KekFile;
#[cfg(feature = "vault")]
pub use vault::{VaultCell, VaultKms, VaultSettings, VaultToken};
