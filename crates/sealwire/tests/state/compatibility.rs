//! States of earlier releases open for ever.

use std::{env, fs, path::Path};

use sealwire::{
    Effects,
    store::{Protection, Range, Store, Table},
};

use crate::common::{Harness, OnDisk, get, key, put, value};

/// What the frozen state holds: of each kind three rows, one overwritten and one removed.
fn fill(store: &dyn Store) {
    for table in Table::ALL {
        let mut effects = Effects::new();
        for name in ["first", "second", "third"] {
            effects.put(table, key(name), value(format!("{table} {name}"))).expect("short");
        }
        effects.put(table, key("fourth"), value("goes")).expect("short");
        store.commit(effects).map(drop).expect("stored");
        let mut effects = Effects::new();
        effects.put(table, key("second"), value(format!("{table} again"))).expect("short");
        effects.delete(table, key("fourth")).expect("short");
        store.commit(effects).map(drop).expect("stored");
    }
}

fn check(store: &dyn Store) {
    for table in Table::ALL {
        let rows = store.scan(table, Range::all()).expect("reads");
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row.key.as_bytes(), String::from_utf8_lossy(&row.value).into_owned()))
            .collect();
        let expected = [
            (&b"first"[..], format!("{table} first")),
            (b"second", format!("{table} again")),
            (b"third", format!("{table} third")),
        ];
        assert_eq!(found, expected);
    }
}

// attack T38
// STA-17
#[test]
fn a_state_of_schema_1_opens_and_goes_on() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/state-schema-1.db");
    let mut disk = OnDisk::new();
    disk.close();
    if env::var_os("SEALWIRE_WRITE_FIXTURE").is_some() {
        disk.reopen();
        fill(&*disk.store());
        disk.close();
        fs::copy(disk.database(), &frozen).expect("written");
    }
    fs::write(disk.database(), fs::read(frozen).expect("there")).expect("written");
    disk.reopen();
    check(&*disk.store());
    let status = disk.store().status().expect("open");
    assert_eq!((status.generation(), status.protection()), (15, Protection::Unanchored));
    assert_eq!(put(&*disk.store(), Table::Session, "fifth", "new"), 16);
    disk.reopen();
    assert_eq!(get(&*disk.store(), Table::Session, "fifth").as_deref(), Some(&b"new"[..]));
}
