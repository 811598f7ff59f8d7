//! Policy: before anything is sent, before anything is shown, and per message.

use std::sync::{Arc, Mutex};

use sealwire::{
    Agent, Channel, Decision, Error, Handshake, KnownPeers, Peer, PeerFacts, TrustPolicy,
    core::Unverified, identity::PinnedBy,
};
use tokio::io::{AsyncReadExt, duplex};

use crate::live::common::{
    Fixed, RETRY, builder, call, channels, closed, dial, id_of, introduce, open, pins,
};
use crate::live::wire::{Way, tapped};

#[tokio::test(start_paused = true)]
async fn a_denied_dial_sends_not_one_byte() {
    let bob = open(2);
    let denying = builder(1).outbound(Fixed::DENY).build().expect("agent");
    let knowing = builder(1).outbound(KnownPeers).build().expect("agent");
    introduce(&denying, &bob);
    let card = Peer::Card(Box::new(Unverified::new(bob.card().clone())));
    for (alice, peer) in [
        (&denying, id_of(&bob)),
        (&denying, Peer::Stranger),
        (&knowing, Peer::Stranger),
        (&knowing, card),
    ] {
        let (near, mut far) = duplex(1 << 16);
        assert!(matches!(alice.connect(near, peer).await, Err(Error::Denied(_))));
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.expect("the other end");
        assert_eq!(sent, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn known_peers_is_the_default_for_who_connects() {
    let (alice, bob) = (open(1), closed(2));
    introduce(&alice, &bob);
    for peer in [id_of(&bob), Peer::Stranger] {
        let (at_alice, at_bob) = dial(&alice, peer, &bob).await;
        assert!(matches!(at_alice, Err(Error::Refused)), "{at_alice:?}");
        assert!(matches!(at_bob, Err(Error::Denied(_))), "{at_bob:?}");
    }
    assert_eq!(pins(&bob), []);
    introduce(&bob, &alice);
    let (_, at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_bob.facts().pinned(), Some(PinnedBy::OutOfBand));
    // Known or not, XX is not answered: message 2 would show who is here.
    let (at_alice, at_bob) = dial(&alice, Peer::Stranger, &bob).await;
    assert!(matches!(at_alice, Err(Error::Refused)));
    assert!(matches!(at_bob, Err(Error::Denied(_))));
}

#[tokio::test(start_paused = true)]
async fn a_prober_of_known_peers_sees_the_refusal_and_nothing_else() {
    let bob = closed(2);
    let (near, far, log) = tapped();
    let (at_alice, _) = call((&open(1), Peer::Stranger, near), (&bob, far)).await;
    assert!(matches!(at_alice, Err(Error::Refused)));
    assert_eq!(log.sent(Way::ToInitiator), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_denied_in_ik_sees_the_refusal_in_place_of_message_2() {
    let denying = Fixed { accept: Decision::Deny("told so"), strangers: false, ..Fixed::ALLOW };
    let bob = builder(2).inbound(denying).build().expect("agent");
    // Once without and once with a further attempt by XX, which is not answered either.
    for (grant, seen) in [(Decision::allow(), &[0, 0][..]), (RETRY, &[0, 0, 0, 0])] {
        let outbound = Fixed { dial: grant, ..Fixed::ALLOW };
        let alice = builder(1).outbound(outbound).build().expect("agent");
        introduce(&alice, &bob);
        introduce(&bob, &alice);
        let before = pins(&bob);
        let (near, far, log) = tapped();
        let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
        assert!(matches!(at_alice, Err(Error::Refused)), "{at_alice:?}");
        assert!(matches!(at_bob, Err(Error::Denied(_))), "{at_bob:?}");
        assert_eq!(log.sent(Way::ToInitiator), seen);
        assert_eq!(pins(&bob), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_denied_in_xx_sees_the_refusal_in_place_of_the_first_record() {
    let bob = builder(2).inbound(Fixed::DENY).build().expect("agent");
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((&open(1), Peer::Stranger, near), (&bob, far)).await;
    assert!(matches!(at_bob, Err(Error::Denied("told so"))));
    assert_eq!(pins(&bob), []);
    let mut channel = at_alice.expect("message 3 ends the handshake of the initiator");
    assert!(matches!(channel.recv().await, Err(Error::Refused)));
    assert!(channel.is_closed());
    let seen = log.sent(Way::ToInitiator);
    let message2 = 2 + usize::from(u16::from_be_bytes([seen[0], seen[1]]));
    assert_eq!(seen[message2..], [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_initiator_that_denies_the_responder_does_not_say_who_called() {
    let outbound = Fixed { accept: Decision::Deny("told so"), ..Fixed::ALLOW };
    let alice = builder(1).outbound(outbound).build().expect("agent");
    let bob = open(2);
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((&alice, Peer::Stranger, near), (&bob, far)).await;
    assert!(matches!(at_alice, Err(Error::Denied("told so"))));
    assert!(at_bob.is_err());
    assert_eq!(log.sent(Way::ToResponder).len(), 10 + 2 + 1216, "preamble and message 1");
    assert_eq!((pins(&alice), pins(&bob)), (vec![], vec![]));
}

/// Refuses what is shouted.
#[derive(Clone, Debug)]
struct Quiet;

impl TrustPolicy for Quiet {
    fn before_dial(&self, _: &PeerFacts) -> Decision {
        Decision::allow()
    }

    fn on_accept(&self, _: &PeerFacts) -> Decision {
        Decision::allow()
    }

    fn on_message(&self, peer: &PeerFacts, message: &[u8]) -> Decision {
        assert!(peer.is_authenticated());
        if message.ends_with(b"!") { Decision::Deny("shouting") } else { Decision::allow() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_leaves_the_next_one_readable() {
    let alice = builder(1).outbound(Quiet).build().expect("agent");
    let bob = builder(2).inbound(Quiet).build().expect("agent");
    introduce(&alice, &bob);
    let (mut at_alice, mut at_bob) = channels(&alice, id_of(&bob), &bob).await;
    async fn say(from: &mut Channel<impl Io>, to: &mut Channel<impl Io>) {
        for message in [&b"one"[..], b"two!", b"three"] {
            from.send(message).await.expect("send");
        }
        assert_eq!(to.recv().await.expect("recv").as_deref(), Some(&b"one"[..]));
        assert!(matches!(to.recv().await, Err(Error::Denied("shouting"))));
        assert_eq!(to.recv().await.expect("recv").as_deref(), Some(&b"three"[..]));
        assert_eq!(to.message_count().received, 3);
    }
    say(&mut at_alice, &mut at_bob).await;
    say(&mut at_bob, &mut at_alice).await;
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl Io for tokio::io::DuplexStream {}

/// Says in `on_accept` what the library established before it.
#[derive(Clone, Debug)]
struct Witness(Arc<Mutex<Vec<Seen>>>, Arc<sealwire::Peers>);

/// Authenticated, by which handshake, and how many peers were pinned then.
type Seen = (bool, Option<Handshake>, usize);

impl TrustPolicy for Witness {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.on_accept(peer)
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        let pinned = self.1.list().expect("peers").len();
        let seen = (peer.is_authenticated(), peer.handshake(), pinned);
        self.0.lock().expect("lock").push(seen);
        Decision::allow()
    }

    fn admits_strangers(&self) -> bool {
        true
    }
}

/// A lesson from a shipping peer: its inbound side verified nothing.
#[tokio::test(start_paused = true)]
async fn the_inbound_side_is_verified_before_policy_is_asked() {
    let peers = Arc::new(sealwire::Peers::in_memory());
    let witness = Witness(Arc::default(), Arc::clone(&peers));
    let bob = builder(2).inbound(witness.clone()).peers(peers).build().expect("agent");
    let alice = open(1);
    introduce(&alice, &bob);
    let (_, at_bob) = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(at_bob.peer().expect("peer"), alice.id());
    let carol: Agent = open(3);
    let (_, at_bob) = channels(&carol, Peer::Stranger, &bob).await;
    assert_eq!(at_bob.peer().expect("peer"), carol.id());
    let seen = witness.0.lock().expect("lock").clone();
    // Authenticated each time, and pinned only afterwards.
    assert_eq!(seen, [(true, Some(Handshake::NoiseIk), 0), (true, Some(Handshake::NoiseXx), 1)]);
}

/// Removes the peer while it is being asked about, as its owner may at any time.
#[derive(Debug)]
struct Removing(Arc<sealwire::Peers>);

impl TrustPolicy for Removing {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.on_accept(peer)
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        let known = KnownPeers.on_accept(peer);
        self.0.remove(peer.id().expect("authenticated")).expect("peers");
        known
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_removed_during_its_handshake_is_not_brought_back() {
    let peers = Arc::new(sealwire::Peers::in_memory());
    let removing = Removing(Arc::clone(&peers));
    let bob = builder(2).inbound(removing).peers(peers).build().expect("agent");
    let alice = open(1);
    introduce(&alice, &bob);
    introduce(&bob, &alice);
    let (_, at_bob) = dial(&alice, id_of(&bob), &bob).await;
    assert!(matches!(at_bob, Err(Error::NotPinned(_))), "{at_bob:?}");
    assert_eq!(pins(&bob), []);
}
