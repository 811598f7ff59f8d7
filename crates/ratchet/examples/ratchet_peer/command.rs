//! Commands and answers in JSON, bytes in hex.

use std::error::Error as StdError;

use sealwire_core::{DecodeError, keys::X25519Public};
use sealwire_ratchet::Error;
use serde_json::{Value, json};

/// A JSON object.
pub(crate) type Answer = Value;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The library refuses what came: the test is told, and goes on.
    Refused(Error),
    /// The test itself is wrong.
    Broken(Box<dyn StdError>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<sealwire_core::Error> for Fault {
    fn from(error: sealwire_core::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Refused(error.into())
    }
}

/// A fault of the test.
pub(crate) fn broken(why: &str) -> Fault {
    Fault::Broken(why.into())
}

/// What the other implementation says for the same refusal.
pub(crate) fn refusal(error: &Error) -> Answer {
    let name = match error {
        Error::Duplicate => "duplicate",
        Error::SkipLimit => "skip limit",
        Error::Misuse(_) | Error::CannotSend(_) => "misuse",
        _ => "refused",
    };
    json!({ "error": name, "why": error.to_string() })
}

/// One command.
pub(crate) struct Command(Value);

impl Command {
    pub(crate) fn new(line: &str) -> Result<Self, Box<dyn StdError>> {
        Ok(Self(serde_json::from_str(line)?))
    }

    /// A command within a command.
    pub(crate) fn part(&self, name: &str) -> Option<Self> {
        self.0.get(name).filter(|part| part.is_object()).map(|part| Self(part.clone()))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, Fault> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.ok_or_else(|| broken(&format!("`{name}` is no text")))
    }

    pub(crate) fn number(&self, name: &str) -> Result<u8, Fault> {
        let number = self.0.get(name).and_then(Value::as_u64).and_then(|n| n.try_into().ok());
        number.ok_or_else(|| broken(&format!("`{name}` is no small number")))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        let flag = self.0.get(name).and_then(Value::as_bool);
        flag.ok_or_else(|| broken(&format!("`{name}` is neither true nor false")))
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Fault> {
        hex::decode(self.text(name)?).map_err(|error| Fault::Broken(error.into()))
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(name)?;
        bytes.try_into().map_err(|_| broken(&format!("`{name}` does not have {N} bytes")))
    }

    /// A public key; the library may refuse it.
    pub(crate) fn key(&self, name: &str) -> Result<X25519Public, Fault> {
        Ok(X25519Public::from_bytes(&self.bytes(name)?)?)
    }

    /// A public key that may be null.
    pub(crate) fn optional_key(&self, name: &str) -> Result<Option<X25519Public>, Fault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.key(name).map(Some),
        }
    }
}
