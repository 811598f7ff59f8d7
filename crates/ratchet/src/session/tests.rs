use sealwire_core::keys::StaticSecret;
use sealwire_testkit::rng::{BrokenRng, Fault, SeededRng};

use super::*;
use crate::{
    chain_key::count,
    hazmat,
    header::{FieldKind, Header},
    kem_ratchet::KemRatchet,
    limits::{MAX_COUNTER, MAX_OLD_HEADER_KEYS, MAX_SKIP, MAX_SKIPPED_KEYS, SKIPPED_KEY_LIFETIME},
};

mod schedules;
mod vectors;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Two sides of one session.
struct Pair {
    alice: Session,
    bob: Session,
    rng: SeededRng,
    prefix_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Alice,
    Bob,
}
use Side::{Alice, Bob};

impl Pair {
    /// Before any message.
    fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let (one, other, prefix) = hazmat::agreed_pair(&mut rng).expect("randomness");
        let prekey = Secret::random(&mut rng).expect("randomness");
        let public = *StaticSecret::from_seed(&prekey).expect("a key").public();
        let prefix_len = prefix.len();
        let bob = Session::respond(other, &prekey, &prefix, NOW).expect("a prefix");
        let alice = Session::initiate(one, &public, prefix, NOW, &mut rng).expect("randomness");
        Self { alice, bob, rng, prefix_len }
    }

    /// After the first message, without the prefix.
    fn started(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        let first = pair.seal(Alice);
        pair.open(Bob, &first).expect("in order");
        pair.alice.drop_prefix();
        pair
    }

    fn side(&mut self, side: Side) -> &mut Session {
        match side {
            Alice => &mut self.alice,
            Bob => &mut self.bob,
        }
    }

    /// The ratchet message of a frame, the prefix removed.
    fn seal(&mut self, side: Side) -> Vec<u8> {
        let mut rng = self.rng.clone();
        let session = self.side(side);
        let prefix = session.due_prefix().len();
        let sealed = session.seal(NOW, &mut rng, b"plaintext").expect("it can send");
        session.apply(sealed.step).expect("fresh");
        self.rng = rng;
        sealed.frame[prefix..].to_vec()
    }

    fn open(&mut self, side: Side, message: &[u8]) -> Result<(), Error> {
        let session = self.side(side);
        let opened = session.open(NOW, message)?;
        assert_eq!(*opened.plaintext, b"plaintext");
        session.apply(opened.step)
    }

    /// One message from `from` that arrives.
    fn pass(&mut self, from: Side) {
        let message = self.seal(from);
        let to = if from == Alice { Bob } else { Alice };
        self.open(to, &message).expect("in order");
    }
}

/// The header of a message, as `side` sees it before it opens it.
fn header(session: &Session, message: &[u8]) -> Header {
    let sealed = message[2..][..SEALED_HEADER_LEN].try_into().expect("a header");
    let mut buffer = Vec::new();
    let newest = session.receiving.iter().map(|chain| &chain.header);
    assert!(newest.chain([&session.next_receiving]).any(|key| key.open(sealed, &mut buffer)));
    Header::decode(&buffer).expect("a header")
}

/// What a peer that has the keys and breaks the rules sends next in its chain: a header that is
/// changed, and a body that opens if the header is taken.
fn forge(session: &Session, change: impl FnOnce(&mut Header), content: &[u8]) -> Vec<u8> {
    let Sending::Chain(chain) = &session.sending else { panic!("it has sent") };
    let mut header = Header {
        dh: X25519Public::from_bytes(chain.pair.public()).expect("a key"),
        pn: chain.pn,
        n: chain.n,
        epoch: session.kem.epoch(),
        kind: FieldKind::Nothing,
    };
    change(&mut header);
    let Header { dh, pn, n, epoch, kind } = header;
    let mut bytes = Header::encode(dh.as_bytes(), pn, n, epoch, kind);
    chain.header.seal(&[7; 24], &mut bytes).expect("short");
    let header = [&[7; 24], &bytes[..]].concat();
    let cipher = chain.key.step().1.cipher(session.suite, &header).expect("a key");
    let mut body = content.to_vec();
    body.resize(4096 - LEAD.len() - header.len() - TAG_LEN, 0);
    let associated = session.associated(&header);
    let tag = cipher.key.seal_detached(&cipher.nonce, &associated, &mut body).expect("short");
    [&LEAD[..], &header, &body, &tag].concat()
}

