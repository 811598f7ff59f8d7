//! Both write first.

use std::sync::{Arc, Mutex};

use sealwire::{Agent, Event, SessionInfo};

use crate::offline::{
    common::{World, read, say, sync},
    relay::Fate,
};

/// The session that an agent sends in.
async fn active(agent: &Agent) -> SessionInfo {
    let mut sessions = agent.sessions().await.expect("sessions");
    sessions.retain(|session| session.active);
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

// attack T19
#[tokio::test]
async fn a_simultaneous_start_converges_on_the_lower_session() {
    for round in 0..20 {
        let (_, alice, bob) = World::published().await;
        alice.send(bob.id(), b"from alice").await.expect("send");
        bob.send(alice.id(), b"from bob").await.expect("send");
        sync(&alice).await;
        sync(&bob).await;
        sync(&alice).await;
        assert_eq!(read(&alice).await, [b"from bob"], "{round}");
        assert_eq!(read(&bob).await, [b"from alice"], "{round}");
        let (at_alice, at_bob) = (active(&alice).await, active(&bob).await);
        assert_eq!(at_alice.id, at_bob.id);
        let sessions = alice.sessions().await.expect("sessions");
        assert_eq!(sessions.len(), 2);
        let lower = sessions.iter().map(|session| session.id).min();
        assert_eq!(lower, Some(at_alice.id));
        say(&alice, &bob, b"agreed").await;
        say(&bob, &alice, b"agreed").await;
        assert_eq!(active(&alice).await.id, active(&bob).await.id);
    }
}

/// Both begin at a time, and the first frames of those that are named get lost.
async fn with_losses(lost: &'static [&'static [u8]]) {
    let (world, alice, bob) = World::published().await;
    let ids: Arc<Mutex<usize>> = Arc::default();
    let counter = Arc::clone(&ids);
    world.relay.on_deposit(move |_| {
        let mut number = counter.lock().expect("lock");
        *number += 1;
        let who: &[u8] = if *number == 1 { b"alice" } else { b"bob" };
        if *number <= 2 && lost.contains(&who) { Fate::Lost } else { Fate::Pass }
    });
    alice.send(bob.id(), b"first").await.expect("send");
    bob.send(alice.id(), b"first").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    for _ in 0..2 {
        for (from, to) in [(&alice, &bob), (&bob, &alice)] {
            from.send(to.id(), b"once more").await.expect("send");
            sync(from).await;
            sync(to).await;
            assert!(read(to).await.contains(&b"once more".to_vec()), "{lost:?}");
        }
    }
    assert_eq!(active(&alice).await.id, active(&bob).await.id, "{lost:?}");
    say(&alice, &bob, b"agreed").await;
    say(&bob, &alice, b"agreed").await;
}

// attack T19
#[tokio::test]
async fn a_simultaneous_start_with_losses_converges_within_two_round_trips() {
    for _ in 0..5 {
        with_losses(&[b"alice"]).await;
        with_losses(&[b"bob"]).await;
        with_losses(&[b"alice", b"bob"]).await;
        with_losses(&[]).await;
    }
}

// attack T19
#[tokio::test]
async fn repeated_simultaneous_starts_leave_a_bounded_archive() {
    let (world, alice, bob) = World::published().await;
    for _ in 0..12 {
        world.clock.pass(1);
        alice.close_sessions().await.expect("close");
        alice.send(bob.id(), b"anew").await.expect("send");
        sync(&alice).await;
        sync(&bob).await;
        assert_eq!(read(&bob).await, [b"anew"]);
    }
    let sessions = bob.sessions().await.expect("sessions");
    assert_eq!(sessions.len(), 9, "one to send in and eight that receive");
    assert_eq!(world.bob.disk.table(sealwire::store::Table::Session).len(), 9);
    say(&bob, &alice, b"there").await;
    say(&alice, &bob, b"here").await;
}

#[tokio::test]
async fn a_peer_that_lost_its_state_is_told_as_a_reset() {
    let (world, alice, bob) = World::talking().await;
    drop(alice);
    let fresh = crate::offline::common::Place { disk: Arc::default(), ..world.alice.clone() };
    let alice = fresh.start();
    alice.send(bob.id(), b"I lost everything").await.expect("send");
    sync(&alice).await;
    let events = sync(&bob).await;
    assert!(matches!(&events[..], [Event::Reset { .. }]), "{events:?}");
    assert_eq!(read(&bob).await, [b"I lost everything"]);
    say(&bob, &alice, b"welcome back").await;
    say(&alice, &bob, b"thank you").await;
}
