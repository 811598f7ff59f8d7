//! Identity cards: what an agent says of itself, signed with its identity key.

mod armor;
mod body;
mod new;
mod relay;

use core::fmt;
use std::sync::OnceLock;

use sealwire_core::{
    DecodeError, DecodeReason, SuiteSet, Timestamp, Unverified, Verify, kdf,
    kem::KemPublic,
    keys::{StaticPublic, VerifyingKey},
    keystore::{ExchangePublics, KxId},
    label::Label,
    time::MAX_CLOCK_SKEW,
};

use crate::{AgentId, Error, signed::Signed};
use body::Body;

pub use new::NewCard;

/// What errors call a card.
pub(crate) const WHAT: &str = "card";

/// A card: an agent's id, exchange keys and suites, and for how long they hold.
///
/// A card is public. It keeps the bytes it was read from: the signature and the hash cover
/// these.
///
/// # Security
/// A valid card shows that the holder of the identity key named these exchange keys. It does
/// not show that this holder has their private halves: an agent can put another's public key
/// into its own card. The proof inside the handshake is what shows possession of all of them.
///
/// # Example
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
/// use sealwire_identity::{IdentityCard, NewCard};
/// # fn main() -> Result<(), sealwire_identity::Error> {
/// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
/// # let keys = MemoryKeyStore::generate(&mut rng).expect("randomness");
/// let now = Timestamp::from_secs(1_800_000_000);
/// let card = NewCard::new(1, now, 24 * 60 * 60).sign(&keys, keys.newest())?;
///
/// let received = IdentityCard::from_text(&card.to_text())?.verify(now)?;
/// assert_eq!(received.as_verified().hash(), card.hash());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IdentityCard {
    bytes: Vec<u8>,
    body: Body,
    /// Computed when it is first asked for, and kept: an agent's own card is asked for it in
    /// every handshake.
    hash: OnceLock<CardHash>,
}

/// SHA-256 of a whole signed card as received.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardHash([u8; kdf::HASH_LEN]);

impl IdentityCard {
    /// The longest card, in bytes. Its keys take 2,464; the longest id and relay address bring
    /// it to 3,400. It leaves 28 KiB of a handshake payload of 32 KiB to evidence and proof.
    pub const MAX_LEN: usize = 4 * 1024;

    /// Reads a card.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything but the canonical encoding of a card with sound keys.
    pub fn from_bytes(bytes: &[u8]) -> Result<Unverified<Self>, Error> {
        let signed = Signed::from_bytes(WHAT, bytes, Self::MAX_LEN)?;
        let body = Body::from_bytes(signed.body)?;
        Ok(Unverified::new(Self::new(bytes.to_vec(), body)))
    }

    /// The card of this body, which these are the signed bytes of.
    fn new(bytes: Vec<u8>, body: Body) -> Self {
        Self { bytes, body, hash: OnceLock::new() }
    }

    /// Reads the text that [`IdentityCard::to_text`] gives. White space around it and CRLF
    /// line ends are tolerated.
    ///
    /// # Errors
    /// [`Error::Decode`].
    pub fn from_text(text: &str) -> Result<Unverified<Self>, Error> {
        Self::from_bytes(&armor::decode(text)?)
    }

    /// The card as text, for mail and terminals.
    pub fn to_text(&self) -> String {
        armor::encode(&self.bytes)
    }

    /// The card as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the card as received.
    pub fn hash(&self) -> CardHash {
        // CARD-15
        *self.hash.get_or_init(|| CardHash(kdf::sha256(&[&self.bytes])))
    }

    /// Whose card it is.
    pub fn id(&self) -> &AgentId {
        &self.body.id
    }

    /// The key that signs for the agent.
    pub fn identity_key(&self) -> &VerifyingKey {
        &self.body.identity_key
    }

    /// The number of the set of exchange keys in this card.
    pub fn kx_id(&self) -> KxId {
        self.body.kx_id
    }

    /// The X25519 key for handshakes.
    pub fn exchange_key(&self) -> &StaticPublic {
        &self.body.exchange.handshake
    }

    /// The ML-KEM-768 key for handshakes.
    pub fn kem_key(&self) -> &KemPublic {
        &self.body.exchange.kem
    }

