//! An agreement with a peer that is offline, and a conversation: private halves of prekeys, keys
//! of both agents and all that is drawn are hidden, and frames are public as they are sent.

use sealwire_core::{KeyStore, Suite, Timestamp, kdf};
use sealwire_ratchet::{
    ReplayCache, Session,
    agreement::{
        self, Accepted, FirstMessage, Initiated, Introduction, Local, PeerIdentity, ReplyTo,
    },
    prekey::{
        Bundle, Contact, OneTimeKeys, PageUpload, PeerKeys, Prekeys, Publisher, RowKey, Unclaimed,
        UnverifiedBundle,
    },
};

use crate::keys::{Agent, Rng};
use crate::mark::{hide, show, show_inline};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Bob, who was offline, and what he has published.
struct Published {
    bob: Agent,
    prekeys: Prekeys,
    bundle: Bundle,
    pages: Vec<PageUpload>,
}

impl Agent {
    fn writer(&self) -> Local {
        let (id, card) = (self.id.to_vec(), self.card.to_vec());
        let introduction = Introduction { id, card, ..Introduction::default() };
        Local::new(self.store(), self.keys.newest(), introduction)
    }

    fn card_hash(&self) -> [u8; 32] {
        kdf::sha256(&[self.card])
    }
}

impl Published {
    fn new() -> Self {
        let bob = Agent::bob();
        let publisher = Publisher { keys: &*bob.keys, id: bob.id, card_hash: bob.card_hash() };
        let mut rng = Rng::open(1);
        let mut prekeys = Prekeys::generate(0, NOW, &mut rng).expect("prekeys");
        let half = Unclaimed { x25519: 50, kem: 10 };
        let refill = prekeys.refill(&publisher, half, NOW, &mut rng).expect("pages");
        let refill = refill.expect("half is few");
        prekeys.apply(refill.change).expect("fresh");
        let (bundle, change) =
            prekeys.bundle(&publisher, &Contact::default(), NOW).expect("a bundle");
        prekeys.apply(change).expect("fresh");
        let peer = PeerKeys {
            id: bob.id,
            key: bob.keys.identity(),
            static_key: &bob.keys.publics().handshake,
            kx: bob.keys.newest(),
            card_hash: bob.card_hash(),
        };
        let bundle = UnverifiedBundle::from_bytes(&bundle).expect("a bundle");
        let bundle = bundle.verify(&peer, 0, None, NOW).expect("a good one");
        Self { prekeys: hidden(&prekeys), bundle, pages: refill.pages, bob }
    }

    fn one_time_keys(&self) -> OneTimeKeys {
        let [x25519, kem] = &self.pages[..] else { unreachable!("a page of each kind") };
        let x25519 = self.bundle.one_time_x25519(&x25519.header, &x25519.keys[0], NOW);
        let kem = self.bundle.one_time_kem(&kem.header, &kem.keys[0], NOW);
        OneTimeKeys { x25519: x25519.ok(), kem: kem.ok() }
    }

    /// What Alice sends first.
    fn initiate(&self, alice: &Agent, keys: OneTimeKeys, suite: Suite, rng: &mut Rng) -> Initiated {
        let (local, reply) = (alice.writer(), ReplyTo::default());
        let sent = agreement::initiate(&local, &self.bundle, keys, suite, reply, NOW, rng);
        let sent = sent.expect("an agreement");
        show(&sent.prefix);
        show(sent.agreed.transcript());
        sent
    }

    /// What Bob makes of it.
    fn respond(&self, alice: &Agent, first: &FirstMessage<'_>) -> Option<Accepted> {
        let found = self.prekeys.find(first, NOW).expect("a prekey");
        let (local, cards) = (self.bob.writer(), [self.bob.card_hash()]);
        let mut claim = agreement::respond(&local, &cards, first, &found).ok()?;
        show_inline(&mut claim);
        let peer = PeerIdentity {
            id: alice.id,
            key: alice.keys.identity(),
            static_key: &alice.keys.publics().handshake,
        };
        Some(claim.prove(peer).expect("alice"))
    }
}

/// The same prekeys with private halves that are hidden. Which ones there are is public.
fn hidden(prekeys: &Prekeys) -> Prekeys {
    let rows = prekeys.rows();
    for (key, bytes) in &rows {
        match key {
            // Counters, then an id, the X25519 seed, an id, the ML-KEM seed, and a time.
            RowKey::Signed => {
                hide(&bytes[27 + 4..][..32]);
                hide(&bytes[27 + 4 + 32 + 4..][..64]);
            }
            // Behind the count a bit for each key, then the seeds.
            RowKey::Page(..) => {
                let count = usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
                hide(&bytes[20 + count.div_ceil(8)..]);
            }
        }
    }
    Prekeys::from_rows(rows.iter().map(|(key, bytes)| (*key, &bytes[..]))).expect("prekeys")
}

