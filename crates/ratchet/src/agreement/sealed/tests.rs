use proptest::{collection::vec, option, prelude::*};

use super::*;

type Bytes = Option<Vec<u8>>;

fn introduced(log: Bytes, mailbox: Bytes, capability: Bytes) -> Introduced {
    Introduced {
        card: b"card".to_vec(),
        log,
        device: 7,
        evidence: b"evidence".to_vec(),
        responder_card: [9; 32],
        proof: Signature::from_bytes(&[8; 64]).expect("64 bytes"),
        reply: ReplyTo { mailbox, capability },
    }
}

fn refused(bytes: &[u8]) -> DecodeReason {
    Introduced::from_bytes(bytes).expect_err("a bad introduction").reason()
}

// AGR-10: also at the end of the array.
#[test]
fn an_absent_field_is_null() {
    let bytes = introduced(None, None, None).to_bytes();
    assert_eq!(bytes[..7], hex::decode("884463617264f6").expect("hex"));
    assert!(bytes.ends_with(&[0xF6, 0xF6]));
    assert!(Introduced::from_bytes(&bytes).is_ok());
    let shorter = [&[0x86], &bytes[1..bytes.len() - 2]].concat();
    assert_eq!(refused(&shorter), DecodeReason::Invalid("not the expected CBOR"));
}

// attack T32
// AGR-10
#[test]
fn bad_introductions_are_refused() {
    let bytes = introduced(Some(vec![1]), Some(vec![2; 64]), Some(vec![3; 256])).to_bytes();
    assert!(Introduced::from_bytes(&bytes).is_ok());
    for cut in 0..bytes.len() {
        assert!(Introduced::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    assert_eq!(refused(&[&bytes[..], &[0]].concat()), DecodeReason::Trailing);
    assert_eq!(refused(&[&[0x98, 8], &bytes[1..]].concat()), DecodeReason::NonCanonical);
    assert_eq!(refused(&[&[0x9F], &bytes[1..], &[0xFF]].concat()), DecodeReason::NonCanonical);
    // The device, 7, in two bytes; and null as "undefined".
    let device = bytes.windows(2).position(|pair| pair == [7, 0x48]).expect("the device");
    let long = [&bytes[..device], &[0x18, 7], &bytes[device + 1..]].concat();
    assert_eq!(refused(&long), DecodeReason::NonCanonical);
    let mut undefined = introduced(None, None, None).to_bytes();
    undefined[6] = 0xF7;
    assert_eq!(refused(&undefined), DecodeReason::Invalid("not the expected CBOR"));
    let reason = DecodeReason::Invalid;
    let of = |mailbox, token| introduced(None, Some(vec![2; mailbox]), Some(vec![3; token]));
    assert_eq!(refused(&of(65, 0).to_bytes()), reason("a mailbox has at most 64 bytes"));
    assert_eq!(refused(&of(0, 257).to_bytes()), reason("a capability has at most 256 bytes"));
    assert_eq!(refused(&vec![0; MAX_PLAIN + 1]), DecodeReason::TooLong(MAX_PLAIN));
    for (name, head) in [("a card hash", [0x58, 32]), ("a signature", [0x58, 64])] {
        let at = bytes.windows(2).position(|pair| pair == head).expect(name);
        let mut short = bytes.clone();
        short[at + 1] -= 1;
        short.remove(at + 2);
        assert!(matches!(refused(&short), DecodeReason::Invalid(_)), "{name}");
    }
}

// AGR-9: what was sealed under other bytes in clear does not open.
#[test]
fn a_sealed_part_belongs_to_its_clear_part() {
    let key = (Secret::init_with(|out: &mut [u8; 32]| out.fill(1)), [2; 12]);
    for suite in Suite::ALL {
        let sealed = introduced(None, None, None).seal(suite, &key, b"clear").expect("short");
        assert!(Introduced::open(suite, &key, b"clear", &sealed).is_ok());
        assert_eq!(Introduced::open(suite, &key, b"other", &sealed), Err(Error::Open));
        for cut in 0..sealed.len() {
            let opened = Introduced::open(suite, &key, b"clear", &sealed[..cut]);
            assert_eq!(opened, Err(Error::Open), "{cut}");
        }
    }
}

// AGR-17: what opens and is no introduction gives no other error.
#[test]
fn sealed_nonsense_does_not_open() {
    let key = (Secret::init_with(|out: &mut [u8; 32]| out.fill(1)), [2; 12]);
    let mut sealed = b"no CBOR".to_vec();
    let aead = AeadKey::new(Suite::AesGcm.aead(), &key.0).expect("a key");
    let tag = aead.seal_detached(&key.1, b"clear", &mut sealed).expect("short");
    sealed.extend_from_slice(&tag);
    assert_eq!(Introduced::open(Suite::AesGcm, &key, b"clear", &sealed), Err(Error::Open));
}

proptest! {
    // attack T32
    #[test]
    fn an_introduction_is_read_only_from_the_bytes_it_is_written_as(
        (card, evidence) in (vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)),
        log in option::of(vec(any::<u8>(), 0..300)),
        device: u32,
        mailbox in option::of(vec(any::<u8>(), 0..=64)),
        capability in option::of(vec(any::<u8>(), 0..=256)),
    ) {
        let introduced =
            Introduced { card, evidence, device, ..introduced(log, mailbox, capability) };
        let bytes = introduced.to_bytes();
        prop_assert_eq!(Introduced::from_bytes(&bytes), Ok(introduced));
    }
}
