//! Conversations, over restarts of the relay.

use std::time::Duration;

use sealwire::{
    Error, Event,
    delivery::{Delivery, DeliveryError, Device, MailboxKind, MessageId},
};
use tokio::task::JoinSet;

use crate::common::{Rig, agent, keys, read, say};

#[tokio::test]
async fn strangers_meet_through_a_relay_and_talk_on() {
    let rig = Rig::new().await;
    let (alice, bob) = (rig.agent(1), rig.agent(2));
    bob.publish_prekeys().await.expect("publish");
    say(&alice, &bob, b"hello").await;
    say(&bob, &alice, b"hello yourself").await;
    for _ in 0..3 {
        say(&alice, &bob, b"so").await;
        say(&bob, &alice, b"so so").await;
    }
    let longest = vec![7; sealwire::MAX_PAYLOAD_LEN];
    say(&alice, &bob, &longest).await;
}

#[tokio::test]
async fn messages_wait_for_a_relay_that_is_away_and_arrive_once() {
    let mut rig = Rig::new().await;
    let (alice, bob) = (rig.agent(1), rig.agent(2));
    bob.publish_prekeys().await.expect("publish");
    say(&alice, &bob, b"hello").await;
    say(&bob, &alice, b"hello yourself").await;
    alice.send(bob.id(), b"before").await.expect("send");
    alice.sync().await.expect("deliver");
    rig.stop().await;
    alice.send(bob.id(), b"meanwhile").await.expect("sealed and stored");
    let error = alice.sync().await.expect_err("away");
    assert!(error.is_retryable(), "{error:?}");
    assert!(matches!(error, Error::Delivery(DeliveryError::Unreachable(_))), "{error:?}");
    bob.sync().await.expect_err("away");
    rig.restart().await;
    // It is tried again once it may be there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    alice.sync().await.expect("deliver");
    bob.sync().await.expect("fetch");
    assert_eq!(read(&bob).await, [b"before".to_vec(), b"meanwhile".to_vec()]);
    bob.sync().await.expect("fetch");
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
    say(&bob, &alice, b"and back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_gets_all_that_is_sent_over_a_restart_of_the_relay() {
    const MESSAGES: u8 = 40;
    let mut rig = Rig::new().await;
    let (alice, bob) = (rig.agent(1), rig.agent(2));
    bob.publish_prekeys().await.expect("publish");
    let to = bob.id().clone();
    let mut receiving = JoinSet::new();
    receiving.spawn(async move {
        let mut listener = bob.listen().await.expect("listen");
        let mut found = Vec::new();
        while found.len() < usize::from(MESSAGES) {
            // While the relay is away there is nothing to be had.
            let synced = bob.sync().await;
            found.extend(read(&bob).await);
            if found.len() < usize::from(MESSAGES) && synced.is_ok() {
                listener.changed().await.expect("it listens");
            }
        }
        found
    });
    for payload in 0..MESSAGES {
        if payload == MESSAGES / 2 {
            rig.stop().await;
        }
        alice.send(&to, &[payload]).await.expect("send");
        if payload == MESSAGES / 2 {
            alice.sync().await.expect_err("away");
            rig.restart().await;
        }
        while alice.sync().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let found = tokio::time::timeout(Duration::from_secs(60), receiving.join_all()).await;
    let expected: Vec<_> = (0..MESSAGES).map(|payload| vec![payload]).collect();
    assert_eq!(found.expect("nothing is missed"), [expected]);
}

// attack T26
#[tokio::test]
async fn a_frame_that_is_left_twice_under_one_id_is_there_once_even_after_it_was_read() {
    let mut rig = Rig::new().await;
    let delivery = rig.delivery(&keys(1));
    let mailbox = delivery.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    let (id, frame) = (MessageId::from_bytes([7; 16]), vec![5; 2048]);
    delivery.deposit(&mailbox.address, id, &frame).await.expect("deposit");
    // The answer was lost with the relay that gave it.
    rig.stop().await;
    rig.restart().await;
    delivery.deposit(&mailbox.address, id, &frame).await.expect("the same again");
    let found = delivery.fetch(&mailbox.handle, 10).await.expect("fetch");
    assert_eq!(
        found.iter().map(|one| (one.message, &one.frame)).collect::<Vec<_>>(),
        [(id, &frame)]
    );
    for _ in 0..2 {
        delivery.ack(&mailbox.handle, &[found.first().expect("one").sequence]).await.expect("ack");
    }
    delivery.deposit(&mailbox.address, id, &frame).await.expect("a late repetition");
    assert!(delivery.fetch(&mailbox.handle, 10).await.expect("fetch").is_empty());
}

#[tokio::test]
async fn a_mailbox_that_is_closed_is_gone_for_both_sides() {
    let rig = Rig::new().await;
    let delivery = rig.delivery(&keys(1));
    let mailbox = delivery.open_mailbox(MailboxKind::Contact).await.expect("mailbox");
    let renewed = delivery.address(&mailbox).await.expect("another capability");
    assert_ne!(renewed, mailbox.address);
    let id = |number| MessageId::from_bytes([number; 16]);
    delivery.deposit(&mailbox.address, id(1), &[0; 2048]).await.expect("the first capability");
    delivery.deposit(&renewed, id(2), &[0; 2048]).await.expect("and the second");
    delivery.close_mailbox(&mailbox.handle).await.expect("close");
    delivery.close_mailbox(&mailbox.handle).await.expect("close again");
    let refused = delivery.deposit(&mailbox.address, id(3), &[0; 2048]).await;
    assert!(matches!(refused, Err(DeliveryError::Gone)), "{refused:?}");
    let refused = delivery.fetch(&mailbox.handle, 10).await;
    assert!(matches!(refused, Err(DeliveryError::Gone)), "{refused:?}");
}

#[tokio::test]
async fn peers_at_two_relays_reach_one_another_where_both_allow_it() {
    let (here, there) = (Rig::new().await, Rig::new().await);
    let (alices, bobs) = (keys(1), keys(2));
    let at_alice = here.delivery_with(&alices, |settings| {
        settings.public = Some(here.url());
        settings.allowed = vec![there.url()];
    });
    let at_bob = there.delivery_with(&bobs, |settings| {
        settings.public = Some(there.url());
        settings.allowed = vec![here.url()];
    });
    let bob = agent(&bobs, at_bob);
    bob.publish_prekeys().await.expect("publish");
    assert!(at_alice.route(bob.id(), &there.url().to_string()));
    let alice = agent(&alices, at_alice);
    say(&alice, &bob, b"hello").await;
    say(&bob, &alice, b"hello yourself").await;
    say(&alice, &bob, b"so").await;

    // Carol is at home with Alice, and may talk to no other relay.
    let carols = keys(3);
    let carol = agent(&carols, here.delivery(&carols));
    carol.publish_prekeys().await.expect("publish");
    say(&alice, &carol, b"hello").await;
    let error = carol.send(bob.id(), b"hello").await.expect_err("he is not here");
    assert!(matches!(error, Error::NoRoute(_)), "{error:?}");
}

#[tokio::test]
async fn mailboxes_beyond_those_with_streams_are_polled() {
    let rig = Rig::new().await;
    let bobs = keys(2);
    let delivery = rig.delivery_with(&bobs, |settings| {
        settings.streams = 0;
        settings.poll = Duration::from_millis(50);
    });
    let (alice, bob) = (rig.agent(1), agent(&bobs, delivery));
    bob.publish_prekeys().await.expect("publish");
    let mut listener = bob.listen().await.expect("listen");
    alice.send(bob.id(), b"hello").await.expect("send");
    alice.sync().await.expect("deliver");
    let told = tokio::time::timeout(Duration::from_secs(20), listener.changed()).await;
    told.expect("in time").expect("told");
    bob.sync().await.expect("fetch");
    assert_eq!(read(&bob).await, [b"hello"]);
}

#[tokio::test]
async fn prekeys_that_run_low_are_pushed_and_refilled() {
    let rig = Rig::new().await;
    let bob = rig.agent(2);
    bob.publish_prekeys().await.expect("publish");
    let of = Device::from(bob.id());
    bob.sync().await.expect("nothing");
    let mut listener = bob.listen().await.expect("listen");
    let claimer = rig.delivery(&keys(3));
    for nonce in 0..10 {
        claimer.claim(&of, [nonce; 16]).await.expect("claim");
    }
    let told = tokio::time::timeout(Duration::from_secs(20), listener.changed()).await;
    told.expect("in time").expect("told");
    assert_eq!(bob.sync().await.expect("sync"), [Event::PrekeysLow]);
    bob.publish_prekeys().await.expect("refill");
    let left = rig.delivery(&keys(2)).remaining(&of).await.expect("remaining");
    assert!(left.kem >= 20 && left.x25519 >= 90, "{left:?}");
}
