//! Clocks that are set back or ahead.

use std::sync::Arc;

use sealwire::{
    Agent, AllowAnyAuthenticated, Clock, Error, Handshake, Peer, Peers, core::Timestamp,
    identity::Error as Identity,
};

use crate::live::common::{
    DAY, HOUR, NOW, TestClock, builder, card, channels, dial, id_of, introduce, keys, open,
};

const YEAR: u64 = 365 * DAY;

fn at(seed: u64, clock: &Arc<TestClock>) -> sealwire::AgentBuilder {
    builder(seed).clock(Arc::clone(clock) as Arc<dyn Clock>).inbound(AllowAnyAuthenticated)
}

fn short_card(seed: u64) -> sealwire::identity::IdentityCard {
    sealwire::identity::NewCard::new(1, NOW, HOUR)
        .sign(keys(seed).as_ref(), card(keys(seed).as_ref(), 1, 1).kx_id())
        .expect("a card")
}

// attack T30
#[tokio::test(start_paused = true)]
async fn a_clock_set_back_does_not_revive_an_expired_card() {
    let clock = TestClock::at(NOW);
    let alice = at(1, &clock).build().expect("agent");
    let bob = builder(2).card(short_card(2)).inbound(AllowAnyAuthenticated).build().expect("agent");
    introduce(&alice, &bob);
    let (at_alice, _at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseIk));
    clock.pass(HOUR + 1);
    let (at_alice, _) = dial(&alice, id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::Identity(Identity::Expired { .. }))), "{at_alice:?}");
    clock.set(NOW);
    for peer in [id_of(&bob), Peer::Stranger] {
        let (at_alice, _) = dial(&alice, peer, &bob).await;
        assert!(matches!(at_alice, Err(Error::Identity(Identity::Expired { .. }))), "{at_alice:?}");
    }
    // Nor as a caller.
    introduce(&bob, &alice);
    let (_, at_alice) = dial(&bob, id_of(&alice), &alice).await;
    assert!(matches!(at_alice, Err(Error::Identity(Identity::Expired { .. }))), "{at_alice:?}");
}

// attack T30
#[tokio::test(start_paused = true)]
async fn what_pins_remember_of_time_holds_after_a_restart() {
    let peers = Arc::new(Peers::in_memory());
    let late = TestClock::at(NOW.plus(2 * HOUR));
    let own = card(keys(1).as_ref(), 1, 1);
    let alice = at(1, &late).card(own).peers(Arc::clone(&peers)).build().expect("agent");
    let carol = open(3);
    let _channels = channels(&alice, Peer::Stranger, &carol).await;
    // The clock of the machine has lost two hours.
    let alice = at(1, &TestClock::at(NOW)).peers(peers).build().expect("agent");
    let bob = builder(2).card(short_card(2)).inbound(AllowAnyAuthenticated).build().expect("agent");
    let (at_alice, _) = dial(&alice, Peer::Stranger, &bob).await;
    assert!(matches!(at_alice, Err(Error::Identity(Identity::Expired { .. }))), "{at_alice:?}");
}

// attack T30
#[tokio::test(start_paused = true)]
async fn a_clock_ten_years_ahead_expires_cards_and_breaks_nothing() {
    let clock = TestClock::at(NOW);
    let peers = Arc::new(Peers::in_memory());
    let alice = at(1, &clock).peers(Arc::clone(&peers)).build().expect("agent");
    let bob = open(2);
    introduce(&alice, &bob);
    introduce(&bob, &alice);
    clock.set(NOW.plus(10 * YEAR));
    for peer in [id_of(&bob), Peer::Stranger] {
        let (at_alice, at_bob) = dial(&alice, peer, &bob).await;
        assert!(matches!(at_alice, Err(Error::OwnCardExpired)), "{at_alice:?}");
        assert!(at_bob.is_err());
    }
    for peer in [id_of(&alice), Peer::Stranger] {
        let (at_bob, at_alice) = dial(&bob, peer, &alice).await;
        assert!(matches!(at_bob, Err(Error::Refused)), "{at_bob:?}");
        assert!(at_alice.is_err());
    }
    // Once the clock is right again and the agent restarted, nothing is poisoned.
    let restarted = |peers| -> Agent {
        at(1, &TestClock::at(NOW.plus(60)))
            .peers(peers)
            .card(alice.card().clone())
            .build()
            .expect("agent")
    };
    let (at_alice, _) = channels(&restarted(peers), id_of(&bob), &bob).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseIk));
}

// attack T30
#[tokio::test(start_paused = true)]
async fn a_card_signed_by_a_clock_far_ahead_is_replaced() {
    let ahead = at(1, &TestClock::at(NOW.plus(10 * YEAR))).build().expect("agent");
    let wrong = ahead.card().clone();
    let alice = at(1, &TestClock::at(NOW)).card(wrong.clone()).build().expect("agent");
    assert!(alice.card().sequence() > wrong.sequence());
    assert_eq!(alice.card().not_before(), NOW);
    let _channels = channels(&alice, Peer::Stranger, &open(2)).await;
    // A day ahead at most, it is this clock that was set back.
    let tomorrow = at(1, &TestClock::at(NOW.plus(DAY))).build().expect("agent");
    let alice = at(1, &TestClock::at(NOW)).card(tomorrow.card().clone()).build().expect("agent");
    assert_eq!(alice.card(), tomorrow.card());
}

// attack T30
#[tokio::test(start_paused = true)]
async fn clocks_at_both_ends_of_time_do_not_panic() {
    for wall in [0, 1, u64::MAX - 1, u64::MAX] {
        let clock = TestClock::at(Timestamp::from_secs(wall));
        let Ok(alice) = at(1, &clock).build() else { continue };
        let bob = open(2);
        let (at_alice, at_bob) = dial(&alice, Peer::Stranger, &bob).await;
        assert!(at_alice.is_err() || at_bob.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_card_of_ours_is_presented_to_nobody() {
    let clock = TestClock::at(NOW);
    let bob = at(2, &clock).card(short_card(2)).build().expect("agent");
    let alice = open(1);
    introduce(&alice, &bob);
    clock.pass(HOUR + 60);
    let (at_alice, at_bob) = dial(&alice, id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::Refused)), "{at_alice:?}");
    assert!(at_bob.is_err(), "{at_bob:?}");
}

#[tokio::test(start_paused = true)]
async fn a_card_in_grace_is_still_taken_as_the_one_that_a_late_clock_used() {
    let clock = TestClock::at(NOW);
    let current = card(keys(2).as_ref(), 2, 1);
    let bob = at(2, &clock).card(short_card(2)).card(current).build().expect("agent");
    let alice = open(1);
    alice.pin(sealwire::core::Unverified::new(short_card(2))).expect("pin");
    clock.pass(HOUR + 60);
    let (at_alice, _at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseIk));
}
