//! Pairing: two agents meet by a short code, and their owners see that nobody is between them.
//!
//! One side creates a [`Code`] and tells it to the other, in whatever way: it is a meeting place,
//! not a secret. Each side leaves a commitment there, and reveals its card once it has the
//! other's. Then both screens show a [`Phrase`] of four syllables. When the owners have seen
//! that it is the same one, each pins the card that it got. Specified in `docs/spec/pairing.md`.
//!
//! The steps do no input and output. Their messages are whole frames, to be left in the mailboxes
//! of [`Code::rendezvous`]: `Meeting` (feature `relay`) does that, at a relay.
//!
//! ```text
//!   creator                     two mailboxes                      joiner
//!   Code::generate ─────────── told by voice, mail, … ───────────▶ Code::parse
//!   Committed::new ──────────── H(key, card, nonce) ─────────────▶
//!                  ◀─────────── H(key, card, nonce) ───────────── Committed::new
//!   handle_commitment ──────── card, nonce, proof: sealed ───────▶ handle_commitment
//!   handle_reveal ◀─────────── card, nonce, proof: sealed ──────── handle_reveal
//!   Paired ─── "bam-kod-lun-rif" ══ a human compares ══ "bam-kod-lun-rif" ─── Paired
//!   confirm ─▶ Agent::pin                                       Agent::pin ◀─ confirm
//! ```
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use sealwire::{Agent, core::MemoryKeyStore, custody::system_rng};
//! use sealwire::pairing::{Code, Committed, Role};
//! # use sealwire::{Clock, SystemClock};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let keys = || MemoryKeyStore::generate(&mut system_rng()).map(Arc::new);
//! # let (alices, bobs) = (keys()?, keys()?);
//! # let alice = Agent::builder(alices.clone()).build()?;
//! # let bob = Agent::builder(bobs.clone()).build()?;
//! # let now = SystemClock::new().wall();
//! let mut rng = system_rng();
//! let code = Code::generate(&mut rng)?;
//! let typed = Code::parse(&code.to_string().to_lowercase())?;
//!
//! // Each leaves a commitment, and takes the other's.
//! let (alice_1, hers) = Committed::new(code, Role::Creator, alice.card().clone(), &mut rng)?;
//! let (bob_1, his) = Committed::new(typed, Role::Joiner, bob.card().clone(), &mut rng)?;
//! let (alice_2, her_card) = alice_1.handle_commitment(&his, alices.as_ref(), &mut rng)?;
//! let (bob_2, his_card) = bob_1.handle_commitment(&hers, bobs.as_ref(), &mut rng)?;
//!
//! // Only then each shows what it was committed to.
//! let at_alice = alice_2.handle_reveal(&his_card, now)?;
//! let at_bob = bob_2.handle_reveal(&her_card, now)?;
//!
//! // Two humans read this to one another, in person or by telephone.
//! assert_eq!(at_alice.phrase().to_string(), at_bob.phrase().to_string());
//! alice.pin(at_alice.confirm())?;
//! bob.pin(at_bob.confirm())?;
//! assert!(alice.peers().get(bob.id())?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//!
//! Whoever runs the relay, or guesses or overhears the code, can be at the meeting place:
//!
//! - It can keep the two from pairing, by leaving messages of its own or removing theirs. Each
//!   attempt fails then, or ends with phrases that differ.
//! - It can pair with either of them. Each gets its card and shows a phrase, and the phrases are
//!   the same by chance only, once in 2^40 attempts: it has to commit to its own card and nonce
//!   on both sides before it sees those of either.
//! - It learns the card of a side that pairs with it. Who only watches learns no card, and not
//!   who pairs: what is revealed is sealed, hybrid, to a key that was drawn for this pairing.
//! - It cannot pass off another's card as its own: the proof is made for this pairing, with the
//!   identity key of the card.
//!
//! All of this rests on the comparison. **Nothing is left of it when the phrases are not
//! compared**, or are compared over a way that the attacker speaks on: then it is a first contact
//! with whoever came. The card that [`Paired::card`] shows must not be acted upon before.

mod code;
#[cfg(feature = "relay")]
mod meeting;
mod message;
mod phrase;

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, KeyStore, Timestamp, Unverified, Verified, kdf::sha256, label::Label, rng::draw,
    secret::Secret,
};
use sealwire_hybrid::{XWingPublic, XWingSecret, open_from, seal_to};
use sealwire_identity::{AgentId, IdentityCard};

#[cfg(feature = "relay")]
pub use self::meeting::Meeting;
use self::message::Revelation;
pub use self::{
    code::{Code, MeetingBox, Rendezvous},
    message::Message,
    phrase::Phrase,
};

/// Which side of a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Role {
    /// The one that drew the code.
    Creator,
    /// The one that was told it.
    Joiner,
}

