//! The evidence list.

use minicbor::Encoder;
use sealwire_core::{DecodeError, DecodeReason};
use sealwire_identity::{Error, Evidence, EvidenceKind, EvidenceList};

fn item(data: &[u8]) -> Evidence {
    Evidence::new(EvidenceKind::Score, true, data).expect("short data")
}

fn list(count: usize, len: usize) -> Result<EvidenceList, Error> {
    EvidenceList::new(vec![item(&vec![7; len]); count])
}

fn raw(items: &[(u8, bool, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new(vec![1]);
    encoder.array(items.len() as u64).expect("a Vec");
    for (kind, bound, data) in items {
        encoder.array(3).and_then(|e| e.u8(*kind)?.bool(*bound)?.bytes(data)).expect("a Vec");
    }
    encoder.into_writer()
}

// EV-1, EV-4
#[test]
fn a_list_is_read_as_it_was_made() {
    let made = EvidenceList::new(vec![
        Evidence::new(EvidenceKind::OrgCredential, true, b"credential").expect("short"),
        Evidence::new(EvidenceKind::X509Svid, false, b"svid").expect("short"),
    ])
    .expect("two items");
    assert_eq!(made.to_bytes(), raw(&[(1, true, b"credential"), (2, false, b"svid")]));
    let read = EvidenceList::from_bytes(&made.to_bytes()).expect("own bytes");
    assert_eq!(read, made);
    let items: Vec<_> = read.iter().map(|e| (e.kind(), e.is_bound(), e.data())).collect();
    assert_eq!(items[0], (EvidenceKind::OrgCredential, true, &b"credential"[..]));
    assert_eq!(items[1], (EvidenceKind::X509Svid, false, &b"svid"[..]));
    assert_eq!((read.len(), read.is_empty()), (2, false));
    assert_eq!(EvidenceList::from_bytes(&[1, 0x80]), Ok(EvidenceList::default()));
}

// EV-2
#[test]
fn bounds_hold_for_the_maker() {
    let misuse = |result: Result<(), Error>| matches!(result, Err(Error::Misuse(_)));
    let make = |len| Evidence::new(EvidenceKind::Score, true, &vec![0; len]).map(drop);
    assert!(misuse(make(0)));
    assert!(make(1).is_ok() && make(4096).is_ok());
    assert!(misuse(make(4097)));
    assert!(list(8, 3000).is_ok());
    assert!(misuse(list(9, 1).map(drop)));
    assert!(misuse(list(6, 4096).map(drop)));
    assert!(EvidenceList::default().is_empty());
}

// EV-2
#[test]
fn lists_and_items_at_their_bounds_pass_both_sides() {
    // Two bytes begin the list, six an item: seven of 3,066 bytes and one of 3,064 make 24 KiB.
    let with = |last: usize| {
        let lens = [3066; 7].into_iter().chain([last]);
        lens.map(|len| item(&vec![7; len])).collect::<Vec<_>>()
    };
    let longest = EvidenceList::new(with(3064)).expect("24 KiB");
    assert_eq!(longest.to_bytes().len(), EvidenceList::MAX_LEN);
    assert_eq!(EvidenceList::from_bytes(&longest.to_bytes()), Ok(longest));
    assert!(matches!(EvidenceList::new(with(3065)), Err(Error::Misuse(_))));

    let one = EvidenceList::new(vec![item(&[7; Evidence::MAX_DATA])]).expect("4 KiB");
    assert_eq!(EvidenceList::from_bytes(&one.to_bytes()), Ok(one));
}

// attack T32: lists that are not exactly what the encoder gives.
// EV-1, EV-2, EV-3
#[test]
fn bad_lists_are_refused() {
    let good = raw(&[(1, true, b"ab"), (3, false, b"c")]);
    let cbor = DecodeReason::Invalid("not the expected CBOR");
    let unknown = DecodeReason::Invalid("an unknown kind of evidence; a newer release may read it");
    let size = DecodeReason::Invalid("an item holds 1 to 4096 bytes");
    let nine = raw(&[(1, true, &b"a"[..]); 9]);
    for (name, bytes, reason) in [
        ("version 0", [&[0], &good[1..]].concat(), DecodeReason::UnknownVersion(0)),
        ("version 2", [&[2], &good[1..]].concat(), DecodeReason::UnknownVersion(2)),
        ("trailing byte", [&good[..], &[0]].concat(), DecodeReason::Trailing),
        ("too long", vec![1; EvidenceList::MAX_LEN + 1], DecodeReason::TooLong(24 * 1024)),
        ("kind 0", raw(&[(0, true, b"a")]), unknown),
        ("kind 4", raw(&[(4, true, b"a")]), unknown),
        ("no data", raw(&[(1, true, b"")]), size),
        ("too much data", raw(&[(1, true, &[0; 4097])]), size),
        ("nine items", nine, cbor),
        ("a huge count", vec![1, 0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], cbor),
        ("indefinite list", [&[1, 0x9F], &good[2..], &[0xFF]].concat(), cbor),
        (
            "indefinite item",
            [&[1, 0x82, 0x9F], &good[3..8], &[0xFF], &good[8..]].concat(),
            DecodeReason::NonCanonical,
        ),
        ("fourth element", vec![1, 0x81, 0x84, 1, 0xF5, 0x41, b'a', 0], DecodeReason::NonCanonical),
        ("bound as a number", vec![1, 0x81, 0x83, 1, 1, 0x41, b'a'], cbor),
        ("long kind", vec![1, 0x81, 0x83, 0x18, 1, 0xF5, 0x41, b'a'], DecodeReason::NonCanonical),
        ("text for bytes", vec![1, 0x81, 0x83, 1, 0xF5, 0x61, b'a'], cbor),
    ] {
        let expected = DecodeError::new("evidence list", reason);
        assert_eq!(EvidenceList::from_bytes(&bytes), Err(Error::Decode(expected)), "{name}");
    }
    for cut in 0..good.len() {
        let expected = DecodeError::new("evidence list", DecodeReason::Truncated);
        assert_eq!(EvidenceList::from_bytes(&good[..cut]), Err(Error::Decode(expected)), "{cut}");
    }
}
