//! Another agent answers than the one that was dialled.

use std::sync::Arc;

use sealwire::{
    AllowAnyAuthenticated, Error, Handshake, KnownPeers, Peer,
    core::KeyStore,
    identity::{Error as Identity, IdentityCard},
};

use crate::live::common::{
    DAY, Fixed, NOW, RETRY, TestClock, builder, call, card, channels, closed, dial, id_of,
    introduce, keys, open, pins, rotated_keys, with_keys,
};
use crate::live::wire::{Way, tapped};

/// Length of an IK preamble, in bytes.
const IK_PREAMBLE: usize = 4 + 2 + 4 + 1088 + 32;
/// Length of everything that XX sends before message 2, in bytes.
const XX_FIRST: usize = 10 + 2 + 1216;

#[tokio::test(start_paused = true)]
async fn another_agent_is_told_nothing_of_who_called() {
    let (alice, bob, carol) = (open(1), open(2), open(3));
    introduce(&alice, &bob);
    let before = pins(&alice);
    let (near, far, log) = tapped();
    let (at_alice, at_carol) = call((&alice, id_of(&bob), near), (&carol, far)).await;
    let Err(Error::WrongPeer { expected, found }) = at_alice else { panic!("{at_alice:?}") };
    assert_eq!((&expected, &found), (bob.id(), carol.id()));
    assert!(at_carol.is_err());
    // IK, which only Bob could read, and XX up to message 1. No message 3.
    let sent = log.sent(Way::ToResponder);
    let message1 = u16::from_be_bytes([sent[IK_PREAMBLE], sent[IK_PREAMBLE + 1]]);
    assert_eq!(sent.len(), IK_PREAMBLE + 2 + usize::from(message1) + XX_FIRST);
    assert_eq!((pins(&alice), pins(&carol)), (before, vec![]));
}

#[tokio::test(start_paused = true)]
async fn another_static_key_than_the_required_one_is_refused() {
    let (alice, carol) = (open(1), open(3));
    let bobs = keys(2).public(keys(2).newest()).expect("keys").handshake;
    let (near, far, log) = tapped();
    let (at_alice, at_carol) = call((&alice, Peer::StaticKey(bobs), near), (&carol, far)).await;
    assert!(matches!(at_alice, Err(Error::WrongKey)));
    assert!(at_carol.is_err());
    assert_eq!(log.sent(Way::ToResponder).len(), XX_FIRST);
    assert_eq!(pins(&alice), []);
}

/// Bob's card over his second set of exchange keys, and Bob without the first one.
fn rotated() -> (IdentityCard, sealwire::AgentBuilder) {
    let keys = rotated_keys(2);
    let card = card(keys.as_ref(), NOW.as_secs() + 1, 2);
    (card.clone(), with_keys(keys).card(card))
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_new_exchange_keys_is_reached_by_xx_where_it_admits_strangers() {
    let (alice, bob) = (closed(1), open(2));
    introduce(&alice, &bob);
    let (card, builder) = rotated();
    let bob = builder.inbound(AllowAnyAuthenticated).build().expect("agent");
    let (at_alice, _at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseXx));
    let pin = alice.peers().get(bob.id()).expect("peers").expect("a pin");
    assert_eq!((pin.card_hash(), pin.kx_id().get()), (card.hash(), 2));
    // And from then on by IK.
    let (at_alice, _at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseIk));
}

#[tokio::test(start_paused = true)]
async fn xx_is_not_tried_where_the_grant_does_not_say_so() {
    for (grant, handshakes) in [(sealwire::Decision::allow(), 1), (RETRY, 2)] {
        let outbound = Fixed { dial: grant, ..Fixed::ALLOW };
        let alice = builder(1).outbound(outbound).build().expect("agent");
        introduce(&alice, &open(2));
        let (_, builder) = rotated();
        let bob = builder.inbound(KnownPeers).build().expect("agent");
        let (near, far, log) = tapped();
        let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
        assert!(matches!(at_alice, Err(Error::Refused)));
        assert!(at_bob.is_err());
        let sent = log.sent(Way::ToResponder);
        let message1 = u16::from_be_bytes([sent[IK_PREAMBLE], sent[IK_PREAMBLE + 1]]);
        let ik = IK_PREAMBLE + 2 + usize::from(message1);
        assert_eq!(sent.len(), ik + (handshakes - 1) * XX_FIRST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_card_has_expired_is_met_by_xx_and_must_be_the_same() {
    let (alice, bob) = (closed(1), open(2));
    introduce(&alice, &bob);
    let later = |seed| {
        builder(seed).clock(TestClock::at(NOW.plus(31 * DAY))).inbound(AllowAnyAuthenticated)
    };
    let alice = later(1).peers(Arc::clone(alice.peers())).build().expect("agent");
    let (at_alice, _) = dial(&alice, id_of(&bob), &later(3).build().expect("agent")).await;
    assert!(matches!(at_alice, Err(Error::WrongPeer { .. })), "{at_alice:?}");
    let (at_alice, _at_bob) =
        channels(&alice, id_of(&bob), &later(2).build().expect("agent")).await;
    assert_eq!(at_alice.handshake(), Some(Handshake::NoiseXx));
}

#[tokio::test(start_paused = true)]
async fn an_older_card_than_the_pinned_one_is_refused() {
    let alice = closed(1);
    let newer = card(keys(2).as_ref(), 9, 1);
    let older = card(keys(2).as_ref(), 8, 1);
    let with = |card| builder(2).card(card).inbound(AllowAnyAuthenticated).build().expect("agent");
    introduce(&alice, &with(newer));
    let bob = with(older);
    for peer in [id_of(&bob), Peer::Stranger] {
        let (at_alice, _) = dial(&alice, peer, &bob).await;
        let expected = Identity::OlderCard { pinned: 9, presented: 8 };
        assert!(matches!(at_alice, Err(Error::Identity(error)) if error == expected));
    }
}
