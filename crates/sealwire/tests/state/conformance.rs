//! One suite for every store.

use std::{sync::Arc, thread};

use sealwire::{
    Effects,
    store::{MAX_PAGE_LEN, MAX_PAGE_ROWS, MAX_VALUE_LEN, Range, RowKey, Store, Table},
};

use crate::common::{Harness, InMemory, delete, get, key, keys, put, value};

/// Every test of the suite, for a harness.
macro_rules! store_conformance {
    ($name:ident, $harness:expr) => {
        store_conformance!(@ $name, $harness,
            what_is_written_is_read_also_after_opening_anew,
            rows_of_two_kinds_do_not_meet,
            a_commit_is_applied_in_its_order,
            what_is_sent_and_released_is_stored_and_given_out,
            a_commit_without_changes_makes_no_generation,
            generations_ascend_and_survive,
            scans_ascend_by_unsigned_bytes,
            scans_go_by_prefix_and_page,
            pages_are_bounded,
            the_bounds_of_keys_and_values_are_stored,
            commits_at_a_time_lose_nothing
        );
    };
    (@ $name:ident, $harness:expr, $($test:ident),*) => {
        mod $name {
            $(
                // attack T39
                #[test]
                fn $test() {
                    super::$test(&mut $harness);
                }
            )*
        }
    };
}

store_conformance!(memory, crate::common::InMemory::new());
#[cfg(feature = "sqlite")]
store_conformance!(sqlite, crate::common::OnDisk::new());
#[cfg(feature = "sqlite")]
store_conformance!(
    sqlite_anchored,
    crate::common::OnDisk::with(Some(std::sync::Arc::new(sealwire::store::MemoryAnchor::new())))
);

fn what_is_written_is_read_also_after_opening_anew(harness: &mut dyn Harness) {
    let store = harness.store();
    assert_eq!(get(&*store, Table::Session, "bob"), None);
    put(&*store, Table::Session, "bob", "one");
    put(&*store, Table::Session, "carol", "");
    put(&*store, Table::Session, "bob", "two");
    put(&*store, Table::Session, "dave", "gone");
    delete(&*store, Table::Session, "dave");
    delete(&*store, Table::Session, "was never there");
    drop(store);
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(get(&*store, Table::Session, "bob").as_deref(), Some(&b"two"[..]));
        assert_eq!(get(&*store, Table::Session, "carol").as_deref(), Some(&b""[..]));
        assert_eq!(get(&*store, Table::Session, "dave"), None);
        drop(store);
        harness.reopen();
    }
}

fn rows_of_two_kinds_do_not_meet(harness: &mut dyn Harness) {
    let store = harness.store();
    for table in Table::ALL {
        put(&*store, table, "same key", table.name());
    }
    delete(&*store, Table::Peer, "same key");
    for table in Table::ALL {
        let expected = (table != Table::Peer).then(|| table.name().as_bytes().to_vec());
        assert_eq!(get(&*store, table, "same key"), expected);
        let rows = store.scan(table, Range::all()).expect("reads");
        assert_eq!(rows.len(), usize::from(table != Table::Peer));
    }
}

// STA-3
fn a_commit_is_applied_in_its_order(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut effects = Effects::new();
    effects.put(Table::Meta, key("a"), value("1")).expect("short");
    effects.put(Table::Meta, key("a"), value("2")).expect("short");
    effects.put(Table::Meta, key("b"), value("1")).expect("short");
    effects.delete(Table::Meta, key("b")).expect("short");
    effects.delete(Table::Meta, key("c")).expect("short");
    effects.put(Table::Meta, key("c"), value("1")).expect("short");
    assert_eq!(store.commit(effects).expect("stored").generation(), generation(harness));
    drop(store);
    harness.reopen();
    let store = harness.store();
    assert_eq!(get(&*store, Table::Meta, "a").as_deref(), Some(&b"2"[..]));
    assert_eq!(get(&*store, Table::Meta, "b"), None);
    assert_eq!(get(&*store, Table::Meta, "c").as_deref(), Some(&b"1"[..]));
}

