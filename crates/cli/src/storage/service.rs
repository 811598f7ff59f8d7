//! Object stores of clouds, with the credentials of the environment.

use std::sync::Arc;

use object_store::{
    Certificate, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::kms::authorities;
use crate::{
    config::{ServiceUrl, StorageConfig},
    error::{Exit, Failure},
};

/// So many times as long as a store is asked again it may take for one answer: what is asked may be
/// to take 16 MiB over a slow line.
const ANSWER: u32 = 4;

/// Who keeps a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    Google,
    Azure,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    pub(super) fn from_scheme(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.scheme() == scheme)
    }

    const fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_…",
            Self::Google => "GOOGLE_…",
            Self::Azure => "AZURE_…",
        }
    }
}

/// A bucket. Nothing is asked of it yet.
pub(super) fn connect(
    service: Service,
    bucket: &str,
    config: &StorageConfig,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    // Neither says what it found, since that may be a secret.
    let wrong = |_: object_store::Error| {
        let message = format!(
            "the variables {} do not make up what {}://{bucket} is reached with",
            service.variables(),
            service.scheme()
        );
        Failure::new(Exit::Usage, message).hint(
            "docs/configuration.md says which there are; the name of a bucket may be wrong too",
        )
    };
    match service {
        Service::S3 => {
            use AmazonS3ConfigKey as Key;
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
            let named = [Key::S3Endpoint, Key::Endpoint, Key::StsEndpoint];
            let named = named.map(|key| builder.get_config_value(&key));
            let options = options(&named, config)?;
            let builder = builder.with_client_options(options).with_retry(retry(config));
            Ok(Arc::new(builder.build().map_err(wrong)?))
        }
        Service::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            let named = [builder.get_config_value(&GoogleConfigKey::BaseUrl)];
            let options = options(&named, config)?;
            let builder = builder.with_client_options(options).with_retry(retry(config));
            Ok(Arc::new(builder.build().map_err(wrong)?))
        }
        Service::Azure => {
            // The emulator would be asked over plain HTTP, wherever it is; its endpoint is named.
            let builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(bucket)
                .with_use_emulator(false);
            let named = [AzureConfigKey::Endpoint, AzureConfigKey::AuthorityHost];
            let named = named.map(|key| builder.get_config_value(&key));
            let options = options(&named, config)?;
            let builder = builder.with_client_options(options).with_retry(retry(config));
            Ok(Arc::new(builder.build().map_err(wrong)?))
        }
    }
}

/// How a store is called. These stand in the place of all that the environment says of it: no
/// variable turns the verification of certificates off.
fn options(named: &[Option<String>], config: &StorageConfig) -> Result<ClientOptions, Failure> {
    let mut plain = false;
    for text in named.iter().flatten() {
        let url = ServiceUrl::parse(text).ok_or_else(|| {
            let message = "the endpoint of a store in the environment is no address, as \
                           https://s3.example, without user, query or fragment";
            Failure::new(Exit::Usage, message)
        })?;
        if url.is_exposed() && !config.plain_http_anywhere {
            let message = format!(
                "{url} is not on this machine, and without TLS whoever is on the way sees which \
                 objects are asked for, and may use the credentials' signatures"
            );
            return Err(Failure::new(Exit::Usage, message)
                .hint("write https://, or set storage.plain_http_anywhere = true"));
        }
        plain |= url.is_plain_http();
    }
    let mut options = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout_disabled()
        .with_read_timeout(config.patience().saturating_mul(ANSWER));
    if let Some(pem) = authorities(config)? {
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            let message = "storage.ca_file has no certificate that can be read";
            return Err(Failure::new(Exit::Usage, message));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn retry(config: &StorageConfig) -> RetryConfig {
    RetryConfig { retry_timeout: config.patience(), ..RetryConfig::default() }
}
