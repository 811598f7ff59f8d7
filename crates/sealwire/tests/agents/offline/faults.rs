//! Loss, repetition, disorder, crashes and a disk that fails.

use std::sync::{Arc, Mutex};

use sealwire::{Agent, Error, Event, delivery::Device, store::Table};

use crate::offline::{
    common::{World, counts, frames, read, refused, say, sync},
    relay::Fate,
};

#[tokio::test]
async fn frames_in_any_order_and_some_twice_are_read_once() {
    let (world, alice, bob) = World::talking().await;
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number % 3 == 0 { Fate::Twice } else { Fate::Pass }
    });
    world.relay.backwards(true);
    for payload in 0..40_u8 {
        alice.send(bob.id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    let events = sync(&bob).await;
    assert_eq!(frames(&events), 13, "the repetitions");
    let mut found = read(&bob).await;
    found.sort();
    assert_eq!(found, (0..40_u8).map(|payload| vec![payload]).collect::<Vec<_>>());
    assert_eq!(counts(&bob).await, [(true, 1, 42, 0)]);
}

#[tokio::test]
async fn first_frames_in_any_order_begin_one_session() {
    let (world, alice, bob) = World::published().await;
    world.relay.backwards(true);
    for payload in 0..5_u8 {
        alice.send(bob.id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    sync(&bob).await;
    let mut found = read(&bob).await;
    found.sort();
    assert_eq!(found, [[0], [1], [2], [3], [4]]);
    assert_eq!(counts(&bob).await, [(true, 0, 5, 0)]);
}

#[tokio::test]
async fn lost_frames_leave_the_others_readable() {
    let (world, alice, bob) = World::talking().await;
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number % 2 == 0 { Fate::Lost } else { Fate::Pass }
    });
    for payload in 0..10_u8 {
        alice.send(bob.id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [[0], [2], [4], [6], [8]]);
    assert_eq!(counts(&bob).await, [(true, 1, 7, 4)], "keys for what was lost");
}

#[tokio::test]
async fn what_was_committed_and_not_deposited_is_sent_again_byte_for_byte() {
    let (world, alice, bob) = World::talking().await;
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let log = Arc::clone(&seen);
    world.relay.on_deposit(move |frame| {
        log.lock().expect("lock").push(frame.to_vec());
        Fate::Away
    });
    alice.send(bob.id(), b"once").await.expect("send");
    assert!(matches!(refused(alice.sync().await), Error::Delivery(_)));
    // The process dies here, and another time.
    drop(alice);
    let alice = world.alice.start();
    assert!(alice.sync().await.expect_err("away").is_retryable());
    drop(alice);
    world.relay.honest();
    let alice = world.alice.start();
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"once"]);
    let seen = seen.lock().expect("lock").clone();
    let delivered = world.relay.deposits().pop().expect("a deposit").1;
    assert_eq!(seen, [delivered.clone(), delivered]);
    assert!(world.alice.disk.table(Table::Outbox).is_empty());
}

// attack T26
#[tokio::test]
async fn an_acknowledgement_that_was_lost_does_not_repeat_a_message() {
    let (world, alice, bob) = World::published().await;
    world.relay.forgets_acks(true);
    alice.send(bob.id(), b"one").await.expect("send");
    sync(&alice).await;
    for _ in 0..3 {
        assert!(matches!(refused(bob.sync().await), Error::Delivery(_)));
    }
    world.relay.honest();
    drop(bob);
    let bob = world.bob.start();
    assert_eq!(frames(&sync(&bob).await), 1);
    assert_eq!(read(&bob).await, [b"one"]);
    assert_eq!(counts(&bob).await, [(true, 0, 1, 0)]);
}

