//! What is said to Vault and what it says.

use base64ct::{Base64, Encoding};
use sealwire_envelope::{
    Dek,
    kms::{KeyVersion, KmsError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::kms::secret_text::SecretText;

/// Room for one item as JSON, so that the buffer is not moved while it holds a data key.
const ITEM_LEN: usize = 1024;
/// A nonce of 12 bytes, the data key, a tag: the shortest that a cipher here gives.
const MIN_CIPHERTEXT_LEN: usize = 12 + Dek::LEN + 16;
/// The longest ciphertext, in base64: of these ciphers none comes near.
const MAX_CIPHERTEXT_LEN: usize = 256;
/// Ciphers with associated data.
const ALGORITHMS: [&str; 4] =
    ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

/// One of a batch.
#[derive(Serialize)]
pub(super) struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    context: String,
}

impl Item {
    pub(super) const fn plaintext(plaintext: SecretText, context: String) -> Self {
        Self { plaintext: Some(plaintext), ciphertext: None, context }
    }

    pub(super) const fn ciphertext(ciphertext: String, context: String) -> Self {
        Self { plaintext: None, ciphertext: Some(ciphertext), context }
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    batch_input: &'a [Item],
}

/// What became of one.
#[derive(Deserialize)]
pub(super) struct Outcome {
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
pub(super) struct Metadata {
    #[serde(rename = "type")]
    pub(super) algorithm: String,
    derived: bool,
    pub(super) latest_version: u32,
    #[serde(default)]
    soft_deleted: bool,
}

impl Metadata {
    /// Whether a wrap with this key is bound to anything.
    pub(super) fn check(&self, key: &str) -> Result<(), KmsError> {
        if !ALGORITHMS.contains(&self.algorithm.as_str()) {
            return Err(KmsError::Settings(format!(
                "the key {key} is of the type {}; make one with: type=aes256-gcm96 derived=true",
                if self.algorithm.len() > 32 { "?" } else { &self.algorithm },
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

/// The body of a request.
pub(super) fn to_json(items: Option<&[Item]>) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let Some(batch_input) = items else { return Ok(Zeroizing::default()) };
    let room = ITEM_LEN.saturating_mul(batch_input.len().saturating_add(1));
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, &Batch { batch_input })
        .map_err(|_| KmsError::Answer("the request has no form in JSON"))?;
    Ok(json)
}

/// What a response is about.
pub(super) fn data<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body)
        .map(|Response { data }| data)
        .map_err(|_| KmsError::Answer("it is not what Vault answers"))
}

/// What became of each of a batch.
pub(super) fn batch(body: &[u8]) -> Result<Vec<Outcome>, KmsError> {
    data(body).map(|Outcomes { batch_results }| batch_results)
}

/// The reasons of a refusal; `None` for what is none.
pub(super) fn errors(body: &[u8]) -> Option<Vec<String>> {
    serde_json::from_slice(body).map(|Refusal { errors }| errors).ok()
}

/// What a reason means. None is passed on: it might quote what was sent.
// KMS-5, KMS-13
pub(super) fn refusal(error: &str, key: &str) -> KmsError {
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
pub(super) fn number(version: &KeyVersion) -> u32 {
    version.as_str().parse().unwrap_or_default()
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
            ("a long type", key(&"x".repeat(99), true, false), "of the type ?"),
            ("deleted", key("aes256-gcm96", true, true), "is disabled"),
        ] {
            let error = bad.check("k").expect_err(name).to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn a_batch_fits_the_room_that_was_made_for_it() {
        let dek = Dek::from_unwrapped(&[7; 32]).expect("32 bytes");
        let mut items =
            vec![Item::plaintext(SecretText::of_dek(&dek).expect("text"), "c".repeat(200))];
        items.push(Item::ciphertext("c".repeat(MAX_CIPHERTEXT_LEN * 4 / 3 + 16), "c".repeat(200)));
        let json = to_json(Some(&items)).expect("JSON");
        assert!(json.len() <= ITEM_LEN * items.len(), "{}", json.len());
        assert!(
            json.capacity() >= ITEM_LEN * items.len() && json.starts_with(b"{\"batch_input\":")
        );
    }
}
