//! Agents that are not who they say.

use std::sync::Arc;

use sealwire::{
    Agent, AllowAnyAuthenticated, Error, Peer, Source,
    core::{KeyStore, Unverified, label::Label},
    identity::{Error as Identity, NewCard},
    noise,
};
use tokio::io::{copy, duplex, split};

use crate::live::common::{
    DAY, NOW, channels, closed, dial, id_of, introduce, keys, open, pins, with_keys,
};
use crate::live::mallory::{introduction, xx_by_hand};
use crate::mixed::Mixed;

fn agent(keys: Mixed, cards_of: &Agent) -> Agent {
    with_keys(Arc::new(keys))
        .card(cards_of.card().clone())
        .inbound(AllowAnyAuthenticated)
        .build()
        .expect("agent")
}

/// Somebody who shows Bob's card, signs with one's keys and exchanges with another's.
fn bob_with(signs: u64, exchanges: u64) -> Agent {
    let (shows, signs, exchanges) = (keys(2), keys(signs), keys(exchanges));
    let shows_exchange = Arc::clone(&shows);
    agent(Mixed { shows, signs, exchanges, shows_exchange }, &open(2))
}

/// Alice dials Bob every way, and Mallory answers. She never gets a channel.
async fn never_taken_for_bob(mallory: &Agent) {
    let (alice, bob) = (closed(1), open(2));
    introduce(&alice, &bob);
    let before = pins(&alice);
    let key = keys(2).public(bob.card().kx_id()).expect("keys").handshake;
    let card = Box::new(Unverified::new(bob.card().clone()));
    for peer in [id_of(&bob), Peer::Stranger, Peer::StaticKey(key), Peer::Card(card)] {
        let (at_alice, at_mallory) = dial(&alice, peer, mallory).await;
        assert!(at_alice.is_err(), "{at_alice:?}");
        assert!(at_mallory.is_err(), "{at_mallory:?}");
    }
    // And Mallory dials in Bob's name.
    introduce(mallory, &open(3));
    for peer in [id_of(&open(3)), Peer::Stranger] {
        let carol = open(3);
        introduce(&carol, &bob);
        let before = pins(&carol);
        let (_, at_carol) = dial(mallory, peer, &carol).await;
        assert!(at_carol.is_err(), "{at_carol:?}");
        assert_eq!(pins(&carol), before);
    }
    assert_eq!(pins(&alice), before);
}

// attack T7
#[tokio::test(start_paused = true)]
async fn an_impostor_with_bobs_card_and_none_of_his_keys_is_refused() {
    never_taken_for_bob(&bob_with(9, 9)).await;
}

// attack T7
#[tokio::test(start_paused = true)]
async fn stolen_exchange_keys_without_the_identity_key_are_not_enough() {
    let mallory = bob_with(9, 2);
    never_taken_for_bob(&mallory).await;
    // It is the proof that fails, and nothing before it.
    let alice = closed(1);
    introduce(&alice, &open(2));
    let (at_alice, _) = dial(&alice, id_of(&open(2)), &mallory).await;
    assert!(matches!(at_alice, Err(Error::Noise(noise::Error::Proof))), "{at_alice:?}");
}

// attack T7
#[tokio::test(start_paused = true)]
async fn the_identity_key_without_the_exchange_keys_is_not_enough() {
    never_taken_for_bob(&bob_with(2, 9)).await;
}

// attack T7
#[tokio::test(start_paused = true)]
async fn mallory_with_alices_card_and_a_proof_of_her_own_is_refused() {
    let (alice, mallory, bob) = (open(1), open(9), open(2));
    let card = alice.card().as_bytes();
    for id in [alice.id(), mallory.id()] {
        let said = introduction(id.as_str().as_bytes(), card);
        let (at_bob, seen) = xx_by_hand(keys(9), said, &bob).await;
        assert!(matches!(at_bob, Err(Error::Noise(noise::Error::Proof))), "{at_bob:?}");
        assert_eq!(seen, [0, 0], "the refusal in place of the first record");
    }
    assert_eq!(pins(&bob), []);
    // In her own name she is whom she says, and nobody else.
    let (_, at_bob) = channels(&mallory, Peer::Stranger, &bob).await;
    assert_eq!(at_bob.peer().expect("peer"), mallory.id());
}

// attack T7
#[tokio::test(start_paused = true)]
async fn alices_public_key_in_mallorys_card_gives_mallory_nothing() {
    let (alice, bob) = (open(1), open(2));
    // Signed by Mallory, naming exchange keys whose private halves she does not have.
    let mallory =
        Mixed { shows: keys(9), signs: keys(9), exchanges: keys(9), shows_exchange: keys(1) };
    let mallory = with_keys(Arc::new(mallory)).build().expect("agent");
    assert_eq!(mallory.card().exchange_key(), alice.card().exchange_key());
    introduce(&mallory, &bob);
    for peer in [id_of(&bob), Peer::Stranger] {
        let (_, at_bob) = dial(&mallory, peer, &bob).await;
        assert!(at_bob.is_err(), "{at_bob:?}");
    }
    assert_eq!(pins(&bob), []);
}

