//! Base64 of a data key, on its way into and out of JSON.

use core::fmt;

use base64ct::{Base64, Encoding};
use sealwire_envelope::{Dek, kms::KmsError};
#[cfg(any(feature = "aws", feature = "vault"))]
use serde::Serialize;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use zeroize::Zeroizing;

/// The length of a data key in base64.
#[cfg(any(feature = "aws", feature = "vault"))]
const DEK_TEXT_LEN: usize = Dek::LEN.div_ceil(3) * 4;

/// Text that is wiped, and not printed.
#[derive(Default)]
pub(super) struct SecretText(Zeroizing<String>);

impl SecretText {
    /// A data key in base64.
    #[cfg(any(feature = "aws", feature = "vault"))]
    pub(super) fn of_dek(dek: &Dek) -> Result<Self, KmsError> {
        let mut text = Zeroizing::new(vec![0; DEK_TEXT_LEN]);
        Base64::encode(dek.expose(), &mut text)
            .map(|text| Self(Zeroizing::new(text.to_owned())))
            .map_err(|_| KmsError::Answer("a data key has no base64"))
    }

    /// The data key that a service gave.
    pub(super) fn to_dek(&self) -> Result<Dek, KmsError> {
        let mut bytes = Zeroizing::new([0; Dek::LEN + 3]);
        let dek = Base64::decode(self.0.as_bytes(), &mut *bytes)
            .map_err(|_| KmsError::Answer("the data key is not 32 bytes in base64"))?;
        Dek::from_unwrapped(dek).map_err(|_| KmsError::Answer("the data key is not 32 bytes"))
    }
}

#[cfg(any(feature = "aws", feature = "vault"))]
impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = SecretText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
        Ok(SecretText(Zeroizing::new(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "aws", feature = "vault"))]
    #[test]
    fn a_data_key_comes_back() {
        let dek = Dek::from_unwrapped(&[0xa7; Dek::LEN]).expect("32 bytes");
        let json = serde_json::to_string(&SecretText::of_dek(&dek).expect("text")).expect("JSON");
        assert_eq!(json.len(), DEK_TEXT_LEN + 2);
        let read: SecretText = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read.to_dek().expect("a key").expose(), dek.expose());
    }

    #[test]
    fn what_is_no_data_key_is_refused() {
        let text = |text: &str| SecretText(Zeroizing::new(text.to_owned()));
        for (name, bad) in [
            ("empty", text("")),
            ("no base64", text("?")),
            ("without padding", text(&Base64::encode_string(&[7; 32])[..43])),
            ("short", text(&Base64::encode_string(&[7; 31]))),
            ("long", text(&Base64::encode_string(&[7; 33]))),
            ("very long", text(&Base64::encode_string(&[7; 3200]))),
        ] {
            assert!(matches!(bad.to_dek(), Err(KmsError::Answer(_))), "{name}");
        }
    }
}
