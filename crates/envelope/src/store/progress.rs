//! What a run over all key records says of itself.

use serde::{Deserialize, Serialize};

use crate::{
    Error, ObjectId,
    audit::Counts,
    kms::{KeyId, KeyRef, KeyVersion, Kms},
};

/// What became of one key record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its slot was wrapped with the newest version.
    Current,
    /// It was wrapped anew; in a dry run, it would be.
    Rewrapped {
        /// The version that had wrapped it: of the key that [`Rewrap::new`](super::Rewrap::new) was given.
        from: KeyVersion,
    },
    /// Someone else changed or deleted it meanwhile. The next run looks at it again.
    Conflict,
    /// It was left out: it has no slot of this key, or was not asked for.
    Excluded,
    /// It could not be read or wrapped anew, and is as it was.
    Failed(Error),
}

/// How far a run has come: what it takes to go on after it was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    target: KeyId,
    /// The key that is left, where that is another one.
    from: Option<String>,
    pub(super) after: Option<ObjectId>,
    counts: Counts,
}

/// Is told what a run does. `()` does not listen.
pub trait Watch: Send {
    /// This became of the record of an object.
    fn record(&mut self, _object: ObjectId, _outcome: &Outcome) {}

    /// So far the run has come. Whoever keeps this can go on from here.
    fn progress(&mut self, _progress: &Progress) {}
}

impl Watch for () {}

impl Progress {
    /// The version to which keys are brought.
    pub const fn target(&self) -> &KeyId {
        &self.target
    }

    /// What became of the records so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: text and numbers are JSON.
    pub fn to_json(&self) -> Result<String, Error> {
        let Self { target, from, after, counts } = self;
        let saved = Saved {
            key: target.key.key().to_owned(),
            version: target.version.as_str().to_owned(),
            from: from.clone(),
            after: after.map(|object| object.to_string()),
            counts: *counts,
        };
        serde_json::to_string(&saved).map_err(|_| Error::Unreachable("text and numbers are JSON"))
    }

    /// Reads what [`Progress::to_json`] gave of a run with the key of `kms`, or to it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for anything else.
    pub fn from_json(text: &str, kms: &dyn Kms) -> Result<Self, Error> {
        let refused = Error::Misuse("progress of a run with this key");
        let saved: Saved = serde_json::from_str(text).map_err(|_| refused.clone())?;
        let after = saved.after.map(|hex| ObjectId::from_hex(&hex).ok_or(refused.clone()));
        if saved.key != kms.key().key() || !saved.counts.is_exact() {
            return Err(refused);
        }
        let version = KeyVersion::new(&saved.version)?;
        let target = KeyId { key: kms.key().clone(), version };
        Ok(Self { target, from: saved.from, after: after.transpose()?, counts: saved.counts })
    }

    /// Of a run that begins.
    pub(super) fn begin(target: KeyId, from: Option<&KeyRef>) -> Self {
        let from = from.map(ToString::to_string);
        Self { target, from, after: None, counts: Counts::default() }
    }

    /// Whether it is of a run with the same keys.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.target == other.target && self.from == other.from
    }

    pub(super) fn count(&mut self, outcome: &Outcome) {
        let Counts { current, rewrapped, conflict, excluded, failed, scanned } = &mut self.counts;
        let count = match outcome {
            Outcome::Current => current,
            Outcome::Rewrapped { .. } => rewrapped,
            Outcome::Conflict => conflict,
            Outcome::Excluded => excluded,
            Outcome::Failed(_) => failed,
        };
        *count = count.saturating_add(1);
        *scanned = scanned.saturating_add(1);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    key: String,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    after: Option<String>,
    counts: Counts,
}
