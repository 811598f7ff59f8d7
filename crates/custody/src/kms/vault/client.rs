//! The client.

use core::fmt;

use base64ct::{Base64, Encoding};
use http::Method;
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::{
    Dek, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
};

use super::{
    VaultSettings,
    answer::{Key, Metadata, Outcome, only, version},
    request::{Item, to_json},
    settings::headers,
};
use crate::kms::{
    answer::Answer,
    http::{Http, Request, body},
    secret_text::SecretText,
};

/// Wraps in one request: with ciphertext and context of each, an answer stays far below the
/// longest.
const MAX_BATCH: usize = 64;

/// A key of the transit engine, `derived`, so that a wrap opens only with its binding.
///
/// ```no_run
/// use sealwire_custody::kms::{VaultKms, VaultSettings, VaultToken};
/// use sealwire_envelope::kms::Kms;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let token = VaultToken::File("/run/agent/vault-token".into());
/// let settings = VaultSettings::new("https://vault.example:8200", "agents", token);
/// let kms = VaultKms::connect(settings).await?;
/// println!("{} wraps with version {}", kms.key().key(), kms.version().await?.as_str());
/// # Ok(())
/// # }
/// ```
pub struct VaultKms {
    http: Http,
    settings: VaultSettings,
    key: Key,
}

impl VaultKms {
    /// Connects, and looks at the key.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for a key that is not `derived` or cannot encrypt with associated
    /// data, and for settings that are wrong; [`KmsError::NotFound`], [`KmsError::Denied`],
    /// [`KmsError::Unavailable`].
    pub async fn connect(settings: VaultSettings) -> Result<Self, KmsError> {
        let key = KeyRef::new(Provider::Vault, &settings.key_name()?)?;
        let http = Http::new(&settings.address, &settings.http)?;
        let key = Key { name: key, algorithm: String::new() };
        let mut connected = Self { http, settings, key };
        connected.key.algorithm = connected.metadata().await?.algorithm;
        Ok(connected)
    }

    /// Makes another version of the key, which wraps from then on, and gives it. Needs `update` on
    /// `keys/NAME/rotate`.
    ///
    /// It is asked for once: where the answer is lost, the key is looked at, and only where it has
    /// no newer version the error is given.
    ///
    /// # Errors
    /// As [`Kms::version`]; [`KmsError::Denied`] for whoever may not rotate.
    // KMS-16
    pub async fn rotate(&self) -> Result<KeyVersion, KmsError> {
        let before = self.metadata().await?.latest_version;
        let VaultSettings { mount, key, .. } = &self.settings;
        let path = format!("/v1/{mount}/keys/{key}/rotate");
        let (method, headers) = (Method::POST, headers(&self.settings).await?);
        let request = Request { method, path, headers, body: body(WipedVec::default()) };
        let asked = self.http.ask(request, self.http.attempts().left()).await;
        let asked = asked.and_then(|answer| self.key.judge(answer));
        let after = match asked {
            Err(error) if !error.is_temporary() => return Err(error),
            _ => self.metadata().await?.latest_version,
        };
        if after <= before {
            let none = KmsError::Answer("the key has no newer version than before");
            return Err(asked.err().unwrap_or(none));
        }
        KeyVersion::new(&after.to_string())
    }

    async fn metadata(&self) -> Result<Metadata, KmsError> {
        self.key.described(&self.call(Method::GET, "keys", None).await?)
    }

    /// Sends each of `items` to `operation`, and gives what became of each.
    async fn batch(
        &self,
        operation: &str,
        items: &[Item],
    ) -> Result<Vec<Result<Outcome, KmsError>>, KmsError> {
        let answer = self.call(Method::POST, operation, Some(items)).await?;
        self.key.outcomes(&answer, items.len())
    }

    async fn one(&self, operation: &str, item: Item) -> Result<Outcome, KmsError> {
        only(self.batch(operation, &[item]).await?)
    }

