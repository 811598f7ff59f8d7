//! XX and IK between willing agents.

use sealwire::{
    AllowAnyAuthenticated, Direction, Error, Freshness, Handshake, Peer,
    core::{KeyStore, Suite, Unverified},
    identity::{Evidence, EvidenceKind, EvidenceList, PinnedBy},
};

use crate::live::common::{
    DAY, NOW, acquainted, builder, call, channels, closed, id_of, introduce, keys, open,
};
use crate::live::wire::{Way, tapped};

#[tokio::test(start_paused = true)]
async fn strangers_meet_with_xx_and_then_with_ik() {
    for near_suite in Suite::ALL {
        for far_suite in Suite::ALL {
            let build = |seed, suite| {
                builder(seed).suite(suite).inbound(AllowAnyAuthenticated).build().expect("agent")
            };
            let (alice, bob) = (build(1, near_suite), build(2, far_suite));
            for (peer, expected) in
                [(Peer::Stranger, Handshake::NoiseXx), (id_of(&bob), Handshake::NoiseIk)]
            {
                let (mut at_alice, mut at_bob) = channels(&alice, peer, &bob).await;
                assert_eq!(at_alice.handshake(), Some(expected));
                assert_eq!(at_bob.handshake(), Some(expected));
                assert_eq!(at_alice.channel_binding(), at_bob.channel_binding());
                assert_eq!(at_alice.peer().expect("peer"), bob.id());
                assert_eq!(at_bob.peer().expect("peer"), alice.id());
                at_alice.send(b"ping").await.expect("send");
                assert_eq!(at_bob.recv().await.expect("recv").as_deref(), Some(&b"ping"[..]));
            }
            // And the other way round.
            let (at_bob, _) = channels(&bob, id_of(&alice), &alice).await;
            assert_eq!(at_bob.handshake(), Some(Handshake::NoiseIk));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_initiator_chooses_the_suite() {
    for suite in Suite::ALL {
        let alice = builder(1).suite(suite).build().expect("agent");
        let bob = open(2);
        introduce(&alice, &bob);
        for peer in [Peer::Stranger, id_of(&bob)] {
            let (near, far, log) = tapped();
            let (at_alice, at_bob) = call((&alice, peer, near), (&bob, far)).await;
            assert!(at_alice.is_ok() && at_bob.is_ok());
            assert_eq!(log.sent(Way::ToResponder)[1], suite.id());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_pin_whom_they_met() {
    let (alice, bob) = (open(1), open(2));
    let (at_alice, at_bob) = channels(&alice, Peer::Stranger, &bob).await;
    for (agent, peer) in [(&alice, &bob), (&bob, &alice)] {
        let pin = agent.peers().get(peer.id()).expect("peers").expect("a pin");
        assert_eq!(pin.pinned_by(), PinnedBy::FirstContact);
        assert_eq!(pin.card_hash(), peer.card().hash());
        assert_eq!((pin.first_seen(), pin.last_seen()), (NOW, NOW));
    }
    // The facts are those of before the channel: policy judged a stranger.
    assert_eq!(at_bob.facts().pinned(), None);
    assert_eq!(at_bob.facts().direction(), Direction::Inbound);
    assert_eq!(at_alice.facts().direction(), Direction::Outbound);
    assert_eq!(at_alice.facts().freshness(), Freshness::NoLog);
    assert!(at_alice.facts().is_authenticated() && at_bob.facts().is_authenticated());
    assert_eq!(at_bob.facts().card(), Some(&alice.card().hash()));
    let (_, at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_bob.facts().pinned(), Some(PinnedBy::FirstContact));
}

#[tokio::test(start_paused = true)]
async fn a_card_in_hand_leads_to_ik_and_a_key_alone_to_xx() {
    let (alice, bob) = (closed(1), open(2));
    let card = || Peer::Card(Box::new(Unverified::new(bob.card().clone())));
    let key = Peer::StaticKey(keys(2).public(bob.card().kx_id()).expect("keys").handshake);
    let (channel, _) = channels(&alice, card(), &bob).await;
    assert_eq!(channel.handshake(), Some(Handshake::NoiseIk));
    let (channel, _) = channels(&alice, key, &bob).await;
    assert_eq!(channel.handshake(), Some(Handshake::NoiseXx));
    assert_eq!(channel.peer().expect("peer"), bob.id());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_pinned_cannot_be_dialled_by_its_id() {
    let (alice, bob) = (closed(1), open(2));
    let (at_alice, _) = crate::live::common::dial(&alice, id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::NotPinned(id)) if id == *bob.id()));
}

#[tokio::test(start_paused = true)]
async fn a_new_card_of_a_pinned_peer_is_learned_on_the_way() {
    let (alice, bob) = acquainted();
    let keys = keys(1);
    let newer = crate::live::common::card(keys.as_ref(), alice.card().sequence() + 1, 1);
    let alice = builder(1)
        .card(alice.card().clone())
        .card(newer.clone())
        .peers(std::sync::Arc::clone(alice.peers()))
        .build()
        .expect("agent");
    assert_eq!(alice.card(), &newer);
    let _channels = channels(&alice, id_of(&bob), &bob).await;
    let pin = bob.peers().get(alice.id()).expect("peers").expect("a pin");
    assert_eq!((pin.card_hash(), pin.pinned_by()), (newer.hash(), PinnedBy::OutOfBand));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_uses_an_earlier_card_in_grace_is_answered() {
    let (alice, bob) = acquainted();
    let newer = crate::live::common::card(keys(2).as_ref(), bob.card().sequence() + 1, 1);
    let build = |cards: [sealwire::identity::IdentityCard; 2]| {
        let mut builder = builder(2).peers(std::sync::Arc::clone(bob.peers()));
        for card in cards {
            builder = builder.card(card);
        }
        builder.build().expect("agent")
    };
    // A replica that still has the card answers, one that has not refuses.
    let (_, at_bob) =
        channels(&alice, id_of(&bob), &build([bob.card().clone(), newer.clone()])).await;
    assert_eq!(at_bob.handshake(), Some(Handshake::NoiseIk));
    let other = crate::live::common::card(keys(2).as_ref(), bob.card().sequence() + 2, 1);
    let forgetful = build([other, newer]);
    let alice = closed(1);
    introduce(&alice, &bob);
    let (at_alice, at_bob) = crate::live::common::dial(&alice, id_of(&bob), &forgetful).await;
    assert!(matches!(at_alice, Err(Error::Refused)));
    assert!(matches!(at_bob, Err(Error::Denied(_))), "{at_bob:?}");
}

#[tokio::test(start_paused = true)]
async fn agents_are_built_from_cards_of_their_own_only() {
    let build = |card| builder(1).card(card).build();
    assert!(matches!(build(open(2).card().clone()), Err(Error::Misuse(_))));
    let own = crate::live::common::card(keys(1).as_ref(), 7, 1);
    assert_eq!(build(own.clone()).expect("agent").card(), &own);
    let fork = sealwire::identity::NewCard::new(7, NOW, DAY)
        .sign(keys(1).as_ref(), own.kx_id())
        .expect("a card");
    let forked = builder(1).card(own).card(fork).build();
    assert!(matches!(forked, Err(Error::Misuse(_))));
}

#[tokio::test(start_paused = true)]
async fn as_much_evidence_as_a_list_holds_is_carried_both_ways() {
    let item = |length: usize| {
        Evidence::new(EvidenceKind::OrgCredential, true, &vec![7; length]).expect("evidence")
    };
    let mut items = vec![item(Evidence::MAX_DATA); 5];
    let room =
        EvidenceList::MAX_LEN - EvidenceList::new(items.clone()).expect("fits").to_bytes().len();
    items.push(item(room - 6));
    let list = EvidenceList::new(items).expect("fits");
    assert_eq!(list.to_bytes().len(), EvidenceList::MAX_LEN);
    let build = |seed| {
        let builder = builder(seed).evidence(list.clone());
        builder.inbound(AllowAnyAuthenticated).build().expect("agent")
    };
    let (alice, bob) = (build(1), build(2));
    for peer in [Peer::Stranger, id_of(&bob)] {
        let (at_alice, at_bob) = channels(&alice, peer, &bob).await;
        assert!(at_alice.facts().evidence() == &list && at_bob.facts().evidence() == &list);
        assert!(at_bob.facts().presents(EvidenceKind::OrgCredential));
        assert!(!at_bob.facts().presents(EvidenceKind::Score));
    }
}