// attack T2
// STA-1, STA-2
fn what_is_sent_and_released_is_stored_and_given_out(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut effects = Effects::new();
    effects.put(Table::Session, key("bob"), value("next")).expect("short");
    effects.send(key("1"), value("ciphertext")).expect("short");
    effects.release(key("2"), value("plaintext")).expect("short");
    let (outgoing, delivered) = store.commit(effects).expect("stored").into_parts();
    drop(store);
    harness.reopen();
    let store = harness.store();
    assert_eq!((outgoing[0].key(), outgoing[0].bytes()), (&key("1"), &b"ciphertext"[..]));
    assert_eq!((delivered[0].key(), delivered[0].bytes()), (&key("2"), &b"plaintext"[..]));
    assert_eq!(get(&*store, Table::Outbox, "1").as_deref(), Some(outgoing[0].bytes()));
    assert_eq!(get(&*store, Table::Inbox, "2").as_deref(), Some(delivered[0].bytes()));
    assert_eq!(get(&*store, Table::Session, "bob").as_deref(), Some(&b"next"[..]));
}

// STA-3
fn a_commit_without_changes_makes_no_generation(harness: &mut dyn Harness) {
    let before = generation(harness);
    let committed = harness.store().commit(Effects::new()).expect("nothing to do");
    assert_eq!(committed.generation(), before);
    let (outgoing, delivered) = committed.into_parts();
    assert!(outgoing.is_empty() && delivered.is_empty());
    assert_eq!(generation(harness), before);
}

fn generations_ascend_and_survive(harness: &mut dyn Harness) {
    let mut last = generation(harness);
    for _ in 0..3 {
        for _ in 0..3 {
            let next = put(&*harness.store(), Table::Peer, "bob", "x");
            assert_eq!(next, last + 1);
            last = next;
        }
        harness.reopen();
        assert_eq!(generation(harness), last);
    }
}

fn generation(harness: &dyn Harness) -> u64 {
    harness.store().status().expect("open").generation()
}

// STA-5
fn scans_ascend_by_unsigned_bytes(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut names: Vec<Vec<u8>> = vec![
        vec![0],
        vec![0, 0],
        vec![0, 1],
        vec![0x7F],
        vec![0x7F, 0xFF],
        vec![0x80],
        vec![0xFF],
        vec![0xFF; 127],
        vec![0xFF; 128],
        b"a".to_vec(),
        b"aa".to_vec(),
        b"b".to_vec(),
    ];
    for name in names.iter().rev() {
        put(&*store, Table::Replay, name, name);
    }
    names.sort();
    let rows = store.scan(Table::Replay, Range::all()).expect("reads");
    assert_eq!(keys(&rows), names);
    for row in &rows {
        assert_eq!(row.value.as_slice(), row.key.as_bytes());
        let behind = store.scan(Table::Replay, Range::all().after(&row.key)).expect("reads");
        let expected: Vec<_> =
            names.iter().filter(|name| name.as_slice() > row.key.as_bytes()).collect();
        assert_eq!(keys(&behind), expected);
    }
}

fn names(store: &dyn Store, range: Range<'_>) -> Vec<Vec<u8>> {
    let rows = store.scan(Table::Prekey, range).expect("reads");
    keys(&rows).into_iter().map(<[u8]>::to_vec).collect()
}

