//! A session: the Double Ratchet with header encryption and the KEM ratchet in its root.
//!
//! Sealing and opening change nothing: each gives a [`Step`], which the caller stores (by
//! applying it and writing [`Session::to_bytes`] down) before the frame leaves or the plaintext
//! is used.

mod open;
mod seal;
#[cfg(test)]
mod tests;

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    Suite, Timestamp, aead::TAG_LEN, kdf, keys::X25519Public, secret::Secret, wipe,
};

pub use self::{
    open::Opened,
    seal::{Sealed, capacity},
};
use self::{open::Received, seal::Sent};
use crate::{
    Agreed, Error,
    chain_key::{ReceivingChainKey, SendingChainKey},
    dh::KeyPair,
    header::{HEADER_LEN, HeaderKey, LEAD, SEALED_HEADER_LEN},
    kem_ratchet::{FIELD_LEN, KemRatchet},
    limits::PQ_STALLED_STEPS,
    root_key::{RootKey, Start},
    skipped::Skipped,
};

/// The name of a session, the same on both sides. It is never sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

/// Which side of the agreement this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a session has two sides")]
pub enum Role {
    /// A, who wrote first.
    Initiator,
    /// B, who published the prekeys.
    Responder,
}

/// A session with one peer.
///
/// # Example
///
/// ```
/// # #[cfg(feature = "hazmat")]
/// # fn main() -> Result<(), sealwire_ratchet::Error> {
/// use sealwire_core::{Timestamp, keys::StaticSecret, secret::Secret};
/// use sealwire_ratchet::{Session, hazmat};
/// # let mut rng = sealwire_testkit::rng::SeededRng::new(1);
/// # let now = Timestamp::from_secs(1_700_000_000);
/// # let (at_alice, at_bob, prefix) = hazmat::agreed_pair(&mut rng)?;
/// # let prekey = Secret::random(&mut rng)?;
/// # let public = *StaticSecret::from_seed(&prekey)?.public();
/// let mut alice = Session::initiate(at_alice, &public, prefix.clone(), now, &mut rng)?;
/// let mut bob = Session::respond(at_bob, &prekey, &prefix, now)?;
///
/// // Apply, store, then send: never the other way round.
/// let sealed = alice.seal(now, &mut rng, b"are you there?")?;
/// alice.apply(sealed.step)?;
/// let frame = sealed.frame;
/// assert_eq!(frame.len(), 4096);
///
/// let opened = bob.open(now, &frame[prefix.len()..])?;
/// assert_eq!(*opened.plaintext, b"are you there?");
/// bob.apply(opened.step)?;
///
/// let sealed = bob.seal(now, &mut rng, b"yes")?;
/// bob.apply(sealed.step)?;
/// let opened = alice.open(now, &sealed.frame)?;
/// alice.apply(opened.step)?;
/// assert_eq!(*opened.plaintext, b"yes");
/// assert_eq!(alice.id(), bob.id());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "hazmat"))]
/// # fn main() {}
/// ```
///
/// ```compile_fail,E0599
/// // attack T37: two copies of one state would use its message keys twice.
/// fn copy(session: &sealwire_ratchet::Session) -> sealwire_ratchet::Session {
///     session.clone()
/// }
/// ```
pub struct Session {
    pub(crate) suite: Suite,
    pub(crate) role: Role,
    pub(crate) profile: Profile,
    pub(crate) id: SessionId,
    pub(crate) h_ad: [u8; kdf::HASH_LEN],
    pub(crate) created: Timestamp,
    pub(crate) last_used: Timestamp,
    /// Steps applied so far.
    pub(crate) revision: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) prefix: Prefix,
    pub(crate) root: RootKey,
    /// Root steps since the last KEM secret.
    pub(crate) steps: u32,
    pub(crate) sending: Sending,
    pub(crate) receiving: Option<ReceivingChain>,
    /// NHKs.
    pub(crate) next_sending: HeaderKey,
    /// NHKr.
    pub(crate) next_receiving: HeaderKey,
    pub(crate) skipped: Skipped,
    pub(crate) kem: KemRatchet,
}

/// What a session does beyond the classical ratchet. Always everything, but in tests against
/// other implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) pq: bool,
    pub(crate) header_encryption: bool,
}

/// What stands before the messages of the initiator until the responder is known to have it.
pub(crate) enum Prefix {
    /// Nothing, or no longer.
    Gone,
    /// The initiator puts it in front of each message.
    Due(Vec<u8>),
    /// The responder knows it again.
    Known(KnownPrefix),
}

/// What the responder keeps of a prefix.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KnownPrefix {
    pub(crate) hash: [u8; kdf::HASH_LEN],
    pub(crate) ephemeral: [u8; 32],
    pub(crate) len: u16,
}

