//! What the child plays: two agents, a handshake, records, a change of keys.

use std::sync::Arc;

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, SuiteSet,
    keystore::{ExchangePublics, KeySeeds},
};
use sealwire_noise::{
    Introduction, KnownResponder, Local, Pattern, PeerIdentity, Session, initiator,
    record::{Opened, RECORDS_PER_KEY},
    responder,
};
use sealwire_testkit::memory::{self, Drawn};

/// Seeds of what each draws: its keys, and its part of the handshake.
pub(crate) const ALICE: u64 = 1;
pub(crate) const BOB: u64 = 2;
pub(crate) const INITIATOR: u64 = 3;
pub(crate) const RESPONDER: u64 = 4;

/// What passed in clear or is public, from which the secrets of the same run are computed.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) preamble: Vec<u8>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) binding: [u8; 32],
}

struct Agent {
    id: &'static [u8],
    keys: Arc<MemoryKeyStore>,
    publics: ExchangePublics,
}

impl Agent {
    fn new(id: &'static str, seed: u64) -> Self {
        let seeds = KeySeeds::generate(&mut Drawn::new(seed)).expect("seeds");
        let keys = Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"));
        let publics = keys.public(keys.newest()).expect("a set");
        Self { id: id.as_bytes(), keys, publics }
    }

    fn local(&self) -> Local {
        let introduction = Introduction { id: self.id.to_vec(), ..Introduction::default() };
        Local::new(Arc::clone(&self.keys) as Arc<dyn KeyStore>, self.keys.newest(), introduction)
    }

    fn known(&self) -> KnownResponder<'_> {
        KnownResponder {
            id: self.id,
            static_key: &self.publics.handshake,
            kem_key: &self.publics.kem,
            kx: self.keys.newest(),
            card_hash: [0xCA; 32],
        }
    }

    fn identity(&self) -> PeerIdentity<'_> {
        PeerIdentity { id: self.id, key: self.keys.identity(), static_key: &self.publics.handshake }
    }
}

/// Plays it all, with stops if this is the child.
pub(crate) fn play(pattern: Pattern, suite: Suite, is_child: bool) -> Transcript {
    let stop = |place| {
        if is_child {
            memory::stop(place)
        }
    };
    let (alice, bob) = (Agent::new("alice", ALICE), Agent::new("bob", BOB));
    stop("keys");
    let play = match pattern {
        Pattern::Xx => xx,
        Pattern::Ik => ik,
    };
    let (transcript, at_alice, at_bob) = play(&alice, &bob, suite, &stop);
    stop("session");
    if is_child {
        records(at_alice, at_bob, || stop("rekeyed"));
    }
    drop((alice, bob));
    stop("dropped");
    transcript
}

fn xx(
    alice: &Agent,
    bob: &Agent,
    suite: Suite,
    stop: &dyn Fn(&'static str),
) -> (Transcript, Session, Session) {
    let (mut draws, offered) = (Drawn::new(INITIATOR), SuiteSet::all());
    let (preamble, message1, sent) =
        initiator::start_xx(alice.local(), suite, offered, &mut draws).expect("XX 1");
    stop("message 1");
    let mut draws = Drawn::new(RESPONDER);
    let (message2, answered) =
        responder::answer_xx(bob.local(), &preamble, &message1, &mut draws).expect("XX 2");
    let replied = sent.read(&message2).expect("XX 2").prove(bob.identity()).expect("Bob");
    stop("message 2");
    let (message3, at_alice) = replied.finish(bob.id).expect("XX 3");
    let at_bob = answered.read(&message3).expect("XX 3").prove(alice.identity()).expect("Alice");
    let (preamble, binding) = (preamble.to_bytes(), *at_bob.channel_binding());
    let messages = vec![message1, message2, message3];
    (Transcript { preamble, messages, binding }, at_alice, at_bob)
}

fn ik(
    alice: &Agent,
    bob: &Agent,
    suite: Suite,
    stop: &dyn Fn(&'static str),
) -> (Transcript, Session, Session) {
    let (mut draws, offered) = (Drawn::new(INITIATOR), SuiteSet::all());
    let (preamble, message1, sent) =
        initiator::start_ik(alice.local(), bob.known(), suite, offered, &mut draws).expect("IK 1");
    stop("message 1");
    let mut draws = Drawn::new(RESPONDER);
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut draws);
    let proven = claim.expect("IK 1").prove(alice.identity()).expect("Alice");
    let (message2, replied) = proven.reply(alice.id).expect("IK 2");
    let proven = sent.read(&message2).expect("IK 2").prove(bob.identity()).expect("Bob");
    stop("message 2");
    let (mut confirmation, at_alice) = proven.finish().expect("a session");
    let at_bob = replied.confirm(&mut confirmation[2..]).expect("the confirmation");
    let (preamble, binding) = (preamble.to_bytes(), *at_bob.channel_binding());
    (Transcript { preamble, messages: vec![message1, message2], binding }, at_alice, at_bob)
}

/// Records in both directions, as many to Bob as it takes until the key changes.
fn records(at_alice: Session, at_bob: Session, rekeyed: impl FnOnce()) {
    let ((mut alice, mut from_bob), (mut bob, mut from_alice)) =
        (at_alice.into_parts(), at_bob.into_parts());
    let mut wire = Vec::new();
    bob.seal_data(b"to alice", &mut wire).expect("sealed");
    assert!(matches!(from_bob.open(&mut wire[2..]), Ok(Opened::Data(b"to alice"))));
    for _ in 0..RECORDS_PER_KEY {
        wire.clear();
        alice.seal_data(b"to bob", &mut wire).expect("sealed");
        let mut rest = &mut wire[..];
        while let Some((len, after)) = rest.split_first_chunk_mut() {
            let (record, next) = after.split_at_mut(u16::from_be_bytes(*len).into());
            let opened = from_alice.open(record).expect("opens");
            assert!(matches!(opened, Opened::Data(b"to bob") | Opened::Nothing));
            rest = next;
        }
    }
    rekeyed();
}
