//! A relay that lies, and peers that are not who they say.

use std::sync::Arc;

use sealwire::{
    Agent, AllowAnyAuthenticated, Error, Limits, NoRoute, Rate,
    core::{KeyStore, Suite, SuiteSet},
    delivery::{Address, ClaimedKey, Delivery, Device, Published},
    identity::{Error as Identity, NewCard},
    ratchet::Error as Ratchet,
    store::Table,
};

use crate::mixed::Mixed;
use crate::offline::{
    common::{DAY, HOUR, NOW, Place, World, counts, frames, keys, read, refused, say, sync},
    prekeys::replay_to_contact,
    relay::Fate,
};

const NOTHING: Vec<Vec<u8>> = Vec::new();

/// The frame that an agent would send now, which does not arrive.
async fn intercepted(world: &World, from: &Agent, to: &Agent) -> (Address, Vec<u8>) {
    world.relay.on_deposit(|_| Fate::Lost);
    from.send(to.id(), b"the true one").await.expect("send");
    sync(from).await;
    world.relay.honest();
    world.relay.left().pop().expect("a frame")
}

// attack T18: a forged frame changes not one byte of what is stored, and the session lives.
#[tokio::test]
async fn forged_frames_change_nothing_and_the_session_lives() {
    for first in [true, false] {
        let (world, alice, bob) =
            if first { World::published().await } else { World::talking().await };
        let (to, frame) = intercepted(&world, &alice, &bob).await;
        let before = world.bob.disk.dump();
        let step = if first { 401 } else { 61 };
        // All of what is in clear, and samples of the rest.
        let clear = if first { 0..60 } else { 0..2 };
        let forged: Vec<usize> = clear.chain((60..frame.len()).step_by(step)).collect();
        for at in &forged {
            let mut bad = frame.clone();
            bad[*at] ^= 1;
            world.relay.inject(&to, &bad).await;
        }
        let discarded = u64::try_from(forged.len()).expect("few");
        assert_eq!(frames(&sync(&bob).await), discarded);
        assert_eq!(world.bob.disk.dump(), before);
        assert_eq!(bob.peers().list().expect("pins").len(), usize::from(!first));
        world.relay.inject(&to, &frame).await;
        sync(&bob).await;
        assert_eq!(read(&bob).await, [b"the true one"]);
        say(&bob, &alice, b"and back").await;
        say(&alice, &bob, b"and forth").await;
    }
}

#[tokio::test]
async fn frames_of_nothing_and_frames_in_the_wrong_mailbox_are_thrown_away() {
    let (world, alice, bob) = World::talking().await;
    let contact = world.relay.firsts()[0].clone();
    let (pairwise, message) = intercepted(&world, &alice, &bob).await;
    let before = world.bob.disk.dump();
    for class in [2048, 4096, 16_384, 65_536] {
        for fill in [0, 1, 0xff] {
            world.relay.inject(&contact.0, &vec![fill; class]).await;
            world.relay.inject(&pairwise, &vec![fill; class]).await;
        }
    }
    world.relay.inject(&contact.0, &message).await;
    world.relay.inject(&pairwise, &contact.1).await;
    assert_eq!(frames(&sync(&bob).await), 26);
    assert_eq!(world.bob.disk.dump(), before);
    assert_eq!(sync(&bob).await, [], "they are gone");
    assert_eq!(read(&bob).await, NOTHING);
}

// attack T9
#[tokio::test]
async fn a_replayed_first_message_is_read_once() {
    let (world, alice, bob) = World::published().await;
    say(&alice, &bob, b"once").await;
    // To the session that it began.
    replay_to_contact(&world).await;
    assert_eq!(frames(&sync(&bob).await), 1);
    // After a restart.
    drop(bob);
    let bob = world.bob.start();
    replay_to_contact(&world).await;
    assert_eq!(frames(&sync(&bob).await), 1);
    // With the session gone: its one-time keys are, too.
    bob.close_sessions().await.expect("close");
    for restart in [false, true] {
        let bob = if restart { world.bob.start() } else { bob.clone() };
        replay_to_contact(&world).await;
        assert_eq!(frames(&sync(&bob).await), 1);
        assert_eq!(read(&bob).await, NOTHING);
        assert_eq!(counts(&bob).await, []);
    }
}

