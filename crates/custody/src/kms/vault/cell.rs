//! One value in the KV engine of Vault or OpenBao, version 2, which changes by check-and-set.

use core::fmt;

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use http::Method;
use sealwire_envelope::kms::KmsError;
use serde::{Deserialize, Serialize};

use super::{
    answer::{data, errors},
    settings::{VaultSettings, headers},
};
use crate::kms::{
    answer::Answer,
    http::{Http, Request},
};

/// The longest value, in bytes. What is kept here is a number and a hash.
const MAX_LEN: usize = 1024;

/// A value that is changed only by whoever knows what it was: what the anchor of a state is kept
/// in.
///
/// Not a place for secrets. Whoever may write to it can put an older value back.
///
/// ```no_run
/// use sealwire_custody::kms::{VaultCell, VaultSettings, VaultToken};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let token = VaultToken::File("/run/agent/vault-token".into());
/// let mut settings = VaultSettings::new("https://vault.example:8200", "agents/alice", token);
/// settings.mount = "secret".to_owned();
/// let cell = VaultCell::new(settings)?;
/// let (version, _) = cell.read().await?;
/// assert!(cell.write(version, b"next").await?, "somebody else was faster");
/// # Ok(())
/// # }
/// ```
pub struct VaultCell {
    http: Http,
    settings: VaultSettings,
    name: String,
}

impl VaultCell {
    /// The value at the path [`VaultSettings::key`] of the KV engine at
    /// [`VaultSettings::mount`]. The server is not asked yet.
    ///
    /// # Errors
    /// [`KmsError::Settings`].
    pub fn new(settings: VaultSettings) -> Result<Self, KmsError> {
        let name = settings.value_name()?;
        let http = Http::new(&settings.address, &settings.http)?;
        Ok(Self { http, settings, name })
    }

    /// Where it is: `secret/agents/alice`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version and what it is; version 0 and nothing where it was never written.
    ///
    /// # Errors
    /// [`KmsError::Answer`] also where the newest version was deleted; [`KmsError::Denied`],
    /// [`KmsError::NotFound`] for a missing engine, [`KmsError::Unavailable`].
    // KMS-30
    pub async fn read(&self) -> Result<(u64, Option<Vec<u8>>), KmsError> {
        let mut attempts = self.http.attempts();
        loop {
            match self.look(attempts.left()).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.pause(error).await?,
            }
        }
    }

    /// Writes the version after `version`, which must be the newest. `false`, and nothing is
    /// changed, where it is not.
    ///
    /// # Errors
    /// As [`VaultCell::read`]. After [`KmsError::Unavailable`] it is not known whether it was
    /// written.
    // KMS-31
    pub async fn write(&self, version: u64, value: &[u8]) -> Result<bool, KmsError> {
        if value.len() > MAX_LEN {
            return Err(KmsError::Settings(format!("a value has {MAX_LEN} bytes at most")));
        }
        let mut attempts = self.http.attempts();
        let mut asked_before = false;
        loop {
            match self.set(version, value, attempts.left()).await {
                Ok(true) => return Ok(true),
                // An answer that was lost may have been that it was written.
                Ok(false) if asked_before => {
                    let written = (version.saturating_add(1), Some(value.to_vec()));
                    return Ok(self.read().await? == written);
                }
                Ok(false) => return Ok(false),
                Err(error) => attempts.pause(error).await?,
            }
            asked_before = true;
        }
    }

    async fn look(&self, left: core::time::Duration) -> Result<(u64, Option<Vec<u8>>), KmsError> {
        let answer = self.ask(Method::GET, Bytes::new(), left).await?;
        if answer.status.as_u16() == 404 {
            return self.absent(&answer);
        }
        let answer = self.judge(answer)?;
        let Found { data: found, metadata } = data(&answer.body)?;
        let value = found.ok_or(KmsError::Answer(DELETED))?.value;
        let malformed = |_| KmsError::Answer("the value is not one that was written here");
        Ok((metadata.version, Some(Base64::decode_vec(&value).map_err(malformed)?)))
    }

    /// A value that was never written, one that was deleted, or an engine that is not there.
    fn absent(&self, answer: &Answer) -> Result<(u64, Option<Vec<u8>>), KmsError> {
        if data::<Found>(&answer.body).is_ok() {
            return Err(KmsError::Answer(DELETED));
        }
        match errors(&answer.body) {
            Some(errors) if errors.is_empty() => Ok((0, None)),
            _ => Err(KmsError::NotFound(self.name.clone())),
        }
    }

    async fn set(
        &self,
        cas: u64,
        value: &[u8],
        left: core::time::Duration,
    ) -> Result<bool, KmsError> {
        let value = Base64::encode_string(value);
        let written = Write { options: Options { cas }, data: Data { value } };
        let body = serde_json::to_vec(&written)
            .map_err(|_| KmsError::Answer("the request has no form in JSON"))?;
        let answer = self.ask(Method::POST, Bytes::from(body), left).await?;
        let errors = errors(&answer.body).unwrap_or_default();
        let refused = answer.status.as_u16() == 400;
        if refused && errors.iter().any(|error| error.contains("check-and-set parameter")) {
            return Ok(false);
        }
        let answer = self.judge(answer)?;
        let Version { version } = data(&answer.body)?;
        match cas.checked_add(1) == Some(version) {
            true => Ok(true),
            false => Err(KmsError::Answer("it wrote another version than it was asked for")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        body: Bytes,
        left: core::time::Duration,
    ) -> Result<Answer, KmsError> {
        let VaultSettings { mount, key, .. } = &self.settings;
        let path = format!("/v1/{mount}/data/{key}");
        let headers = headers(&self.settings).await?;
        self.http.ask(Request { method, path, headers, body }, left).await
    }

    fn judge(&self, answer: Answer) -> Result<Answer, KmsError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let name = &self.name;
        Err(match answer.status.as_u16() {
            403 => KmsError::Denied(format!("its policy or token does not allow this with {name}")),
            404 => KmsError::NotFound(name.clone()),
            412 | 472 | 473 => KmsError::Unavailable("it is a standby".to_owned()),
            _ => answer.refusal().unwrap_or(KmsError::Answer(
                "it refuses the request for a reason that is not known here",
            )),
        })
    }
}

const DELETED: &str = "the newest version of the value was deleted; undelete it";

impl fmt::Debug for VaultCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http: _, settings, name } = self;
        f.debug_struct("VaultCell")
            .field("settings", settings)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Write {
    options: Options,
    data: Data,
}

#[derive(Serialize)]
struct Options {
    cas: u64,
}

#[derive(Serialize, Deserialize)]
struct Data {
    value: String,
}

#[derive(Deserialize)]
struct Found {
    data: Option<Data>,
    metadata: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}
