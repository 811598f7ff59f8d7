//! What KMS says.

use core::ops::RangeInclusive;

use base64ct::{Base64, Encoding};
use sealwire_envelope::{
    Dek,
    kms::{KeyRef, KeyVersion, KmsError, Wrapped},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::kms::{answer::Answer, secret_text::SecretText};

/// The algorithm of symmetric keys: AES-256-GCM in a form of AWS's own.
pub(super) const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// The longest ciphertext. AWS gives some 180 bytes for a data key.
pub(super) const MAX_CIPHERTEXT_LEN: usize = 1024;
pub(super) const POSSIBLE: RangeInclusive<usize> = Dek::LEN..=MAX_CIPHERTEXT_LEN;

/// The version of a key whose versions AWS does not tell apart, as in a custom key store.
pub(in crate::kms) const UNVERSIONED: &str = "unversioned";

/// A key, which takes the answers that are about it.
pub(in crate::kms) struct Key {
    pub(in crate::kms) name: KeyRef,
}

impl Key {
    /// An answer that holds something, or what it refuses.
    pub(in crate::kms) fn judge(&self, answer: Answer) -> Result<Answer, KmsError> {
        let refused = |answer: &Answer| refusal(answer, self.name.key());
        if answer.status.is_success() { Ok(answer) } else { Err(refused(&answer)) }
    }

    /// The version of the key that was described, if it is ours.
    pub(in crate::kms) fn version_of(
        &self,
        metadata: &KeyMetadata,
    ) -> Result<KeyVersion, KmsError> {
        metadata.check(self.name.key())?;
        material(metadata.material.as_deref().unwrap_or(UNVERSIONED))
    }

    fn wrapped(&self, version: KeyVersion, ciphertext: &str) -> Result<Wrapped, KmsError> {
        let (key, algorithm) = (self.name.clone(), SYMMETRIC.to_owned());
        Ok(Wrapped { key, version, algorithm, ciphertext: decoded(ciphertext)? })
    }

    pub(in crate::kms) fn encrypted(
        &self,
        answer: &Answer,
        version: KeyVersion,
    ) -> Result<Wrapped, KmsError> {
        let answer: Encrypted = from_json(&answer.body)?;
        answer.key.check(self.name.key())?;
        self.wrapped(version, &answer.ciphertext)
    }

    pub(in crate::kms) fn decrypted(&self, answer: &Answer) -> Result<Dek, KmsError> {
        let answer: Decrypted = from_json(&answer.body)?;
        answer.key.check(self.name.key())?;
        answer.plaintext.to_dek()
    }

    /// With the version that the answer names, or with `version`.
    pub(in crate::kms) fn re_encrypted(
        &self,
        answer: &Answer,
        version: KeyVersion,
    ) -> Result<Wrapped, KmsError> {
        let answer: ReEncrypted = from_json(&answer.body)?;
        answer.key.check(self.name.key())?;
        let version = answer.material.as_deref().map_or(Ok(version), material)?;
        self.wrapped(version, &answer.ciphertext)
    }
}

/// A version by the id of key material that AWS gave.
fn material(id: &str) -> Result<KeyVersion, KmsError> {
    KeyVersion::new(id).map_err(|_| KmsError::Answer("the id of the key material is no id"))
}

/// A wrapped key that AWS gave.
fn decoded(text: &str) -> Result<Vec<u8>, KmsError> {
    let bytes = Base64::decode_vec(text).ok();
    bytes
        .filter(|bytes| POSSIBLE.contains(&bytes.len()))
        .ok_or(KmsError::Answer("a wrap is not base64 of a possible length"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::kms) struct Described {
    pub(in crate::kms) key_metadata: KeyMetadata,
}

/// What a key is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::kms) struct KeyMetadata {
    pub(super) arn: String,
    key_spec: String,
    key_usage: String,
    key_state: String,
    #[serde(rename = "CurrentKeyMaterialId")]
    material: Option<String>,
}

impl KeyMetadata {
    /// Whether it is the key that was asked for, and can wrap.
    // KMS-21
    fn check(&self, arn: &str) -> Result<(), KmsError> {
        if self.arn != arn {
            return Err(KmsError::Answer("it describes another key"));
        }
        if self.key_spec != SYMMETRIC || self.key_usage != "ENCRYPT_DECRYPT" {
            return Err(KmsError::Settings(format!(
                "the key {arn} is not for encryption with a symmetric key"
            )));
        }
        if self.key_state == "Enabled" { Ok(()) } else { Err(KmsError::Disabled(arn.to_owned())) }
    }
}

/// Which key answered.
#[derive(Deserialize)]
#[serde(transparent)]
struct KeyId(String);

impl KeyId {
    // KMS-23
    fn check(&self, arn: &str) -> Result<(), KmsError> {
        if self.0 == arn { Ok(()) } else { Err(KmsError::Answer("another key answered")) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    #[serde(rename = "KeyId")]
    key: KeyId,
    #[serde(rename = "CiphertextBlob")]
    ciphertext: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    #[serde(rename = "KeyId")]
    key: KeyId,
    plaintext: SecretText,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncrypted {
    #[serde(rename = "KeyId")]
    key: KeyId,
    #[serde(rename = "CiphertextBlob")]
    ciphertext: String,
    #[serde(rename = "DestinationKeyMaterialId")]
    material: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}

pub(in crate::kms) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body).map_err(|_| KmsError::Answer("it is not what KMS answers"))
}

/// What a refusal means. Its words are not passed on: they might quote what was sent.
// KMS-5, KMS-24
fn refusal(answer: &Answer, key: &str) -> KmsError {
    let kind = serde_json::from_slice(&answer.body).map(|Refusal { kind }| kind);
    let kind = kind.unwrap_or_default();
    // As `com.amazonaws.kms#DisabledException:https://...`.
    let name = kind.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let away = |what: &str| KmsError::Unavailable(what.to_owned());
    match name.strip_suffix("Exception").unwrap_or(name) {
        "InvalidCiphertext" | "IncorrectKey" => KmsError::Open,
        "Disabled" | "KMSInvalidState" => KmsError::Disabled(key.to_owned()),
        "NotFound" => KmsError::NotFound(key.to_owned()),
        "AccessDenied" | "InvalidGrantToken" => {
            KmsError::Denied(format!("its policies do not allow this caller to use {key}"))
        }
        "UnrecognizedClient"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => {
            KmsError::Denied("the credentials are not valid, or the clock is wrong".to_owned())
        }
        "Throttling" | "TooManyRequests" | "LimitExceeded" | "RequestLimitExceeded" => {
            KmsError::Throttled(answer.retry_after)
        }
        "DependencyTimeout" => away("what it rests on did not answer in time"),
        "KeyUnavailable" => away("the key cannot be reached now"),
        "KMSInternal" | "InternalFailure" | "ServiceUnavailable" => away("it has a fault"),
        _ => answer.refusal().unwrap_or(KmsError::Answer(
            "it refuses the request for a reason that is not known here",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use http::StatusCode;
    use sealwire_core::wipe::WipedVec;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234";

    // KMS-24
    #[test]
    fn refusals_become_typed_errors() {
        let answer = |status: u16, body: String| Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            body: WipedVec::from(body.into_bytes()),
            retry_after: Some(Duration::from_secs(2)),
        };
        let key = || ARN.to_owned();
        let told = Some(Duration::from_secs(2));
        for (kind, expected) in [
            ("InvalidCiphertextException", KmsError::Open),
            ("com.amazonaws.kms#IncorrectKeyException", KmsError::Open),
            ("DisabledException:http://internal", KmsError::Disabled(key())),
            ("KMSInvalidStateException", KmsError::Disabled(key())),
            ("NotFoundException", KmsError::NotFound(key())),
            ("ThrottlingException", KmsError::Throttled(told)),
            ("LimitExceededException", KmsError::Throttled(told)),
        ] {
            let body = format!(r#"{{"__type": "{kind}", "message": "c2VjcmV0"}}"#);
            assert_eq!(refusal(&answer(400, body), ARN), expected, "{kind}");
        }
        for (kind, temporary) in [
            ("AccessDeniedException", false),
            ("ExpiredTokenException", false),
            ("KMSInternalException", true),
            ("KeyUnavailableException", true),
            ("DependencyTimeoutException", true),
            ("ANewException", false),
            ("", false),
        ] {
            let body = format!(r#"{{"__type": "{kind}", "message": "c2VjcmV0"}}"#);
            let error = refusal(&answer(400, body), ARN);
            assert_eq!(error.is_temporary(), temporary, "{kind}: {error}");
            assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error:?}");
        }
        let page = answer(502, "<html>".to_owned());
        assert!(matches!(refusal(&page, ARN), KmsError::Unavailable(_)));
    }

    // KMS-21
    #[test]
    fn keys_that_cannot_wrap_are_refused() {
        let key = |arn: &str, spec: &str, usage: &str, state: &str| KeyMetadata {
            arn: arn.to_owned(),
            key_spec: spec.to_owned(),
            key_usage: usage.to_owned(),
            key_state: state.to_owned(),
            material: None,
        };
        let good = key(ARN, SYMMETRIC, "ENCRYPT_DECRYPT", "Enabled");
        assert_eq!(good.check(ARN), Ok(()));
        let state = |state| key(ARN, SYMMETRIC, "ENCRYPT_DECRYPT", state).check(ARN);
        for bad in ["Disabled", "PendingDeletion", "PendingImport", "Unavailable", "Creating"] {
            assert_eq!(state(bad), Err(KmsError::Disabled(ARN.to_owned())), "{bad}");
        }
        for bad in [
            key(ARN, "RSA_4096", "ENCRYPT_DECRYPT", "Enabled"),
            key(ARN, "HMAC_256", "GENERATE_VERIFY_MAC", "Enabled"),
        ] {
            assert!(matches!(bad.check(ARN), Err(KmsError::Settings(_))), "{}", bad.key_spec);
        }
        let other = key("arn:other", SYMMETRIC, "ENCRYPT_DECRYPT", "Enabled");
        assert!(matches!(other.check(ARN), Err(KmsError::Answer(_))));
    }

    #[test]
    fn wraps_of_impossible_lengths_are_refused() {
        for len in [Dek::LEN, 184, MAX_CIPHERTEXT_LEN] {
            let text = Base64::encode_string(&vec![7; len]);
            assert_eq!(decoded(&text), Ok(vec![7; len]));
        }
        for bad in [0, Dek::LEN - 1, MAX_CIPHERTEXT_LEN + 1] {
            let text = Base64::encode_string(&vec![7; bad]);
            assert!(matches!(decoded(&text), Err(KmsError::Answer(_))), "{bad}");
        }
        assert!(matches!(decoded("?"), Err(KmsError::Answer(_))));
    }
}