// attack T9
#[tokio::test]
async fn a_second_responder_with_the_same_identity_does_not_take_it() {
    let (world, alice, bob) = World::published().await;
    let second = Place { disk: Arc::default(), ..world.bob.clone() };
    let second = second.builder().device(1).card(bob.card().clone()).build().expect("an agent");
    second.publish_prekeys().await.expect("publish");
    let to_second = Device { agent: bob.id().clone(), number: 1 };
    alice.send(&to_second, b"for the second").await.expect("send");
    sync(&alice).await;
    let (_, to_replay) = world.relay.firsts().remove(0);
    alice.send(bob.id(), b"for the first").await.expect("send");
    sync(&alice).await;
    let (contact_of_first, _) = world.relay.firsts().pop().expect("a frame");
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"for the first"]);
    world.relay.inject(&contact_of_first, &to_replay).await;
    assert_eq!(frames(&sync(&bob).await), 1);
    assert_eq!(read(&bob).await, NOTHING);
    sync(&second).await;
    assert_eq!(read(&second).await, [b"for the second"]);
}

/// Alice sends while the relay serves `lie` for what Bob published. Nothing may come of it.
async fn served(
    world: &World,
    alice: &Agent,
    bob: &Agent,
    lie: impl FnMut(&Device, Option<Published>) -> Option<Published> + Send + 'static,
) -> Error {
    world.relay.on_bundle(lie);
    let before = (world.alice.disk.dump(), world.relay.deposits(), world.relay.claims());
    let error = refused(alice.send(bob.id(), b"for bob alone").await);
    let after = (world.alice.disk.dump(), world.relay.deposits(), world.relay.claims());
    assert_eq!(before, after);
    assert_eq!(alice.peers().list().expect("pins"), []);
    world.relay.honest();
    error
}

async fn published(world: &World, agent: &Agent) -> Published {
    let of = Device::from(agent.id());
    world.relay.office.bundle(&of).await.expect("bundle").expect("published")
}

// attack T7: the bundle is compared with the identity that was meant.
#[tokio::test]
async fn mallorys_bundle_under_bobs_id_is_refused() {
    let (world, alice, bob) = World::published().await;
    let mallory = Place::new(66, &world.relay, &world.clock).start();
    mallory.publish_prekeys().await.expect("publish");
    let (hers, his) = (published(&world, &mallory).await, published(&world, &bob).await);
    let all = hers.clone();
    let error = served(&world, &alice, &bob, move |_, _| Some(all.clone())).await;
    assert!(matches!(error, Error::WrongPeer { .. }), "{error:?}");
    let mixed = Published { card: his.card.clone(), bundle: hers.bundle.clone() };
    let error = served(&world, &alice, &bob, move |_, _| Some(mixed.clone())).await;
    assert!(matches!(error, Error::Ratchet(Ratchet::Signature(_))), "{error:?}");
    let mixed = Published { card: hers.card, bundle: his.bundle };
    let error = served(&world, &alice, &bob, move |_, _| Some(mixed.clone())).await;
    assert!(matches!(error, Error::WrongPeer { .. }), "{error:?}");
    say(&alice, &bob, b"for bob alone").await;
}

// attack T5, T6: whatever is changed or left out, there is no session, and no other kind.
#[tokio::test]
async fn a_bundle_or_card_that_was_changed_leads_to_no_session() {
    let (world, alice, bob) = World::published().await;
    let his = published(&world, &bob).await;
    for at in (0..his.bundle.len()).step_by(37) {
        let mut bad = his.clone();
        bad.bundle[at] ^= 1;
        let error = served(&world, &alice, &bob, move |_, _| Some(bad.clone())).await;
        assert!(matches!(error, Error::Ratchet(_)), "{at}: {error:?}");
    }
    for cut in [0, 1, 100, his.bundle.len() - 1] {
        let mut bad = his.clone();
        bad.bundle.truncate(cut);
        let error = served(&world, &alice, &bob, move |_, _| Some(bad.clone())).await;
        assert!(matches!(error, Error::Ratchet(Ratchet::Decode(_))), "{cut}: {error:?}");
    }
    for at in (0..his.card.len()).step_by(61) {
        let mut bad = his.clone();
        bad.card[at] ^= 1;
        let error = served(&world, &alice, &bob, move |_, _| Some(bad.clone())).await;
        assert!(matches!(error, Error::Identity(_) | Error::WrongPeer { .. }), "{at}: {error:?}");
    }
    let error = served(&world, &alice, &bob, |_, _| None).await;
    assert!(matches!(error, Error::NoRoute(NoRoute::Offline)), "{error:?}");
    say(&alice, &bob, b"for bob alone").await;
}

