//! Where the key is, and who asks for it.

use core::{fmt, time::Duration};
use std::sync::Arc;

use object_store::{
    RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider},
};
use sealwire_envelope::kms::KmsError;
use zeroize::Zeroizing;

use crate::kms::HttpSettings;

/// Which key, and who asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AwsSettings {
    /// The ARN of the key, as `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    pub key: String,
    /// The region in which a name that is no ARN is looked up, to say what its ARN is.
    pub region: Option<String>,
    /// Another address than that of the key's region, as of a VPC endpoint.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: AwsCredentials,
    /// How the service is called.
    pub http: HttpSettings,
}

/// Who asks AWS.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum AwsCredentials {
    /// As the environment says: `AWS_ACCESS_KEY_ID` and its like, a web identity, the role of
    /// the container or of the machine.
    #[default]
    Environment,
    /// Given.
    Fixed {
        /// The access key's id.
        key_id: String,
        /// The access key's secret.
        secret_key: Zeroizing<String>,
        /// The token of a session.
        session_token: Option<Zeroizing<String>>,
    },
}

impl AwsSettings {
    /// A key at its region's address, with the credentials of the environment.
    pub fn new(key_arn: &str) -> Self {
        Self {
            key: key_arn.to_owned(),
            region: None,
            endpoint: None,
            credentials: AwsCredentials::Environment,
            http: HttpSettings::default(),
        }
    }

    pub(super) fn endpoint(&self, partition: &str, region: &str) -> Result<String, KmsError> {
        if !is_word(region) {
            return Err(KmsError::Settings("the region is no region of AWS".to_owned()));
        }
        match (&self.endpoint, partition) {
            (Some(endpoint), _) => Ok(endpoint.clone()),
            (None, "aws" | "aws-us-gov") => Ok(format!("https://kms.{region}.amazonaws.com")),
            (None, "aws-cn") => Ok(format!("https://kms.{region}.amazonaws.com.cn")),
            (None, _) => Err(KmsError::Settings(
                "the endpoint of KMS in this partition of AWS has to be named".to_owned(),
            )),
        }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Fixed { .. } => "Fixed(..)",
        })
    }
}

/// The parts of an ARN of KMS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) partition: &'a str,
    pub(super) region: &'a str,
    /// Whether it names a key, and no alias.
    pub(super) is_key: bool,
}

impl<'a> Arn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next();
        let (Some("arn"), Some(partition), Some("kms")) = (part(), part(), part()) else {
            return None;
        };
        let (region, account, resource) = (part()?, part()?, part()?);
        let (kind, name) = resource.split_once('/')?;
        let is_key = kind == "key" && is_word(name);
        let words = [partition, region, account].into_iter().all(is_word);
        (words && (is_key || kind == "alias")).then_some(Self { partition, region, is_key })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A name of which nothing can be asked.
pub(super) fn no_arn(name: &str) -> KmsError {
    KmsError::Settings(format!(
        "`{}` is no ARN of a key; it looks like arn:aws:kms:REGION:ACCOUNT:key/ID",
        name.escape_debug()
    ))
}

/// A name that could lead to another key tomorrow.
pub(super) fn alias(name: &str, arn: &str) -> KmsError {
    match Arn::parse(arn) {
        Some(Arn { is_key: true, .. }) => KmsError::Settings(format!(
            "`{}` can be made to name another key; name the key itself: {arn}",
            name.escape_debug()
        )),
        _ => KmsError::Answer("it describes a key without an ARN"),
    }
}

/// Where credentials come from.
pub(super) struct Credentials(AwsCredentialProvider);

impl Credentials {
    pub(super) fn new(from: &AwsCredentials, region: &str) -> Result<Self, KmsError> {
        Ok(Self(match from {
            AwsCredentials::Fixed { key_id, secret_key, session_token } => {
                Arc::new(StaticCredentialProvider::new(AwsCredential {
                    key_id: key_id.clone(),
                    secret_key: secret_key.to_string(),
                    token: session_token.as_ref().map(|token| token.to_string()),
                }))
            }
            AwsCredentials::Environment => environment(region)?,
        }))
    }

