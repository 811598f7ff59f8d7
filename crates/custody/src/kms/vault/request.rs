//! What is said to Vault.

use sealwire_core::wipe::WipedVec;
use sealwire_envelope::kms::KmsError;
use serde::Serialize;

use crate::kms::secret_text::SecretText;

/// Room for one item as JSON, so that the buffer is not moved while it holds a data key.
const ITEM_LEN: usize = 1024;
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

/// The body of a request.
pub(super) fn to_json(items: Option<&[Item]>) -> Result<WipedVec, KmsError> {
    let Some(batch_input) = items else { return Ok(WipedVec::default()) };
    let room = ITEM_LEN.saturating_mul(batch_input.len().saturating_add(1));
    let mut json = WipedVec::with_capacity(room);
    serde_json::to_writer(&mut *json, &Batch { batch_input })
        .map_err(|_| KmsError::Answer("the request has no form in JSON"))?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::super::answer::MAX_CIPHERTEXT_LEN;
    use super::*;
    use sealwire_envelope::Dek;

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
