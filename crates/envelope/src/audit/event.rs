//! What can be said in an audit log.

use serde::{Deserialize, Serialize};

use crate::{
    ObjectId, hex,
    kms::{KeyId, KeyRef, KeyVersion, Provider},
};

/// Something that was done with an object or a key.
///
/// There is no place in it for bytes or free text: it holds names of objects and keys, and
/// numbers, so that no event can carry a key.
///
/// ```compile_fail,E0308
/// use sealwire_envelope::{Dek, audit::Event};
/// // attack T37: a key is no part of an event.
/// fn event(dek: Dek) -> Event { Event::Sealed { object: dek } }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An object was sealed.
    Sealed {
        /// The object.
        object: ObjectId,
    },
    /// An object's key was unwrapped for whoever opens it.
    Opened {
        /// The object.
        object: ObjectId,
    },
    /// An object did not open, or its key was not given.
    Refused {
        /// The object.
        object: ObjectId,
    },
    /// An object was sealed anew, under another key and name.
    Resealed {
        /// The object before.
        from: ObjectId,
        /// The object after.
        to: ObjectId,
    },
    /// An object's key record was deleted: it opens no more.
    Erased {
        /// The object.
        object: ObjectId,
    },
    /// An object's data key was wrapped anew.
    Rewrapped {
        /// The object.
        object: ObjectId,
        /// The key that had wrapped it.
        from: KeyId,
        /// The key that wraps it.
        to: KeyId,
    },
    /// A run over all key records ended.
    RewrapEnded(Counts),
    /// Another version of a key wraps from now on.
    Rotated {
        /// The version that wrapped.
        from: KeyId,
        /// The version that wraps.
        to: KeyId,
    },
    /// A version of a key was retired.
    Retired {
        /// The version.
        key: KeyId,
    },
    /// Someone looked at who may use a key.
    AccessAudited {
        /// The version that wraps.
        key: KeyId,
        /// How many may use it who should not.
        findings: u64,
    },
}

/// What became of the key records of a run. The first five sum to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "every record has one of these outcomes")]
pub struct Counts {
    /// Were wrapped with the newest version.
    pub current: u64,
    /// Were wrapped anew.
    pub rewrapped: u64,
    /// Were changed by someone else meanwhile.
    pub conflict: u64,
    /// Were left out by what was asked for.
    pub excluded: u64,
    /// Could not be read or wrapped anew.
    pub failed: u64,
    /// All of them.
    pub scanned: u64,
}

impl Counts {
    /// Whether each record that was scanned has an outcome.
    pub fn is_exact(&self) -> bool {
        let Self { current, rewrapped, conflict, excluded, failed, scanned } = *self;
        let outcomes = [current, rewrapped, conflict, excluded, failed];
        outcomes.iter().try_fold(0u64, |sum, count| sum.checked_add(*count)) == Some(scanned)
    }
}

/// An event in JSON, and the lines that a log writes of itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Payload {
    Started { log: String },
    Checkpoint(Signed),
    Sealed { object: String },
    Opened { object: String },
    Refused { object: String },
    Resealed { from: String, to: String },
    Erased { object: String },
    Rewrapped { object: String, from: Key, to: Key },
    RewrapEnded(Counts),
    Rotated { from: Key, to: Key },
    Retired { key: Key },
    AccessAudited { key: Key, findings: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    pub(super) key: String,
    pub(super) signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    provider: String,
    key: String,
    version: String,
}

impl Event {
    pub(super) fn to_payload(&self) -> Payload {
        let name = ObjectId::to_string;
        match self {
            Self::Sealed { object } => Payload::Sealed { object: name(object) },
            Self::Opened { object } => Payload::Opened { object: name(object) },
            Self::Refused { object } => Payload::Refused { object: name(object) },
            Self::Resealed { from, to } => Payload::Resealed { from: name(from), to: name(to) },
            Self::Erased { object } => Payload::Erased { object: name(object) },
            Self::Rewrapped { object, from, to } => {
                Payload::Rewrapped { object: name(object), from: from.into(), to: to.into() }
            }
            Self::RewrapEnded(counts) => Payload::RewrapEnded(*counts),
            Self::Rotated { from, to } => Payload::Rotated { from: from.into(), to: to.into() },
            Self::Retired { key } => Payload::Retired { key: key.into() },
            Self::AccessAudited { key, findings } => {
                Payload::AccessAudited { key: key.into(), findings: *findings }
            }
        }
    }
}

impl Payload {
    /// Whether every name in it is one, so that no line carries anything else.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Started { log } => hex::decode::<16>(log).map(drop).ok_or("a log has no name"),
            Self::Checkpoint(Signed { key, signature }) => {
                let well =
                    hex::decode::<32>(key).is_some() && hex::decode::<64>(signature).is_some();
                well.then_some(()).ok_or("a checkpoint has a key and a signature")
            }
            _ => self.to_event().map(drop),
        }
    }

    /// The event; an error for what a log writes of itself.
    pub(super) fn to_event(&self) -> Result<Event, &'static str> {
        let name = |digits: &str| ObjectId::from_hex(digits).ok_or("the object has no name");
        Ok(match self {
            Self::Started { .. } | Self::Checkpoint(_) => return Err("it is no event"),
            Self::Sealed { object } => Event::Sealed { object: name(object)? },
            Self::Opened { object } => Event::Opened { object: name(object)? },
            Self::Refused { object } => Event::Refused { object: name(object)? },
            Self::Resealed { from, to } => Event::Resealed { from: name(from)?, to: name(to)? },
            Self::Erased { object } => Event::Erased { object: name(object)? },
            Self::Rewrapped { object, from, to } => {
                Event::Rewrapped { object: name(object)?, from: from.id()?, to: to.id()? }
            }
            Self::RewrapEnded(counts) if counts.is_exact() => Event::RewrapEnded(*counts),
            Self::RewrapEnded(_) => return Err("its outcomes do not sum to what was scanned"),
            Self::Rotated { from, to } => Event::Rotated { from: from.id()?, to: to.id()? },
            Self::Retired { key } => Event::Retired { key: key.id()? },
            Self::AccessAudited { key, findings } => {
                Event::AccessAudited { key: key.id()?, findings: *findings }
            }
        })
    }
}

impl From<&KeyId> for Key {
    fn from(KeyId { key, version }: &KeyId) -> Self {
        Self {
            provider: key.provider().as_str().to_owned(),
            key: key.key().to_owned(),
            version: version.as_str().to_owned(),
        }
    }
}

impl Key {
    fn id(&self) -> Result<KeyId, &'static str> {
        let Self { provider, key, version } = self;
        let provider = Provider::from_name(provider).ok_or("the key has no known provider")?;
        let key = KeyRef::new(provider, key).map_err(|_| "the key has no name")?;
        let version = KeyVersion::new(version).map_err(|_| "the key has no version")?;
        Ok(KeyId { key, version })
    }
}
