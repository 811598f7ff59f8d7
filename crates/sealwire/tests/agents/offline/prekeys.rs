//! Prekeys: published, drained, rotated, remembered.

use sealwire::{Error, Event, delivery::Device, ratchet::prekey::ROTATE_AFTER, store::Table};

use crate::offline::{
    common::{DAY, HOUR, Place, World, counts, frames, read, refused, say, sync},
    relay::Fate,
};

fn of(place: &Place) -> Device {
    Device { agent: place.start().id().clone(), number: 0 }
}

// attack T21
#[tokio::test]
async fn drained_prekeys_fall_back_to_the_last_resort_and_both_sides_are_told() {
    let (world, alice, bob) = World::published().await;
    let target = of(&world.bob);
    for claim in 0..100_u8 {
        use sealwire::delivery::Delivery;
        world.relay.office.claim(&target, [claim; 16]).await.expect("claim");
    }
    alice.send(bob.id(), b"anyone left?").await.expect("send");
    let peer = Device::from(bob.id());
    let begun = [Event::NewSession { peer: peer.clone() }, Event::LastResortUsed { peer }];
    assert_eq!(sync(&alice).await, begun);
    let peer = Device::from(alice.id());
    let begun = [
        Event::NewSession { peer: peer.clone() },
        Event::LastResortUsed { peer },
        Event::PrekeysLow,
    ];
    assert_eq!(sync(&bob).await, begun);
    assert_eq!(read(&bob).await, [b"anyone left?"]);
    // It is said once, and again when it was of no avail.
    assert_eq!(sync(&bob).await, []);
    bob.publish_prekeys().await.expect("publish");
    assert_eq!(sync(&bob).await, []);
    say(&bob, &alice, b"yes").await;
}

#[tokio::test]
async fn the_owner_is_told_when_half_of_the_one_time_keys_are_gone() {
    use sealwire::delivery::Delivery;
    let (world, _alice, bob) = World::published().await;
    let target = of(&world.bob);
    for claim in 0..10_u8 {
        assert_eq!(sync(&bob).await, [], "{claim}");
        world.relay.office.claim(&target, [claim; 16]).await.expect("claim");
    }
    assert_eq!(sync(&bob).await, [Event::PrekeysLow]);
    bob.publish_prekeys().await.expect("publish");
    let left = world.relay.office.remaining(&target).await.expect("remaining");
    assert_eq!((left.x25519, left.kem), (90, 20), "what is not due is not made");
}

#[tokio::test]
async fn a_signed_prekey_that_was_rotated_in_flight_still_opens() {
    let (world, alice, bob) = World::published().await;
    alice.send(bob.id(), b"slow").await.expect("send");
    world.clock.pass(ROTATE_AFTER);
    assert_eq!(sync(&bob).await, [Event::PrekeysLow]);
    bob.publish_prekeys().await.expect("publish");
    world.clock.pass(6 * DAY);
    bob.publish_prekeys().await.expect("publish");
    sync(&alice).await;
    drop(bob);
    let bob = world.bob.start();
    world.clock.pass(6 * DAY);
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"slow"]);
    // And a month later the private half is gone.
    let carol = Place::new(3, &world.relay, &world.clock).start();
    carol.send(bob.id(), b"too slow").await.expect("send");
    world.clock.pass(29 * DAY);
    sync(&carol).await;
    drop(bob);
    let bob = world.bob.start();
    bob.publish_prekeys().await.expect("publish");
    assert_eq!(frames(&sync(&bob).await), 1);
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_first_message_is_not_repeated_after_the_end_of_its_prekeys() {
    let (world, alice, bob) = World::published().await;
    world.relay.on_deposit(|_| Fate::Lost);
    alice.send(bob.id(), b"lost").await.expect("send");
    sync(&alice).await;
    world.relay.honest();
    world.clock.pass(10 * DAY);
    bob.publish_prekeys().await.expect("publish");
    world.clock.pass(4 * DAY + HOUR);
    alice.send(bob.id(), b"anew").await.expect("send");
    let events = sync(&alice).await;
    assert!(matches!(events[..], [Event::NewSession { .. }, ..]), "a second session: {events:?}");
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"anew"]);
}

#[tokio::test]
async fn what_could_not_be_published_is_made_again_and_nothing_is_handed_out_unstored() {
    let world = World::new();
    let bob = world.bob.start();
    world.relay.away_for_publishing(true);
    for _ in 0..2 {
        assert!(matches!(refused(bob.publish_prekeys().await), Error::Delivery(_)));
    }
    world.relay.honest();
    world.bob.disk.fail_after(0);
    assert!(matches!(refused(bob.publish_prekeys().await), Error::State(_)));
    assert!(!world.relay.office.seen().iter().any(|seen| format!("{seen:?}").starts_with("Pub")));
    world.bob.disk.heal();
    bob.publish_prekeys().await.expect("publish");
    let alice = world.alice.start();
    alice.publish_prekeys().await.expect("publish");
    say(&alice, &bob, b"hello").await;
    say(&bob, &alice, b"hello").await;
}

// attack T9, T21
#[tokio::test]
async fn a_first_message_without_one_time_keys_is_remembered_over_restarts() {
    let (world, alice, bob) = World::published().await;
    world.relay.on_claim(|_| sealwire::delivery::Claimed::default());
    alice.send(bob.id(), b"once").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, [b"once"]);
    assert_eq!(world.bob.disk.table(Table::Replay).len(), 1);
    bob.close_sessions().await.expect("close");
    drop(bob);
    let bob = world.bob.start();
    replay_to_contact(&world).await;
    assert_eq!(frames(&sync(&bob).await), 1);
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
    assert_eq!(counts(&bob).await, []);
    // The entry goes with its prekey, and not before.
    world.clock.pass(20 * DAY);
    bob.publish_prekeys().await.expect("publish");
    assert_eq!(world.bob.disk.table(Table::Replay).len(), 1);
    world.clock.pass(2 * DAY);
    bob.publish_prekeys().await.expect("publish");
    assert_eq!(world.bob.disk.table(Table::Replay).len(), 0);
}

/// Leaves the first frame of all once more where it was left.
pub(crate) async fn replay_to_contact(world: &World) {
    let (address, frame) = world.relay.firsts().remove(0);
    world.relay.inject(&address, &frame).await;
}
