//! Key services, and a key of our own, that wrap the data keys of envelopes.
//!
//! Each provider is a [`Kms`](sealwire_envelope::kms::Kms), behind a feature of its own.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "http")]
mod driver;
#[cfg(feature = "http")]
mod http;
mod local;
#[cfg(feature = "http")]
mod retry;
#[cfg(feature = "http")]
mod secret_text;
#[cfg(feature = "vault")]
mod vault;

#[cfg(feature = "aws")]
pub use aws::{AwsCredentials, AwsKms, AwsSettings};
#[cfg(feature = "http")]
pub use http::HttpSettings;
pub use local::KekFile;
#[cfg(feature = "vault")]
pub use vault::{VaultKms, VaultSettings, VaultToken};
