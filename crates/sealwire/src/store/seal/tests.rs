use super::*;
use proptest::prelude::*;
use sealwire_testkit::rng::{BrokenRng, Fault, SeededRng};

fn state_key(fill: u8) -> StateKey {
    StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(fill)))
}

fn keys() -> Keys {
    Keys::derive(&state_key(1), [2; 16], 1).expect("keys")
}

fn key(name: &[u8]) -> RowKey {
    RowKey::new(name).expect("a key")
}

fn value() -> Value {
    Value::new(b"the state of a session".to_vec())
}

// attack T3
// STA-10
#[test]
fn a_sealed_row_opens_in_its_place_alone() {
    let (bob, bobb) = (key(b"bob"), key(b"bobb"));
    let place = Place { table: Table::Session, key: &bob, revision: 7 };
    let sealed = || keys().seal(place, &value(), &mut SeededRng::new(1)).expect("sealed");
    assert_eq!(keys().open(place, sealed()), Ok(value()));
    for (name, other) in [
        ("another kind", Place { table: Table::Peer, ..place }),
        ("another key", Place { key: &bobb, ..place }),
        ("an older revision", Place { revision: 6, ..place }),
        ("a newer revision", Place { revision: 8, ..place }),
    ] {
        assert_eq!(keys().open(other, sealed()), Err(CoreError::Open), "{name}");
    }
    for (name, keys) in [
        ("another store", Keys::derive(&state_key(1), [3; 16], 1)),
        ("another schema", Keys::derive(&state_key(1), [2; 16], 2)),
        ("another state key", Keys::derive(&state_key(2), [2; 16], 1)),
    ] {
        let opened = keys.expect("keys").open(place, sealed());
        assert_eq!(opened, Err(CoreError::Open), "{name}");
    }
}

// STA-10
#[test]
fn every_changed_byte_of_a_row_is_seen() {
    let bob = key(b"bob");
    let place = Place { table: Table::Session, key: &bob, revision: 7 };
    let seal = || keys().seal(place, &value(), &mut SeededRng::new(1)).expect("sealed");
    for index in 0..seal().sealed.len() {
        let mut row = seal();
        row.sealed[index] ^= 1;
        assert_eq!(keys().open(place, row), Err(CoreError::Open), "{index}");
    }
    for index in 0..aead::XNONCE_LEN {
        let mut row = seal();
        row.nonce[index] ^= 1;
        assert_eq!(keys().open(place, row), Err(CoreError::Open), "{index}");
    }
    for len in 0..seal().sealed.len() {
        let mut row = seal();
        row.sealed.truncate(len);
        assert_eq!(keys().open(place, row), Err(CoreError::Open), "{len}");
    }
}

// STA-9
#[test]
fn keys_of_one_store_differ_from_one_another_and_from_those_of_others() {
    let all = [
        keys(),
        Keys::derive(&state_key(1), [3; 16], 1).expect("keys"),
        Keys::derive(&state_key(2), [2; 16], 1).expect("keys"),
    ];
    let mut seen: Vec<&Secret<32>> = Vec::new();
    for Keys { store: _, schema: _, row, sum, generation, check } in &all {
        for key in [row, sum, generation, check] {
            assert!(!seen.contains(&key));
            seen.push(key);
        }
    }
    assert!(all[0].matches(all[0].check_value()));
    assert!(!all[0].matches(all[2].check_value()));
    assert!(!all[0].matches(&[]));
}

// STA-11
#[test]
fn a_term_depends_on_everything_that_names_a_sealing() {
    let (bob, bobb) = (key(b"bob"), key(b"bobb"));
    let place = Place { table: Table::Session, key: &bob, revision: 7 };
    let mut terms = vec![keys().term(place, &[1; 24]).expect("term")];
    for (place, nonce) in [
        (Place { table: Table::Peer, ..place }, [1; 24]),
        (Place { key: &bobb, ..place }, [1; 24]),
        (Place { revision: 8, ..place }, [1; 24]),
        (place, [2; 24]),
    ] {
        let term = keys().term(place, &nonce).expect("term");
        assert!(!terms.contains(&term));
        terms.push(term);
    }
}