/// Our side of the ratchet.
pub(crate) enum Sending {
    /// The responder has received nothing: it has the signed prekey's pair.
    Waiting { prekey: KeyPair },
    /// A sending step is due. `pn` messages were in the chain before.
    Due { pn: u32 },
    /// A chain that messages are sent in.
    Chain(SendingChain),
}

/// The chain that we send.
pub(crate) struct SendingChain {
    pub(crate) pair: KeyPair,
    pub(crate) header: HeaderKey,
    pub(crate) key: SendingChainKey,
    pub(crate) n: u32,
    pub(crate) pn: u32,
    /// The header nonce before this one, zeros in a new chain: a generator that repeats itself
    /// is caught.
    pub(crate) nonce: [u8; 24],
}

/// The newest chain that we receive.
pub(crate) struct ReceivingChain {
    pub(crate) number: u32,
    pub(crate) dh: X25519Public,
    pub(crate) header: HeaderKey,
    pub(crate) key: ReceivingChainKey,
    /// Messages of the chain whose keys were derived.
    pub(crate) n: u32,
    pub(crate) epoch: u32,
}

/// What sealing or opening changes. Applying it is the only change that a session sees.
///
/// ```compile_fail,E0382
/// // attack T37: a step is applied once.
/// fn twice(session: &mut sealwire_ratchet::Session, step: sealwire_ratchet::Step) {
///     let _ = session.apply(step);
///     let _ = session.apply(step);
/// }
/// ```
#[must_use = "the frame must not leave, nor the plaintext be used, before this is applied and stored"]
pub struct Step {
    session: SessionId,
    revision: u64,
    now: Timestamp,
    change: Change,
}

enum Change {
    Sent(Box<Sent>),
    Received(Box<Received>),
}

