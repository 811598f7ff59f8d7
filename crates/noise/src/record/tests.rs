//! Two halves of a session against each other, and against whoever stands between them.

use proptest::{collection::vec, prelude::*};

use super::*;

mod limits;

const SUITES: [Suite; 2] = [Suite::AesGcm, Suite::ChaChaPoly];

fn key(fill: u8) -> Secret<32> {
    Secret::init_with(|key| key.fill(fill))
}

fn direction(suite: Suite, fill: u8, limits: Limits) -> Direction {
    Direction::new(suite, key(fill), limits).expect("a key")
}

fn sealer(suite: Suite, fill: u8, limits: Limits) -> Sealer {
    Sealer(Some(direction(suite, fill, limits)))
}

fn opener(suite: Suite, fill: u8, limits: Limits) -> Opener {
    Opener { direction: Some(direction(suite, fill, limits)), idle: 0, untouched: true }
}

/// The two ends of one direction.
fn pair(limits: Limits) -> (Sealer, Opener) {
    (sealer(Suite::AesGcm, 7, limits), opener(Suite::AesGcm, 7, limits))
}

/// Splits sealed bytes into records without their lengths.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
        records.push(record.to_vec());
        bytes = rest;
    }
    records
}

/// One record of any kind, also of kinds that no honest sender makes.
fn crafted(direction: &mut Direction, kind: u8, content: &[u8], zeros: usize) -> Vec<u8> {
    let mut out = Vec::new();
    append(direction, kind, &[content], zeros, &mut out).expect("short");
    out.split_off(2)
}

fn data(sealer: &mut Sealer, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal_data(content, &mut out).expect("open");
    records(&out).pop().expect("a record")
}

fn assert_poisoned(opener: &mut Opener, record: &[u8]) {
    assert_eq!(opener.open(&mut record.to_vec()), Err(Error::Record));
    assert!(!opener.is_open());
    let good = data(&mut sealer(Suite::AesGcm, 7, LIMITS), b"x");
    assert_eq!(opener.open(&mut good.clone()), Err(Error::Closed));
}

// REC-1, REC-2, REC-3, REC-4
#[test]
fn a_record_is_laid_out_as_the_specification_says() {
    for suite in SUITES {
        let mut sealer = sealer(suite, 9, LIMITS);
        let mut out = Vec::new();
        sealer.seal_data(b"first", &mut out).expect("open");
        sealer.seal_pad(3, &mut out).expect("open");
        sealer.seal_close(CloseReason::Age, &mut out).expect("open");
        let cipher = AeadKey::new(suite.aead(), &key(9)).expect("a key");
        let mut expected = Vec::new();
        let plaintexts: [&[u8]; 3] = [b"first\x01", b"\x04\0\0\0", b"\x01\x02"];
        for (counter, plaintext) in plaintexts.into_iter().enumerate() {
            let len = u16::try_from(plaintext.len() + 16).expect("short").to_be_bytes();
            let mut nonce = [0; 12];
            nonce[11] = u8::try_from(counter).expect("small");
            let mut message = plaintext.to_vec();
            let tag = cipher.seal_detached(&nonce, &len, &mut message).expect("short");
            expected.extend([&len[..], &message, &tag].concat());
        }
        assert_eq!(out, expected);
    }
}

// REC-10
#[test]
fn every_changed_bit_and_every_cut_is_refused_and_poisons() {
    // attack T24
    let record = data(&mut pair(LIMITS).0, b"content");
    for bit in 0..record.len() * 8 {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_poisoned(&mut pair(LIMITS).1, &changed);
    }
    for cut in 0..record.len() {
        assert_poisoned(&mut pair(LIMITS).1, &record[..cut]);
    }
    assert_poisoned(&mut pair(LIMITS).1, &[&record[..], &[0]].concat());
    assert_poisoned(&mut pair(LIMITS).1, &vec![0; MAX_CIPHERTEXT]);
    assert_poisoned(&mut pair(LIMITS).1, &vec![0; MAX_CIPHERTEXT + 1]);
}

