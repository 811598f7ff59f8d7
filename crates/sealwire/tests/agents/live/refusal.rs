//! One constant refusal, for every cause.

use sealwire::{Agent, Decision, Error, Peer, Source, core::Suite, identity::IdentityCard, noise};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
};

use crate::live::common::{
    Fixed, acquainted, builder, card, closed, introduce, keys, open, rotated_keys,
};

/// Length of an IK preamble with two suites, in bytes.
const IK_PREAMBLE: usize = 4 + 2 + 4 + 1088 + 32;

/// What a responder answers to these bytes of a prober that then goes away, and its error.
async fn answer(bob: &Agent, bytes: &[u8]) -> (Vec<u8>, Error) {
    let (mut near, far) = duplex(1 << 18);
    near.write_all(bytes).await.expect("write");
    near.shutdown().await.expect("shutdown");
    let (answered, seen) = tokio::join!(bob.accept(far, Source::shared()), read_all(near));
    (seen, answered.expect_err("no channel"))
}

async fn read_all(mut near: DuplexStream) -> Vec<u8> {
    let mut seen = Vec::new();
    near.read_to_end(&mut seen).await.expect("read");
    seen
}

/// Preamble and IK message 1 as Alice sends them to the owner of `card`.
fn ik(alice: &Agent, card: &IdentityCard, hash: [u8; 32]) -> Vec<u8> {
    let keys = keys(1);
    let introduction = noise::Introduction {
        id: alice.id().as_str().as_bytes().to_vec(),
        card: alice.card().as_bytes().to_vec(),
        log: None,
        evidence: sealwire::identity::EvidenceList::default().to_bytes(),
    };
    let responder = noise::KnownResponder {
        id: card.id().as_str().as_bytes(),
        static_key: card.exchange_key(),
        kem_key: card.kem_key(),
        kx: card.kx_id(),
        card_hash: hash,
    };
    let local = noise::Local::new(keys, alice.card().kx_id(), introduction);
    let suites = sealwire::core::SuiteSet::all();
    let mut rng = sealwire_testkit::rng::SeededRng::new(9);
    let (preamble, message1, _) =
        noise::initiator::start_ik(local, responder, Suite::AesGcm, suites, &mut rng)
            .expect("message 1");
    frame(&preamble.to_bytes(), &message1)
}

fn frame(preamble: &[u8], message1: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message1.len()).expect("a frame").to_be_bytes();
    [preamble, &len, message1].concat()
}

#[tokio::test(start_paused = true)]
async fn every_cause_gives_the_same_refusal() {
    let (alice, bob) = acquainted();
    let hash = *bob.card().hash().as_bytes();
    let good = ik(&alice, bob.card(), hash);
    let strange = card(rotated_keys(2).as_ref(), 9, 2);
    let flipped = |offset: usize| {
        let mut bytes = good.clone();
        bytes[offset] ^= 1;
        bytes
    };
    let xx = frame(&[1, 1, 1, 2, 1, 2, 0, 0, 0, 0], &[7; 1216]);
    for (name, bytes) in [
        ("an unknown version", flipped(0)),
        ("an unknown suite", [&[1, 3], &good[2..]].concat()),
        ("an unknown pattern", [&[1, 1, 9], &good[3..]].concat()),
        ("a wrong gate", flipped(1120)),
        ("a changed ciphertext", flipped(40)),
        ("a changed message 1", flipped(good.len() - 1)),
        ("exchange keys that nobody has", ik(&alice, &strange, *strange.hash().as_bytes())),
        ("a card that this agent does not hold", ik(&alice, bob.card(), [1; 32])),
        ("XX where strangers are not answered", xx),
        ("half a preamble", good[..100].to_vec()),
        ("half a message 1", good[..2000].to_vec()),
    ] {
        let (seen, _) = answer(&bob, &bytes).await;
        // After a refused IK one more attempt is read, whose end is refused alike.
        let expected: &[&[u8]] = &[&[0, 0], &[0, 0, 0, 0]];
        assert!(expected.contains(&&seen[..]), "{name}: {seen:?}");
    }
    let (_, error) = answer(&closed(2), &good).await;
    assert!(matches!(error, Error::Denied(_)), "a stranger: {error:?}");
}

