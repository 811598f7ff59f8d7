//! Making a card.

use sealwire_core::{KeyStore, SuiteSet, Timestamp, Verify, keystore::KxId, label::Label};

use super::{IdentityCard, body::Body, relay};
use crate::{AgentId, Error, signed};

/// What goes into a new card, besides the keys.
///
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
/// use sealwire_identity::NewCard;
/// # fn main() -> Result<(), sealwire_identity::Error> {
/// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
/// # let keys = MemoryKeyStore::generate(&mut rng).expect("randomness");
/// let now = Timestamp::from_secs(1_800_000_000);
/// let card = NewCard::new(7, now, 3600)
///     .home_relay("https://relay.example")
///     .sign(&keys, keys.newest())?;
/// assert_eq!(card.sequence(), 7);
/// assert_eq!(card.not_after(), now.plus(3600));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewCard {
    sequence: u64,
    not_before: Timestamp,
    lifetime: u64,
    suites: SuiteSet,
    home_relay: Option<String>,
}

impl NewCard {
    /// A card that is valid from `not_before` for `lifetime_seconds`, with every suite of this
    /// release and no home relay.
    ///
    /// `sequence` is higher than that of any card this agent has signed before: peers refuse
    /// an older card, and two cards of one sequence.
    pub fn new(sequence: u64, not_before: Timestamp, lifetime_seconds: u64) -> Self {
        Self {
            sequence,
            not_before,
            lifetime: lifetime_seconds,
            suites: SuiteSet::all(),
            home_relay: None,
        }
    }

    /// The relay that takes messages while the agent is offline: an `https://` or `http://`
    /// address of at most 256 bytes.
    pub fn home_relay(mut self, address: impl Into<String>) -> Self {
        self.home_relay = Some(address.into());
        self
    }

    /// The suites that the agent supports. Peers refuse a later card that leaves one out.
    pub fn suites(mut self, suites: SuiteSet) -> Self {
        self.suites = suites;
        self
    }

    /// Signs the card with the identity key of `keys`, over its exchange keys `kx`.
    ///
    /// # Errors
    /// [`Error::Decode`] for a sequence of 0 or an address that is none, [`Error::Lifetime`],
    /// [`Error::KeyStore`]. [`Error::Signature`] when the key store gave a signature that does
    /// not verify, as failing hardware does.
    pub fn sign(self, keys: &dyn KeyStore, kx: KxId) -> Result<IdentityCard, Error> {
        let Self { sequence, not_before, lifetime, suites, home_relay } = self;
        if let Some(address) = &home_relay {
            relay::check(address)?;
        }
        let body = Body {
            id: AgentId::from_key(keys.identity()),
            identity_key: keys.identity().clone(),
            kx_id: kx,
            exchange: keys.public(kx).map_err(Error::KeyStore)?,
            suites,
            home_relay,
            sequence,
            not_before,
            not_after: not_before.plus(lifetime),
        };
        let bytes = signed::sign(keys, Label::CARD, &body.to_bytes())?;
        let card = IdentityCard::new(bytes, body);
        // No agent hands out a card that its peers refuse.
        card.verify(not_before)?;
        Ok(card)
    }
}