/// A field that begins with `start`, an empty plaintext, and the mark of the padding.
fn field(start: &[u8]) -> Vec<u8> {
    let mut content = start.to_vec();
    content.resize(FIELD_LEN, 0);
    content.push(0x80);
    content
}

// RAT-6, RAT-7, RAT-10, RAT-14, RAT-15
#[test]
fn a_conversation_in_turns_takes_in_a_kem_secret_every_few_turns() {
    let mut pair = Pair::new(1);
    let mut epochs = Vec::new();
    for _ in 0..12 {
        pair.pass(Alice);
        pair.pass(Bob);
        epochs.push((pair.alice.pq_epoch(), pair.bob.pq_epoch()));
    }
    assert_eq!(epochs[..4], [(0, 0), (1, 1), (2, 2), (3, 3)]);
    assert_eq!((pair.alice.sent(), pair.alice.received()), (12, 12));
    assert_eq!((pair.bob.sent(), pair.bob.received()), (12, 12));
    assert_eq!(pair.alice.id(), pair.bob.id());
    assert!(!pair.alice.pq_stalled() && !pair.bob.pq_stalled());
}

// RAT-7
#[test]
fn a_responder_sends_nothing_before_it_has_received() {
    let mut pair = Pair::new(1);
    let refused = pair.bob.seal(NOW, &mut pair.rng, b"").expect_err("nothing came");
    assert!(matches!(refused, Error::CannotSend(_)));
    pair.pass(Alice);
    pair.pass(Bob);
}

// RAT-4
#[test]
fn whole_frames_have_the_smallest_class_that_fits() {
    let mut pair = Pair::new(1);
    let len = |pair: &mut Pair, plaintext: usize| {
        let sealed = pair.alice.seal(NOW, &mut pair.rng, &vec![1; plaintext]);
        sealed.map(|sealed| sealed.frame.len())
    };
    let largest = capacity(65_536, pair.prefix_len).expect("room");
    assert_eq!(len(&mut pair, 0), Ok(4096));
    assert_eq!(len(&mut pair, capacity(4096, 1200).expect("room")), Ok(4096));
    assert_eq!(len(&mut pair, capacity(4096, 1200).expect("room") + 1), Ok(16_384));
    assert_eq!(len(&mut pair, largest), Ok(65_536));
    assert!(matches!(len(&mut pair, largest + 1), Err(Error::Misuse(_))));
    pair.alice.drop_prefix();
    for (plaintext, frame) in [(0, 2048), (760, 2048), (761, 4096), (64_248, 65_536)] {
        assert_eq!(len(&mut pair, plaintext), Ok(frame), "{plaintext}");
    }
    assert_eq!(capacity(65_536, 0), Some(64_248));
}

// RAT-4
#[test]
fn a_message_of_another_length_is_refused_before_it_is_opened() {
    let mut pair = Pair::started(1);
    let message = pair.seal(Alice);
    for len in [0, 1, 2, 87, 1288, 2047, 2049, 4095] {
        let mut other = message.clone();
        other.resize(len, 0);
        assert!(matches!(pair.bob.open(NOW, &other), Err(Error::Decode(_))), "{len}");
    }
    for lead in [[0, 2], [2, 2], [1, 0], [1, 1], [1, 3]] {
        let mut other = message.clone();
        other[..2].copy_from_slice(&lead);
        assert!(matches!(pair.bob.open(NOW, &other), Err(Error::Decode(_))), "{lead:?}");
    }
    pair.open(Bob, &message).expect("as it was sent");
}

// attack T18
// RAT-21
#[test]
fn a_message_with_any_byte_changed_leaves_the_state_as_it_was() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    let message = pair.seal(Alice);
    let before = pair.bob.to_bytes();
    for index in 0..message.len() {
        let mut changed = message.clone();
        changed[index] ^= 1 << (index % 8);
        assert!(pair.bob.open(NOW, &changed).is_err(), "{index}");
    }
    assert_eq!(pair.bob.to_bytes(), before);
    pair.open(Bob, &message).expect("as it was sent");
    assert_ne!(pair.bob.to_bytes(), before);
}