/// With one-time keys and without; changed in its ephemeral key, in its ciphertext, which
/// decapsulation rejects, and in its tag.
pub(crate) fn agreement() {
    let (alice, published, mut rng) = (Agent::alice(), Published::new(), Rng::hidden(100));
    let (without, suite) = (OneTimeKeys::default(), Suite::AesGcm);
    let sent = published.initiate(&alice, without, suite, &mut rng);
    for change in [None, Some(19), Some(60), Some(sent.prefix.len() - 1)] {
        let mut prefix = sent.prefix.clone();
        if let Some(index) = change {
            prefix[index] ^= 1;
        }
        let first = FirstMessage::from_prefix(&prefix).expect("a first message");
        let accepted = published.respond(&alice, &first);
        assert_eq!(accepted.is_some(), change.is_none(), "{change:?}");
        if let Some(accepted) = accepted {
            assert!(crate::mark::shown(accepted.agreed.secret() == sent.agreed.secret()));
            remember(accepted);
        }
    }
}

/// A message that could be replayed is known again by a name, which is stored: an HMAC that tells
/// nothing of the key it is under.
fn remember(accepted: Accepted) {
    let mut replay = accepted.replay.expect("there was no one-time key");
    show_inline(&mut replay);
    let mut cache = ReplayCache::new();
    cache.insert(replay).expect("the first");
    assert!(cache.check(&replay).is_err(), "the second");
}

/// Messages in both directions: one late, some that do not open, and enough turns that a KEM
/// secret enters both roots.
pub(crate) fn conversation(suite: Suite) {
    let (alice, mut published, mut rng) = (Agent::alice(), Published::new(), Rng::hidden(100));
    let sent = published.initiate(&alice, published.one_time_keys(), suite, &mut rng);
    let at_alice = Session::initiate(sent.agreed, &sent.prekey, sent.prefix, NOW, &mut rng);
    let mut at_alice = at_alice.expect("a session");
    show_inline(&mut at_alice);
    let frames: [Vec<u8>; 3] = std::array::from_fn(|_| send(&mut at_alice, &mut rng));
    let firsts = frames.each_ref().map(|frame| FirstMessage::from_frame(frame));
    let [first, late, third] = firsts.map(|first| first.expect("a first message"));

    let accepted = published.respond(&alice, &first).expect("it opens");
    let change = published.prekeys.consume(&accepted.used).expect("there");
    published.prekeys.apply(change).expect("fresh");
    let at_bob = Session::respond(accepted.agreed, &accepted.prekey, first.prefix(), NOW);
    let mut at_bob = at_bob.expect("a session");
    show_inline(&mut at_bob);
    assert!(receive(&mut at_bob, first.message()) && receive(&mut at_bob, third.message()));

    let answers: [Vec<u8>; 2] = std::array::from_fn(|_| send(&mut at_bob, &mut rng));
    assert!(answers.iter().all(|answer| receive(&mut at_alice, answer)));
    at_alice.drop_prefix();
    at_bob = Session::from_bytes(&at_bob.to_bytes()).expect("as it was stored");
    show_inline(&mut at_bob);
    let turned = send(&mut at_alice, &mut rng);
    // In the nonce, the header and its tag no key opens the header; behind it one does.
    for index in [2, 30, 80, 100, turned.len() - 1] {
        let mut changed = turned.clone();
        changed[index] ^= 1;
        assert!(!receive(&mut at_bob, &changed), "{index}");
    }
    assert!(receive(&mut at_bob, &turned) && receive(&mut at_bob, late.message()));
    assert_eq!([at_alice.pq_epoch(), at_bob.pq_epoch()], [1, 1]);
}

/// A frame with a hidden text.
fn send(session: &mut Session, rng: &mut Rng) -> Vec<u8> {
    let text = [9; 40];
    hide(&text);
    let mut sealed = session.seal(NOW, rng, &text).expect("sealed");
    show(&sealed.frame);
    show_inline(&mut sealed.step);
    session.apply(sealed.step).expect("fresh");
    show_inline(session);
    sealed.frame
}

/// Whether it opens.
fn receive(session: &mut Session, message: &[u8]) -> bool {
    let Ok(mut opened) = session.open(NOW, message) else { return false };
    show_inline(&mut opened.step);
    session.apply(opened.step).expect("fresh");
    show_inline(session);
    true
}
