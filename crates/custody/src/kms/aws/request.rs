//! What is said to KMS.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::{WrapBinding, kms::KmsError};
use serde::Serialize;

use super::answer::{POSSIBLE, SYMMETRIC};
use crate::kms::secret_text::SecretText;

/// Room for the longest request, so that the buffer is not moved while it holds a data key.
const REQUEST_LEN: usize = 4096;
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

/// The body of a request.
pub(super) fn to_json(request: &impl Serialize) -> Result<WipedVec, KmsError> {
    let mut json = WipedVec::with_capacity(REQUEST_LEN);
    serde_json::to_writer(&mut *json, request)
        .map_err(|_| KmsError::Answer("the request has no form in JSON"))?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::super::answer::MAX_CIPHERTEXT_LEN;
    use super::*;
    use sealwire_envelope::{Dek, ObjectId};

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
}