// attack T9, T18: what was delivered once is refused and kills nothing.
#[test]
fn a_repeated_message_is_a_duplicate_and_changes_nothing() {
    let mut pair = Pair::started(1);
    let message = pair.seal(Alice);
    pair.open(Bob, &message).expect("in order");
    let before = pair.bob.to_bytes();
    assert_eq!(pair.open(Bob, &message), Err(Error::Duplicate));
    assert_eq!(pair.bob.to_bytes(), before);
    pair.pass(Alice);
    pair.pass(Bob);
}

// attack T16
// RAT-19, RAT-22
#[test]
fn a_header_beyond_the_limits_is_refused_without_a_chain_step() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    // Bob has a receiving chain with one message; Alice's next is in a new chain.
    let bob = &pair.bob.to_bytes();
    pair.seal(Alice);
    let alice = &pair.alice;
    type Change = fn(&mut Header);
    let refused: [(&str, Change, Error); 9] = [
        ("n at the limit and one", |h| h.n = MAX_SKIP + 1, Error::SkipLimit),
        ("n far ahead", |h| h.n = MAX_COUNTER - 1, Error::SkipLimit),
        ("n at the end", |h| h.n = MAX_COUNTER, Error::Open),
        ("n at the end of u32", |h| h.n = u32::MAX, Error::Open),
        ("pn far ahead", |h| h.pn = MAX_COUNTER - 1, Error::SkipLimit),
        ("pn and n together", |h| (h.pn, h.n) = (MAX_SKIP, 2), Error::SkipLimit),
        ("pn behind", |h| h.pn = 0, Error::Open),
        ("an epoch ahead", |h| h.epoch += 2, Error::Open),
        ("an epoch at the end", |h| h.epoch = u32::MAX, Error::Open),
    ];
    for (name, change, error) in refused {
        let message = forge(alice, change, &field(&[]));
        let (result, steps) = count::during(|| pair.bob.open(NOW, &message));
        assert_eq!(result.expect_err(name), error, "{name}");
        assert_eq!(steps, 0, "{name}");
    }
    // The control: within the limits, the steps are made, and only the body refuses.
    let message = forge(alice, |h| h.n = MAX_SKIP, &field(&[]));
    let (result, steps) = count::during(|| pair.bob.open(NOW, &message));
    assert_eq!(result.expect_err("no body"), Error::Open);
    assert_eq!(steps, u64::from(MAX_SKIP) + 1);
    assert_eq!(pair.bob.to_bytes(), *bob);
}

/// A forgery: its name, what becomes of the header, and the content.
type Forgery<'a> = (&'a str, fn(&mut Header), Vec<u8>);

// RAT-3, RAT-4, RAT-15, RAT-16
#[test]
fn a_peer_that_breaks_the_rules_under_good_keys_is_refused() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    pair.pass(Alice);
    // Bob has mixed k_1 and holds no ek(2): Alice's field would be taken.
    pair.bob.kem = KemRatchet::Await(2, None);
    let mut bad_key = [0; FIELD_LEN];
    bad_key[..3].fill(0xFF);
    let kind = |kind: FieldKind| -> fn(&mut Header) {
        match kind {
            FieldKind::Nothing => |_| {},
            FieldKind::EncapsulationKey => |h| h.kind = FieldKind::EncapsulationKey,
            FieldKind::Ciphertext => |h| h.kind = FieldKind::Ciphertext,
        }
    };
    let refused: [Forgery<'_>; 10] = [
        ("a coefficient above q", kind(FieldKind::EncapsulationKey), field(&bad_key)),
        ("a ciphertext of the wrong side", kind(FieldKind::Ciphertext), field(&[])),
        ("kind 0 and a field", kind(FieldKind::Nothing), field(&[1])),
        ("kind 0 and the end of a field", kind(FieldKind::Nothing), {
            let mut content = field(&[]);
            content[FIELD_LEN - 1] = 1;
            content
        }),
        ("an epoch behind its chain", |h| h.epoch -= 1, field(&[])),
        ("an epoch ahead of its chain", |h| h.epoch += 1, field(&[])),
        (
            "another key in the chain",
            |h| h.dh = X25519Public::from_bytes(&[9; 32]).expect("a key"),
            field(&[]),
        ),
        ("no mark behind the padding", |_| {}, vec![0; FIELD_LEN]),
        ("another mark", |_| {}, vec![0x81; 1]),
        ("less than a field", |_| {}, vec![0, 0, 0x80]),
    ];
    let before = pair.bob.to_bytes();
    for (name, change, content) in refused {
        let message = forge(&pair.alice, change, &content);
        assert_eq!(pair.bob.open(NOW, &message).expect_err(name), Error::Open, "{name}");
        assert_eq!(pair.bob.to_bytes(), before, "{name}");
    }
    // The controls: the same forger, within the rules.
    let key = *sealwire_core::kem::KemSecret::generate(&mut pair.rng)
        .expect("randomness")
        .public()
        .as_bytes();
    for (kind, start) in [(FieldKind::Nothing, &[][..]), (FieldKind::EncapsulationKey, &key)] {
        let message = forge(&pair.alice, |h| h.kind = kind, &field(start));
        assert!(pair.bob.open(NOW, &message).is_ok(), "{kind:?}");
    }
}

