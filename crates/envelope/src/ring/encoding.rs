//! Rings as bytes: `version 1 | CBOR [[provider, key, version, since, state, time], …]`.

use sealwire_core::{
    DecodeError, DecodeReason, Timestamp,
    codec::{Reader, from_cbor, to_cbor},
};

use super::{Entry, KekRing, State};
use crate::kms::{KeyId, KeyRef, KeyVersion, Provider};

/// What errors call a ring.
const WHAT: &str = "key ring";

const VERSION: u8 = 1;

const ACTIVE: u8 = 1;
const DECRYPT_ONLY: u8 = 2;
const RETIRED: u8 = 3;

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Encoded<'b> {
    #[b(0)]
    provider: &'b str,
    #[b(1)]
    key: &'b str,
    #[b(2)]
    version: &'b str,
    #[n(3)]
    since: u64,
    #[n(4)]
    state: u8,
    /// The end of grace, or the time of retirement; 0 for the active one.
    #[n(5)]
    time: u64,
}

impl KekRing {
    /// Length of the longest ring, in bytes.
    pub const MAX_LEN: usize = 256 * 1024;

    /// The ring as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries: Vec<Encoded<'_>> = self.entries.iter().map(encode).collect();
        let mut bytes = vec![VERSION];
        bytes.extend(to_cbor(&entries));
        bytes
    }

    /// Reads a ring.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`KekRing::to_bytes`] does not give.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        // ENV-29
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        reader.version(VERSION)?;
        let entries: Vec<Encoded<'_>> = from_cbor(WHAT, reader.rest(), Self::MAX_LEN)?;
        if entries.is_empty() || entries.len() > Self::MAX_ENTRIES {
            return Err(invalid("holds 1 to 256 versions"));
        }
        let entries: Vec<Entry> = entries.iter().map(decode).collect::<Result<_, _>>()?;
        check(&entries).map_err(invalid)?;
        Ok(Self { entries })
    }
}

// ENV-29
fn check(entries: &[Entry]) -> Result<(), &'static str> {
    let active = |entry: &Entry| entry.state == State::Active;
    let (last, others) = entries.split_last().ok_or("holds 1 to 256 versions")?;
    if !active(last) || others.iter().any(active) {
        return Err("the last version is the active one, and no other is");
    }
    if !entries.is_sorted_by_key(|entry| entry.since) {
        return Err("versions stand in the order in which they came");
    }
    for (index, entry) in entries.iter().enumerate() {
        if entries.iter().take(index).any(|other| other.id == entry.id) {
            return Err("no version stands twice");
        }
    }
    Ok(())
}

const fn invalid(rule: &'static str) -> DecodeError {
    DecodeError::new(WHAT, DecodeReason::Invalid(rule))
}

fn encode(entry: &Entry) -> Encoded<'_> {
    let Entry { id: KeyId { key, version }, since, state } = entry;
    let (state, time) = match *state {
        State::Active => (ACTIVE, Timestamp::default()),
        State::DecryptOnly { until } => (DECRYPT_ONLY, until),
        State::Retired { at } => (RETIRED, at),
    };
    Encoded {
        provider: key.provider().as_str(),
        key: key.key(),
        version: version.as_str(),
        since: since.as_secs(),
        state,
        time: time.as_secs(),
    }
}

fn decode(entry: &Encoded<'_>) -> Result<Entry, DecodeError> {
    let Encoded { provider, key, version, since, state, time } = *entry;
    let provider = Provider::from_name(provider).ok_or(invalid("names a known provider"))?;
    let key = KeyRef::new(provider, key).map_err(|_| invalid("the name of a key"))?;
    let version = KeyVersion::new(version).map_err(|_| invalid("the version of a key"))?;
    let time = Timestamp::from_secs(time);
    let state = match state {
        ACTIVE if time == Timestamp::default() => State::Active,
        DECRYPT_ONLY => State::DecryptOnly { until: time },
        RETIRED => State::Retired { at: time },
        _ => return Err(invalid("a state is active, decrypt-only or retired")),
    };
    Ok(Entry { id: KeyId { key, version }, since: Timestamp::from_secs(since), state })
}