    /// Calls until there is an answer, or none is to be expected.
    async fn call(
        &self,
        method: Method,
        operation: &str,
        items: Option<&[Item]>,
    ) -> Result<Answer, KmsError> {
        let VaultSettings { mount, key, .. } = &self.settings;
        let path = format!("/v1/{mount}/{operation}/{key}");
        let sent = body(to_json(items)?);
        let mut attempts = self.http.attempts();
        loop {
            let (method, path, body) = (method.clone(), path.clone(), sent.clone());
            let request = Request { method, path, headers: headers(&self.settings).await?, body };
            let asked = self.http.ask(request, attempts.left()).await;
            match asked.and_then(|answer| self.key.judge(answer)) {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.pause(error).await?,
            }
        }
    }

    /// What Vault is to be given back, if it is ours at all.
    // KMS-6
    fn ciphertext(&self, wrapped: &Wrapped) -> Result<String, KmsError> {
        if wrapped.key != self.key.name {
            return Err(KmsError::NotFound(wrapped.key.to_string()));
        }
        if wrapped.algorithm != self.key.algorithm {
            return Err(KmsError::Open);
        }
        let text = str::from_utf8(&wrapped.ciphertext).map_err(|_| KmsError::Open)?;
        let version = version(text).map_err(|_| KmsError::Open)?;
        if version.to_string() != wrapped.version.as_str() {
            return Err(KmsError::Open);
        }
        Ok(text.to_owned())
    }

    /// What is sent to have `wrapped` rewrapped.
    fn rewrapping(&self, wrapped: &Wrapped, binding: &WrapBinding) -> Result<Item, KmsError> {
        Ok(Item::ciphertext(self.ciphertext(wrapped)?, context(binding)?))
    }

    /// One request, for those of `wraps` that are ours.
    async fn rewrap_batch(
        &self,
        wraps: &[(Wrapped, WrapBinding)],
    ) -> Result<Vec<Result<Wrapped, KmsError>>, KmsError> {
        let mut items = Vec::with_capacity(wraps.len());
        let prepared: Vec<Result<(), KmsError>> = wraps
            .iter()
            .map(|(wrapped, binding)| {
                self.rewrapping(wrapped, binding).map(|item| items.push(item))
            })
            .collect();
        let outcomes =
            if items.is_empty() { Vec::new() } else { self.batch("rewrap", &items).await? };
        let mut outcomes = outcomes.into_iter();
        let mut rewrapped = |old: &Wrapped| {
            let outcome = outcomes.next().unwrap_or(Err(KmsError::Answer("a result is missing")));
            self.key.rewrapped(outcome, old)
        };
        let each = wraps.iter().zip(prepared);
        Ok(each.map(|((old, _), ours)| ours.and_then(|()| rewrapped(old))).collect())
    }
}

impl Kms for VaultKms {
    fn key(&self) -> &KeyRef {
        &self.key.name
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        Box::pin(async { KeyVersion::new(&self.metadata().await?.latest_version.to_string()) })
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        Box::pin(async {
            let item = Item::plaintext(SecretText::of_dek(dek)?, context(binding)?);
            self.key.wrapped(self.one("encrypt", item).await?)
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(async {
            let item = Item::ciphertext(self.ciphertext(wrapped)?, context(binding)?);
            Key::unwrapped(self.one("decrypt", item).await, wrapped)
        })
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        Box::pin(async {
            let mut done = Vec::with_capacity(wraps.len());
            for batch in wraps.chunks(MAX_BATCH) {
                match self.rewrap_batch(batch).await {
                    Ok(results) => done.extend(results),
                    Err(error) if done.is_empty() => return Err(error),
                    // What was rewrapped is not lost for what comes after it.
                    Err(error) => {
                        done.resize_with(wraps.len(), || Err(error.clone()));
                        break;
                    }
                }
            }
            Ok(done)
        })
    }
}

impl fmt::Debug for VaultKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http: _, settings, key: Key { name, algorithm } } = self;
        f.debug_struct("VaultKms")
            .field("settings", settings)
            .field("key", name)
            .field("algorithm", algorithm)
            .finish_non_exhaustive()
    }
}

/// W, as Vault takes it: the key that wraps is derived from it.
// KMS-10
fn context(binding: &WrapBinding) -> Result<String, KmsError> {
    let context = binding.to_context();
    let context = context.map_err(|_| KmsError::Answer("the binding has no encoding"))?;
    Ok(Base64::encode_string(context.as_bytes()))
}