// RAT-3: the filler behind a ciphertext is zeros, and A alone sends keys.
#[test]
fn a_responder_that_breaks_the_rules_is_refused() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    let with_kind = |kind: FieldKind, content: &[u8]| forge(&pair.bob, |h| h.kind = kind, content);
    let ciphertext = |filler: u8| {
        let mut content = field(&[5; 1088]);
        content[FIELD_LEN - 1] = filler;
        content
    };
    let good = with_kind(FieldKind::Ciphertext, &ciphertext(0));
    assert!(pair.alice.open(NOW, &good).is_ok());
    let filled = with_kind(FieldKind::Ciphertext, &ciphertext(1));
    assert_eq!(pair.alice.open(NOW, &filled).expect_err("filler"), Error::Open);
    let key = with_kind(FieldKind::EncapsulationKey, &field(&[]));
    assert_eq!(pair.alice.open(NOW, &key).expect_err("the wrong side"), Error::Open);
}

// RAT-19
#[test]
fn a_new_chain_without_our_answer_is_refused() {
    let mut pair = Pair::started(1);
    // Alice takes a step although Bob has sent nothing that she could answer.
    let Sending::Chain(chain) = &pair.alice.sending else { panic!("it has sent") };
    let (pn, bobs) = (chain.n, pair.bob.next_receiving.expose());
    let header = HeaderKey::new(Secret::from_slice(bobs).expect("32 bytes"));
    let Sending::Chain(chain) = &mut pair.alice.sending else { panic!("it has sent") };
    (chain.header, chain.n, chain.pn) = (header, 0, pn);
    let message = forge(&pair.alice, |_| {}, &field(&[]));
    let (result, steps) = count::during(|| pair.bob.open(NOW, &message));
    assert_eq!((result.expect_err("a step is due"), steps), (Error::Open, 0));
}

// attack T16: repeated jumps of exactly the limit.
// RAT-20, RAT-22
#[test]
fn stored_keys_stay_within_their_limit() {
    let mut pair = Pair::started(1);
    let mut lost = Vec::new();
    for _ in 0..6 {
        for _ in 0..MAX_SKIP {
            lost.push(pair.seal(Alice));
        }
        pair.pass(Alice);
        assert!(pair.bob.skipped() <= MAX_SKIPPED_KEYS);
        pair.pass(Bob);
    }
    assert_eq!(pair.bob.skipped(), MAX_SKIPPED_KEYS);
    // The newest are there, the oldest are gone.
    assert!(pair.open(Bob, &lost[0]).is_err());
    let newest = lost.len() - MAX_SKIPPED_KEYS;
    pair.open(Bob, &lost[newest]).expect("stored");
    pair.open(Bob, &lost[lost.len() - 1]).expect("stored");
    assert_eq!(pair.bob.skipped(), MAX_SKIPPED_KEYS - 2);
    let loaded = Session::from_bytes(&pair.bob.to_bytes()).expect("own bytes");
    assert_eq!(loaded.skipped(), MAX_SKIPPED_KEYS - 2);
}

// RAT-22
#[test]
fn the_oldest_chain_is_dropped_with_its_keys() {
    let mut pair = Pair::started(1);
    let mut lost = Vec::new();
    for _ in 0..MAX_OLD_HEADER_KEYS + 2 {
        lost.push(pair.seal(Alice));
        pair.pass(Alice);
        pair.pass(Bob);
    }
    pair.pass(Alice);
    assert_eq!(pair.bob.skipped.chains.len(), MAX_OLD_HEADER_KEYS);
    assert_eq!(pair.open(Bob, &lost[0]), Err(Error::Open));
    assert_eq!(pair.open(Bob, &lost[1]), Err(Error::Open));
    for message in &lost[2..] {
        pair.open(Bob, message).expect("stored");
    }
    assert!(pair.bob.skipped.chains.is_empty(), "no header key without keys");
    assert_eq!(pair.bob.skipped(), 0);
}