/// One side that has committed itself, and waits for the commitment of the other.
///
/// Each step takes the one before. A message that fails ends the pairing; the owners begin anew,
/// with a new code:
///
/// ```compile_fail,E0382
/// use sealwire::{core::KeyStore, custody::system_rng, pairing::{Committed, Error}};
/// fn twice(step: Committed, message: &[u8], keys: &dyn KeyStore) -> Result<(), Error> {
///     step.handle_commitment(message, keys, &mut system_rng())?;
///     // attack T37: what is revealed once is not revealed to another commitment.
///     step.handle_commitment(message, keys, &mut system_rng())?;
///     Ok(())
/// }
/// ```
///
/// ```compile_fail,E0599
/// use sealwire::{core::Timestamp, pairing::{Committed, Error, Paired}};
/// fn early(step: Committed, message: &[u8], now: Timestamp) -> Result<Paired, Error> {
///     // attack T37: nothing is taken from a peer that has not committed itself.
///     step.handle_reveal(message, now)
/// }
/// ```
#[must_use = "a pairing goes on with the commitment of the other side"]
pub struct Committed {
    own: Side,
    card: IdentityCard,
    secret: XWingSecret,
}

/// One side that has revealed itself, and waits for what the other reveals.
///
/// ```compile_fail,E0382
/// use sealwire::{core::Timestamp, pairing::{Error, Revealed}};
/// fn twice(step: Revealed, message: &[u8], now: Timestamp) -> Result<(), Error> {
///     step.handle_reveal(message, now)?;
///     // attack T37: there is one other side, and not another after that.
///     step.handle_reveal(message, now)?;
///     Ok(())
/// }
/// ```
#[must_use = "a pairing goes on with what the other side reveals"]
pub struct Revealed {
    own: Side,
    card: IdentityCard,
    secret: XWingSecret,
    public: XWingPublic,
    theirs: [u8; 32],
}

/// What both sides came to, if a human says that both screens show the same.
#[must_use = "nothing is pinned before the phrases were compared"]
pub struct Paired {
    card: Verified<IdentityCard>,
    phrase: Phrase,
}

/// What a side is committed to beside its card.
struct Side {
    code: Code,
    role: Role,
    nonce: Secret<32>,
    commitment: [u8; 32],
}

/// Why two agents are not paired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message, or a code, is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is the message of another step.
    #[error("a message of another step of the pairing")]
    Unexpected,
    /// The other side sent our own message.
    #[error("our own message came back")]
    Reflected,
    /// What the other side revealed is not for us, or not what it was committed to.
    #[error("the other side revealed something else than it was committed to")]
    Mismatch,
    /// The other side's card.
    #[error(transparent)]
    Identity(#[from] sealwire_identity::Error),
    /// The other side has our own identity.
    #[error("the other side is this agent itself")]
    Oneself,
    /// The keys do not belong to the card.
    #[error("misuse: the keys are not those of the card")]
    Keys,
    /// Nobody is at the meeting place.
    #[error("nobody waits under this code; it may have been used, or be for another relay")]
    Nobody,
    /// The meeting place is gone: the other side, or somebody who has the code, removed it.
    #[error("the other side has ended the pairing")]
    Ended,
    /// It was ended here before the other side had done its part.
    #[error("the other side did not come")]
    Stopped,
    /// Drawing randomness, or a key operation, failed.
    #[error(transparent)]
    Core(#[from] sealwire_core::Error),
}

impl Role {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Creator => 1,
            Self::Joiner => 2,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Creator => Self::Joiner,
            Self::Joiner => Self::Creator,
        }
    }
}

/// What a side is bound to before it knows anything of the other.
// PAIR-6
fn commitment(
    code: &Code,
    role: Role,
    public: &XWingPublic,
    nonce: &[u8; 32],
    card: &[u8],
) -> Result<[u8; 32], Error> {
    let fields = [code.as_bytes(), &[role.to_byte()][..], &public.to_bytes(), nonce, card];
    Ok(sha256(&[Label::PAIRING_COMMITMENT.context(None, &fields)?.as_bytes()]))
}

impl Committed {
    /// Begins a pairing, and gives the first message: a frame for the other side's mailbox.
    ///
    /// # Errors
    /// [`Error::Core`] when randomness fails.
    ///
    /// # Example
    /// See the [module](self).
    pub fn new<R: TryCryptoRng + ?Sized>(
        code: Code,
        role: Role,
        card: IdentityCard,
        rng: &mut R,
    ) -> Result<(Self, Vec<u8>), Error> {
        let secret = XWingSecret::generate(rng)?;
        let nonce = draw(rng)?;
        let public = secret.public().clone();
        let commitment = commitment(&code, role, &public, nonce.expose(), card.as_bytes())?;
        let message = Message::Commitment { public: Box::new(public), commitment }.to_frame()?;
        let own = Side { code, role, nonce, commitment };
        Ok((Self { own, card, secret }, message))
    }

