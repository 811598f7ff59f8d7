//! State and frames as this version wrote them first: they open for ever.

use sealwire::{Error, store::Table};
use sealwire_testkit::vectors::{bytes, json, passed};

use crate::offline::common::{World, counts, frames, read, refused, sync};

/// Bob's state after three messages of a session with Alice, and frames that were under way to
/// him: one of Alice's, and the first one of Carol's.
fn planted() -> World {
    let frozen = json(include_str!("../../vectors/offline-state-1.json"));
    let world = World::new();
    let rows = frozen["rows"].as_array().expect("rows");
    for row in rows {
        let table = Table::ALL.into_iter().find(|table| row[0] == table.name()).expect("a kind");
        world.bob.disk.put(table, &bytes(&row[1]), bytes(&row[2]));
    }
    world.relay.plant(bytes(&frozen["first"]), bytes(&frozen["pairwise"]));
    passed("sealwire offline state", rows.len());
    world
}

// attack T38
#[tokio::test]
async fn frozen_state_opens_and_so_do_frames_that_were_under_way() {
    let world = planted();
    let bob = world.bob.start();
    assert_eq!(counts(&bob).await, [(true, 1, 2, 0)]);
    assert_eq!(frames(&sync(&bob).await), 0);
    let mut found = read(&bob).await;
    found.sort();
    assert_eq!(found, [b"from alice", b"from carol"]);
    // The state that follows from it is good for more.
    bob.send(world.alice.start().id(), b"an answer").await.expect("send");
    let mut counts = counts(&bob).await;
    counts.sort();
    assert_eq!(counts, [(true, 0, 1, 0), (true, 2, 3, 0)]);
}

// attack T38
#[tokio::test]
async fn a_row_of_a_newer_version_is_refused_by_name_and_left_as_it_is() {
    for table in [Table::Meta, Table::Peer] {
        let world = planted();
        let (key, mut value) = world.bob.disk.table(table).remove(0);
        value[0] = 2;
        world.bob.disk.put(table, key.as_bytes(), value);
        let before = world.bob.disk.dump();
        let error = refused(world.bob.builder().build());
        let named = error.to_string().contains("unknown version 2; a newer release may read it");
        assert!(matches!(error, Error::StateRow(_)) && named, "{error}");
        assert_eq!(world.bob.disk.dump(), before);
    }
}