// RAT-22
#[test]
fn a_skipped_key_lives_seven_days_or_a_thousand_messages() {
    let late = |seconds: u64, messages: u32| {
        let mut pair = Pair::started(1);
        let lost = pair.seal(Alice);
        pair.pass(Alice);
        for _ in 0..messages {
            pair.pass(Alice);
        }
        pair.bob.open(NOW.plus(seconds), &lost).map(|_| ()).map_err(|error| {
            assert_eq!(error, Error::Duplicate);
        })
    };
    assert_eq!(late(SKIPPED_KEY_LIFETIME - 1, 0), Ok(()));
    assert_eq!(late(SKIPPED_KEY_LIFETIME, 0), Err(()));
    assert_eq!(late(0, 999), Ok(()));
    assert_eq!(late(0, 1000), Err(()));
}

// attack T30
#[test]
fn a_clock_set_back_makes_no_key_young_again() {
    let mut pair = Pair::started(1);
    let lost = pair.seal(Alice);
    pair.pass(Alice);
    let message = pair.seal(Alice);
    let opened = pair.bob.open(NOW.plus(SKIPPED_KEY_LIFETIME), &message).expect("in order");
    pair.bob.apply(opened.step).expect("fresh");
    assert_eq!(pair.bob.skipped(), 0);
    assert!(pair.bob.open(NOW, &lost).is_err());
    let sealed = pair.bob.seal(Timestamp::default(), &mut pair.rng, b"").expect("it can send");
    pair.bob.apply(sealed.step).expect("fresh");
    assert_eq!(pair.bob.last_used(), NOW.plus(SKIPPED_KEY_LIFETIME));
}

// attack T20
#[test]
fn a_counter_at_its_end_refuses_and_never_wraps() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    pair.pass(Alice);
    let set = |session: &mut Session, n: u32| match &mut session.sending {
        Sending::Chain(chain) => chain.n = n,
        _ => panic!("it has sent"),
    };
    set(&mut pair.alice, MAX_COUNTER - 1);
    let last = pair.seal(Alice);
    for _ in 0..3 {
        let error = pair.alice.seal(NOW, &mut pair.rng, b"").expect_err("at the end");
        assert!(matches!(error, Error::CannotSend(_)));
    }
    // The receiver follows as far as the numbers go.
    let chain = pair.bob.receiving.as_mut().expect("it has received");
    chain.n = MAX_COUNTER - 1;
    let sent_at = |pair: &Pair| header(&pair.bob, &last).n;
    assert_eq!(sent_at(&pair), MAX_COUNTER - 1);
    let loaded = Session::from_bytes(&pair.alice.to_bytes()).expect("own bytes");
    assert!(loaded.seal(NOW, &mut pair.rng, b"").is_err());
}

// attack T20
#[test]
fn chains_and_epochs_end_before_they_wrap() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    let message = pair.seal(Alice);
    pair.bob.receiving.as_mut().expect("it has received").number = MAX_COUNTER - 1;
    assert_eq!(pair.bob.open(NOW, &message).expect_err("no more chains"), Error::Open);

    let mut pair = Pair::started(1);
    pair.pass(Bob);
    let KemRatchet::Pending(e, _) = &mut pair.alice.kem else { panic!("the answer came") };
    *e = MAX_COUNTER;
    let error = pair.alice.seal(NOW, &mut pair.rng, b"").expect_err("no more epochs");
    assert!(matches!(error, Error::CannotSend(_)));
}

// RAT-16
#[test]
fn a_message_of_an_old_chain_carries_the_epoch_of_that_chain() {
    let mut pair = Pair::started(1);
    let late = pair.seal(Alice);
    pair.pass(Alice);
    for _ in 0..4 {
        pair.pass(Bob);
        pair.pass(Alice);
    }
    assert!(pair.bob.pq_epoch() >= 2);
    pair.open(Bob, &late).expect("E of its own chain, not of now");
    assert!(pair.bob.pq_epoch() >= 2);
}