impl Session {
    /// The session of the side that wrote first. `prekey` is the responder's signed prekey and
    /// `prefix` what stands before each message until [`Session::drop_prefix`], byte for byte.
    ///
    /// # Errors
    /// [`Error::Randomness`]; [`Error::Misuse`] for a prefix that is none.
    pub fn initiate<R: TryCryptoRng + ?Sized>(
        agreed: Agreed,
        prekey: &X25519Public,
        prefix: Vec<u8>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Self, Error> {
        Self::initiate_as(Profile::FULL, agreed, prekey, prefix, now, rng)
    }

    // RAT-6
    pub(crate) fn initiate_as<R: TryCryptoRng + ?Sized>(
        profile: Profile,
        agreed: Agreed,
        prekey: &X25519Public,
        prefix: Vec<u8>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Self, Error> {
        KnownPrefix::new(&prefix)?;
        let seed = Secret::random(rng)?;
        let (start, pair, turned) = wipe::stack(|| {
            let pair = KeyPair::from_seed(seed)?;
            let start = Start::new(&agreed)?;
            let turned = start.root.step(agreed.suite, &pair.agree(prekey)?, None)?;
            Ok::<_, Error>((start, pair, turned))
        })?;
        let chain = SendingChain {
            pair,
            header: start.initiator,
            key: turned.chain.into_sending(),
            n: 0,
            pn: 0,
            nonce: [0; 24],
        };
        Ok(Self {
            suite: agreed.suite,
            role: Role::Initiator,
            profile,
            id: start.id,
            h_ad: agreed.h_ad,
            created: now,
            last_used: now,
            revision: 0,
            sent: 0,
            received: 0,
            prefix: Prefix::Due(prefix),
            root: turned.root,
            steps: 1,
            sending: Sending::Chain(chain),
            receiving: None,
            next_sending: turned.next_header,
            next_receiving: start.responder,
            skipped: Skipped::default(),
            kem: KemRatchet::start(Role::Initiator),
        })
    }

    /// The session of the side whose signed prekey was used. `prekey` is the secret half of
    /// that, from which the first message that opens moves on; `prefix` is what stood before
    /// the message, which may come again.
    ///
    /// It is worth storing only once the first message has opened.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a prefix that is none.
    pub fn respond(
        agreed: Agreed,
        prekey: &Secret<32>,
        prefix: &[u8],
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::respond_as(Profile::FULL, agreed, prekey, prefix, now)
    }

    // RAT-7
    pub(crate) fn respond_as(
        profile: Profile,
        agreed: Agreed,
        prekey: &Secret<32>,
        prefix: &[u8],
        now: Timestamp,
    ) -> Result<Self, Error> {
        let prefix = Prefix::Known(KnownPrefix::new(prefix)?);
        let start = wipe::stack(|| Start::new(&agreed))?;
        let prekey = KeyPair::from_seed(Secret::from_slice(prekey.expose())?)?;
        Ok(Self {
            suite: agreed.suite,
            role: Role::Responder,
            profile,
            id: start.id,
            h_ad: agreed.h_ad,
            created: now,
            last_used: now,
            revision: 0,
            sent: 0,
            received: 0,
            prefix,
            root: start.root,
            steps: 0,
            sending: Sending::Waiting { prekey },
            receiving: None,
            next_sending: start.responder,
            next_receiving: start.initiator,
            skipped: Skipped::default(),
            kem: KemRatchet::start(Role::Responder),
        })
    }

    /// Makes what sealing or opening found the state of the session.
    ///
    /// # Errors
    /// [`Error::StaleStep`] when the step is of another session, or was computed before
    /// another one that was applied. Nothing is changed then.
    pub fn apply(&mut self, step: Step) -> Result<(), Error> {
        let Step { session, revision, now, change } = step;
        if session != self.id || revision != self.revision {
            return Err(Error::StaleStep);
        }
        self.revision = revision.saturating_add(1);
        self.last_used = now;
        match change {
            Change::Sent(sent) => self.apply_sent(*sent),
            Change::Received(received) => self.apply_received(*received, now),
        }
        self.skipped.tidy(now, self.received);
        Ok(())
    }

    fn step(&self, now: Timestamp, change: Change) -> Step {
        Step { session: self.id, revision: self.revision, now, change }
    }

    /// The time that counts: a clock that was set back makes nothing young again.
    fn clock(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_used)
    }

    /// From now on messages go without the prefix: the responder is known to have it.
    pub fn drop_prefix(&mut self) {
        if matches!(self.prefix, Prefix::Due(_)) {
            self.prefix = Prefix::Gone;
        }
    }

    /// What stands before the next message: the prefix, or nothing.
    pub fn due_prefix(&self) -> &[u8] {
        match &self.prefix {
            Prefix::Due(prefix) => prefix,
            Prefix::Gone | Prefix::Known(_) => &[],
        }
    }

    /// The name of the session, the same on both sides.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Which side of the agreement this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The suite that the initiator chose.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// When the session was made.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When it last sealed or opened a message.
    pub fn last_used(&self) -> Timestamp {
        self.last_used
    }

    /// Messages sealed.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages opened.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Keys stored for messages that have not come.
    pub fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Steps applied so far: a store can tell by it which of two states is the newer.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the peer has answered: at least one message has opened.
    pub fn has_received(&self) -> bool {
        self.received > 0
    }

    /// KEM secrets that the root has taken in.
    pub fn pq_epoch(&self) -> u32 {
        self.kem.epoch()
    }

    /// Whether [`PQ_STALLED_STEPS`] root steps went by without a new KEM secret, which a peer
    /// that keeps to the protocol never brings about.
    // RAT-22
    pub fn pq_stalled(&self) -> bool {
        self.profile.pq && self.steps >= PQ_STALLED_STEPS
    }

    /// How often the root has stepped now that `mixed` tells whether a KEM secret went in.
    fn steps_after(&self, mixed: bool) -> u32 {
        if mixed { 0 } else { self.steps.saturating_add(1) }
    }

    /// The bytes that a body is bound to beside its key.
    // RAT-13
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        [&self.h_ad, &LEAD[..], header].concat()
    }
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

impl Profile {
    /// What every session outside of tests has.
    pub(crate) const FULL: Self = Self { pq: true, header_encryption: true };

    /// How long the field of the KEM ratchet is.
    fn field_len(self) -> usize {
        if self.pq { FIELD_LEN } else { 0 }
    }

    /// How long the header is on the wire.
    fn header_len(self) -> usize {
        if self.header_encryption { SEALED_HEADER_LEN } else { HEADER_LEN }
    }

    /// What a message has beside its plaintext, one byte of padding included.
    fn overhead(self) -> usize {
        [LEAD.len(), self.header_len(), self.field_len(), TAG_LEN, 1].iter().sum()
    }
}

impl KnownPrefix {
    /// # Errors
    /// [`Error::Misuse`] for bytes that are no prefix.
    pub(crate) fn new(prefix: &[u8]) -> Result<Self, Error> {
        let misuse = Error::Misuse("not the prefix of a first message");
        let ephemeral = prefix.get(EPHEMERAL_AT).and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            hash: kdf::sha256(&[prefix]),
            ephemeral: ephemeral.ok_or(misuse.clone())?,
            len: u16::try_from(prefix.len()).map_err(|_| misuse)?,
        })
    }
}

/// Where EK_A stands in a prefix: behind version, type, suite and four ids.
const EPHEMERAL_AT: core::ops::Range<usize> = 19..51;

impl SessionId {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, which order sessions.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("sent", &self.sent)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("session", &self.session).finish_non_exhaustive()
    }
}
