//! The client.

use core::{fmt, time::Duration};
use std::sync::{Mutex, PoisonError};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use object_store::aws::AwsCredential;
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::{
    Dek, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
};
use tokio::time::Instant;

use super::{
    AwsSettings,
    answer::{Described, Key, KeyMetadata, SYMMETRIC, from_json},
    request::{self, Ciphertext, Context, to_json},
    settings::{self, Arn, Credentials},
    sigv4::{self, Signed, Signer},
};
use crate::kms::{
    answer::Answer,
    driver,
    http::{Http, Request, body},
    secret_text::SecretText,
};

/// How long a wrap is labelled with a version that was read before. A label that is too old has
/// the wrap rewrapped once more than needed; none is ever too new.
const VERSION_AGE: Duration = Duration::from_secs(60);
const JSON: &str = "application/x-amz-json-1.1";

/// A symmetric key of AWS KMS.
///
/// ```no_run
/// use sealwire_custody::kms::{AwsKms, AwsSettings};
/// use sealwire_envelope::kms::Kms;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// let kms = AwsKms::connect(AwsSettings::new(arn)).await?;
/// println!("{} wraps with version {}", kms.key().key(), kms.version().await?.as_str());
/// # Ok(())
/// # }
/// ```
pub struct AwsKms {
    http: Http,
    credentials: Credentials,
    region: String,
    key: Key,
    /// The version that was last read, and when.
    version: Mutex<Option<(KeyVersion, Instant)>>,
}

impl AwsKms {
    /// Connects, and looks at the key.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for anything but the ARN of a key, with the ARN where an alias or
    /// an id leads to one, for a key that is not symmetric, and for settings that are wrong;
    /// [`KmsError::NotFound`], [`KmsError::Disabled`], [`KmsError::Denied`],
    /// [`KmsError::Unavailable`].
    pub async fn connect(settings: AwsSettings) -> Result<Self, KmsError> {
        let arn = Arn::parse(&settings.key);
        let region = match (&arn, &settings.region) {
            (Some(arn), _) => arn.region.to_owned(),
            (None, Some(region)) => region.clone(),
            (None, None) => return Err(settings::no_arn(&settings.key)),
        };
        let partition = arn.as_ref().map_or("aws", |arn| arn.partition);
        let endpoint = settings.endpoint(partition, &region)?;
        let connected = Self {
            http: Http::new(&endpoint, &settings.http)?,
            credentials: Credentials::new(&settings.credentials, &region)?,
            region,
            key: Key { name: KeyRef::new(Provider::Aws, &settings.key)? },
            version: Mutex::default(),
        };
        // KMS-21
        if !arn.is_some_and(|arn| arn.is_key) {
            let metadata = connected.describe().await?;
            return Err(settings::alias(&settings.key, &metadata.arn));
        }
        connected.read_version().await?;
        Ok(connected)
    }

    async fn describe(&self) -> Result<KeyMetadata, KmsError> {
        let request = request::describe(self.key.name.key());
        let answer = self.call("DescribeKey", to_json(&request)?).await?;
        Ok(from_json::<Described>(&answer.body)?.key_metadata)
    }

    // KMS-22
    async fn read_version(&self) -> Result<KeyVersion, KmsError> {
        let asked = driver::now();
        let version = self.key.version_of(&self.describe().await?)?;
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((version.clone(), asked));
        Ok(version)
    }