// attack T31
// RAT-26
#[test]
fn a_broken_generator_changes_nothing_and_sends_nothing() {
    let mut pair = Pair::started(1);
    pair.pass(Bob);
    // Alice: a key pair, a KEM seed, a nonce. Bob: encapsulation randomness, a nonce.
    let mut cases = vec![("alice", &pair.alice, 3)];
    let mut answering = Pair::started(2);
    answering.pass(Bob);
    answering.pass(Alice);
    cases.push(("bob", &answering.bob, 3));
    for (name, session, calls) in cases {
        let before = session.to_bytes();
        let once = (0..calls).map(Fault::Once);
        for fault in once.chain([Fault::Always, Fault::Repeating, Fault::Zero]) {
            let error = session.seal(NOW, &mut BrokenRng::new(fault), b"").expect_err(name);
            assert_eq!(error, Error::Randomness, "{name} {fault:?}");
            assert_eq!(session.to_bytes(), before);
        }
        let mut rng = BrokenRng::new(Fault::Once(calls));
        assert!(session.seal(NOW, &mut rng, b"").is_ok(), "{name} draws {calls} times");
    }
}

// attack T31
#[test]
fn a_generator_that_repeats_itself_from_message_to_message_is_caught() {
    let mut pair = Pair::started(1);
    let mut sealed = Vec::new();
    for _ in 0..2 {
        sealed.push(pair.alice.seal(NOW, &mut BrokenRng::new(Fault::Repeating), b""));
        if let Some(Ok(first)) = sealed.pop_if(|sealed| sealed.is_ok()) {
            pair.alice.apply(first.step).expect("fresh");
        }
    }
    assert!(matches!(sealed[..], [Err(Error::Randomness)]));
}

#[test]
fn a_stale_step_is_refused() {
    let mut pair = Pair::started(1);
    let one = pair.alice.seal(NOW, &mut pair.rng, b"").expect("it can send");
    let two = pair.alice.seal(NOW, &mut pair.rng, b"").expect("it can send");
    pair.alice.apply(one.step).expect("fresh");
    let before = pair.alice.to_bytes();
    assert_eq!(pair.alice.apply(two.step), Err(Error::StaleStep));
    let mut other = Pair::started(2);
    let foreign = other.alice.seal(NOW, &mut other.rng, b"").expect("it can send");
    assert_eq!(pair.alice.apply(foreign.step), Err(Error::StaleStep));
    assert_eq!(pair.alice.to_bytes(), before);
}

// attack T3: two copies of one state share a message key, but no key and nonce.
// RAT-12
#[test]
fn two_copies_of_one_state_share_no_key_stream() {
    let mut pair = Pair::started(1);
    let copy = Session::from_bytes(&pair.alice.to_bytes()).expect("own bytes");
    let one = pair.alice.seal(NOW, &mut pair.rng, &[0; 100]).expect("it can send");
    let two = copy.seal(NOW, &mut pair.rng, &[0; 100]).expect("it can send");
    let tail = 2 + SEALED_HEADER_LEN;
    let equal = one.frame[tail..].iter().zip(&two.frame[tail..]).filter(|(a, b)| a == b).count();
    assert!(equal < 50, "{equal} bytes of two key streams are equal");
}

// RAT-22
#[test]
fn a_kem_ratchet_that_stands_still_is_reported() {
    let mut pair = Pair::started(1);
    for _ in 0..PQ_STALLED_STEPS {
        assert!(!pair.alice.pq_stalled());
        // A peer that never answers: the ciphertext is forgotten before it is sent.
        pair.bob.kem = KemRatchet::start(Role::Responder);
        pair.pass(Bob);
        pair.alice.kem = KemRatchet::start(Role::Initiator);
        pair.pass(Alice);
        if pair.alice.pq_stalled() {
            return;
        }
    }
    panic!("never reported");
}

// RAT-17, RAT-25
#[test]
fn a_stored_session_is_the_session() {
    let mut pair = Pair::new(1);
    for turn in 0..40 {
        let from = if turn / 2 % 2 == 0 { Alice } else { Bob };
        if turn % 3 == 0 && turn > 2 {
            pair.seal(from);
        }
        pair.pass(from);
        for side in [Alice, Bob] {
            let session = pair.side(side);
            let bytes = session.to_bytes();
            let capacity = bytes.capacity();
            *session = Session::from_bytes(&bytes).expect("own bytes");
            assert_eq!(session.to_bytes(), bytes);
            assert!(session.due_prefix().is_empty() == (side == Bob) || side == Bob);
            assert!(bytes.len() <= capacity && capacity < 8 * 1024, "the buffer did not grow");
        }
    }
}

