//! What is remembered of peers, so that an older, forked or weaker card is refused.

use std::collections::BTreeMap;

use sealwire_core::{
    DecodeError, DecodeReason, Standing, SuiteSet, Timestamp, Unverified, Verified,
    codec::{Reader, Writer},
    keys::VerifyingKey,
    keystore::KxId,
};

use crate::{
    AgentId, CardHash, Error, IdentityCard,
    card::{WHAT as CARD, check_expiry},
};

const WHAT: &str = "pin store";

/// What is remembered of every known peer: its newest card, and how it became known.
///
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp, Unverified};
/// use sealwire_identity::{Comparison, Error, NewCard, PinStore, PinnedBy};
/// # fn main() -> Result<(), Error> {
/// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
/// # let keys = MemoryKeyStore::generate(&mut rng).expect("randomness");
/// let now = Timestamp::from_secs(1_800_000_000);
/// let first = NewCard::new(1, now, 3600).sign(&keys, keys.newest())?;
/// let second = NewCard::new(2, now, 3600).sign(&keys, keys.newest())?;
///
/// let mut pins = PinStore::new();
/// let card = Unverified::new(second).verify(now)?;
/// assert_eq!(pins.pin(&card, PinnedBy::FirstContact, now)?, Comparison::Unknown);
/// assert_eq!(pins.compare(&first), Err(Error::OlderCard { pinned: 2, presented: 1 }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinStore(BTreeMap<AgentId, Pin>);

/// What is remembered of one peer.
// PIN-1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    card: Unverified<IdentityCard>,
    by: PinnedBy,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

/// How a peer became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new way is a decision for every policy")]
#[repr(u8)]
pub enum PinnedBy {
    /// It came first and was remembered: whoever answered then is whoever answers now.
    FirstContact = 1,
    /// Its card came over another way that the owner trusts.
    OutOfBand = 2,
}

/// What a card is beside the pin of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new outcome is a decision for every caller")]
pub enum Comparison {
    /// The peer is not pinned.
    Unknown,
    /// It is the pinned card.
    Same,
    /// It is a successor of the pinned card.
    Newer,
}

impl PinStore {
    /// The most pins. One takes about 6 KiB of memory, all of them 96 MiB: more peers than one
    /// agent keeps, and little enough for a small machine.
    pub const MAX_PINS: usize = 16_384;

    /// The most pins made at first contact, so that strangers cannot take the room of the
    /// peers that the owner pins.
    pub const MAX_FIRST_CONTACT: usize = 12_288;

    const VERSION: u8 = 1;

    /// A store without pins.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The pin of a peer.
    pub fn get(&self, id: &AgentId) -> Option<&Pin> {
        self.0.get(id)
    }

