//! Two peers and the handshakes between them.

use std::sync::{Arc, LazyLock};

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, SuiteSet,
    keystore::{ExchangePublics, KeySeeds, KxId},
};
use sealwire_noise::{
    Introduction, KnownResponder, Local, PeerIdentity, Preamble, Session,
    initiator::{self, IkSent, XxSent},
    responder,
};
use sealwire_testkit::rng::SeededRng;

/// An agent: its keys and its id.
pub(crate) struct Peer {
    pub(crate) keys: Arc<MemoryKeyStore>,
    pub(crate) id: Vec<u8>,
    pub(crate) publics: ExchangePublics,
}

/// The hash of the responder's card, which nobody checks here.
pub(crate) const CARD_HASH: [u8; 32] = [0xCA; 32];

impl Peer {
    /// The agent with this id and the keys of this seed.
    pub(crate) fn new(id: &str, seed: u64) -> Self {
        Self::from_seeds(id, &KeySeeds::generate(&mut SeededRng::new(seed)).expect("seeds"))
    }

    pub(crate) fn from_seeds(id: &str, seeds: &KeySeeds) -> Self {
        let keys = Arc::new(MemoryKeyStore::from_seeds(seeds).expect("keys"));
        let publics = keys.public(keys.newest()).expect("a set");
        Self { keys, id: id.as_bytes().to_vec(), publics }
    }

    /// The same keys under another id.
    pub(crate) fn renamed(&self, id: &str) -> Self {
        let (keys, publics) = (Arc::clone(&self.keys), self.publics.clone());
        Self { keys, id: id.as_bytes().to_vec(), publics }
    }

    pub(crate) fn card(&self) -> Vec<u8> {
        [b"card of ", &self.id[..]].concat()
    }

    pub(crate) fn local(&self) -> Local {
        let (id, card) = (self.id.clone(), self.card());
        self.local_with(Introduction { id, card, ..Introduction::default() })
    }

    pub(crate) fn local_with(&self, introduction: Introduction) -> Local {
        Local::new(Arc::clone(&self.keys) as Arc<dyn KeyStore>, self.kx(), introduction)
    }

    pub(crate) fn kx(&self) -> KxId {
        self.keys.newest()
    }

    pub(crate) fn known(&self) -> KnownResponder<'_> {
        KnownResponder {
            id: &self.id,
            static_key: &self.publics.handshake,
            kem_key: &self.publics.kem,
            kx: self.kx(),
            card_hash: CARD_HASH,
        }
    }

    pub(crate) fn identity(&self) -> PeerIdentity<'_> {
        PeerIdentity {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
        }
    }
}

static ALICE: LazyLock<Peer> = LazyLock::new(|| Peer::new("alice", 1));
static BOB: LazyLock<Peer> = LazyLock::new(|| Peer::new("bob", 2));

pub(crate) fn alice() -> Peer {
    ALICE.renamed("alice")
}

pub(crate) fn bob() -> Peer {
    BOB.renamed("bob")
}

pub(crate) fn mallory() -> Peer {
    Peer::new("mallory", 3)
}

/// The randomness of an initiator and of a responder in session `seed`.
pub(crate) fn rngs(seed: u64) -> (SeededRng, SeededRng) {
    (SeededRng::new(1_000 + seed), SeededRng::new(2_000 + seed))
}

pub(crate) fn start_xx(alice: &Peer, suite: Suite, seed: u64) -> (Preamble, Vec<u8>, XxSent) {
    initiator::start_xx(alice.local(), suite, SuiteSet::all(), &mut rngs(seed).0).expect("XX 1")
}

pub(crate) fn start_ik(
    alice: &Peer,
    bob: &Peer,
    suite: Suite,
    seed: u64,
) -> (Preamble, Vec<u8>, IkSent) {
    let offered = SuiteSet::all();
    initiator::start_ik(alice.local(), bob.known(), suite, offered, &mut rngs(seed).0)
        .expect("IK 1")
}

/// The messages of a whole XX handshake, and both ends of it.
pub(crate) fn xx(
    alice: &Peer,
    bob: &Peer,
    suite: Suite,
    seed: u64,
) -> ([Vec<u8>; 3], Session, Session) {
    let (preamble, message1, sent) = start_xx(alice, suite, seed);
    let (message2, answered) =
        responder::answer_xx(bob.local(), &preamble, &message1, &mut rngs(seed).1).expect("XX 2");
    let replied = sent.read(&message2).expect("XX 2").prove(bob.identity()).expect("Bob");
    let (message3, at_alice) = replied.finish(&bob.id).expect("XX 3");
    let at_bob = answered.read(&message3).expect("XX 3").prove(alice.identity()).expect("Alice");
    ([message1, message2, message3], at_alice, at_bob)
}

/// The messages of a whole IK handshake, the confirmation with its length, and both ends of it.
pub(crate) fn ik(
    alice: &Peer,
    bob: &Peer,
    suite: Suite,
    seed: u64,
) -> ([Vec<u8>; 3], Session, Session) {
    let (preamble, message1, sent) = start_ik(alice, bob, suite, seed);
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rngs(seed).1);
    let proven = claim.expect("IK 1").prove(alice.identity()).expect("Alice");
    let (message2, replied) = proven.reply(&alice.id).expect("IK 2");
    let proven = sent.read(&message2).expect("IK 2").prove(bob.identity()).expect("Bob");
    let (confirmation, at_alice) = proven.finish().expect("a session");
    let at_bob = replied.confirm(&mut confirmation[2..].to_vec()).expect("the confirmation");
    ([message1, message2, confirmation], at_alice, at_bob)
}