    /// Takes the commitment of the other side, and gives the second message.
    ///
    /// `keys` has the identity key of the card, which proves that the card is ours.
    ///
    /// # Errors
    /// [`Error::Reflected`] for a commitment that is ours; [`Error::Decode`],
    /// [`Error::Unexpected`]; [`Error::Keys`], [`Error::Core`].
    // PAIR-7
    pub fn handle_commitment<R: TryCryptoRng + ?Sized>(
        self,
        message: &[u8],
        keys: &dyn KeyStore,
        rng: &mut R,
    ) -> Result<(Revealed, Vec<u8>), Error> {
        let Self { own, card, secret } = self;
        let Message::Commitment { public, commitment: theirs } = Message::from_frame(message)?
        else {
            return Err(Error::Unexpected);
        };
        if theirs == own.commitment || *public == *secret.public() {
            return Err(Error::Reflected);
        }
        if keys.identity() != card.identity_key() {
            return Err(Error::Keys);
        }
        let proof = keys.sign(&own.proof(own.role, &own.commitment, &theirs)?)?;
        let revelation =
            Revelation { nonce: own.nonce.expose(), proof, card: card.as_bytes() }.to_bytes();
        let aad = [own.commitment, theirs].concat();
        let sealed = seal_to(&public, &own.info(own.role)?, &aad, &revelation, rng)?;
        let message = Message::Reveal { sealed }.to_frame()?;
        Ok((Revealed { own, card, secret, public: *public, theirs }, message))
    }
}

impl Revealed {
    /// Takes what the other side revealed, and gives what it comes to.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for anything but what the other side is committed to;
    /// [`Error::Identity`] for a card that does not verify at `now`; [`Error::Oneself`];
    /// [`Error::Decode`], [`Error::Unexpected`].
    // PAIR-8
    pub fn handle_reveal(self, message: &[u8], now: Timestamp) -> Result<Paired, Error> {
        let Self { own, card, secret, public, theirs } = self;
        let Message::Reveal { sealed } = Message::from_frame(message)? else {
            return Err(Error::Unexpected);
        };
        let role = own.role.other();
        let aad = [theirs, own.commitment].concat();
        let opened = open_from(&secret, &own.info(role)?, &aad, &sealed);
        let opened = opened.map_err(|_| Error::Mismatch)?;
        let revelation = Revelation::from_bytes(&opened)?;
        let expected = commitment(&own.code, role, &public, revelation.nonce, revelation.card)?;
        if expected != theirs {
            return Err(Error::Mismatch);
        }
        let peer = IdentityCard::from_bytes(revelation.card)?.verify(now)?;
        let peers_key = peer.as_verified().identity_key();
        let proof = own.proof(role, &theirs, &own.commitment)?;
        peers_key.verify(&proof, &revelation.proof).map_err(|_| Error::Mismatch)?;
        if peer.as_verified().id() == card.id() {
            return Err(Error::Oneself);
        }
        let ours = [card.as_bytes(), own.nonce.expose()];
        let theirs = [revelation.card, revelation.nonce];
        let phrase = match own.role {
            Role::Creator => Phrase::new(&own.code, ours, theirs)?,
            Role::Joiner => Phrase::new(&own.code, theirs, ours)?,
        };
        Ok(Paired { card: peer, phrase })
    }
}

impl Side {
    /// What a side signs: that it is in this pairing, as this side, with that commitment.
    // PAIR-9
    fn proof(
        &self,
        role: Role,
        own: &[u8; 32],
        other: &[u8; 32],
    ) -> Result<sealwire_core::label::Context, Error> {
        let fields = [self.code.as_bytes(), &[role.to_byte()][..], own, other];
        Ok(Label::PAIRING_PROOF.context(None, &fields)?)
    }

    /// What binds the sealing of what this side reveals to the pairing.
    fn info(&self, role: Role) -> Result<sealwire_core::label::Context, Error> {
        let fields = [self.code.as_bytes(), &[role.to_byte()][..]];
        Ok(Label::PAIRING_REVEAL.context(None, &fields)?)
    }
}

impl Paired {
    /// Who came. Before the phrases were compared, it may be anybody.
    pub fn peer(&self) -> &AgentId {
        self.card.as_verified().id()
    }

    /// The card of who came, verified. Before the phrases were compared, it may be anybody's.
    pub fn card(&self) -> &Verified<IdentityCard> {
        &self.card
    }

    /// What this screen is to show. The other one shows the same, or somebody is between.
    pub fn phrase(&self) -> &Phrase {
        &self.phrase
    }

    /// A human said that both screens show the same phrase: gives the card, for
    /// [`Agent::pin`](crate::Agent::pin). Drop it when they do not.
    pub fn confirm(self) -> Unverified<IdentityCard> {
        self.card.into_unverified()
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, card: _, secret: _ } = self;
        f.debug_struct("Committed").field("role", &own.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, .. } = self;
        f.debug_struct("Revealed").field("role", &own.role).finish_non_exhaustive()
    }
}

// A log line with the phrase in it could be taken for the comparison.
impl fmt::Debug for Paired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paired(..)")
    }
}

#[cfg(test)]
mod tests;