    /// All pins, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Pin> {
        self.0.values()
    }

    /// How many peers are pinned.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no peer is pinned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets a peer. Says whether it was pinned.
    ///
    /// # Security
    /// Afterwards the peer is a stranger, and an older card of it is accepted like any other.
    pub fn remove(&mut self, id: &AgentId) -> bool {
        self.0.remove(id).is_some()
    }

    /// Compares a card with the pin of its peer.
    ///
    /// # Errors
    /// [`Error::IdentityChanged`], [`Error::OlderCard`], [`Error::ForkedCard`],
    /// [`Error::Downgrade`], [`Error::KeyNumber`].
    pub fn compare(&self, card: &IdentityCard) -> Result<Comparison, Error> {
        // PIN-2
        match self.get(card.id()) {
            None => Ok(Comparison::Unknown),
            Some(pin) => pin.compare(card),
        }
    }

    /// Remembers a verified card, or that the pinned one was seen again.
    ///
    /// A pin made out of band stays one. Gives what the card was before this call.
    ///
    /// # Errors
    /// As [`PinStore::compare`]; [`Error::Expired`]; [`Error::PinsFull`]. The store is then
    /// as it was.
    pub fn pin(
        &mut self,
        card: &Verified<IdentityCard>,
        by: PinnedBy,
        now: Timestamp,
    ) -> Result<Comparison, Error> {
        // PIN-9
        let card = card.check(now, self)?;
        let comparison = self.compare(card)?;
        let remembered = || Unverified::new(card.clone());
        match self.0.get_mut(card.id()) {
            None => {
                self.make_room(by)?;
                let pin = Pin { card: remembered(), by, first_seen: now, last_seen: now };
                self.0.insert(card.id().clone(), pin);
            }
            Some(pin) => {
                if comparison == Comparison::Newer {
                    pin.card = remembered();
                }
                // PIN-8
                pin.by = pin.by.max(by);
                pin.last_seen = pin.last_seen.max(now);
            }
        }
        Ok(comparison)
    }

    /// Whether one more pin fits.
    fn make_room(&self, by: PinnedBy) -> Result<(), Error> {
        // PIN-10
        let strangers = || self.iter().filter(|pin| pin.by == PinnedBy::FirstContact).count();
        let full = self.len() >= Self::MAX_PINS
            || (by == PinnedBy::FirstContact && strangers() >= Self::MAX_FIRST_CONTACT);
        if full { Err(Error::PinsFull) } else { Ok(()) }
    }

    /// `version 1 | count u16 | (by u8 | first seen u64 | last seen u64 | len16 card)*`,
    /// ascending by id.
    // PIN-11
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        // At most MAX_PINS, and a card is at most 4 KiB: neither length is ever cut.
        let length = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        writer.u8(Self::VERSION).u16(length(self.len()));
        for Pin { card, by, first_seen, last_seen } in self.iter() {
            let card = card.claimed().as_bytes();
            writer.u8(*by as u8).u64(first_seen.as_secs()).u64(last_seen.as_secs());
            writer.u16(length(card.len())).bytes(card);
        }
        writer.into_bytes()
    }

    /// Reads what [`PinStore::to_bytes`] gave. The cards in it are unverified.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.version(Self::VERSION)?;
        let count = reader.u16()?;
        let refuse = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        if usize::from(count) > Self::MAX_PINS {
            return Err(refuse("holds at most 16384 pins").into());
        }
        let mut pins = BTreeMap::new();
        for _ in 0..count {
            let pin = Pin::read(&mut reader)?;
            let id = pin.id().clone();
            if pins.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(refuse("ids ascend").into());
            }
            pins.insert(id, pin);
        }
        reader.finish()?;
        Ok(Self(pins))
    }
}

/// A card stands while it has not expired and is the pinned one, or newer, or of a peer that
/// is not pinned: whether strangers are welcome is for the policy to say.
// PIN-12
impl Standing<IdentityCard> for PinStore {
    type Error = Error;

    fn check(
        &self,
        card: &IdentityCard,
        not_after: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        check_expiry(CARD, not_after, now)?;
        self.compare(card).map(drop)
    }
}

impl Pin {
    /// The peer.
    pub fn id(&self) -> &AgentId {
        self.card.claimed().id()
    }

    /// The newest card. It was verified when it was pinned, and has to be again before use.
    pub const fn card(&self) -> &Unverified<IdentityCard> {
        &self.card
    }

    /// The hash of the newest card.
    pub fn card_hash(&self) -> CardHash {
        self.card.claimed().hash()
    }

    /// The identity key.
    pub fn identity_key(&self) -> &VerifyingKey {
        self.card.claimed().identity_key()
    }

    /// The highest sequence seen.
    pub fn sequence(&self) -> u64 {
        self.card.claimed().sequence()
    }

    /// The number of the newest exchange keys.
    pub fn kx_id(&self) -> KxId {
        self.card.claimed().kx_id()
    }

    /// The suites that the peer supports: every successor names them too.
    pub fn suites(&self) -> &SuiteSet {
        self.card.claimed().suites()
    }

    /// The head of the peer's identity log. A did:key has none: always `None` in this release.
    pub const fn log_head(&self) -> Option<&[u8]> {
        self.card.claimed().log_head()
    }

    /// How the peer became known.
    pub const fn pinned_by(&self) -> PinnedBy {
        self.by
    }