/// Whether a number of exchange keys exists is not to be learned: not from what is sent, and
/// not from what is done, which one HMAC and no key operation ends for both.
#[tokio::test(start_paused = true)]
async fn an_unknown_number_of_exchange_keys_is_as_a_wrong_gate() {
    let (alice, bob) = acquainted();
    let hash = *bob.card().hash().as_bytes();
    let good = ik(&alice, bob.card(), hash);
    let mut wrong_gate = good.clone();
    wrong_gate[1120] ^= 1;
    let mut unknown_number = good.clone();
    unknown_number[9] ^= 2;
    // With the gate made for the number too: whoever has the card can.
    let strange = card(rotated_keys(2).as_ref(), 9, 2);
    let known_gate = ik(&alice, &strange, hash);
    let mut seen = Vec::new();
    for bytes in [wrong_gate, unknown_number, known_gate] {
        let (sent, error) = answer(&bob, &bytes).await;
        assert!(matches!(error, Error::Noise(noise::Error::Gate)), "{error:?}");
        seen.push(sent);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let (_, error) = answer(&bob, &good).await;
    assert!(!matches!(error, Error::Noise(noise::Error::Gate)), "the good one passes: {error:?}");
}

/// Makes the gate of these bytes fit again, as whoever holds the card can.
fn gate_again(bytes: &mut [u8], card: &IdentityCard) {
    use sealwire::core::{kdf, label::Label};
    let (gate, message1) = (IK_PREAMBLE - 32..IK_PREAMBLE, IK_PREAMBLE + 2..bytes.len());
    let context = Label::NOISE_GATE.context(None, &[card.kem_key().as_bytes()]).expect("context");
    let key = kdf::sha256(&[context.as_bytes()]);
    let tag = kdf::hmac(&key, &[&bytes[..gate.start], &bytes[message1]]);
    bytes[gate].copy_from_slice(&tag);
}

// attack T10
#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_the_ciphertext_shows_as_a_bit_changed_in_message_1() {
    let (alice, bob) = acquainted();
    let good = ik(&alice, bob.card(), *bob.card().hash().as_bytes());
    let mut control = good.clone();
    gate_again(&mut control, bob.card());
    assert_eq!(control, good, "the gate is computed as the initiator does");
    let ciphertext = 10..IK_PREAMBLE - 32;
    // The encrypted static key behind e and the ek, its tag, the payload, its tag.
    let message1 = [IK_PREAMBLE + 2 + 1216, IK_PREAMBLE + 2 + 1260, 4000, good.len() - 1];
    for offset in ciphertext.step_by(67).chain(message1) {
        let mut bytes = good.clone();
        bytes[offset] ^= 1;
        gate_again(&mut bytes, bob.card());
        let (seen, error) = answer(&bob, &bytes).await;
        let same = matches!(error, Error::Noise(noise::Error::Handshake));
        assert!(same, "byte {offset}: {error:?}");
        assert_eq!(seen, [0, 0, 0, 0], "byte {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_is_read_whole_before_it_is_refused() {
    let (alice, bob) = acquainted();
    let bytes = ik(&alice, bob.card(), [1; 32]);
    let (mut near, far) = duplex(1 << 16);
    let answering = bob.accept(far, Source::shared());
    let probing = async {
        near.write_all(&bytes[..bytes.len() - 1]).await.expect("write");
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), near.read_u16());
        assert!(early.await.is_err(), "an answer before the end of message 1");
        near.write_all(&bytes[bytes.len() - 1..]).await.expect("write");
        assert_eq!(near.read_u16().await.expect("read"), 0);
        drop(near);
    };
    let (answered, ()) = tokio::join!(answering, probing);
    assert!(matches!(answered, Err(Error::Denied(_))), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_ik_only_one_xx_is_waited_for_and_no_longer_than_the_deadline() {
    let (alice, bob) = (open(1), builder(2).inbound(Fixed::DENY).build().expect("agent"));
    let bytes = ik(&alice, bob.card(), *bob.card().hash().as_bytes());
    // A second IK is refused, and that is the end.
    let (seen, error) = answer(&bob, &[&bytes[..], &bytes].concat()).await;
    assert_eq!(seen, [0, 0, 0, 0]);
    assert!(matches!(error, Error::Denied("told so")), "{error:?}");
    // Nothing more: the deadline of the whole ends it.
    let (mut near, far) = duplex(1 << 16);
    near.write_all(&bytes).await.expect("write");
    let answered = bob.accept(far, Source::shared()).await;
    assert!(matches!(answered, Err(Error::Timeout)));
    assert_eq!(read_all(near).await, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_refuses_too() {
    let mut limits = sealwire::Limits::default();
    limits.open = 0;
    let bob = builder(2).limits(limits).build().expect("agent");
    let (near, far) = duplex(1 << 16);
    assert!(matches!(bob.accept(far, Source::shared()).await, Err(Error::Busy)));
    assert_eq!(read_all(near).await, [0, 0]);
    // Whoever dials it learns that it refused, not that the connection broke.
    let alice = open(1);
    introduce(&alice, &bob);
    let (at_alice, at_bob) =
        crate::live::common::dial(&alice, crate::live::common::id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::Refused)), "{at_alice:?}");
    assert!(matches!(at_bob, Err(Error::Busy)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_message_3_arrives_though_data_was_sent_at_once() {
    let alice = builder(1).build().expect("alice");
    let denies = Fixed { accept: Decision::Deny("told so"), ..Fixed::ALLOW };
    let bob = builder(2).inbound(denies).build().expect("bob");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    let answer = async {
        let (stream, source) = listener.accept().await.expect("accept");
        bob.accept(stream, source).await.expect_err("no channel")
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.expect("connect");
        let mut channel = alice.connect(stream, Peer::Stranger).await.expect("XX 3 was sent");
        channel.write_all(&vec![7; 100_000]).await.expect("write");
        channel.flush().await.expect("flush");
        channel.read_u8().await.map_err(Error::from).expect_err("nothing to read")
    };
    let (denied, refused) = tokio::join!(answer, dial);
    assert!(matches!(denied, Error::Denied("told so")), "{denied}");
    assert!(matches!(refused, Error::Refused), "{refused}");
}
