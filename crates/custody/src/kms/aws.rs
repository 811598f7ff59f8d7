//! AWS KMS. Specified in docs/spec/kms.md.

pub(super) mod answer;
#[cfg(feature = "aws")]
mod client;
#[cfg(feature = "aws")]
mod request;
#[cfg(feature = "aws")]
mod settings;
#[cfg(feature = "aws")]
mod sigv4;

#[cfg(feature = "aws")]
pub use client::AwsKms;
#[cfg(feature = "aws")]
pub use settings::{AwsCredentials, AwsSettings};
