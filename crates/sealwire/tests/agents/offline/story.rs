//! What the offline path does when nobody interferes.

use sealwire::{
    Agent, Draft, Error, Event, MAX_PAYLOAD_LEN, NoRoute, delivery::Device, identity::PinnedBy,
    store::Table,
};

use crate::offline::common::{NOW, Place, TestClock, World, counts, read, refused, say, sync};

#[tokio::test]
async fn bob_reads_what_alice_sent_while_he_was_away() {
    let world = World::new();
    let bob = world.bob.start();
    bob.publish_prekeys().await.expect("publish");
    drop(bob);

    let alice = world.alice.start();
    let sent = alice.send(world.bob.start().id(), b"one").await.expect("send");
    alice.send(world.bob.start().id(), b"two").await.expect("send");
    assert_eq!(sync(&alice).await, [Event::NewSession { peer: of(&world.bob.start()) }]);
    drop(alice);

    let bob = world.bob.start();
    let events = sync(&bob).await;
    assert_eq!(events, [Event::NewSession { peer: of(&world.alice.start()) }]);
    let first = bob.inbox().expect("inbox").next().await.expect("read").expect("a message");
    assert_eq!((first.id(), first.payload(), first.received()), (sent, &b"one"[..], NOW));
    assert_eq!(read(&bob).await, [b"one", b"two"]);
    let pin = bob.peers().get(world.alice.start().id()).expect("pins").expect("a pin");
    assert_eq!(pin.pinned_by(), PinnedBy::FirstContact);
}

fn of(agent: &Agent) -> Device {
    Device::from(agent.id())
}

#[tokio::test]
async fn both_talk_on_over_restarts_of_both() {
    let (world, alice, bob) = World::talking().await;
    drop((alice, bob));
    for round in 0..4_u8 {
        let (alice, bob) = (world.alice.start(), world.bob.start());
        say(&alice, &bob, &[round]).await;
        say(&bob, &alice, &[round, round]).await;
    }
    let (alice, bob) = (world.alice.start(), world.bob.start());
    assert_eq!(counts(&alice).await, [(true, 6, 5, 0)]);
    assert_eq!(counts(&bob).await, [(true, 5, 6, 0)]);
    let ids = |sessions: Vec<sealwire::SessionInfo>| sessions[0].id;
    let at_alice = ids(alice.sessions().await.expect("sessions"));
    assert_eq!(at_alice, ids(bob.sessions().await.expect("sessions")));
}

#[tokio::test]
async fn an_inbox_entry_stays_until_it_is_acknowledged() {
    let (world, alice, bob) = World::published().await;
    for payload in [b"a", b"b", b"c"] {
        alice.send(bob.id(), payload).await.expect("send");
    }
    sync(&alice).await;
    sync(&bob).await;
    let inbox = bob.inbox().expect("inbox");
    let two = inbox.list(2).await.expect("list");
    assert_eq!(two.iter().map(|one| one.payload()).collect::<Vec<_>>(), [b"a", b"b"]);
    inbox.ack(&two[1]).await.expect("ack");
    inbox.ack(&two[1]).await.expect("ack again");
    drop(bob);
    let bob = world.bob.start();
    assert_eq!(read(&bob).await, [b"a", b"c"]);
    assert!(world.bob.disk.table(Table::Inbox).is_empty());
}

#[tokio::test]
async fn the_prefix_and_the_reply_address_go_once_both_are_known() {
    let (world, alice, bob) = World::published().await;
    for round in 0..3 {
        say(&alice, &bob, b"?").await;
        say(&bob, &alice, b"!").await;
        let deposits = world.relay.deposits();
        let last = &deposits[deposits.len() - 2..];
        let kinds: Vec<u8> = last.iter().map(|(_, frame)| frame[1]).collect();
        assert_eq!(kinds, if round == 0 { [1, 2] } else { [2, 2] }, "{round}");
    }
    // The first went to the contact mailbox, the others each to a mailbox of one direction.
    let deposits = world.relay.deposits();
    let mut mailboxes: Vec<&Vec<u8>> = deposits.iter().map(|(mailbox, _)| mailbox).collect();
    mailboxes.sort();
    mailboxes.dedup();
    assert_eq!(mailboxes.len(), 3);
    let sizes: Vec<usize> = deposits.iter().map(|(_, frame)| frame.len()).collect();
    assert_eq!(sizes, [16_384, 2048, 2048, 2048, 2048, 2048]);
}