    /// The X25519 and the ML-KEM-768 half of the X-Wing key for envelopes.
    pub fn envelope_keys(&self) -> (&StaticPublic, &KemPublic) {
        (&self.body.exchange.envelope, &self.body.exchange.envelope_kem)
    }

    /// All exchange keys of this card.
    pub fn exchange_publics(&self) -> &ExchangePublics {
        &self.body.exchange
    }

    /// The suites that the agent supports.
    pub fn suites(&self) -> &SuiteSet {
        &self.body.suites
    }

    /// Counts the cards of one id, from 1.
    pub fn sequence(&self) -> u64 {
        self.body.sequence
    }

    /// When the card begins to be valid.
    pub fn not_before(&self) -> Timestamp {
        self.body.not_before
    }

    /// The last second in which the card is valid.
    pub fn not_after(&self) -> Timestamp {
        self.body.not_after
    }

    /// The relay that takes messages for the agent while it is offline.
    ///
    /// Printable ASCII in the characters of a URL, and no more than a claim of the peer.
    pub fn home_relay(&self) -> Option<&str> {
        self.body.home_relay.as_deref()
    }

    /// The head of the identity log. A did:key has no log: always `None` in this release.
    pub const fn log_head(&self) -> Option<&[u8]> {
        None
    }

    /// The mailbox for first messages: always `None` in this release.
    pub const fn contact_mailbox(&self) -> Option<&[u8]> {
        None
    }

    /// The capability to write into the contact mailbox: always `None` in this release.
    pub const fn contact_token(&self) -> Option<&[u8]> {
        None
    }

    fn check_lifetime(&self) -> Result<(), Error> {
        let Body { id, not_before, not_after, .. } = &self.body;
        // CARD-13
        let lifetime = not_after.since(*not_before);
        if lifetime == 0 || lifetime > id.kind().max_card_lifetime() {
            return Err(Error::Lifetime(WHAT));
        }
        Ok(())
    }
}

/// Cards of the same bytes are the same.
impl PartialEq for IdentityCard {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for IdentityCard {}

impl Verify for IdentityCard {
    type Error = Error;

    fn verify(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let Body { id, identity_key, sequence, not_before, not_after, .. } = &self.body;
        // CARD-10
        if id.key() != Some(identity_key) {
            return Err(Error::IdMismatch);
        }
        Signed::from_bytes(WHAT, &self.bytes, Self::MAX_LEN)?.verify(Label::CARD, identity_key)?;
        // CARD-12
        if *sequence == 0 {
            let rule = DecodeReason::Invalid("the sequence counts from 1");
            return Err(DecodeError::new(WHAT, rule).into());
        }
        self.check_lifetime()?;
        // CARD-14
        if *not_before > now.plus(MAX_CLOCK_SKEW) {
            return Err(Error::NotYetValid { what: WHAT, not_before: *not_before });
        }
        check_expiry(WHAT, *not_after, now)?;
        Ok(*not_after)
    }
}

/// The last second of validity still counts.
// CARD-14, EV-8
pub(crate) fn check_expiry(
    what: &'static str,
    not_after: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    if now > not_after { Err(Error::Expired { what, not_after }) } else { Ok(()) }
}

impl CardHash {
    /// Takes a hash that was stored or received.
    pub const fn from_bytes(bytes: [u8; kdf::HASH_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; kdf::HASH_LEN] {
        &self.0
    }
}

impl fmt::Display for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardHash({self})")
    }
}

/// Everything but the keys, whose bytes tell a reader nothing.
impl fmt::Debug for IdentityCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes: _, body, hash: _ } = self;
        let Body {
            id,
            identity_key: _,
            kx_id,
            exchange: _,
            suites,
            home_relay,
            sequence,
            not_before,
            not_after,
        } = body;
        f.debug_struct("IdentityCard")
            .field("id", id)
            .field("sequence", sequence)
            .field("kx_id", kx_id)
            .field("suites", suites)
            .field("home_relay", home_relay)
            .field("not_before", not_before)
            .field("not_after", not_after)
            .finish_non_exhaustive()
    }
}