#[test]
fn a_refused_record_leaves_no_plaintext_in_the_buffer() {
    let mut record = data(&mut pair(LIMITS).0, b"content");
    *record.last_mut().expect("a tag") ^= 1;
    assert_eq!(pair(LIMITS).1.open(&mut record), Err(Error::Record));
    assert_eq!(record[..8], [0; 8]);
}

#[test]
fn a_repeated_a_dropped_and_a_reordered_record_are_refused() {
    let (mut sealer, _) = pair(LIMITS);
    let sent: Vec<_> = (0..3).map(|index| data(&mut sealer, &[index])).collect();
    for (name, order) in [("repeated", [0, 0]), ("dropped", [0, 2]), ("out of order", [1, 0])] {
        let mut opener = pair(LIMITS).1;
        let opened: Vec<bool> =
            order.iter().map(|index| opener.open(&mut sent[*index].clone()).is_ok()).collect();
        assert!(opened.contains(&false), "{name}");
        assert!(!opener.is_open(), "{name}");
    }
}

#[test]
fn a_record_of_the_other_direction_of_another_session_or_suite_is_refused() {
    let record = data(&mut sealer(Suite::AesGcm, 7, LIMITS), b"content");
    for mut other in [opener(Suite::AesGcm, 8, LIMITS), opener(Suite::ChaChaPoly, 7, LIMITS)] {
        assert_poisoned(&mut other, &record);
    }
}

#[test]
fn a_plaintext_that_breaks_the_rules_is_refused() {
    // attack T24
    for (name, kind, content) in [
        ("nothing but zeros", 0, &b""[..]),
        ("type 0 behind content ending in a type", 0, b"text\x05"),
        ("unknown type 5", 5, b""),
        ("unknown type 255", 255, b"text"),
        ("close without a reason", TYPE_CLOSE, b""),
        ("close with two bytes", TYPE_CLOSE, b"\0\0"),
        ("rekey with content", TYPE_REKEY, b"x"),
        ("pad with content", TYPE_PAD, b"x"),
    ] {
        let record = crafted(&mut direction(Suite::AesGcm, 7, LIMITS), kind, content, 2);
        let mut opener = pair(LIMITS).1;
        assert_eq!(opener.open(&mut record.clone()), Err(Error::Record), "{name}");
        assert!(!opener.is_open(), "{name}");
    }
}

// REC-3
#[test]
fn content_that_ends_in_zeros_or_in_a_type_comes_back_whole() {
    for content in [&b""[..], b"\0", b"\0\0\0", b"\x01", b"\x02\0", b"\x03\x04\0\0"] {
        for zeros in [0, 1, 40] {
            let record = crafted(&mut direction(Suite::AesGcm, 7, LIMITS), 1, content, zeros);
            assert_eq!(pair(LIMITS).1.open(&mut record.clone()), Ok(Opened::Data(content)));
        }
    }
}

// REC-2
#[test]
fn the_largest_record_that_a_length_can_name_is_opened() {
    let content = vec![3; MAX_CIPHERTEXT - TAG_LEN - 1];
    let record = crafted(&mut direction(Suite::AesGcm, 7, LIMITS), TYPE_DATA, &content, 0);
    assert_eq!(record.len(), MAX_CIPHERTEXT);
    assert_eq!(pair(LIMITS).1.open(&mut record.clone()), Ok(Opened::Data(&content)));
}

// REC-2
#[test]
fn content_over_16_kib_is_misuse_and_changes_nothing() {
    let (mut sealer, mut opener) = pair(LIMITS);
    let mut out = b"before".to_vec();
    let too_much = vec![1; CONTENT_LEN + 1];
    assert!(matches!(sealer.seal_data(&too_much, &mut out), Err(Error::Misuse(_))));
    assert!(matches!(sealer.seal_pad(CONTENT_LEN + 1, &mut out), Err(Error::Misuse(_))));
    let halves: [&[u8]; 2] = [&too_much[..9_000], &too_much[..9_000]];
    assert!(matches!(sealer.seal_data_vectored(&halves, &mut out), Err(Error::Misuse(_))));
    assert_eq!(out, b"before");
    let most = &too_much[..CONTENT_LEN];
    assert_eq!(opener.open(&mut data(&mut sealer, most)), Ok(Opened::Data(most)));
}

