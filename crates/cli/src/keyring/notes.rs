//! What a ring does not say of its key.

use std::{collections::BTreeSet, path::Path};

use sealwire::{core::Timestamp, custody::atomic};
use sealwire_envelope::audit::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{DAMAGED, MAX_NOTES, MODE, read_file};
use crate::{error::Failure, text::Plain};

/// What a ring does not say of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notes {
    /// How commands name it.
    pub(super) key: String,
    /// Where objects under it were seen: no version is retired before all of them were looked at.
    pub(crate) places: BTreeSet<String>,
    /// When somebody last looked at who may use it, in Unix seconds.
    audited: u64,
    /// The last signed line of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Signed>,
}

/// A line of the log by its number and hash: `12:3f9a…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Signed(pub(crate) Checkpoint);

impl Notes {
    pub(super) fn new(key: String, now: Timestamp) -> Self {
        Self { key, places: BTreeSet::new(), audited: now.as_secs(), checkpoint: None }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_file(path, MAX_NOTES)?.unwrap_or_default();
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::other(error.to_string()).at(&Plain::path(path)).hint(DAMAGED))
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self);
        let text = text.map_err(|error| Failure::other(format!("internal error: {error}")))?;
        Ok(atomic::write_atomic(path, text.as_bytes(), MODE)?)
    }

    /// How commands name the key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// When somebody last looked at who may use the key, or it came here.
    pub(crate) fn audited(&self) -> Timestamp {
        Timestamp::from_secs(self.audited)
    }

    /// Somebody has looked.
    pub(crate) fn audit(&mut self, now: Timestamp) {
        self.audited = now.as_secs();
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint.map(|Signed(checkpoint)| checkpoint)
    }

    pub(super) fn keep(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = Some(Signed(checkpoint));
    }
}

impl std::str::FromStr for Signed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (seq, hash) = text.split_once(':')?;
            let mut bytes = [0; 32];
            if hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            for (index, byte) in bytes.iter_mut().enumerate() {
                let at = index.checked_mul(2)?;
                *byte = u8::from_str_radix(hash.get(at..at.checked_add(2)?)?, 16).ok()?;
            }
            Some(Self(Checkpoint::new(seq.parse().ok()?, bytes)))
        };
        parsed()
            .ok_or_else(|| "a checkpoint is NUMBER:HASH, as `keyring audit` shows it".to_owned())
    }
}

impl TryFrom<String> for Signed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Signed> for String {
    fn from(Signed(checkpoint): Signed) -> Self {
        let digits = checkpoint.hash().iter().map(|byte| format!("{byte:02x}"));
        format!("{}:{}", checkpoint.seq(), digits.collect::<Self>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_number_and_a_hash() {
        let text = format!("12:{}", "0af9".repeat(16));
        let signed: Signed = text.parse().expect("a checkpoint");
        assert_eq!((signed.0.seq(), signed.0.hash()[..2].to_vec()), (12, vec![0x0A, 0xF9]));
        assert_eq!(String::from(signed), text);
        for wrong in
            ["", "12", "12:", ":00", &text[1..8], &format!("{text}0"), &text.replace('f', "é")]
        {
            wrong.parse::<Signed>().expect_err(wrong);
        }
    }

    #[test]
    fn notes_are_read_as_they_were_written_and_nothing_else_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notes.json");
        let mut notes = Notes::new("vault:agents".to_owned(), Timestamp::from_secs(7));
        notes.write(&path).expect("written");
        assert_eq!(Notes::read(&path).expect("notes"), notes);
        notes.places.insert("/srv/\u{1}ümlaut".to_owned());
        notes.audit(Timestamp::from_secs(9));
        notes.keep(Checkpoint::new(3, [7; 32]));
        notes.write(&path).expect("written");
        assert_eq!(Notes::read(&path).expect("notes"), notes);
        let text = std::fs::read_to_string(&path).expect("text");
        for wrong in
            [String::new(), "{}".to_owned(), text.replace("key", "kex"), text.replace("3:", "x:")]
        {
            std::fs::write(&path, wrong).expect("written");
            Notes::read(&path).expect_err("no notes");
        }
    }
}
