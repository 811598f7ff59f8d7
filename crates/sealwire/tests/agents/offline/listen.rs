//! Waiting for something to do: what arrives is told, and nothing between two calls is missed.

use std::{future::Future, sync::Arc, task::Poll, time::Duration};

use sealwire::{
    Agent, Event, Limits, Listener,
    delivery::{Delivery, Device},
};
use tokio::task::JoinSet;

use crate::offline::{
    common::{Place, World, read, say, sync},
    relay::Fate,
};

/// Whether it has something to tell at once.
async fn told(listener: &mut Listener) -> bool {
    let mut changed = std::pin::pin!(listener.changed());
    // Once more, so that wakers which it woke itself are seen.
    for _ in 0..3 {
        let polled = std::future::poll_fn(|context| Poll::Ready(changed.as_mut().poll(context)));
        if let Poll::Ready(changed) = polled.await {
            changed.expect("it listens");
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Listens, with nothing left to do.
async fn quiet(agent: &Agent) -> Listener {
    let mut listener = agent.listen().await.expect("listen");
    sync(agent).await;
    while told(&mut listener).await {
        sync(agent).await;
    }
    listener
}

#[tokio::test]
async fn what_arrives_is_told_once() {
    let (_world, alice, bob) = World::talking().await;
    let mut listener = quiet(&bob).await;
    for payload in [b"one", b"two"] {
        alice.send(bob.id(), payload).await.expect("send");
    }
    sync(&alice).await;
    assert!(told(&mut listener).await);
    assert_eq!(sync(&bob).await, []);
    assert_eq!(read(&bob).await, [b"one", b"two"]);
    assert!(!told(&mut listener).await);
}

#[tokio::test]
async fn a_listener_that_waits_is_woken() {
    let (_world, alice, bob) = World::talking().await;
    let mut listener = quiet(&bob).await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { listener.changed().await });
    tokio::task::yield_now().await;
    alice.send(bob.id(), b"wake up").await.expect("send");
    sync(&alice).await;
    let woken = tokio::time::timeout(Duration::from_secs(60), waiting.join_all()).await;
    assert!(woken.expect("in time").iter().all(Result::is_ok));
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"wake up"]);
}