// REC-8
#[test]
fn nothing_follows_a_close_on_either_side() {
    for byte in 0..=255 {
        let (mut sealer, mut opener) = pair(LIMITS);
        let reason = CloseReason::from_u8(byte);
        assert_eq!(reason.to_u8(), byte);
        let mut out = Vec::new();
        sealer.seal_close(reason, &mut out).expect("open");
        let len = out.len();
        assert_eq!(sealer.seal_data(b"late", &mut out), Err(Error::Closed));
        assert_eq!(sealer.seal_pad(1, &mut out), Err(Error::Closed));
        assert_eq!(sealer.seal_close(reason, &mut out), Err(Error::Closed));
        assert_eq!((out.len(), sealer.is_open()), (len, false));
        let mut record = records(&out).remove(0);
        assert_eq!(opener.open(&mut record.clone()), Ok(Opened::Close(reason)));
        assert_eq!(opener.open(&mut record), Err(Error::Closed));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Data(Vec<u8>),
    Pad(usize),
    Rekey,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // At most 25 idle steps, and rekeys that fall due: always under the idle limit.
    let step = prop_oneof![
        6 => vec(any::<u8>(), 0..40).prop_map(Step::Data),
        2 => (0usize..40).prop_map(Step::Pad),
        1 => Just(Step::Rekey),
    ];
    vec(step, 1..25)
}

/// Seals all steps and a close; gives the records and the content.
fn run(steps: &[Step], limits: Limits) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut sealer, mut out, mut contents) = (pair(limits).0, Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Data(content) => {
                sealer.seal_data(content, &mut out).expect("open");
                contents.push(content.clone());
            }
            Step::Pad(zeros) => sealer.seal_pad(*zeros, &mut out).expect("open"),
            Step::Rekey => {
                let direction = sealer.0.as_mut().expect("open");
                append(direction, TYPE_REKEY, &[], 0, &mut out).expect("short");
                direction.rekey().expect("a key");
            }
        }
    }
    sealer.seal_close(CloseReason::Done, &mut out).expect("open");
    (records(&out), contents)
}

/// Opens until the close or the first failure.
fn open_all(records: &[Vec<u8>], limits: Limits) -> (Vec<Vec<u8>>, Result<bool, Error>) {
    let (mut opener, mut contents) = (pair(limits).1, Vec::new());
    for record in records {
        match opener.open(&mut record.clone()) {
            Ok(Opened::Data(content)) => contents.push(content.to_vec()),
            Ok(Opened::Nothing) => {}
            Ok(Opened::Close(_)) => return (contents, Ok(true)),
            Err(error) => {
                assert!(!opener.is_open());
                return (contents, Err(error));
            }
        }
    }
    (contents, Ok(false))
}

proptest! {
    #[test]
    fn any_sequence_of_records_comes_back_in_order(
        steps in steps(),
        records in 8u64..20,
        bytes in 200u64..2_000,
    ) {
        let limits = Limits { records, bytes };
        let (sent, contents) = run(&steps, limits);
        prop_assert_eq!(open_all(&sent, limits), (contents, Ok(true)));
    }

    #[test]
    fn any_interference_ends_the_session_and_forges_nothing(
        steps in steps(),
        place: prop::sample::Index,
        other: prop::sample::Index,
        act in 0..4,
    ) {
        let (mut sent, contents) = run(&steps, LIMITS);
        let (at, to) = (place.index(sent.len()), other.index(sent.len()));
        match act {
            0 => { sent.remove(at); }
            1 => { let again = sent[at].clone(); sent.insert(at, again); }
            2 => sent.swap(at, to),
            _ => { let byte = to % sent[at].len(); sent[at][byte] ^= 1; }
        }
        let (opened, end) = open_all(&sent, LIMITS);
        prop_assert!(contents.starts_with(&opened));
        match act {
            // Without its close the stream is cut; with the close before it, a repeated close
            // is not looked at.
            0 => prop_assert!(end == Err(Error::Record) || end == Ok(false)),
            1 if at + 2 == sent.len() => prop_assert_eq!(end, Ok(true)),
            2 if at == to => prop_assert_eq!(end, Ok(true)),
            _ => prop_assert_eq!(end, Err(Error::Record)),
        }
    }
}
