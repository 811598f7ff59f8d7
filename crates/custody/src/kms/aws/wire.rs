//! What is said to KMS and what it says.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use sealwire_envelope::{Dek, WrapBinding, kms::KmsError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::kms::{http::Answer, secret_text::SecretText};

/// The algorithm of symmetric keys: AES-256-GCM in a form of AWS's own.
pub(super) const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// Room for the longest request, so that the buffer is not moved while it holds a data key.
const REQUEST_LEN: usize = 4096;
/// The longest ciphertext. AWS gives some 180 bytes for a data key.
const MAX_CIPHERTEXT_LEN: usize = 1024;
const POSSIBLE: RangeInclusive<usize> = Dek::LEN..=MAX_CIPHERTEXT_LEN;

/// W, as pairs of text: what AWS calls an encryption context.
// KMS-10
#[derive(Serialize)]
pub(super) struct Context(BTreeMap<&'static str, String>);

impl Context {
    pub(super) fn of(binding: &WrapBinding) -> Self {
        Self(binding.to_pairs().into_iter().collect())
    }
}

/// A wrapped key in base64.
#[derive(Serialize)]
pub(super) struct Ciphertext<'a>(#[serde(serialize_with = "base64")] &'a [u8]);

impl<'a> Ciphertext<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, KmsError> {
        if POSSIBLE.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(KmsError::Open) }
    }
}

fn base64<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Base64::encode_string(bytes))
}

/// A wrapped key that AWS gave.
pub(super) fn ciphertext(text: &str) -> Result<Vec<u8>, KmsError> {
    let bytes = Base64::decode_vec(text).ok();
    bytes
        .filter(|bytes| POSSIBLE.contains(&bytes.len()))
        .ok_or(KmsError::Answer("a wrap is not base64 of a possible length"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe<'a> {
    key_id: &'a str,
}

pub(super) const fn describe(key_id: &str) -> Describe<'_> {
    Describe { key_id }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encrypt<'a> {
    key_id: &'a str,
    plaintext: &'a SecretText,
    encryption_algorithm: &'a str,
    encryption_context: &'a Context,
}

pub(super) const fn encrypt<'a>(
    key_id: &'a str,
    plaintext: &'a SecretText,
    encryption_context: &'a Context,
) -> Encrypt<'a> {
    Encrypt { key_id, plaintext, encryption_algorithm: SYMMETRIC, encryption_context }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Decrypt<'a> {
    key_id: &'a str,
    ciphertext_blob: &'a Ciphertext<'a>,
    encryption_algorithm: &'a str,
    encryption_context: &'a Context,
}

pub(super) const fn decrypt<'a>(
    key_id: &'a str,
    ciphertext_blob: &'a Ciphertext<'a>,
    encryption_context: &'a Context,
) -> Decrypt<'a> {
    Decrypt { key_id, ciphertext_blob, encryption_algorithm: SYMMETRIC, encryption_context }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReEncrypt<'a> {
    ciphertext_blob: &'a Ciphertext<'a>,
    source_key_id: &'a str,
    source_encryption_context: &'a Context,
    destination_key_id: &'a str,
    destination_encryption_context: &'a Context,
}

pub(super) const fn re_encrypt<'a>(
    key_id: &'a str,
    ciphertext_blob: &'a Ciphertext<'a>,
    context: &'a Context,
) -> ReEncrypt<'a> {
    ReEncrypt {
        ciphertext_blob,
        source_key_id: key_id,
        source_encryption_context: context,
        destination_key_id: key_id,
        destination_encryption_context: context,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    pub(super) key_metadata: KeyMetadata,
}

/// What a key is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyMetadata {
    pub(super) arn: String,
    key_spec: String,
    key_usage: String,
    key_state: String,
    #[serde(rename = "CurrentKeyMaterialId")]
    pub(super) material: Option<String>,
}

impl KeyMetadata {
    /// Whether it is the key that was asked for, and can wrap.
    // KMS-21
    pub(super) fn check(&self, arn: &str) -> Result<(), KmsError> {
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
pub(super) struct KeyId(String);

impl KeyId {
    // KMS-23
    pub(super) fn check(&self, arn: &str) -> Result<(), KmsError> {
        if self.0 == arn { Ok(()) } else { Err(KmsError::Answer("another key answered")) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Encrypted {
    #[serde(rename = "KeyId")]
    pub(super) key: KeyId,
    #[serde(rename = "CiphertextBlob")]
    pub(super) ciphertext: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Decrypted {
    #[serde(rename = "KeyId")]
    pub(super) key: KeyId,
    pub(super) plaintext: SecretText,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReEncrypted {
    #[serde(rename = "KeyId")]
    pub(super) key: KeyId,
    #[serde(rename = "CiphertextBlob")]
    pub(super) ciphertext: String,
    #[serde(rename = "DestinationKeyMaterialId")]
    pub(super) material: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}

/// The body of a request.
pub(super) fn to_json(request: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut json = Zeroizing::new(Vec::with_capacity(REQUEST_LEN));
    serde_json::to_writer(&mut *json, request)
        .map_err(|_| KmsError::Answer("the request has no form in JSON"))?;
    Ok(json)
}

pub(super) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body).map_err(|_| KmsError::Answer("it is not what KMS answers"))
}

/// What a refusal means. Its words are not passed on: they might quote what was sent.
// KMS-5, KMS-24
pub(super) fn refusal(answer: &Answer, key: &str) -> KmsError {
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
    use sealwire_envelope::ObjectId;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234";

    // KMS-24
    #[test]
    fn refusals_become_typed_errors() {
        let answer = |status: u16, body: String| Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            body: Zeroizing::new(body.into_bytes()),
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
    fn the_longest_request_fits_its_room() {
        let binding = WrapBinding::new(ObjectId::from_bytes([7; 16]), "t", b"h").expect("binding");
        let (context, long) = (Context::of(&binding), vec![0xff; MAX_CIPHERTEXT_LEN]);
        let name = "k".repeat(sealwire_envelope::kms::KeyRef::MAX_LEN);
        let ciphertext = Ciphertext::of(&long).expect("possible");
        let json = to_json(&re_encrypt(&name, &ciphertext, &context)).expect("JSON");
        assert!(json.len() <= REQUEST_LEN, "{}", json.len());
        let dek = Dek::from_unwrapped(&[7; 32]).expect("32 bytes");
        let text = SecretText::of_dek(&dek).expect("text");
        let json = to_json(&encrypt(&name, &text, &context)).expect("JSON");
        assert!(json.len() <= REQUEST_LEN && json.capacity() == REQUEST_LEN);
    }

    #[test]
    fn wraps_of_impossible_lengths_are_refused() {
        for len in [Dek::LEN, 184, MAX_CIPHERTEXT_LEN] {
            let text = Base64::encode_string(&vec![7; len]);
            assert_eq!(ciphertext(&text), Ok(vec![7; len]));
        }
        for bad in [0, Dek::LEN - 1, MAX_CIPHERTEXT_LEN + 1] {
            let text = Base64::encode_string(&vec![7; bad]);
            assert!(matches!(ciphertext(&text), Err(KmsError::Answer(_))), "{bad}");
        }
        assert!(matches!(ciphertext("?"), Err(KmsError::Answer(_))));
    }
}
