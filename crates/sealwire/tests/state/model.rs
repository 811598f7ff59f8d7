//! Any sequence of commits and openings leaves what a map would hold.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use sealwire::{
    Effects,
    store::{Range, Table},
};

use crate::common::{Harness, InMemory, key, value};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, u8, Option<Vec<u8>>)>),
    Reopen,
}

/// Few keys, so that they are written again and again.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..Table::ALL.len(), 0..4_u8, proptest::option::of(vec(any::<u8>(), 0..40)));
    let step = prop_oneof![
        4 => vec(change, 0..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ];
    vec(step, 0..12)
}

fn agrees(harness: &mut dyn Harness, steps: Vec<Step>) {
    let mut model: BTreeMap<(usize, u8), Vec<u8>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Reopen => harness.reopen(),
            Step::Commit(changes) => {
                let mut effects = Effects::new();
                for (table, name, content) in changes {
                    let row = Table::ALL[table];
                    match content {
                        Some(content) => {
                            effects.put(row, key([name]), value(&content)).expect("short");
                            model.insert((table, name), content);
                        }
                        None => {
                            effects.delete(row, key([name])).expect("short");
                            model.remove(&(table, name));
                        }
                    }
                }
                harness.store().commit(effects).map(drop).expect("stored");
            }
        }
        let store = harness.store();
        for (index, table) in Table::ALL.into_iter().enumerate() {
            let rows = store.scan(table, Range::all()).expect("reads");
            let found: Vec<_> =
                rows.iter().map(|row| (row.key.as_bytes()[0], row.value.to_vec())).collect();
            let expected: Vec<_> = model
                .range((index, 0)..=(index, u8::MAX))
                .map(|((_, name), content)| (*name, content.clone()))
                .collect();
            assert_eq!(found, expected, "{table}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_is_a_map(steps in steps()) {
        agrees(&mut InMemory::new(), steps);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn the_store_in_sqlite_is_a_map(steps in steps()) {
        agrees(&mut crate::common::OnDisk::new(), steps);
    }
}