// attack T5: one-time keys that are wrong are not taken for a directory that has none.
#[tokio::test]
async fn a_wrong_one_time_key_ends_the_attempt() {
    type Lie = fn(&mut ClaimedKey, &mut ClaimedKey);
    let lies: [(&str, Lie); 5] = [
        ("another key", |x25519, _| *x25519.key.last_mut().expect("a byte") ^= 1),
        ("another header", |_, kem| *kem.header.last_mut().expect("a byte") ^= 1),
        ("the kinds swapped", |x25519, kem| std::mem::swap(x25519, kem)),
        ("the headers swapped", |x25519, kem| std::mem::swap(&mut x25519.header, &mut kem.header)),
        ("nothing", |_, kem| kem.key.clear()),
    ];
    for (name, lie) in lies {
        let (world, alice, bob) = World::published().await;
        world.relay.on_claim(move |mut claimed| {
            let (Some(x25519), Some(kem)) = (&mut claimed.x25519, &mut claimed.kem) else {
                panic!("a key of each kind")
            };
            lie(x25519, kem);
            claimed
        });
        let before = (world.alice.disk.dump(), world.relay.deposits());
        let error = refused(alice.send(bob.id(), b"?").await);
        assert!(matches!(error, Error::Ratchet(_)), "{name}: {error:?}");
        assert_eq!((world.alice.disk.dump(), world.relay.deposits()), before, "{name}");
        world.relay.honest();
        say(&alice, &bob, b"with other keys").await;
    }
}

// attack T6: a peer that was pinned with both suites is not spoken to by a card with fewer.
#[tokio::test]
async fn a_card_with_fewer_suites_than_were_pinned_is_refused() {
    let (world, alice, bob) = World::talking().await;
    alice.close_sessions().await.expect("close");
    drop(bob);
    let one = SuiteSet::from_bytes(&[Suite::ChaChaPoly.id()]).expect("a suite");
    let card = NewCard::new(NOW.as_secs() + 10, NOW, DAY).suites(one);
    let card = card.sign(world.bob.keys.as_ref(), world.bob.keys.newest()).expect("a card");
    let bob = world.bob.builder().card(card).build().expect("an agent");
    bob.publish_prekeys().await.expect("publish");
    let error = refused(alice.send(bob.id(), b"?").await);
    assert!(matches!(error, Error::Identity(Identity::Downgrade)), "{error:?}");
}

// attack T15
#[tokio::test]
async fn an_older_bundle_than_one_that_was_seen_is_refused() {
    let (world, alice, bob) = World::published().await;
    let old = published(&world, &bob).await;
    bob.publish_prekeys().await.expect("publish");
    say(&alice, &bob, b"with the new one").await;
    alice.close_sessions().await.expect("close");
    world.relay.on_bundle(move |_, _| Some(old.clone()));
    let error = refused(alice.send(bob.id(), b"?").await);
    assert!(matches!(error, Error::Ratchet(Ratchet::OlderBundle)), "{error:?}");
    // It is remembered over restarts.
    drop(alice);
    let alice = world.alice.start();
    let error = refused(alice.send(bob.id(), b"?").await);
    assert!(matches!(error, Error::Ratchet(Ratchet::OlderBundle)), "{error:?}");
}

// attack T15: a relay that told Alice of one bundle and Carol of another cannot tell either of
// both, and what each was told is told apart by its sequence.
#[tokio::test]
async fn two_bundles_of_one_sequence_are_told_apart() {
    let (world, alice, bob) = World::published().await;
    let carol = Place::new(3, &world.relay, &world.clock).start();
    let one = published(&world, &bob).await;
    // A replica from a copied disk signs another bundle under the same number.
    let twin = Place { disk: Arc::default(), ..world.bob.clone() }.start();
    twin.publish_prekeys().await.expect("publish");
    let other = published(&world, &twin).await;
    assert_ne!(one, other);
    let shown_to = |published: Published| {
        world.relay.on_bundle(move |_, _| Some(published.clone()));
    };
    world.relay.on_claim(|_| sealwire::delivery::Claimed::default());
    shown_to(one.clone());
    alice.send(bob.id(), b"?").await.expect("the first that she sees");
    shown_to(other.clone());
    carol.send(bob.id(), b"?").await.expect("the first that she sees");
    for (agent, forked) in [(&alice, other), (&carol, one)] {
        agent.close_sessions().await.expect("close");
        shown_to(forked);
        let error = refused(agent.send(bob.id(), b"?").await);
        assert!(matches!(error, Error::Ratchet(Ratchet::ForkedBundle)), "{error:?}");
    }
}