#[tokio::test]
async fn alice_repeats_the_prefix_until_bob_has_answered() {
    let (world, alice, bob) = World::published().await;
    for payload in [b"1", b"2", b"3"] {
        alice.send(bob.id(), payload).await.expect("send");
    }
    sync(&alice).await;
    let first = world.relay.deposits();
    assert!(first.iter().all(|(_, frame)| frame[1] == 1));
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"1", b"2", b"3"]);
    assert_eq!(counts(&bob).await, [(true, 0, 3, 0)], "one session");
    alice.send(bob.id(), b"4").await.expect("send");
    sync(&alice).await;
    drop(bob);
    let bob = world.bob.start();
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"4"]);
    assert_eq!(counts(&bob).await, [(true, 0, 4, 0)], "the same session");
}

#[tokio::test]
async fn a_peer_without_prekeys_cannot_be_written_to() {
    let (_, alice, _) = World::published().await;
    let clock = TestClock::at(NOW);
    let carol = Place::new(3, &crate::offline::relay::Relay::new(&clock), &clock).start();
    let refused = refused(alice.send(carol.id(), b"?").await);
    assert!(matches!(refused, Error::NoRoute(NoRoute::Offline)), "{refused:?}");
    assert!(matches!(alice.send(alice.id(), b"?").await, Err(Error::Oneself)));
}

#[tokio::test]
async fn the_longest_message_arrives_and_a_longer_one_is_refused() {
    let (_, alice, bob) = World::published().await;
    let longest = vec![7; MAX_PAYLOAD_LEN];
    say(&alice, &bob, &longest).await;
    say(&bob, &alice, &longest).await;
    say(&alice, &bob, b"").await;
    let refused = refused(alice.send(bob.id(), vec![7; MAX_PAYLOAD_LEN + 1]).await);
    assert!(matches!(refused, Error::MessageTooLong(MAX_PAYLOAD_LEN)));
}

#[tokio::test]
async fn a_message_with_a_key_is_sent_once() {
    let (world, alice, bob) = World::published().await;
    let draft = || Draft::new(b"pay 7").once(b"order 4711");
    let first = alice.send(bob.id(), draft()).await.expect("send");
    assert_eq!(alice.send(bob.id(), draft()).await.expect("send"), first);
    drop(alice);
    let alice = world.alice.start();
    assert_eq!(alice.send(bob.id(), draft()).await.expect("send"), first);
    let other = Draft::new(b"pay 8").once(b"order 4711");
    assert!(matches!(alice.send(bob.id(), other).await, Err(Error::Misuse(_))));
    alice.send(bob.id(), Draft::new(b"pay 7").once(b"order 4712")).await.expect("another");
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"pay 7", b"pay 7"]);
    // After a week the key is forgotten.
    world.clock.pass(7 * crate::offline::common::DAY + 1);
    sync(&alice).await;
    assert_ne!(alice.send(bob.id(), draft()).await.expect("send"), first);
}

