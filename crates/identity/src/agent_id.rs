//! Agent ids: DIDs.

use core::{cmp::Ordering, fmt, hash};
use std::sync::Arc;

use sealwire_core::{DecodeError, DecodeReason, keys::VerifyingKey};

use crate::{Error, did_key};

/// Names an agent: a DID. Cheap to clone.
///
/// ```
/// use sealwire_identity::{AgentId, AgentIdKind};
/// let text = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
/// let id = AgentId::parse(text).expect("an Ed25519 did:key");
/// assert_eq!(id.kind(), AgentIdKind::Key);
/// assert_eq!(id.to_string(), text);
/// assert_eq!(AgentId::from_key(id.key().expect("a did:key names its key")), id);
/// ```
#[derive(Clone)]
pub struct AgentId(Arc<Inner>);

struct Inner {
    text: String,
    method: Method,
}

/// What the DID method says of the id.
enum Method {
    Key(VerifyingKey),
}

/// The kinds of agent ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentIdKind {
    /// did:key: the id is the key, so it cannot rotate.
    Key,
}

impl AgentId {
    /// The longest id, in bytes: a did:webvh has a 46-byte SCID, a host name of at most 253
    /// bytes and a path.
    pub const MAX_LEN: usize = 512;

    /// The did:key of an identity key.
    pub fn from_key(key: &VerifyingKey) -> Self {
        Self(Arc::new(Inner { text: did_key::encode(key), method: Method::Key(key.clone()) }))
    }

    /// Reads an id. Only the canonical text of an Ed25519 did:key is accepted.
    ///
    /// # Errors
    /// [`Error::Decode`]; [`Error::Unresolvable`] for a did:webvh, which this release does
    /// not resolve.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::Decode(DecodeError::new("agent id", reason));
        // ID-3: bounded before anything else.
        if text.len() > Self::MAX_LEN {
            return Err(error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        // ID-5
        if text.starts_with("did:webvh:") {
            return Err(Error::Unresolvable);
        }
        // ID-1
        if !text.starts_with("did:key:") {
            return Err(error(DecodeReason::Invalid("a DID that begins with did:key:")));
        }
        let key = did_key::decode(text)?;
        Ok(Self(Arc::new(Inner { text: text.to_owned(), method: Method::Key(key) })))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The kind of id.
    pub fn kind(&self) -> AgentIdKind {
        match self.0.method {
            Method::Key(_) => AgentIdKind::Key,
        }
    }

    /// The key that the id itself names, if its kind names one.
    pub fn key(&self) -> Option<&VerifyingKey> {
        match &self.0.method {
            Method::Key(key) => Some(key),
        }
    }
}

impl AgentIdKind {
    /// The longest life of a card of such an id, in seconds. Nothing but expiry ends a card
    /// of a did:key, so it is short.
    pub const fn max_card_lifetime(self) -> u64 {
        // CARD-13
        match self {
            Self::Key => 30 * 24 * 60 * 60,
        }
    }
}

impl PartialEq for AgentId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for AgentId {}

impl PartialOrd for AgentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AgentId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for AgentId {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentId({self})")
    }
}
