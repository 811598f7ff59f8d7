//! Policy on the offline path: before anything is asked, before a one-time key is consumed,
//! before plaintext is released.

use std::sync::{Arc, Mutex};

use sealwire::{
    Decision, Direction, Error, Event, Handshake, KnownPeers, PeerFacts, TrustPolicy,
    delivery::Device, store::Table,
};

use crate::offline::common::{World, counts, read, refused, say, sync};

/// Says what it was told, and keeps what it was asked.
#[derive(Clone, Debug, Default)]
struct Told {
    deny_dial: bool,
    deny_accept: bool,
    deny_message: Option<&'static [u8]>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Dial,
    Accept(Direction, Option<Handshake>, bool, bool),
    Message(Vec<u8>),
}

const fn say_so(deny: bool) -> Decision {
    if deny { Decision::Deny("told so") } else { Decision::allow() }
}

impl TrustPolicy for Told {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        assert!(!peer.is_authenticated() && peer.id().is_some());
        self.asked.lock().expect("lock").push(Asked::Dial);
        say_so(self.deny_dial)
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        assert!(peer.is_authenticated() && peer.card().is_some());
        let pinned = peer.pinned().is_some();
        let asked = Asked::Accept(peer.direction(), peer.handshake(), true, pinned);
        self.asked.lock().expect("lock").push(asked);
        say_so(self.deny_accept)
    }

    fn on_message(&self, peer: &PeerFacts, message: &[u8]) -> Decision {
        assert!(peer.is_authenticated());
        self.asked.lock().expect("lock").push(Asked::Message(message.to_vec()));
        say_so(self.deny_message == Some(message))
    }

    fn admits_strangers(&self) -> bool {
        true
    }
}

impl Told {
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("lock"))
    }
}

// attack T9: a first message that policy refuses uses nothing up.
#[tokio::test]
async fn a_denied_peer_consumes_no_prekey_and_leaves_no_trace() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let told = Told { deny_accept: true, ..Told::default() };
    let bob = world.bob.builder().inbound(told.clone()).build().expect("an agent");
    let before = world.bob.disk.dump();
    alice.send(bob.id(), b"let me in").await.expect("send");
    sync(&alice).await;
    let peer = Device::from(alice.id());
    assert_eq!(
        sync(&bob).await,
        [Event::Denied { peer, reason: "told so" }, Event::Discarded { frames: 1 }]
    );
    assert_eq!(world.bob.disk.dump(), before);
    assert_eq!(bob.peers().list().expect("pins"), []);
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
    let accept = Asked::Accept(Direction::Inbound, Some(Handshake::X3dh), true, false);
    assert_eq!(told.asked(), [accept], "no message was shown to it");
}

#[tokio::test]
async fn strangers_are_not_heard_by_default() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let bob = world.bob.builder().inbound(KnownPeers).build().expect("an agent");
    alice.send(bob.id(), b"let me in").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
    // Whom Bob wrote to first is no stranger, and is heard in both kinds of session.
    bob.send(alice.id(), b"do I know you?").await.expect("send");
    sync(&bob).await;
    sync(&alice).await;
    assert_eq!(read(&alice).await, [b"do I know you?"]);
    say(&alice, &bob, b"you do now").await;
    alice.close_sessions().await.expect("close");
    say(&alice, &bob, b"and still").await;
}

#[tokio::test]
async fn a_peer_that_was_removed_is_not_heard_in_the_session_that_there_is() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let bob = world.bob.builder().inbound(KnownPeers).build().expect("an agent");
    bob.pin(sealwire::core::Unverified::new(alice.card().clone())).expect("pin");
    say(&alice, &bob, b"hello").await;
    bob.peers().remove(alice.id()).expect("remove");
    let before = world.bob.disk.dump();
    alice.send(bob.id(), b"still there?").await.expect("send");
    sync(&alice).await;
    sync(&bob).await;
    assert_eq!(read(&bob).await, Vec::<Vec<u8>>::new());
    assert_eq!(world.bob.disk.dump(), before);
}

#[tokio::test]
async fn a_single_message_may_be_refused() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let told = Told { deny_message: Some(b"no"), ..Told::default() };
    let bob = world.bob.builder().inbound(told.clone()).build().expect("an agent");
    for first in [true, false] {
        for payload in [&b"no"[..], b"yes", b"no"] {
            alice.send(bob.id(), payload).await.expect("send");
        }
        sync(&alice).await;
        let events = sync(&bob).await;
        let denied = |event: &&Event| matches!(event, Event::Denied { reason: "told so", .. });
        assert_eq!(events.iter().filter(denied).count(), 2);
        assert_eq!(read(&bob).await, [b"yes"]);
        let received = if first { 3 } else { 6 };
        assert_eq!(counts(&bob).await, [(true, 0, received, 0)]);
    }
    // It was asked about the peer each time, and only then about the message.
    let accept = |pinned| Asked::Accept(Direction::Inbound, Some(Handshake::X3dh), true, pinned);
    let asked = told.asked();
    assert_eq!(asked[..2], [accept(false), Asked::Message(b"no".to_vec())]);
    assert_eq!(asked[2..4], [accept(true), Asked::Message(b"yes".to_vec())]);
}

#[tokio::test]
async fn a_denied_dial_asks_the_directory_nothing() {
    let (world, alice, bob) = World::published().await;
    drop(alice);
    let told = Told { deny_dial: true, ..Told::default() };
    let alice = world.alice.builder().outbound(told).build().expect("an agent");
    let before = (world.alice.disk.dump(), world.relay.office.seen());
    let error = refused(alice.send(bob.id(), b"?").await);
    assert!(matches!(error, Error::Denied("told so")), "{error:?}");
    assert_eq!((world.alice.disk.dump(), world.relay.office.seen()), before);
}

#[tokio::test]
async fn a_peer_that_is_denied_once_its_card_is_seen_costs_no_one_time_key() {
    let (world, alice, bob) = World::published().await;
    drop(alice);
    let told = Told { deny_accept: true, ..Told::default() };
    let alice = world.alice.builder().outbound(told.clone()).build().expect("an agent");
    assert!(matches!(alice.send(bob.id(), b"?").await, Err(Error::Denied(_))));
    assert_eq!(world.relay.claims(), 0);
    let accept = Asked::Accept(Direction::Outbound, Some(Handshake::X3dh), true, false);
    assert_eq!(told.asked(), [Asked::Dial, accept]);
    assert!(world.alice.disk.table(Table::Peer).is_empty());
    assert_eq!(alice.peers().list().expect("pins"), []);
}

#[tokio::test]
async fn answers_are_judged_by_the_policy_of_whoever_began() {
    let (world, alice, bob) = World::published().await;
    drop(alice);
    let outbound = Told { deny_message: Some(b"rude"), ..Told::default() };
    let inbound = Told { deny_accept: true, ..Told::default() };
    let alice = world.alice.builder().outbound(outbound.clone()).inbound(inbound.clone());
    let alice = alice.build().expect("an agent");
    say(&alice, &bob, b"hello").await;
    bob.send(alice.id(), b"rude").await.expect("send");
    bob.send(alice.id(), b"polite").await.expect("send");
    sync(&bob).await;
    sync(&alice).await;
    assert_eq!(read(&alice).await, [b"polite"]);
    assert_eq!(inbound.asked(), []);
    let direction = |asked: &Asked| match asked {
        Asked::Accept(direction, ..) => *direction == Direction::Outbound,
        _ => true,
    };
    assert!(outbound.asked().iter().all(direction));
}
