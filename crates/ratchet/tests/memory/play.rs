//! What the child plays: prekeys, an agreement over them, a conversation with messages that come
//! late or never, and the end of it all.

use std::sync::Arc;

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, Timestamp,
    keystore::{ExchangePublics, KeySeeds},
};
use sealwire_ratchet::{
    Session,
    agreement::{
        self, Accepted, FirstMessage, Initiated, Introduction, Local, PeerIdentity, ReplyTo,
    },
    prekey::{
        Contact, OneTimeKeys, PageUpload, PeerKeys, Prekeys, Publisher, Rotation, Unclaimed,
        UnverifiedBundle,
    },
};
use sealwire_testkit::memory::Drawn;

/// Where the child stops, in this order.
pub(crate) const PLACES: [&str; 18] = [
    "published",
    "agreed",
    "claimed",
    "proven",
    "begun",
    "sealing",
    "sealed",
    "late",
    "used",
    "answered",
    "turned",
    "flooded",
    "expired",
    "sessions dropped",
    "rotated",
    "prekeys expired",
    "dropped",
    "leaked",
];

/// Seeds of what is drawn: keys of the agents, prekeys, the initiator's part of the agreement,
/// and what each message draws.
pub(crate) const ALICE: u64 = 1;
pub(crate) const BOB: u64 = 2;
pub(crate) const PREKEYS: u64 = 3;
pub(crate) const PAGES: u64 = 4;
pub(crate) const ROTATED: u64 = 5;
pub(crate) const AGREEMENT: u64 = 6;
pub(crate) const SESSION: u64 = 7;
/// Of the messages of Alice's first chain, there are four; of Bob's answer; of Alice's next one.
pub(crate) const FIRST: u64 = 10;
pub(crate) const ANSWER: u64 = 20;
pub(crate) const NEXT: u64 = 21;
const FLOOD: u64 = 100;

/// How many one-time keys there are of each kind. Those before are with the directory.
pub(crate) const ONE_TIME: Unclaimed = Unclaimed { x25519: 50, kem: 10 };
/// The message numbers of Alice's second chain that arrive, all others do not: as many as one
/// message may skip, and again.
pub(crate) const ARRIVES: [u32; 2] = [1001, 2001];

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 24 * 60 * 60;

/// What passed in clear or is public, from which the secrets of the same run are computed.
pub(crate) struct Transcript {
    pub(crate) prefix: Vec<u8>,
    pub(crate) h_ad: [u8; 32],
    /// The messages of Alice's first chain, the answer, and the first one of her second chain.
    pub(crate) messages: Vec<Vec<u8>>,
}

struct Agent {
    id: &'static [u8],
    keys: Arc<MemoryKeyStore>,
    publics: ExchangePublics,
}

/// What Bob has published.
struct Published {
    bundle: Vec<u8>,
    x25519: PageUpload,
    kem: PageUpload,
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

    fn publisher(&self) -> Publisher<'_> {
        Publisher { keys: &*self.keys, id: self.id, card_hash: [0xCA; 32] }
    }

    fn peer_keys(&self) -> PeerKeys<'_> {
        PeerKeys {
            id: self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
            kx: self.keys.newest(),
            card_hash: [0xCA; 32],
        }
    }

    fn identity(&self) -> PeerIdentity<'_> {
        PeerIdentity { id: self.id, key: self.keys.identity(), static_key: &self.publics.handshake }
    }
}