    /// When the peer was pinned.
    pub const fn first_seen(&self) -> Timestamp {
        self.first_seen
    }

    /// When a card of the peer was last pinned.
    pub const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    fn compare(&self, card: &IdentityCard) -> Result<Comparison, Error> {
        let pinned = self.card.claimed();
        // PIN-3
        if card.identity_key() != pinned.identity_key() {
            return Err(Error::IdentityChanged);
        }
        // PIN-4
        if card.sequence() < pinned.sequence() {
            let (pinned, presented) = (pinned.sequence(), card.sequence());
            return Err(Error::OlderCard { pinned, presented });
        }
        if card.sequence() == pinned.sequence() {
            // PIN-5
            let same = card.hash() == pinned.hash();
            return if same {
                Ok(Comparison::Same)
            } else {
                Err(Error::ForkedCard(card.sequence()))
            };
        }
        // PIN-6
        if !card.suites().covers(pinned.suites()) {
            return Err(Error::Downgrade);
        }
        // PIN-7
        let reused =
            card.kx_id() == pinned.kx_id() && card.exchange_publics() != pinned.exchange_publics();
        if card.kx_id() < pinned.kx_id() || reused {
            return Err(Error::KeyNumber);
        }
        Ok(Comparison::Newer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let by = match reader.u8()? {
            1 => PinnedBy::FirstContact,
            2 => PinnedBy::OutOfBand,
            _ => return Err(reader.error(DecodeReason::Invalid("unknown way of pinning")).into()),
        };
        let first_seen = Timestamp::from_secs(reader.u64()?);
        let last_seen = Timestamp::from_secs(reader.u64()?);
        if first_seen > last_seen {
            let rule = DecodeReason::Invalid("a peer is first seen before it is last seen");
            return Err(reader.error(rule).into());
        }
        let card = IdentityCard::from_bytes(reader.bytes16(IdentityCard::MAX_LEN)?)?;
        Ok(Self { card, by, first_seen, last_seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewCard;
    use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp, keys::VerifyingKey};
    use sealwire_testkit::rng::SeededRng;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn card(seed: u64) -> Verified<IdentityCard> {
        let keys = MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("randomness");
        let card = NewCard::new(1, NOW, 3600).sign(&keys, keys.newest()).expect("sound");
        Unverified::new(card).verify(NOW).expect("sound")
    }

    /// Ids without end: about every second number is the y of a point on the curve.
    fn ids() -> impl Iterator<Item = AgentId> {
        (2u32..).filter_map(|number| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            VerifyingKey::from_bytes(&bytes).ok().map(|key| AgentId::from_key(&key))
        })
    }

    // PIN-10
    #[test]
    fn strangers_do_not_fill_the_store() {
        let [stranger, friend, last] = [card(1), card(2), card(3)];
        let by = PinnedBy::FirstContact;
        let pin =
            Pin { card: stranger.clone().into_unverified(), by, first_seen: NOW, last_seen: NOW };
        let mut pins = PinStore::new();
        pins.0.extend(ids().take(PinStore::MAX_FIRST_CONTACT).map(|id| (id, pin.clone())));

        assert_eq!(pins.pin(&stranger, by, NOW), Err(Error::PinsFull));
        assert_eq!(pins.get(stranger.as_verified().id()), None);
        assert_eq!(pins.pin(&friend, PinnedBy::OutOfBand, NOW), Ok(Comparison::Unknown));

        // Who is pinned is still seen again, and the owner's room ends too.
        pins.0.extend(ids().take(PinStore::MAX_PINS - 1).map(|id| (id, pin.clone())));
        assert_eq!(pins.len(), PinStore::MAX_PINS);
        assert_eq!(pins.pin(&friend, by, NOW), Ok(Comparison::Same));
        assert_eq!(pins.pin(&last, PinnedBy::OutOfBand, NOW), Err(Error::PinsFull));
        assert!(pins.remove(friend.as_verified().id()));
        assert_eq!(pins.pin(&last, PinnedBy::OutOfBand, NOW), Ok(Comparison::Unknown));
    }
}