// STA-12
#[test]
fn a_generation_row_opens_unchanged_or_not_at_all() {
    let generation = Generation {
        number: 9,
        predecessor: [3; 32],
        anchored: true,
        next_revision: MAX_REVISION,
        sums: [Sum([4; 32]); 7],
    };
    let row = keys().seal_generation(&generation, &mut SeededRng::new(1)).expect("sealed");
    assert_eq!(keys().open_generation(&row), Ok(generation));
    for index in 0..row.len() {
        let mut changed = row.clone();
        changed[index] ^= 0x80;
        assert_eq!(keys().open_generation(&changed), Err(CoreError::Open), "{index}");
        assert_eq!(keys().open_generation(&row[..index]), Err(CoreError::Open), "{index}");
        assert_ne!(generation_hash(&changed), generation_hash(&row));
    }
    let other = Keys::derive(&state_key(1), [2; 16], 2).expect("keys");
    assert_eq!(other.open_generation(&row), Err(CoreError::Open), "another schema");
}

// STA-12
#[test]
fn bad_generation_rows_are_refused() {
    let good = Generation::first(false).to_bytes();
    let changed = |index: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[index] = byte;
        bytes
    };
    for (name, bytes, reason) in [
        ("version", changed(0, 2), DecodeReason::UnknownVersion(2)),
        ("anchored", changed(41, 2), DecodeReason::Invalid("anchored is 0 or 1")),
        ("longer", [&good[..], &[0]].concat(), DecodeReason::Trailing),
        ("shorter", good[..good.len() - 1].to_vec(), DecodeReason::Truncated),
        ("empty", Vec::new(), DecodeReason::Truncated),
    ] {
        assert_eq!(Generation::from_bytes(&bytes).expect_err(name).reason(), reason, "{name}");
    }
}

// STA-11
#[test]
fn the_sum_carries_and_wraps() {
    let ones = Sum([0xFF; 32]);
    let mut sum = ones;
    let mut one = Sum::default();
    one.0[31] = 1;
    sum.add(one);
    assert!(sum == Sum::default());
    sum.subtract(one);
    assert!(sum == ones);
    let mut low = Sum::default();
    low.0[31] = 0xFF;
    low.add(one);
    assert_eq!(low.0[30..], [1, 0]);
}

// attack T31
#[test]
fn a_broken_generator_seals_nothing() {
    let bob = key(b"bob");
    let place = Place { table: Table::Session, key: &bob, revision: 7 };
    for fault in [Fault::Always, Fault::Once(0), Fault::Zero] {
        let sealed = keys().seal(place, &value(), &mut BrokenRng::new(fault));
        assert_eq!(sealed.err(), Some(CoreError::Randomness), "{fault:?}");
        let generation = Generation::first(false);
        let sealed = keys().seal_generation(&generation, &mut BrokenRng::new(fault));
        assert_eq!(sealed.err(), Some(CoreError::Randomness), "{fault:?}");
    }
}

// attack T31
#[test]
fn a_repeating_generator_repeats_no_nonce() {
    let bob = key(b"bob");
    let place = |revision| Place { table: Table::Session, key: &bob, revision };
    let nonce = |revision| {
        let row = keys().seal(place(revision), &value(), &mut BrokenRng::new(Fault::Repeating));
        row.expect("sealed").nonce
    };
    assert_eq!(nonce(7), nonce(7), "the control");
    assert_ne!(nonce(7), nonce(8));
    let fresh = |seed| {
        let row = keys().seal(place(7), &value(), &mut SeededRng::new(seed));
        row.expect("sealed").nonce
    };
    assert_ne!(fresh(1), fresh(2), "a revision that a crash has taken back");
}

proptest! {
    // STA-11
    #[test]
    fn the_sum_is_of_a_set(terms in proptest::collection::vec(any::<[u8; 32]>(), 1..20)) {
        let mut forward = Sum::default();
        terms.iter().for_each(|term| forward.add(Sum(*term)));
        let mut backward = Sum::default();
        terms.iter().rev().for_each(|term| backward.add(Sum(*term)));
        prop_assert!(forward == backward);
        let mut rest = forward;
        rest.subtract(Sum(terms[0]));
        let mut without = Sum::default();
        terms[1..].iter().for_each(|term| without.add(Sum(*term)));
        prop_assert!(rest == without);
    }
}