/// Plays it all, with `stop` at each of [`PLACES`] but the last. What is not in the transcript is
/// left out where there is no `stop`.
pub(crate) fn play(suite: Suite, stop: Option<&dyn Fn(&'static str)>) -> Transcript {
    let at = stop.unwrap_or(&|_| {});
    let (alice, bob) = (Agent::new("alice", ALICE), Agent::new("bob", BOB));
    let (mut prekeys, published) = publish(&bob);
    at("published");
    let sent = initiate(&alice, &bob, &published, suite);
    at("agreed");
    let accepted = accept(&alice, &bob, &prekeys, &sent.prefix, at);
    at("proven");

    let (prefix, h_ad) = (sent.prefix.clone(), *sent.agreed.transcript());
    let mut conversation = Conversation::begin(sent, &accepted.prekey, accepted.agreed);
    drop(accepted.prekey);
    at("begun");
    let messages = conversation.talk(|place| {
        if place == "late" {
            // Together with the session, in one transaction: with its first message.
            let change = prekeys.consume(&accepted.used).expect("there");
            prekeys.apply(change).expect("fresh");
            prekeys = read_again(&prekeys);
        }
        at(place);
    });
    if stop.is_some() {
        conversation.end(at);
        drop(conversation);
        at("sessions dropped");
        age(prekeys, at);
        drop((alice, bob));
        at("dropped");
    }
    Transcript { prefix, h_ad, messages }
}

fn publish(bob: &Agent) -> (Prekeys, Published) {
    let publisher = bob.publisher();
    let mut prekeys = Prekeys::generate(0, NOW, &mut Drawn::new(PREKEYS)).expect("randomness");
    let refill = prekeys.refill(&publisher, ONE_TIME, NOW, &mut Drawn::new(PAGES));
    let refill = refill.expect("randomness").expect("half are left");
    prekeys.apply(refill.change).expect("fresh");
    let (bundle, change) = prekeys.bundle(&publisher, &Contact::default(), NOW).expect("signed");
    prekeys.apply(change).expect("fresh");
    let [x25519, kem] = refill.pages.try_into().expect("a page of each kind");
    (read_again(&prekeys), Published { bundle, x25519, kem })
}

/// As after a restart.
fn read_again(prekeys: &Prekeys) -> Prekeys {
    let rows = prekeys.rows();
    Prekeys::from_rows(rows.iter().map(|(key, row)| (*key, row.as_slice()))).expect("its own")
}

fn initiate(alice: &Agent, bob: &Agent, published: &Published, suite: Suite) -> Initiated {
    let Published { bundle, x25519, kem } = published;
    let bundle = UnverifiedBundle::from_bytes(bundle).expect("a bundle");
    let bundle = bundle.verify(&bob.peer_keys(), 0, None, NOW).expect("Bob's");
    let x25519 = bundle.one_time_x25519(&x25519.header, &x25519.keys[0], NOW).expect("Bob's");
    let kem = bundle.one_time_kem(&kem.header, &kem.keys[0], NOW).expect("Bob's");
    let keys = OneTimeKeys { x25519: Some(x25519), kem: Some(kem) };
    let (local, reply, mut draws) = (alice.local(), ReplyTo::default(), Drawn::new(AGREEMENT));
    agreement::initiate(&local, &bundle, keys, suite, reply, NOW, &mut draws).expect("agreed")
}

fn accept(
    alice: &Agent,
    bob: &Agent,
    prekeys: &Prekeys,
    prefix: &[u8],
    at: &dyn Fn(&'static str),
) -> Accepted {
    let first = FirstMessage::from_prefix(prefix).expect("a prefix");
    let found = prekeys.find(&first, NOW).expect("there");
    let claim = agreement::respond(&bob.local(), &[[0xCA; 32]], &first, &found).expect("opens");
    at("claimed");
    claim.prove(alice.identity()).expect("Alice")
}

/// Bob's prekeys after the conversation.
fn age(mut prekeys: Prekeys, at: &dyn Fn(&'static str)) {
    let (later, draws) = (NOW.plus(8 * DAY), &mut Drawn::new(ROTATED));
    let change = prekeys.rotate(Rotation::WhenDue, later, draws).expect("room").expect("due");
    prekeys.apply(change).expect("fresh");
    at("rotated");
    let change = prekeys.expire(NOW.plus(22 * DAY)).expect("due");
    prekeys.apply(change).expect("fresh");
    at("prekeys expired");
}

struct Conversation {
    alice: Session,
    bob: Session,
}

impl Conversation {
    fn begin(
        sent: Initiated,
        prekey: &sealwire_core::secret::Secret<32>,
        agreed: sealwire_ratchet::Agreed,
    ) -> Self {
        let bob = Session::respond(agreed, prekey, &sent.prefix, NOW).expect("a session");
        let draws = &mut Drawn::new(SESSION);
        let alice = Session::initiate(sent.agreed, &sent.prekey, sent.prefix, NOW, draws);
        let mut alice = alice.expect("a session");
        alice.drop_prefix();
        Self { alice, bob }
    }

    /// Gives every message that was sealed, in this order.
    fn talk(&mut self, mut at: impl FnMut(&'static str)) -> Vec<Vec<u8>> {
        let Self { alice, bob } = self;
        let sealed = alice.seal(NOW, &mut Drawn::new(FIRST), b"text").expect("sealed");
        at("sealing");
        alice.apply(sealed.step).expect("fresh");
        let mut messages = vec![sealed.frame];
        messages.extend((1..4).map(|n| seal(alice, NOW, FIRST + n)));
        at("sealed");
        *bob = Session::from_bytes(&bob.to_bytes()).expect("its own");
        open(bob, NOW, &messages[3]);
        at("late");
        *bob = Session::from_bytes(&bob.to_bytes()).expect("its own");
        open(bob, NOW, &messages[0]);
        at("used");
        messages.push(seal(bob, NOW, ANSWER));
        open(alice, NOW, &messages[4]);
        at("answered");
        messages.push(seal(alice, NOW, NEXT));
        open(bob, NOW, &messages[5]);
        at("turned");
        messages
    }

    /// Messages are lost until stored keys give way to newer ones, and then all are too old.
    fn end(&mut self, at: &dyn Fn(&'static str)) {
        let Self { alice, bob } = self;
        for n in 1..=ARRIVES[1] {
            let message = seal(alice, NOW, FLOOD + u64::from(n));
            if ARRIVES.contains(&n) {
                open(bob, NOW, &message);
            }
        }
        at("flooded");
        let later = NOW.plus(8 * DAY);
        let message = seal(alice, later, FLOOD);
        open(bob, later, &message);
        at("expired");
    }
}

fn seal(from: &mut Session, now: Timestamp, seed: u64) -> Vec<u8> {
    let sealed = from.seal(now, &mut Drawn::new(seed), b"text").expect("sealed");
    from.apply(sealed.step).expect("fresh");
    sealed.frame
}

fn open(to: &mut Session, now: Timestamp, message: &[u8]) {
    let opened = to.open(now, message).expect("it opens");
    assert_eq!(*opened.plaintext, b"text");
    to.apply(opened.step).expect("fresh");
}
