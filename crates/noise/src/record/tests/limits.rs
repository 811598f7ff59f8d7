//! What one key may carry, and how much of nothing a receiver takes.

use super::*;

const SMALL: Limits = Limits { records: 4, bytes: BYTES_PER_KEY };

// REC-5
#[test]
fn the_last_record_under_a_key_is_its_rekey_and_counting_starts_anew() {
    // attack T20
    for suite in SUITES {
        let (mut sealer, mut opener) = (sealer(suite, 7, SMALL), opener(suite, 7, SMALL));
        let mut out = Vec::new();
        for index in 0..100u8 {
            sealer.seal_data(&[index], &mut out).expect("open");
        }
        let records = records(&out);
        // Three of content, then a rekey.
        assert_eq!(records.len(), 100 + 33);
        let mut expected = 0;
        for (index, record) in records.into_iter().enumerate() {
            let opened = opener.open(&mut record.clone()).map(|opened| opened == Opened::Nothing);
            assert_eq!(opened, Ok(index % 4 == 3));
            expected += u32::from(index % 4 != 3);
        }
        assert_eq!(expected, 100);
        assert_eq!(opener.direction.expect("open").counter, 1);
    }
}

// REC-6
#[test]
fn the_next_key_follows_from_the_last_as_the_specification_says() {
    for suite in SUITES {
        let mut direction = direction(suite, 7, SMALL);
        direction.counter = 3;
        direction.bytes = 1_000;
        direction.rekey().expect("a key");
        let info = [b"sealwire/v1/record/rekey\0".as_slice(), &[suite.id()]].concat();
        let expected = kdf::expand::<32>(&kdf::extract(&[0; 32], key(7).expose()), &info);
        assert_eq!(direction.key, expected);
        assert_eq!((direction.counter, direction.bytes), (0, 0));
    }
}

// REC-5
#[test]
fn a_receiver_refuses_a_last_record_that_is_no_rekey() {
    // attack T20
    for kind in [TYPE_DATA, TYPE_PAD] {
        let mut greedy = direction(Suite::AesGcm, 7, LIMITS);
        let mut opener = pair(SMALL).1;
        for _ in 0..3 {
            let mut record = crafted(&mut greedy, kind, b"", 0);
            assert!(opener.open(&mut record).is_ok());
        }
        assert_poisoned(&mut opener, &crafted(&mut greedy, kind, b"", 0));
    }
}

// REC-5
#[test]
fn bytes_are_counted_by_both_sides() {
    // attack T20
    let limits = Limits { records: RECORDS_PER_KEY, bytes: 300 };
    let (mut sealer, mut opener) = pair(limits);
    for round in 0..20u8 {
        let mut out = Vec::new();
        sealer.seal_data(&[round; 100], &mut out).expect("open");
        assert!(sealer.0.as_ref().expect("open").bytes <= 300);
        for mut record in records(&out) {
            assert!(opener.open(&mut record).is_ok());
        }
        assert!(opener.direction.as_ref().expect("open").bytes <= 300);
    }
    // A sender that does not count is refused at the record that goes over.
    let (mut greedy, mut opener) = (direction(Suite::AesGcm, 7, LIMITS), pair(limits).1);
    for _ in 0..2 {
        assert!(opener.open(&mut crafted(&mut greedy, TYPE_DATA, &[1; 100], 0)).is_ok());
    }
    assert_poisoned(&mut opener, &crafted(&mut greedy, TYPE_DATA, &[1; 100], 0));
}

// REC-5
#[test]
fn a_record_fits_only_where_its_rekey_still_fits_behind_it() {
    // One byte of content makes 18 bytes of ciphertext; a rekey makes 17.
    for (bytes, rekeyed) in [(18 + 18 + 17, false), (18 + 18 + 16, true)] {
        let limits = Limits { records: RECORDS_PER_KEY, bytes };
        let (mut sealer, mut opener) = pair(limits);
        let mut out = Vec::new();
        sealer.seal_data(b"1", &mut out).expect("open");
        sealer.seal_data(b"2", &mut out).expect("open");
        let records = records(&out);
        assert_eq!(records.len(), 2 + usize::from(rekeyed), "{bytes}");
        for mut record in records {
            assert!(opener.open(&mut record).is_ok());
        }
    }
}

// REC-5
#[test]
fn the_shipped_limits_hold_at_their_edge() {
    // attack T20
    let (mut sealer, mut opener) = pair(LIMITS);
    sealer.0.as_mut().expect("open").counter = (1 << 20) - 2;
    opener.direction.as_mut().expect("open").counter = (1 << 20) - 2;
    let mut out = Vec::new();
    for content in [b"1", b"2"] {
        sealer.seal_data(content, &mut out).expect("open");
    }
    let [mut last, mut rekey, mut first] =
        <[Vec<u8>; 3]>::try_from(records(&out)).expect("a rekey between two of data");
    assert_eq!(opener.open(&mut last), Ok(Opened::Data(b"1")));
    assert_eq!(opener.open(&mut rekey), Ok(Opened::Nothing));
    assert_eq!(opener.open(&mut first), Ok(Opened::Data(b"2")));

    let (mut sealer, _) = pair(LIMITS);
    sealer.0.as_mut().expect("open").bytes = (64 << 30) - 18;
    let mut out = Vec::new();
    sealer.seal_data(b"1", &mut out).expect("open");
    assert_eq!(records(&out).len(), 2);
}

#[test]
fn a_counter_never_wraps_even_without_limits() {
    // attack T20
    let none = Limits { records: u64::MAX, bytes: u64::MAX };
    let (mut sealer, mut opener) = pair(none);
    sealer.0.as_mut().expect("open").counter = u64::MAX - 2;
    opener.direction.as_mut().expect("open").counter = u64::MAX - 2;
    let mut out = Vec::new();
    for content in [b"1", b"2", b"3"] {
        sealer.seal_data(content, &mut out).expect("open");
    }
    assert_eq!(sealer.0.expect("open").counter, 2);
    let opened: Vec<bool> =
        records(&out).iter_mut().map(|record| opener.open(record).is_ok()).collect();
    assert_eq!(opened, [true; 4]);
}

// REC-9
#[test]
fn the_33rd_idle_record_in_a_row_is_refused() {
    // attack T24
    type Seal = fn(&mut Sealer, &mut Vec<u8>);
    let idle: [(&str, Seal); 3] = [
        ("empty data", |sealer, out| sealer.seal_data(b"", out).expect("open")),
        ("padding", |sealer, out| sealer.seal_pad(100, out).expect("open")),
        ("rekeys", |sealer, out| {
            let direction = sealer.0.as_mut().expect("open");
            append(direction, TYPE_REKEY, &[], 0, out).expect("short");
            direction.rekey().expect("a key");
        }),
    ];
    for (name, seal) in idle {
        let (mut sealer, mut opener) = pair(LIMITS);
        let mut out = Vec::new();
        for _ in 0..MAX_IDLE_RECORDS {
            seal(&mut sealer, &mut out);
        }
        // Content in between allows as many again.
        sealer.seal_data(b"x", &mut out).expect("open");
        for _ in 0..=MAX_IDLE_RECORDS {
            seal(&mut sealer, &mut out);
        }
        let mut records = records(&out);
        let last = records.pop().expect("the 33rd");
        assert_eq!(records.len(), 32 + 1 + 32);
        for record in &mut records {
            assert!(opener.open(record).is_ok(), "{name}");
        }
        assert_poisoned(&mut opener, &last);
    }
}
