//! Clocks that are wrong, and cards that end.

use sealwire::{Event, core::Timestamp, store::Table};

use crate::offline::common::{DAY, HOUR, NOW, World, counts, frames, read, say, sync};

// attack T30
#[tokio::test]
async fn a_clock_set_back_by_a_day_changes_nothing() {
    let (world, alice, bob) = World::talking().await;
    let carol = crate::offline::common::Place::new(3, &world.relay, &world.clock).start();
    world.clock.set(Timestamp::from_secs(NOW.as_secs() - DAY));
    say(&alice, &bob, b"yesterday").await;
    say(&bob, &alice, b"today").await;
    carol.publish_prekeys().await.expect("publish");
    say(&bob, &carol, b"who are you?").await;
}

// attack T30
#[tokio::test]
async fn a_clock_ten_years_ahead_deletes_nothing_and_says_so() {
    let (world, alice, bob) = World::talking().await;
    let others = |events: Vec<Event>| -> Vec<Event> {
        events.into_iter().filter(|event| *event != Event::ClockJumped).collect()
    };
    alice.close_sessions().await.expect("close");
    alice.send(bob.id(), b"anew").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"anew"]);
    assert_eq!(counts(&bob).await.len(), 2, "one is archived");
    let rows = |table| world.bob.disk.table(table).len();
    let before = (rows(Table::Session), rows(Table::Prekey));
    world.clock.set(Timestamp::from_secs(NOW.as_secs() + 3650 * DAY));
    let events = sync(&bob).await;
    assert!(events.contains(&Event::ClockJumped), "{events:?}");
    assert_eq!(others(events), [Event::PrekeysLow], "rotation is not skipped");
    assert_eq!((rows(Table::Session), rows(Table::Prekey)), before);
    // Back to the right time: all is as it was.
    world.clock.set(NOW);
    assert!(!sync(&bob).await.contains(&Event::ClockJumped));
    say(&bob, &alice, b"still here").await;
    say(&alice, &bob, b"me too").await;
}

// attack T30
#[tokio::test]
async fn an_agent_that_was_off_for_days_takes_first_messages() {
    let world = World::new();
    let bob = world.bob.start();
    bob.publish_prekeys().await.expect("publish");
    let id = bob.id().clone();
    drop(bob);
    // Nothing but the clock tells a process how long there was none.
    world.clock.set(Timestamp::from_secs(NOW.as_secs() + 3 * DAY));
    let alice = world.alice.start();
    alice.send(&id, b"are you back?").await.expect("send");
    sync(&alice).await;
    let bob = world.bob.start();
    let events = sync(&bob).await;
    assert!(!events.contains(&Event::ClockJumped), "{events:?}");
    assert_eq!(read(&bob).await, [b"are you back?"]);
    // While it runs, its clock can be held to.
    world.clock.set(Timestamp::from_secs(NOW.as_secs() + 5 * DAY));
    assert!(sync(&bob).await.contains(&Event::ClockJumped));
}

#[tokio::test]
async fn archived_sessions_end_after_thirty_days() {
    let (world, alice, bob) = World::talking().await;
    alice.close_sessions().await.expect("close");
    alice.send(bob.id(), b"anew").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    for (days, left) in [(0, 2), (29, 2), (1, 1)] {
        world.clock.pass(days * DAY);
        sync(&bob).await;
        assert_eq!(counts(&bob).await.len(), left, "{days}");
    }
    assert_eq!(world.bob.disk.table(Table::Session).len(), 1);
}

#[tokio::test]
async fn a_card_may_end_while_its_first_message_lies_in_the_mailbox() {
    for (late, arrives) in [(6 * DAY, true), (7 * DAY + HOUR, false)] {
        let world = World::new();
        let bob = world.bob.start();
        bob.publish_prekeys().await.expect("publish");
        let alice = world.alice.builder().card(world.alice.card(1, DAY)).build().expect("agent");
        alice.send(bob.id(), b"before I go").await.expect("send");
        world.clock.pass(DAY);
        sync(&alice).await;
        // The mailbox keeps it for seven days.
        world.clock.pass(late);
        sync(&bob).await;
        let expected: &[&[u8]] = if arrives { &[b"before I go"] } else { &[] };
        assert_eq!(read(&bob).await, expected, "{late}");
        assert_eq!(bob.peers().list().expect("pins").len(), usize::from(arrives));
    }
}

#[tokio::test]
async fn a_card_of_ours_may_end_while_a_message_that_names_it_lies_in_the_mailbox() {
    let world = World::new();
    let first = world.bob.builder().card(world.bob.card(1, DAY)).build().expect("agent");
    first.publish_prekeys().await.expect("publish");
    let alice = world.alice.start();
    alice.send(first.id(), b"to the old card").await.expect("send");
    sync(&alice).await;
    drop(first);
    world.clock.pass(7 * DAY);
    let bob = world.bob.start();
    assert!(bob.card().sequence() > 1, "a new card");
    assert_eq!(frames(&sync(&bob).await), 0);
    assert_eq!(read(&bob).await, [b"to the old card"]);
}

#[tokio::test]
async fn a_restart_keeps_the_card() {
    let world = World::new();
    let before = world.alice.start().card().clone();
    world.clock.pass(HOUR);
    assert_eq!(world.alice.start().card(), &before);
}

#[tokio::test]
async fn sessions_go_on_with_new_exchange_keys_and_the_owner_is_told() {
    use sealwire::core::{MemoryKeyStore, keystore::KeySeeds};
    use sealwire_testkit::rng::SeededRng;
    let mut rng = SeededRng::new(1);
    let mut seeds = KeySeeds::generate(&mut rng).expect("keys");
    let (world, alice, bob) = World::talking().await;
    drop(alice);
    let kx = seeds.add_set(&mut rng).expect("a second set");
    let mut place = world.alice.clone();
    place.keys = std::sync::Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"));
    world.clock.pass(HOUR);
    let now = world.clock.as_ref();
    let card = sealwire::identity::NewCard::new(NOW.as_secs() + 9, sealwire::Clock::wall(now), DAY);
    let card = card.sign(place.keys.as_ref(), kx).expect("a card");
    let alice = place.builder().card(card).build().expect("an agent");
    say(&alice, &bob, b"in the old session").await;
    say(&bob, &alice, b"as before").await;
    alice.close_sessions().await.expect("close");
    alice.send(bob.id(), b"with new keys").await.expect("send");
    sync(&alice).await;
    let peer = sealwire::delivery::Device::from(alice.id());
    let events = sync(&bob).await;
    assert_eq!(events, [Event::Reset { peer: peer.clone() }, Event::IdentityChanged { peer }]);
    assert_eq!(read(&bob).await, [b"with new keys"]);
}