// STA-5
fn scans_go_by_prefix_and_page(harness: &mut dyn Harness) {
    let store = harness.store();
    for name in ["a1", "a2", "a3", "b", "b1", "b2", "c"] {
        put(&*store, Table::Prekey, name, name);
    }
    put(&*store, Table::Prekey, [0xFF, 0xFF], "last");
    put(&*store, Table::Prekey, [0xFF], "last but one");
    let scan = |range: Range<'_>| names(&*store, range);
    assert_eq!(scan(Range::prefix(b"b")), [&b"b"[..], b"b1", b"b2"]);
    assert_eq!(scan(Range::prefix(b"b").limit(2)), [&b"b"[..], b"b1"]);
    assert_eq!(scan(Range::prefix(b"b").after(&key("b1"))), [b"b2"]);
    assert_eq!(scan(Range::prefix(b"b").after(&key("a1"))), [&b"b"[..], b"b1", b"b2"]);
    assert_eq!(scan(Range::prefix(b"b").after(&key("c"))), [b""; 0]);
    assert_eq!(scan(Range::prefix(&[0xFF])), [&[0xFF][..], &[0xFF, 0xFF]]);
    assert_eq!(scan(Range::prefix(&[0xFF; 200])), [b""; 0]);
    assert_eq!(scan(Range::prefix(b"d")), [b""; 0]);
    assert_eq!(scan(Range::all().limit(0)), [b""; 0]);
    let mut pages: Vec<Vec<u8>> = Vec::new();
    loop {
        let last = pages.last().map(key);
        let range = Range::all().limit(2);
        let page = scan(last.as_ref().map_or(range, |last| range.after(last)));
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages.len(), 9);
    assert!(pages.is_sorted());
}

// STA-5
fn pages_are_bounded(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut effects = Effects::new();
    for number in 0..MAX_PAGE_ROWS + 10 {
        let name = RowKey::new(&number.to_be_bytes()).expect("a key");
        effects.put(Table::Outbox, name, value("x")).expect("short");
    }
    store.commit(effects).map(drop).expect("stored");
    let page = store.scan(Table::Outbox, Range::all().limit(usize::MAX)).expect("reads");
    assert_eq!(page.len(), MAX_PAGE_ROWS);

    let large = vec![7; MAX_VALUE_LEN];
    for number in 0..=MAX_PAGE_LEN / MAX_VALUE_LEN {
        put(&*store, Table::Inbox, number.to_be_bytes(), &large);
    }
    let page = store.scan(Table::Inbox, Range::all()).expect("reads");
    assert_eq!(page.len(), MAX_PAGE_LEN / MAX_VALUE_LEN);
    let last = &page.last().expect("a row").key;
    assert_eq!(store.scan(Table::Inbox, Range::all().after(last)).expect("reads").len(), 1);
}

// STA-4
fn the_bounds_of_keys_and_values_are_stored(harness: &mut dyn Harness) {
    let (name, longest) = (vec![0xFF; RowKey::MAX_LEN], vec![0xA5; MAX_VALUE_LEN]);
    put(&*harness.store(), Table::Session, &name, &longest);
    harness.reopen();
    assert!(get(&*harness.store(), Table::Session, &name).as_ref() == Some(&longest));
}

// attack T4
// STA-13
fn commits_at_a_time_lose_nothing(harness: &mut dyn Harness) {
    let store = harness.store();
    let before = store.status().expect("open").generation();
    let writers: Vec<_> = (0..8_u32)
        .map(|writer| {
            let store = Arc::clone(&store);
            thread::Builder::new()
                .spawn(move || {
                    for number in 0..25_u32 {
                        let name = [writer.to_be_bytes(), number.to_be_bytes()].concat();
                        let mut effects = Effects::new();
                        let session = key(writer.to_be_bytes());
                        effects.put(Table::Session, session, value(&name)).expect("short");
                        effects.send(key(&name), value(&name)).expect("short");
                        let (outgoing, _) = store.commit(effects).expect("stored").into_parts();
                        assert_eq!(outgoing[0].bytes(), name);
                        let stored = get(&*store, Table::Session, writer.to_be_bytes());
                        assert_eq!(stored, Some(name), "its own commit is there");
                    }
                })
                .expect("a thread")
        })
        .collect();
    for writer in writers {
        writer.join().expect("no writer fails");
    }
    let generations = store.status().expect("open").generation() - before;
    assert!((1..=200).contains(&generations), "{generations}");
    drop(store);
    harness.reopen();
    let rows = harness.store().scan(Table::Outbox, Range::all()).expect("reads");
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|row| row.value.as_slice() == row.key.as_bytes()));
}

#[test]
fn a_store_in_memory_says_that_it_is_unanchored() {
    let status = InMemory::new().store().status().expect("open");
    assert_eq!(
        status.protection().to_string(),
        "unanchored: going back to an older state is not detected"
    );
}