// attack T7
#[tokio::test(start_paused = true)]
async fn the_same_exchange_keys_under_two_ids_are_two_peers() {
    let (alice, bob) = (open(1), open(2));
    let twin =
        Mixed { shows: keys(9), signs: keys(9), exchanges: keys(1), shows_exchange: keys(1) };
    let twin = with_keys(Arc::new(twin)).build().expect("agent");
    introduce(&bob, &alice);
    introduce(&twin, &bob);
    introduce(&alice, &bob);
    let (_, at_bob) = channels(&twin, id_of(&bob), &bob).await;
    assert_eq!(at_bob.peer().expect("peer"), twin.id());
    assert_eq!(at_bob.facts().pinned(), None, "Alice's pin says nothing of her twin");
    let (_, at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_bob.peer().expect("peer"), alice.id());
}

// attack T7
#[tokio::test(start_paused = true)]
async fn an_agent_does_not_talk_to_itself() {
    let alice = open(1);
    let (at_alice, at_itself) = dial(&alice, Peer::Stranger, &alice).await;
    assert!(matches!(at_alice, Err(Error::Oneself)), "{at_alice:?}");
    assert!(at_itself.is_err());
    let own = Peer::Card(Box::new(Unverified::new(alice.card().clone())));
    let (at_alice, _) = dial(&alice, own, &alice).await;
    assert!(matches!(at_alice, Err(Error::Oneself)));
    assert!(matches!(alice.pin(Unverified::new(alice.card().clone())), Err(Error::Oneself)));
    assert_eq!(pins(&alice), []);
}

// attack T7
#[tokio::test(start_paused = true)]
async fn what_an_agent_sends_is_no_answer_to_it() {
    let alice = open(1);
    introduce(&alice, &open(2));
    for peer in [Peer::Stranger, id_of(&open(2))] {
        let (near, mirror) = duplex(1 << 16);
        let (mut from, mut to) = split(mirror);
        let reflected = tokio::select! {
            reflected = alice.connect(near, peer) => reflected,
            _ = copy(&mut from, &mut to) => panic!("the mirror broke"),
        };
        assert!(reflected.is_err(), "{reflected:?}");
    }
}

/// Alice's card with `public` in the place of her X25519 exchange key, signed by her again.
fn card_with(public: &[u8; 32]) -> Vec<u8> {
    let keys = keys(1);
    let card = NewCard::new(9, NOW, DAY).sign(keys.as_ref(), keys.newest()).expect("a card");
    let mut bytes = card.as_bytes().to_vec();
    let key = card.exchange_key().as_bytes();
    let at = bytes.windows(32).position(|window| window == key).expect("it is in there");
    bytes[at..at + 32].copy_from_slice(public);
    // version 1 | array 1 | byte string head 3 | body | byte string head 2 | signature 64
    let signature = bytes.len() - 64;
    let context = Label::CARD.context(None, &[&bytes[5..signature - 2]]).expect("context");
    let signed = keys.sign(&context).expect("signature");
    bytes[signature..].copy_from_slice(signed.as_bytes());
    bytes
}

// attack T1
#[tokio::test(start_paused = true)]
async fn a_card_with_a_key_that_gives_zero_is_refused() {
    let alice = open(1);
    let id = alice.id().as_str().as_bytes();
    // The control: signed again without a change, the card is read.
    let sound = card_with(alice.card().exchange_key().as_bytes());
    sealwire::identity::IdentityCard::from_bytes(&sound)
        .and_then(|card| card.verify(NOW))
        .expect("a sound card");
    for public in sealwire_testkit::zero_shared_secret_publics() {
        let bob = open(2);
        let said = introduction(id, &card_with(&public));
        let (at_bob, seen) = xx_by_hand(keys(1), said, &bob).await;
        assert!(matches!(at_bob, Err(Error::Identity(Identity::Decode(_)))), "{at_bob:?}");
        assert_eq!(seen, [0, 0]);
        assert_eq!(pins(&bob), []);
    }
}

// attack T1
#[tokio::test(start_paused = true)]
async fn an_ephemeral_key_that_gives_zero_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bob = open(2);
    for public in sealwire_testkit::zero_shared_secret_publics() {
        let (mut near, far) = duplex(1 << 16);
        let kem = keys(1).public(keys(1).newest()).expect("keys").kem;
        let message1 = [&public[..], kem.as_bytes()].concat();
        near.write_all(&[1, 1, 1, 2, 1, 2, 0, 0, 0, 0, 4, 192]).await.expect("write");
        near.write_all(&message1).await.expect("write");
        let answered = bob.accept(far, Source::shared()).await;
        assert!(matches!(answered, Err(Error::Noise(_))), "{answered:?}");
        assert_eq!(near.read_u16().await.expect("the refusal"), 0);
    }
    assert_eq!(pins(&bob), []);
}
