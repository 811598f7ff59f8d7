//! What Vault says.

use base64ct::{Base64, Encoding};
use sealwire_envelope::{
    Dek,
    kms::{KeyRef, KeyVersion, KmsError, Wrapped},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::kms::{answer::Answer, secret_text::SecretText};

/// A nonce of 12 bytes, the data key, a tag: the shortest that a cipher here gives.
const MIN_CIPHERTEXT_LEN: usize = 12 + Dek::LEN + 16;
/// The longest ciphertext, in base64: of these ciphers none comes near.
pub(super) const MAX_CIPHERTEXT_LEN: usize = 256;
/// Ciphers with associated data.
const ALGORITHMS: [&str; 4] =
    ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

/// A key, which takes the answers that are about it.
pub(in crate::kms) struct Key {
    pub(in crate::kms) name: KeyRef,
    /// How it encrypts, as Vault names it.
    pub(in crate::kms) algorithm: String,
}

impl Key {
    /// An answer that holds something, or what it refuses.
    pub(in crate::kms) fn judge(&self, answer: Answer) -> Result<Answer, KmsError> {
        let is_batch = answer.status == 400 && batch(&answer.body).is_ok();
        if answer.status.is_success() || is_batch {
            return Ok(answer);
        }
        let key = self.name.key();
        let errors = errors(&answer.body).unwrap_or_default();
        Err(match answer.status.as_u16() {
            403 => KmsError::Denied(format!("its policy or token does not allow this with {key}")),
            404 => KmsError::NotFound(key.to_owned()),
            // A standby that has not caught up yet, and ones that do not answer.
            412 | 472 | 473 => KmsError::Unavailable("it is a standby".to_owned()),
            503 if errors.iter().any(|error| error.contains("sealed")) => {
                KmsError::Unavailable("it is sealed".to_owned())
            }
            _ => answer.refusal().unwrap_or_else(|| {
                let first = errors.first().map(String::as_str);
                refusal(first.unwrap_or_default(), key)
            }),
        })
    }

    pub(in crate::kms) fn described(&self, answer: &Answer) -> Result<Metadata, KmsError> {
        let metadata: Metadata = data(&answer.body)?;
        // KMS-11
        metadata.check(self.name.key())?;
        Ok(metadata)
    }

    /// What became of each of `count`.
    pub(in crate::kms) fn outcomes(
        &self,
        answer: &Answer,
        count: usize,
    ) -> Result<Vec<Result<Outcome, KmsError>>, KmsError> {
        let outcomes = batch(&answer.body)?;
        if outcomes.len() != count {
            return Err(KmsError::Answer("it has not one result for each wrap"));
        }
        let refused = |error: &str| refusal(error, self.name.key());
        Ok(outcomes
            .into_iter()
            .map(|outcome| match outcome.error.as_deref() {
                None | Some("") => Ok(outcome),
                Some(error) => Err(refused(error)),
            })
            .collect())
    }

    /// What Vault gave, as it is stored.
    pub(in crate::kms) fn wrapped(&self, outcome: Outcome) -> Result<Wrapped, KmsError> {
        let text = outcome.ciphertext.unwrap_or_default();
        let version = version(&text)?;
        if outcome.key_version.is_some_and(|told| told != version) {
            return Err(KmsError::Answer("it names two versions of the key"));
        }
        Ok(Wrapped {
            key: self.name.clone(),
            version: KeyVersion::new(&version.to_string())?,
            algorithm: self.algorithm.clone(),
            ciphertext: text.into_bytes(),
        })
    }

    /// What Vault gave instead of `old`.
    pub(in crate::kms) fn rewrapped(
        &self,
        outcome: Result<Outcome, KmsError>,
        old: &Wrapped,
    ) -> Result<Wrapped, KmsError> {
        let new = self.wrapped(outcome.map_err(|error| of_version(error, old))?)?;
        // KMS-14
        if number(&new.version) < number(&old.version) {
            return Err(KmsError::Answer("it rewrapped with an older version of the key"));
        }
        Ok(new)
    }

    /// The data key that Vault gave.
    pub(in crate::kms) fn unwrapped(
        outcome: Result<Outcome, KmsError>,
        wrapped: &Wrapped,
    ) -> Result<Dek, KmsError> {
        let outcome = outcome.map_err(|error| of_version(error, wrapped))?;
        outcome.plaintext.ok_or(KmsError::Answer("it holds no data key"))?.to_dek()
    }
}

/// What became of the only one.
pub(in crate::kms) fn only(outcomes: Vec<Result<Outcome, KmsError>>) -> Result<Outcome, KmsError> {
    outcomes.into_iter().next().unwrap_or(Err(KmsError::Answer("it has no result")))
}

/// What became of one.
#[derive(Deserialize)]
pub(in crate::kms) struct Outcome {
    pub(super) plaintext: Option<SecretText>,
    pub(super) ciphertext: Option<String>,
    pub(super) key_version: Option<u32>,
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
struct Outcomes {
    batch_results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Response<T> {
    data: T,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

/// What a key is.
#[derive(Deserialize)]
pub(in crate::kms) struct Metadata {
    #[serde(rename = "type")]
    pub(super) algorithm: String,
    derived: bool,
    pub(in crate::kms) latest_version: u32,
    #[serde(default)]
    soft_deleted: bool,
}

impl Metadata {
    /// Whether a wrap with this key is bound to anything.
    pub(super) fn check(&self, key: &str) -> Result<(), KmsError> {
        if !ALGORITHMS.contains(&self.algorithm.as_str()) {
            return Err(KmsError::Settings(format!(
                "the key {key} is of the type {}; make one with: type=aes256-gcm96 derived=true",
                if is_name(&self.algorithm) { &self.algorithm } else { "?" },
            )));
        }
        if !self.derived {
            return Err(KmsError::Settings(format!(
                "the key {key} would not bind a wrap to its object; make one with: derived=true"
            )));
        }
        if self.soft_deleted {
            return Err(KmsError::Disabled(key.to_owned()));
        }
        Ok(())
    }
}

/// Whether it can be the type of a key. It is shown to people, and no other word of Vault is.
// KMS-5
fn is_name(text: &str) -> bool {
    let of_a_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    text.len() <= 20 && text.bytes().all(of_a_name)
}

/// What a response is about.
pub(super) fn data<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body)
        .map(|Response { data }| data)
        .map_err(|_| KmsError::Answer("it is not what Vault answers"))
}

/// What became of each of a batch.
fn batch(body: &[u8]) -> Result<Vec<Outcome>, KmsError> {
    data(body).map(|Outcomes { batch_results }| batch_results)
}

/// The reasons of a refusal; `None` for what is none.
pub(super) fn errors(body: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(body).map(|Refusal { errors }| errors).ok()
}

/// What a reason means. None is passed on: it might quote what was sent.
// KMS-5, KMS-13
fn refusal(error: &str, key: &str) -> KmsError {
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if says(&["version is too new", "version is disallowed", "too old"]) {
        KmsError::Version(String::new())
    } else if says(&["message authentication failed", "invalid ciphertext"]) {
        KmsError::Open
    } else if says(&["soft-deleted"]) {
        KmsError::Disabled(key.to_owned())
    } else if says(&["key not found", "no handler for route"]) {
        KmsError::NotFound(key.to_owned())
    } else if says(&["permission denied"]) {
        KmsError::Denied(format!("its policy or token does not allow this with {key}"))
    } else {
        KmsError::Answer("it refuses the request for a reason that is not known here")
    }
}

/// The version of the key in `vault:v3:...`, whose rest is base64 of a possible length.
// KMS-12
pub(super) fn version(ciphertext: &str) -> Result<u32, KmsError> {
    let malformed = KmsError::Answer("a wrap is not vault:vN: and base64 of a possible length");
    let parsed = || {
        let (number, encoded) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
        let version: u32 = number.parse().ok().filter(|version| *version > 0)?;
        let mut room = [0; MAX_CIPHERTEXT_LEN];
        let decoded = Base64::decode(encoded.as_bytes(), &mut room).ok()?;
        (version.to_string() == number && decoded.len() >= MIN_CIPHERTEXT_LEN).then_some(version)
    };
    parsed().ok_or(malformed)
}

/// For comparing versions of one key: each is a number.
fn number(version: &KeyVersion) -> u32 {
    version.as_str().parse().unwrap_or_default()
}

/// Vault does not say which version it has no more; the wrap does.
// KMS-13
fn of_version(error: KmsError, wrapped: &Wrapped) -> KmsError {
    match error {
        KmsError::Version(_) => KmsError::Version(wrapped.version.as_str().to_owned()),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ciphertext(prefix: &str, len: usize) -> String {
        format!("{prefix}{}", Base64::encode_string(&vec![7; len]))
    }

    // KMS-12
    #[test]
    fn only_whole_wraps_with_a_version_are_taken() {
        for (text, number) in [
            (ciphertext("vault:v1:", 60), 1),
            (ciphertext("vault:v12:", 72), 12),
            (ciphertext("vault:v4294967295:", 60), u32::MAX),
        ] {
            assert_eq!(version(&text), Ok(number), "{text}");
        }
        for (name, bad) in [
            ("nothing", String::new()),
            ("another prefix", ciphertext("bao:v1:", 60)),
            ("no version", ciphertext("vault:v:", 60)),
            ("version 0", ciphertext("vault:v0:", 60)),
            ("a leading zero", ciphertext("vault:v01:", 60)),
            ("a sign", ciphertext("vault:v+1:", 60)),
            ("a huge version", ciphertext("vault:v4294967296:", 60)),
            ("short", ciphertext("vault:v1:", 59)),
            ("long", ciphertext("vault:v1:", 1000)),
            ("no base64", "vault:v1:????".to_owned()),
            ("cut", ciphertext("vault:v1:", 60)[..80].to_owned() + "A"),
        ] {
            assert!(matches!(version(&bad), Err(KmsError::Answer(_))), "{name}");
        }
    }

    // KMS-13: in the words of OpenBao 2.7.2.
    #[test]
    fn reasons_become_typed_errors() {
        let key = || "transit/agents".to_owned();
        for (error, expected) in [
            ("cipher: message authentication failed", KmsError::Open),
            ("invalid ciphertext: could not decode version", KmsError::Open),
            ("invalid ciphertext length", KmsError::Open),
            ("invalid ciphertext: version is too new", KmsError::Version(String::new())),
            (
                "ciphertext or signature version is disallowed by policy (too old)",
                KmsError::Version(String::new()),
            ),
            ("refusing to use soft-deleted key", KmsError::Disabled(key())),
            ("encryption key not found", KmsError::NotFound(key())),
            ("no handler for route \"x\"", KmsError::NotFound(key())),
        ] {
            assert_eq!(refusal(error, &key()), expected, "{error}");
        }
        for unknown in ["", "a new reason, with the plaintext c2VjcmV0"] {
            let error = refusal(unknown, &key());
            assert!(matches!(error, KmsError::Answer(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error:?}");
        }
    }

    // KMS-11
    #[test]
    fn keys_that_bind_nothing_are_refused() {
        let key = |algorithm: &str, derived, soft_deleted| Metadata {
            algorithm: algorithm.to_owned(),
            derived,
            latest_version: 1,
            soft_deleted,
        };
        for algorithm in ALGORITHMS {
            assert_eq!(key(algorithm, true, false).check("k"), Ok(()));
        }
        for (name, bad, why) in [
            ("not derived", key("aes256-gcm96", false, false), "derived=true"),
            ("RSA", key("rsa-4096", true, false), "of the type rsa-4096"),
            ("a name of 20 bytes", key(&"x".repeat(20), true, false), "of the type xxxxx"),
            ("a name of 21 bytes", key(&"x".repeat(21), true, false), "of the type ?;"),
            ("what a terminal obeys", key("\x1b[2J", true, false), "of the type ?;"),
            ("what was sent", key("SfCXPuWMM9qBKM92", true, false), "of the type ?;"),
            ("deleted", key("aes256-gcm96", true, true), "is disabled"),
        ] {
            let error = bad.check("k").expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