#[tokio::test]
async fn nothing_is_missed_between_listening_and_the_backlog() {
    // What arrives before it listens is the backlog, and what arrives afterwards is told: before
    // the first sync, or between any two calls.
    let (_world, alice, bob) = World::talking().await;
    let deliver = async |payload: u8| {
        alice.send(bob.id(), &[payload]).await.expect("send");
        sync(&alice).await;
    };
    deliver(0).await;
    let mut listener = bob.listen().await.expect("listen");
    deliver(1).await;
    sync(&bob).await;
    deliver(2).await;
    let mut found = read(&bob).await;
    assert!(told(&mut listener).await);
    deliver(3).await;
    sync(&bob).await;
    found.extend(read(&bob).await);
    while told(&mut listener).await {
        sync(&bob).await;
        found.extend(read(&bob).await);
    }
    assert_eq!(found, [[0], [1], [2], [3]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_and_syncs_gets_all_that_is_sent_meanwhile() {
    const MESSAGES: u8 = 100;
    let (_world, alice, bob) = World::published().await;
    let to = bob.id().clone();
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        for payload in 0..MESSAGES {
            alice.send(&to, &[payload]).await.expect("send");
            sync(&alice).await;
        }
    });
    let mut found = Vec::new();
    let receiving = async {
        let mut listener = bob.listen().await.expect("listen");
        while found.len() < usize::from(MESSAGES) {
            sync(&bob).await;
            found.extend(read(&bob).await);
            if found.len() < usize::from(MESSAGES) {
                listener.changed().await.expect("it listens");
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), receiving).await.expect("nothing is missed");
    sending.join_all().await;
    assert_eq!(found, (0..MESSAGES).map(|payload| vec![payload]).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_mailbox_for_a_new_peer_is_followed() {
    let (world, alice, bob) = World::published().await;
    let carol = Place::new(3, &world.relay, &world.clock).start();
    carol.publish_prekeys().await.expect("publish");
    let mut listener = quiet(&carol).await;

    // A first message, through the contact mailbox.
    alice.send(carol.id(), b"hello").await.expect("send");
    sync(&alice).await;
    assert!(told(&mut listener).await);
    sync(&carol).await;
    assert_eq!(read(&carol).await, [b"hello"]);
    // The answer opens a mailbox for Alice alone, and so does a message to somebody new.
    carol.send(alice.id(), b"hello yourself").await.expect("send");
    carol.send(bob.id(), b"and you").await.expect("send");
    while told(&mut listener).await {
        sync(&carol).await;
    }
    for (peer, theirs) in [(&alice, b"hello yourself".to_vec()), (&bob, b"and you".to_vec())] {
        sync(peer).await;
        assert_eq!(read(peer).await, [theirs]);
        peer.send(carol.id(), b"so").await.expect("send");
        sync(peer).await;
        assert!(told(&mut listener).await, "it was left in the new mailbox");
        sync(&carol).await;
        assert_eq!(read(&carol).await, [b"so"]);
    }
}

#[tokio::test]
async fn prekeys_that_run_low_are_told_once_and_lead_to_a_refill() {
    let (world, _alice, bob) = World::published().await;
    let mut listener = quiet(&bob).await;
    let of = Device::from(bob.id());
    let claim = async |nonce| {
        world.relay.office.claim(&of, [nonce; 16]).await.expect("claim");
    };
    // Half of the KEM keys are claimed.
    for nonce in 0..10 {
        assert!(!told(&mut listener).await, "{nonce}");
        claim(nonce).await;
    }
    assert!(told(&mut listener).await);
    claim(10).await;
    assert_eq!(sync(&bob).await, [Event::PrekeysLow]);
    assert_eq!(sync(&bob).await, []);
    assert!(!told(&mut listener).await, "once is enough");
    bob.publish_prekeys().await.expect("refill");
    for nonce in 11..40 {
        claim(nonce).await;
    }
    assert!(told(&mut listener).await, "they ran low again");
    assert_eq!(sync(&bob).await, [Event::PrekeysLow]);
}

#[tokio::test]
async fn a_message_that_another_task_sends_is_a_reason_to_sync() {
    let (_world, alice, bob) = World::talking().await;
    let mut listener = quiet(&alice).await;
    alice.send(bob.id(), b"now").await.expect("send");
    assert!(told(&mut listener).await);
    sync(&alice).await;
    assert!(!told(&mut listener).await);
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"now"]);
}

#[tokio::test]
async fn a_relay_that_is_away_is_not_asked_again_and_again() {
    let (world, alice, bob) = World::talking().await;
    let mut listener = quiet(&alice).await;
    world.relay.on_deposit(|_| Fate::Away);
    alice.send(bob.id(), b"later").await.expect("send");
    assert!(told(&mut listener).await);
    alice.sync().await.expect_err("away");
    assert!(!told(&mut listener).await);
}

#[tokio::test]
async fn an_inbox_that_has_room_again_is_a_reason_to_sync() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.inbox = 2;
    let bob = world.bob.builder().limits(limits).build().expect("an agent");
    for payload in 0..5_u8 {
        alice.send(bob.id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    let mut listener = bob.listen().await.expect("listen");
    sync(&bob).await;
    assert!(!told(&mut listener).await, "there is no room for the third");
    let mut found = read(&bob).await;
    while told(&mut listener).await {
        sync(&bob).await;
        found.extend(read(&bob).await);
    }
    assert_eq!(found, [[0], [1], [2], [3], [4]]);
}

#[tokio::test]
async fn a_mailbox_that_is_gone_is_told_of_and_not_watched_any_more() {
    let (world, alice, bob) = World::talking().await;
    let mut listener = quiet(&bob).await;
    world.relay.lose_mailboxes().await;
    assert!(told(&mut listener).await);
    for agent in [&alice, &bob] {
        assert_eq!(sync(agent).await, [Event::PrekeysLow], "publishing opens another");
        agent.publish_prekeys().await.expect("publish");
    }
    let message = bob.send(alice.id(), b"lost").await.expect("send");
    let peer = Device::from(alice.id());
    assert_eq!(sync(&bob).await, [Event::Undeliverable { peer, message }]);
    say(&bob, &alice, b"where were we?").await;
    while told(&mut listener).await {
        sync(&bob).await;
    }
    alice.send(bob.id(), b"at the moon").await.expect("send");
    sync(&alice).await;
    assert!(told(&mut listener).await, "the new mailbox is watched");
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"at the moon"]);
}

#[tokio::test]
async fn a_listener_that_is_dropped_listens_no_more() {
    let (_world, alice, bob) = World::talking().await;
    let agent = Arc::new(bob);
    for _ in 0..100 {
        drop(agent.listen().await.expect("listen"));
    }
    // Another one is not hindered by those that are gone.
    let mut listener = quiet(&agent).await;
    alice.send(agent.id(), b"still").await.expect("send");
    sync(&alice).await;
    assert!(told(&mut listener).await);
}

#[tokio::test]
async fn an_agent_without_a_store_has_nothing_to_listen_to() {
    let agent = Agent::builder(crate::offline::common::keys(9)).build().expect("an agent");
    let error = agent.listen().await.expect_err("no store");
    assert!(matches!(error, sealwire::Error::Misuse(_)));
}