#[tokio::test]
async fn a_mailbox_that_is_away_holds_up_its_own_frames_only() {
    let (world, alice, bob) = World::talking().await;
    let carol = crate::offline::common::Place::new(3, &world.relay, &world.clock).start();
    carol.publish_prekeys().await.expect("publish");
    say(&alice, &carol, b"hello").await;
    say(&carol, &alice, b"hello").await;
    alice.send(bob.id(), b"for bob").await.expect("send");
    alice.send(carol.id(), b"for carol").await.expect("send");
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number == 1 { Fate::Away } else { Fate::Pass }
    });
    assert!(alice.sync().await.is_err());
    sync(&carol).await;
    assert_eq!(read(&carol).await, [b"for carol"]);
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"for bob"]);
}

#[tokio::test]
async fn what_became_of_one_message_is_known_while_another_is_held_up() {
    let (world, alice, bob) = World::talking().await;
    let carol = crate::offline::common::Place::new(3, &world.relay, &world.clock).start();
    carol.publish_prekeys().await.expect("publish");
    say(&alice, &carol, b"hello").await;
    say(&carol, &alice, b"hello").await;
    let held_up = alice.send(bob.id(), b"for bob").await.expect("send");
    let delivered = alice.send(carol.id(), b"for carol").await.expect("send");
    let lost = alice.send(carol.id(), b"for nobody").await.expect("send");
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        [Fate::Away, Fate::Pass, Fate::Gone].get(number - 1).copied().unwrap_or(Fate::Pass)
    });
    assert!(alice.flush().await.is_err());
    for (message, waits) in [(held_up, true), (delivered, false), (lost, false)] {
        assert_eq!(alice.is_undelivered(&message).await.expect("count"), waits);
    }
    let peer = Device::from(carol.id());
    let told = [Event::Undeliverable { peer, message: lost }];
    assert_eq!(alice.events().expect("events"), told);
    assert_eq!(sync(&alice).await, [], "each event once");
    assert!(!alice.is_undelivered(&held_up).await.expect("count"));
}

#[tokio::test]
async fn a_mailbox_that_is_gone_is_told_of_and_the_peer_is_written_to_anew() {
    let (world, alice, bob) = World::talking().await;
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number == 1 { Fate::Gone } else { Fate::Pass }
    });
    let message = alice.send(bob.id(), b"lost").await.expect("send");
    let peer = Device::from(bob.id());
    assert_eq!(sync(&alice).await, [Event::Undeliverable { peer: peer.clone(), message }]);
    alice.send(bob.id(), b"found").await.expect("send");
    assert_eq!(sync(&alice).await, [Event::NewSession { peer }]);
    assert_eq!(sync(&bob).await, [Event::Reset { peer: Device::from(alice.id()) }]);
    assert_eq!(read(&bob).await, [b"found"]);
}