    /// The version that a wrap made from now on has at least.
    async fn known_version(&self) -> Result<KeyVersion, KmsError> {
        let known = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((version, read)) if driver::now() - read < VERSION_AGE => Ok(version),
            _ => self.read_version().await,
        }
    }

    /// Calls until there is an answer, or none is to be expected.
    async fn call(&self, operation: &str, json: WipedVec) -> Result<Answer, KmsError> {
        let sent = body(json);
        let mut attempts = self.http.attempts();
        loop {
            let asked = async {
                let credential = self.credentials.now(attempts.left()).await?;
                let headers = self.headers(operation, &sent, &credential)?;
                let (path, body) = ("/".to_owned(), sent.clone());
                let request = Request { method: Method::POST, path, headers, body };
                self.key.judge(self.http.ask(request, attempts.left()).await?)
            };
            match asked.await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.pause(error).await?,
            }
        }
    }

    /// Signed anew for each call: a signature is good for some minutes.
    fn headers(
        &self,
        operation: &str,
        body: &[u8],
        credential: &AwsCredential,
    ) -> Result<HeaderMap, KmsError> {
        let now = driver::wall();
        let (date, target) = (sigv4::date(now), format!("TrentService.{operation}"));
        let mut signed = vec![
            ("content-type", JSON),
            ("host", self.http.authority()),
            ("x-amz-date", &date),
            ("x-amz-target", &target),
        ];
        signed.extend(credential.token.as_deref().map(|token| ("x-amz-security-token", token)));
        let signer = Signer {
            key_id: &credential.key_id,
            secret_key: &credential.secret_key,
            region: &self.region,
            service: "kms",
        };
        let request = Signed { headers: &signed, body };
        let authorization = signer.authorization(&request, now);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        let rest =
            signed.iter().skip(2).copied().chain([(AUTHORIZATION.as_str(), &*authorization)]);
        for (name, value) in rest {
            let unusable = |()| KmsError::Settings("the credentials fit into no header".to_owned());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(()))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| unusable(()))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// What AWS is to be given back, if it is ours at all.
    // KMS-6
    fn ciphertext<'a>(&self, wrapped: &'a Wrapped) -> Result<Ciphertext<'a>, KmsError> {
        if wrapped.key != self.key.name {
            return Err(KmsError::NotFound(wrapped.key.to_string()));
        }
        if wrapped.algorithm != SYMMETRIC {
            return Err(KmsError::Open);
        }
        Ciphertext::of(&wrapped.ciphertext)
    }

    async fn rewrap_one(
        &self,
        wrapped: &Wrapped,
        binding: &WrapBinding,
    ) -> Result<Wrapped, KmsError> {
        let version = self.known_version().await?;
        let ciphertext = self.ciphertext(wrapped)?;
        let context = Context::of(binding);
        let request = request::re_encrypt(self.key.name.key(), &ciphertext, &context);
        let answer = self.call("ReEncrypt", to_json(&request)?).await?;
        self.key.re_encrypted(&answer, version)
    }
}

impl Kms for AwsKms {
    fn key(&self) -> &KeyRef {
        &self.key.name
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        Box::pin(self.read_version())
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        Box::pin(async {
            let version = self.known_version().await?;
            let plaintext = SecretText::of_dek(dek)?;
            let context = Context::of(binding);
            let request = request::encrypt(self.key.name.key(), &plaintext, &context);
            let answer = self.call("Encrypt", to_json(&request)?).await?;
            self.key.encrypted(&answer, version)
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(async {
            let ciphertext = self.ciphertext(wrapped)?;
            let context = Context::of(binding);
            let request = request::decrypt(self.key.name.key(), &ciphertext, &context);
            self.key.decrypted(&self.call("Decrypt", to_json(&request)?).await?)
        })
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        Box::pin(async move {
            if !wraps.is_empty() {
                self.read_version().await?;
            }
            let mut done = Vec::with_capacity(wraps.len());
            for (wrapped, binding) in wraps {
                done.push(self.rewrap_one(wrapped, binding).await);
                // A service that is away is not asked for each of the rest.
                if let Some(Err(error)) = done.last().filter(|last| is_away(last)) {
                    let error = error.clone();
                    done.resize_with(wraps.len(), || Err(error.clone()));
                    break;
                }
            }
            Ok(done)
        })
    }
}

fn is_away(result: &Result<Wrapped, KmsError>) -> bool {
    matches!(result, Err(error) if error.is_temporary())
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http, credentials: _, region: _, key, version: _ } = self;
        f.debug_struct("AwsKms").field("http", http).field("key", &key.name).finish_non_exhaustive()
    }
}