    pub(super) async fn now(&self, left: Duration) -> Result<Arc<AwsCredential>, KmsError> {
        let asked = tokio::time::timeout(left, self.0.get_credential()).await;
        asked
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| KmsError::Unavailable("no credentials for AWS can be had".to_owned()))
    }
}

/// object_store finds credentials for a store; the bucket is never asked for.
fn environment(region: &str) -> Result<AwsCredentialProvider, KmsError> {
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
        ..RetryConfig::default()
    };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name("none")
        .with_region(region)
        .with_retry(retry)
        .build();
    let store = store.map_err(|_| {
        KmsError::Settings("the credentials of AWS in the environment are not whole".to_owned())
    })?;
    Ok(store.credentials().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-123456789";

    // KMS-21
    #[test]
    fn only_the_arn_of_a_key_is_one() {
        let region = "eu-central-1";
        assert_eq!(Arn::parse(ARN), Some(Arn { partition: "aws", region, is_key: true }));
        let multi = "arn:aws-cn:kms:eu-central-1:1:key/mrk-1234";
        assert_eq!(Arn::parse(multi), Some(Arn { partition: "aws-cn", region, is_key: true }));
        let alias = "arn:aws:kms:eu-central-1:1:alias/agents";
        assert_eq!(Arn::parse(alias), Some(Arn { partition: "aws", region, is_key: false }));
        for bad in [
            "",
            "alias/agents",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:s3:eu-central-1:1:key/1",
            "arn:aws:kms:eu-central-1:1:key",
            "arn:aws:kms:eu-central-1:1:key/",
            "arn:aws:kms:eu-central-1:1:key/a/b",
            "arn:aws:kms:eu-central-1:1:key/a:b",
            "arn:aws:kms:evil.example/:1:key/1",
            "arn:aws:kms::1:key/1",
            "arn:aws:kms:eu-central-1::key/1",
            "arn:aws:kms:eu-central-1:1:grant/1",
        ] {
            assert_eq!(Arn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_partition_has_its_address() {
        let settings = AwsSettings::new(ARN);
        for (partition, address) in [
            ("aws", "https://kms.x-1.amazonaws.com"),
            ("aws-us-gov", "https://kms.x-1.amazonaws.com"),
            ("aws-cn", "https://kms.x-1.amazonaws.com.cn"),
        ] {
            assert_eq!(settings.endpoint(partition, "x-1").as_deref(), Ok(address));
        }
        assert!(settings.endpoint("aws-iso", "x-1").is_err());
        assert!(settings.endpoint("aws", "x.example/").is_err());
        let endpoint = Some("https://vpce.example".to_owned());
        let named = AwsSettings { endpoint, ..settings };
        assert_eq!(named.endpoint("aws-iso", "x-1").as_deref(), Ok("https://vpce.example"));
    }

    #[test]
    fn an_alias_is_refused_with_the_key_that_it_names() {
        let refused = alias("alias/agents", ARN).to_string();
        assert!(refused.contains("alias/agents") && refused.ends_with(ARN), "{refused}");
        assert!(matches!(alias("alias/agents", "alias/other"), KmsError::Answer(_)));
        assert!(no_arn("a\nb").to_string().contains("a\\nb"));
    }

    #[test]
    fn credentials_are_not_printed() {
        let credentials = AwsCredentials::Fixed {
            key_id: "AKIDEXAMPLE".to_owned(),
            secret_key: Zeroizing::new("wJalrXUtnFEMI".to_owned()),
            session_token: Some(Zeroizing::new("AQoDYXdzEPT".to_owned())),
        };
        let settings = AwsSettings { credentials, ..AwsSettings::new(ARN) };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("wJal") && !shown.contains("AQoD"), "{shown}");
    }
}