#[tokio::test]
async fn closing_a_session_wipes_it_and_the_next_message_begins_another() {
    let (world, alice, bob) = World::talking().await;
    let session = alice.sessions().await.expect("sessions").remove(0);
    assert!(alice.close_session(&session).await.expect("close"));
    assert!(!alice.close_session(&session).await.expect("close again"));
    assert_eq!(alice.sessions().await.expect("sessions"), []);
    assert!(world.alice.disk.table(Table::Session).is_empty());
    // What was on its way does not open any more.
    bob.send(alice.id(), b"lost").await.expect("send");
    sync(&bob).await;
    assert_eq!(sync(&alice).await, [Event::Discarded { frames: 1 }]);
    assert_eq!(read(&alice).await, Vec::<Vec<u8>>::new());
    // Bob takes the new session for what it is.
    alice.send(bob.id(), b"again").await.expect("send");
    sync(&alice).await;
    assert_eq!(sync(&bob).await, [Event::Reset { peer: of(&alice) }]);
    assert_eq!(read(&bob).await, [b"again"]);
    say(&bob, &alice, b"here").await;
    assert_eq!(counts(&bob).await, [(true, 1, 1, 0), (false, 2, 2, 0)]);
    bob.close_sessions().await.expect("close");
    assert_eq!(bob.sessions().await.expect("sessions"), []);
    assert!(world.bob.disk.table(Table::Session).is_empty());
    assert_eq!(world.bob.start().sessions().await.expect("sessions"), []);
}

#[tokio::test]
async fn two_devices_of_one_agent_are_two_correspondents() {
    let (world, alice, bob) = World::published().await;
    let second = Place { disk: Default::default(), ..world.bob.clone() };
    let card = bob.card().clone();
    let second = second.builder().device(1).card(card).build().expect("an agent");
    second.publish_prekeys().await.expect("publish");
    let to_second = Device { agent: bob.id().clone(), number: 1 };
    alice.send(&to_second, b"for the second").await.expect("send");
    alice.send(bob.id(), b"for the first").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    sync(&second).await;
    assert_eq!(read(&bob).await, [b"for the first"]);
    assert_eq!(read(&second).await, [b"for the second"]);
    second.send(alice.id(), b"from the second").await.expect("send");
    sync(&second).await;
    sync(&alice).await;
    let message = alice.inbox().expect("inbox").next().await.expect("read").expect("a message");
    assert_eq!(message.from(), &to_second);
}

#[tokio::test]
async fn a_store_serves_one_agent_and_one_device() {
    let (world, _alice, _bob) = World::published().await;
    let other = Place { disk: world.alice.disk.clone(), ..world.bob.clone() };
    assert!(matches!(other.builder().build(), Err(Error::Misuse(_))));
    assert!(matches!(world.alice.builder().device(1).build(), Err(Error::Misuse(_))));
    let half = Agent::builder(world.alice.keys.clone()).store(world.alice.disk.clone());
    assert!(matches!(half.build(), Err(Error::Misuse(_))));
    let online = Agent::builder(world.alice.keys.clone()).build().expect("an agent");
    assert!(matches!(online.send(world.bob.start().id(), b"?").await, Err(Error::Misuse(_))));
    assert!(matches!(online.inbox(), Err(Error::Misuse(_))));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn state_on_disk_serves_both_over_restarts_and_one_process_at_a_time() {
    use sealwire::store::{Error as StoreError, Options, SqliteStore};
    use std::sync::Arc;
    let home = tempfile::tempdir().expect("a directory");
    let world = World::new();
    let open = |place: &Place, name: &str| {
        SqliteStore::open(home.path().join(name), place.keys.as_ref(), Options::new())
    };
    let start = |place: &Place, name: &str| {
        let store = Arc::new(open(place, name).expect("the state"));
        place.builder().store(store).build().expect("an agent")
    };
    for round in 0..3_u8 {
        let (alice, bob) = (start(&world.alice, "alice"), start(&world.bob, "bob"));
        if round == 0 {
            bob.publish_prekeys().await.expect("publish");
        }
        let second = open(&world.bob, "bob").expect_err("a second process");
        assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
        say(&alice, &bob, &[round]).await;
        say(&bob, &alice, &[round, round]).await;
    }
    let alice = start(&world.alice, "alice");
    assert_eq!(counts(&alice).await, [(true, 3, 3, 0)]);
}
