use proptest::{collection::vec, prelude::*};
use sealwire_core::{KeyStore, MemoryKeyStore};
use sealwire_testkit::rng::SeededRng;

use super::*;

fn payload(card: &[u8], log: Option<&[u8]>, responder_card: Option<[u8; 32]>) -> Payload {
    Payload {
        card: card.to_vec(),
        log: log.map(<[u8]>::to_vec),
        evidence: b"evidence".to_vec(),
        responder_card,
        proof: Signature::from_bytes(&[5; 64]).expect("64 bytes"),
    }
}

fn claim(keys: &MemoryKeyStore, id: &[u8], peer_id: &[u8]) -> Claim<()> {
    let transcript = Transcript {
        suite: Suite::AesGcm,
        pattern: Pattern::Ik,
        role: Role::Initiator,
        hash: [1; 32],
        ephemeral: Some([2; 32]),
        static_key: keys.public(keys.newest()).expect("one set").handshake,
    };
    let context = transcript.context(id, peer_id).expect("short");
    let mut payload = payload(b"card", None, Some([3; 32]));
    payload.proof = keys.sign(&context).expect("a signature");
    Claim { payload, transcript, own_id: peer_id.to_vec(), next: () }
}

fn prove(keys: &MemoryKeyStore, claim: Claim<()>) -> Result<(), Error> {
    let static_key = claim.transcript.static_key;
    claim.prove(PeerIdentity { id: b"alice", key: keys.identity(), static_key: &static_key })
}

fn alice() -> MemoryKeyStore {
    MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys")
}

// HS-8
#[test]
fn the_signed_bytes_are_those_of_the_specification() {
    let keys = alice();
    let claim = claim(&keys, b"alice", b"bob");
    let context = claim.transcript.context(b"alice", b"bob").expect("short");
    let expected = [
        &b"sealwire/v1/noise/proof\x00\x01"[..],
        b"\0\x01\x02",
        b"\0\x01\x01",
        b"\0\x20",
        &[1; 32],
        b"\0\x20",
        &[2; 32],
        b"\0\x20",
        claim.static_key().as_bytes(),
        b"\0\x05alice",
        b"\0\x03bob",
    ];
    assert_eq!(context.as_bytes(), expected.concat());
}

// HS-8, HS-9
#[test]
fn a_proof_covers_every_field_of_the_transcript() {
    // attack T7
    let keys = alice();
    assert_eq!(prove(&keys, claim(&keys, b"alice", b"bob")), Ok(()));
    type Change = fn(&mut Claim<()>);
    let changes: [(&str, Change); 9] = [
        ("suite", |claim| claim.transcript.suite = Suite::ChaChaPoly),
        ("pattern", |claim| claim.transcript.pattern = Pattern::Xx),
        ("role", |claim| claim.transcript.role = Role::Responder),
        ("hash", |claim| claim.transcript.hash[31] ^= 1),
        ("ephemeral", |claim| claim.transcript.ephemeral = Some([9; 32])),
        ("no ephemeral", |claim| claim.transcript.ephemeral = None),
        ("own id", |claim| claim.own_id = b"bobby".to_vec()),
        ("no own id", |claim| claim.own_id.clear()),
        ("proof", |claim| claim.payload.proof = Signature::from_bytes(&[0; 64]).expect("64")),
    ];
    for (name, change) in changes {
        let mut changed = claim(&keys, b"alice", b"bob");
        change(&mut changed);
        assert_eq!(prove(&keys, changed), Err(Error::Proof), "{name}");
    }
    // Ids that differ only in where one ends and the next begins.
    assert_eq!(prove(&keys, claim(&keys, b"aliceb", b"ob")), Err(Error::Proof));
    let other = MemoryKeyStore::generate(&mut SeededRng::new(2)).expect("keys");
    let mut static_swapped = claim(&keys, b"alice", b"bob");
    static_swapped.transcript.static_key = other.public(other.newest()).expect("set").handshake;
    assert_eq!(prove(&keys, static_swapped), Err(Error::Proof));
}