// attack T15
#[tokio::test]
async fn an_expired_bundle_or_card_is_refused() {
    let (world, alice, bob) = World::published().await;
    let old = published(&world, &bob).await;
    for (later, expired) in [(14 * DAY, false), (HOUR, true), (17 * DAY, true)] {
        world.clock.pass(later);
        let old = old.clone();
        world.relay.on_bundle(move |_, _| Some(old.clone()));
        let sent = alice.send(bob.id(), b"?").await;
        if expired {
            let error = refused(sent);
            let fits = matches!(
                error,
                Error::Ratchet(Ratchet::Expired(_)) | Error::Identity(Identity::Expired { .. })
            );
            assert!(fits, "{error:?}");
        } else {
            sent.expect("its last second");
            alice.close_sessions().await.expect("close");
        }
    }
}

// attack T7
#[tokio::test]
async fn alices_exchange_key_under_mallorys_id_begins_no_session() {
    let (world, _alice, bob) = World::published().await;
    let (mallory, alice) = (keys(66), keys(1));
    let stolen = Mixed {
        shows: mallory.clone(),
        signs: mallory.clone(),
        exchanges: mallory,
        shows_exchange: alice,
    };
    let mallory = Agent::builder(Arc::new(stolen))
        .store(Arc::<crate::offline::common::Disk>::default())
        .delivery(world.relay.clone())
        .clock(world.clock.clone())
        .inbound(AllowAnyAuthenticated)
        .build()
        .expect("an agent");
    let before = world.bob.disk.dump();
    mallory.send(bob.id(), b"I am who I am").await.expect("send");
    mallory.sync().await.expect("sync");
    assert_eq!(frames(&sync(&bob).await), 1);
    assert_eq!(world.bob.disk.dump(), before);
    assert_eq!(bob.peers().list().expect("pins"), []);
}

#[tokio::test]
async fn a_flood_of_first_messages_is_taken_at_a_rate_and_none_is_lost() {
    let (world, _alice, bob) = World::published().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.per_source = Rate { per_second: 1, burst: 2 };
    let bob = world.bob.builder().limits(limits).build().expect("an agent");
    for seed in 20..25 {
        let stranger = Place::new(seed, &world.relay, &world.clock).start();
        stranger.send(bob.id(), b"hello").await.expect("send");
        sync(&stranger).await;
    }
    for expected in [2, 2, 1] {
        sync(&bob).await;
        assert_eq!(read(&bob).await.len(), expected);
        sync(&bob).await;
        assert_eq!(read(&bob).await, NOTHING);
        world.clock.pass(2);
    }
    assert_eq!(world.bob.disk.table(Table::Session).len(), 5);
}

#[tokio::test]
async fn an_inbox_that_is_full_leaves_the_rest_with_the_delivery() {
    let (world, alice, bob) = World::talking().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.inbox = 3;
    let start = || world.bob.builder().limits(limits).build().expect("an agent");
    for payload in 0..8_u8 {
        alice.send(world.bob.start().id(), &[payload]).await.expect("send");
    }
    sync(&alice).await;
    for expected in [&[[0], [1], [2]][..], &[[3], [4], [5]], &[[6], [7]], &[]] {
        for _ in 0..2 {
            // What is there already counts after a restart, too.
            let bob = start();
            sync(&bob).await;
            let waiting = bob.inbox().expect("inbox").list(9).await.expect("list");
            assert_eq!(waiting.len(), expected.len());
        }
        let bob = start();
        assert_eq!(read(&bob).await, expected);
    }
}

#[tokio::test]
async fn an_agent_with_more_and_more_devices_is_bounded() {
    let (world, _alice, bob) = World::published().await;
    let card = world.alice.card(1, DAY);
    for number in 0..18 {
        let place = Place { disk: Arc::default(), ..world.alice.clone() };
        let device = place.builder().device(number).card(card.clone()).build().expect("an agent");
        device.send(bob.id(), b"one more").await.expect("send");
        sync(&device).await;
    }
    assert_eq!(frames(&sync(&bob).await), 2);
    assert_eq!(read(&bob).await.len(), 16);
    assert_eq!(world.bob.disk.table(Table::Peer).len(), 16);
}