// attack T38: states that the first release wrote open for ever, and so do the messages that
// were under way to them.
// RAT-17, RAT-25
#[test]
fn frozen_states_go_on_where_they_stopped() {
    use sealwire_testkit::vectors::{bytes, json, passed};
    let states = json(include_str!("../../tests/vectors/states-1.json"));
    let states = states.as_array().expect("a list");
    for frozen in states {
        let name = frozen["name"].as_str().expect("a name");
        let stored = bytes(&frozen["state"]);
        let mut session = Session::from_bytes(&stored).expect(name);
        assert_eq!(*session.to_bytes(), stored, "{name}");
        let opened = session.open(NOW, &bytes(&frozen["message"])).expect(name);
        assert_eq!(*opened.plaintext, b"plaintext", "{name}");
        session.apply(opened.step).expect("fresh");
        assert!(session.seal(NOW, &mut SeededRng::new(1), b"").is_ok(), "{name}");
    }
    passed("ratchet states 1", states.len());
}

// attack T38
// RAT-25
#[test]
fn a_state_of_another_version_is_refused_by_that_name() {
    let mut bytes = Pair::started(1).alice.to_bytes();
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    bytes[0] = 2;
    let error = Session::from_bytes(&bytes).expect_err("newer");
    assert_eq!(error.to_string(), "session: unknown version 2; a newer release may read it");
    bytes[0] = 0;
    assert!(Session::from_bytes(&bytes).is_err());
}

// attack T32
#[test]
fn a_state_with_any_bit_changed_is_refused_or_read_as_it_stands() {
    let mut pair = Pair::started(1);
    pair.seal(Alice);
    pair.pass(Alice);
    pair.pass(Bob);
    pair.pass(Alice);
    for session in [&pair.alice, &pair.bob] {
        let bytes = session.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(session) = Session::from_bytes(&changed) {
                assert_eq!(*session.to_bytes(), changed);
            }
        }
        for len in 0..bytes.len() {
            assert!(Session::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
    }
}

// attack T34
#[test]
fn what_is_printed_shows_nothing_but_names_and_counts() {
    use sealwire_testkit::leak::shows;
    let mut pair = Pair::started(1);
    let sealed = pair.alice.seal(NOW, &mut pair.rng, b"do not print this").expect("it can send");
    let opened = pair.bob.open(NOW, &sealed.frame).expect("in order");
    let shown = format!("{:?} {:#?} {:?}", pair.alice, opened, sealed.step);
    let state = pair.alice.to_bytes();
    // Behind version, suite, role, id and H_AD.
    for secret in [&state[51..], b"do not print this"] {
        assert!(!shows(&shown, secret), "{shown}");
        assert!(shows(&format!("{shown} {secret:?}"), secret), "the control");
    }
}

#[test]
fn the_classical_ratchet_has_no_field_and_headers_in_clear() {
    let mut rng = SeededRng::new(5);
    let (one, other, prefix) = hazmat::agreed_pair(&mut rng).expect("randomness");
    let prekey = Secret::random(&mut rng).expect("randomness");
    let public = *StaticSecret::from_seed(&prekey).expect("a key").public();
    let bob = hazmat::respond_classical(other, &prekey, &prefix, NOW).expect("a prefix");
    let alice = hazmat::initiate_classical(one, &public, prefix, NOW, &mut rng).expect("keys");
    let mut pair = Pair { alice, bob, rng, prefix_len: 1200 };
    pair.alice.drop_prefix();
    let late = pair.seal(Alice);
    for _ in 0..3 {
        pair.pass(Alice);
        pair.pass(Bob);
    }
    pair.open(Bob, &late).expect("stored");
    let message = pair.seal(Alice);
    let seen = Header::decode(&message[2..47]).expect("in clear");
    assert_eq!((seen.n, seen.epoch, seen.kind), (0, 0, FieldKind::Nothing));
    assert_eq!(pair.alice.pq_epoch(), 0);
    assert!(!pair.alice.pq_stalled());
}