// attack T2: what was not stored is not sent, however often it is tried.
#[tokio::test]
async fn a_disk_that_fails_while_sending_sends_nothing_and_changes_nothing() {
    for talking in [false, true] {
        let (world, alice, bob) =
            if talking { World::talking().await } else { World::published().await };
        let before = world.alice.disk.dump();
        let deposits = world.relay.deposits();
        world.alice.disk.fail_after(0);
        for _ in 0..2 {
            let error = refused(alice.send(bob.id(), b"never").await);
            assert!(matches!(error, Error::State(_)), "{error:?}");
        }
        assert_eq!(world.alice.disk.dump(), before);
        assert_eq!(alice.sessions().await.expect("sessions").len(), usize::from(talking));
        world.alice.disk.heal();
        assert_eq!(frames(&sync(&alice).await), 0);
        assert_eq!(world.relay.deposits(), deposits);
        say(&alice, &bob, b"now").await;
        say(&bob, &alice, b"and now").await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_while_receiving_releases_nothing_and_loses_nothing() {
    for talking in [false, true] {
        let (world, alice, bob) =
            if talking { World::talking().await } else { World::published().await };
        alice.send(bob.id(), b"late").await.expect("send");
        sync(&alice).await;
        let before = world.bob.disk.dump();
        world.bob.disk.fail_after(0);
        for _ in 0..2 {
            assert!(matches!(refused(bob.sync().await), Error::State(_)));
            assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
        }
        assert_eq!(world.bob.disk.dump(), before);
        world.bob.disk.heal();
        assert_eq!(frames(&sync(&bob).await), 0);
        assert_eq!(read(&bob).await, [b"late"]);
        say(&bob, &alice, b"and back").await;
    }
}

/// Bob's disk fails after so many commits of a sync, his process dies, and he starts anew.
async fn crashed(commits: usize) -> (World, Agent, Agent) {
    let (world, alice, bob) = World::published().await;
    for payload in 0..4_u8 {
        alice.send(bob.id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    world.bob.disk.fail_after(commits);
    let _ = bob.sync().await;
    drop(bob);
    world.bob.disk.heal();
    let bob = world.bob.start();
    (world, alice, bob)
}

// attack T26
#[tokio::test]
async fn a_crash_at_every_commit_of_receiving_loses_and_repeats_nothing() {
    for commits in 0..5 {
        let (_, alice, bob) = crashed(commits).await;
        sync(&bob).await;
        assert_eq!(read(&bob).await, [[0], [1], [2], [3]], "{commits}");
        say(&bob, &alice, b"back").await;
        say(&alice, &bob, b"and forth").await;
    }
}

#[tokio::test]
async fn more_losses_in_a_row_than_a_session_survives_begin_a_new_one() {
    let (world, alice, bob) = World::talking().await;
    world.relay.on_deposit(|_| Fate::Lost);
    for _ in 0..1001 {
        alice.send(bob.id(), b"lost").await.expect("send");
    }
    sync(&alice).await;
    world.relay.honest();
    alice.send(bob.id(), b"too far").await.expect("send");
    sync(&alice).await;
    let before = world.bob.disk.table(Table::Session);
    let peer = Device::from(alice.id());
    assert_eq!(
        sync(&bob).await,
        [Event::Wedged { peer: peer.clone() }, Event::Discarded { frames: 1 }]
    );
    assert_eq!(world.bob.disk.table(Table::Session), before);
    // Bob's next message begins a session that carries both directions.
    bob.send(alice.id(), b"are you there?").await.expect("send");
    assert_eq!(sync(&bob).await, [Event::NewSession { peer }]);
    sync(&alice).await;
    assert_eq!(read(&alice).await, [b"are you there?"]);
    say(&alice, &bob, b"yes").await;
    say(&bob, &alice, b"good").await;
}

#[tokio::test]
async fn messages_to_many_peers_are_sent_at_a_time() {
    let (world, alice, bob) = World::talking().await;
    let mut peers = vec![bob];
    for seed in 10..14 {
        let place = crate::offline::common::Place::new(seed, &world.relay, &world.clock);
        let peer = place.start();
        peer.publish_prekeys().await.expect("publish");
        peers.push(peer);
    }
    let mut sending = tokio::task::JoinSet::new();
    for round in 0..10_u8 {
        for peer in &peers {
            let (alice, to) = (alice.clone(), peer.id().clone());
            sending.spawn(async move { alice.send(&to, &[round]).await });
        }
    }
    for sent in sending.join_all().await {
        sent.expect("send");
    }
    sync(&alice).await;
    for peer in &peers {
        sync(peer).await;
        let mut found = read(peer).await;
        found.sort();
        assert_eq!(found, (0..10_u8).map(|round| vec![round]).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_relay_that_lost_its_mailboxes_is_told_new_ones() {
    let (world, alice, bob) = World::talking().await;
    world.relay.lose_mailboxes().await;
    for agent in [&alice, &bob] {
        assert_eq!(sync(agent).await, [Event::PrekeysLow], "publishing opens a new one");
        agent.publish_prekeys().await.expect("publish");
        assert_eq!(sync(agent).await, []);
    }
    // Each finds out that the other's mailbox is gone, and both meet anew.
    let message = alice.send(bob.id(), b"lost").await.expect("send");
    let peer = Device::from(bob.id());
    assert_eq!(sync(&alice).await, [Event::Undeliverable { peer, message }]);
    say(&alice, &bob, b"found").await;
    say(&bob, &alice, b"found too").await;
    say(&alice, &bob, b"again").await;
}