#[test]
fn a_malleated_proof_is_refused() {
    // attack T13
    const L: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let keys = alice();
    let mut claim = claim(&keys, b"alice", b"bob");
    let mut proof = *claim.payload.proof.as_bytes();
    let mut carry = 0;
    for (byte, order) in proof[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    claim.payload.proof = Signature::from_bytes(&proof).expect("64 bytes");
    assert_eq!(prove(&keys, claim), Err(Error::Proof));
}

// HS-7
#[test]
fn payloads_round_trip_and_every_cut_is_refused() {
    // attack T32
    for payload in [
        payload(b"", None, None),
        payload(b"card", Some(b"log"), None),
        payload(b"card", Some(b""), Some([4; 32])),
    ] {
        let bytes = payload.to_bytes();
        assert_eq!(Payload::from_bytes(&bytes), Ok(payload));
        for cut in 0..bytes.len() {
            let error = Payload::from_bytes(&bytes[..cut]).expect_err("cut");
            assert_eq!(error.what(), "handshake payload");
        }
        let trailing = Payload::from_bytes(&[&bytes[..], &[0]].concat()).expect_err("trailing");
        assert_eq!(trailing.reason(), DecodeReason::Trailing);
    }
}

// HS-7
#[test]
fn bad_payloads_are_refused() {
    // attack T32
    let proof = "5840".to_owned() + &"05".repeat(64);
    for (name, bytes) in [
        ("empty", String::new()),
        ("not an array", "a0".to_owned()),
        ("four fields", "844040f640".to_owned()),
        ("six fields", format!("8640f640f6{proof}40")),
        ("text for a card", format!("8560f640f6{proof}")),
        ("no evidence", format!("8540f6f6f6{proof}")),
        ("indefinite array", format!("9f40f640f6{proof}ff")),
        ("long form of a length", format!("855800f640f6{proof}")),
        ("indefinite bytes", format!("855f40fff640f6{proof}")),
        ("undefined for null", format!("8540f740f6{proof}")),
        ("card hash of 31 bytes", format!("8540f640581f{}{proof}", "00".repeat(31))),
        ("card hash of 33 bytes", format!("8540f6405821{}{proof}", "00".repeat(33))),
        ("proof of 63 bytes", format!("8540f640f6583f{}", "05".repeat(63))),
        ("no proof", "8540f640f6f6".to_owned()),
    ] {
        assert!(Payload::from_bytes(&hex::decode(&bytes).expect("hex")).is_err(), "{name}");
    }
    let good = hex::decode(format!("8540f640f6{proof}")).expect("hex");
    assert!(Payload::from_bytes(&good).is_ok());
    let long = payload(&vec![0; MAX_PAYLOAD], None, None).to_bytes();
    let error = Payload::from_bytes(&long).expect_err("too long");
    assert_eq!(error.reason(), DecodeReason::TooLong(MAX_PAYLOAD));
}

// HS-7
#[test]
fn a_card_hash_stands_in_ik_1_and_nowhere_else() {
    for pattern in [Pattern::Xx, Pattern::Ik] {
        for role in [Role::Initiator, Role::Responder] {
            let with = payload(b"card", None, Some([4; 32])).check_place(pattern, role);
            let without = payload(b"card", None, None).check_place(pattern, role);
            let first_of_ik = (pattern, role) == (Pattern::Ik, Role::Initiator);
            assert_eq!((with.is_ok(), without.is_ok()), (first_of_ik, !first_of_ik));
        }
    }
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        head in vec(any::<u8>(), 0..24),
        flip in any::<prop::sample::Index>(),
        mask: u8,
    ) {
        // attack T32
        let mut near = payload(&head, Some(b"log"), Some([4; 32])).to_bytes();
        let place = flip.index(near.len());
        near[place] ^= mask;
        for bytes in [head, near] {
            if let Ok(payload) = Payload::from_bytes(&bytes) {
                prop_assert_eq!(payload.to_bytes(), bytes);
            }
        }
    }
}
