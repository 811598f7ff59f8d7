//! What was recorded, played again.

use std::sync::Arc;

use sealwire::{Agent, Clock, Error, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::live::common::{HOUR, NOW, TestClock, acquainted, builder, call, id_of, pins};
use crate::live::wire::{Way, tapped};

/// All that Alice sent to Bob on one connection: preamble, message 1, confirmation, records.
async fn recorded(alice: &Agent, bob: &Agent) -> Vec<u8> {
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((alice, id_of(bob), near), (bob, far)).await;
    let (mut at_alice, mut at_bob) = (at_alice.expect("dial"), at_bob.expect("answer"));
    at_alice.send(b"pay the bill").await.expect("send");
    at_alice.close().await.expect("close");
    assert_eq!(at_bob.recv().await.expect("recv").as_deref(), Some(&b"pay the bill"[..]));
    assert_eq!(at_bob.recv().await.expect("recv"), None);
    log.sent(Way::ToResponder)
}

/// Plays the recording to `bob`, who never gets a channel and remembers nothing.
async fn played(recording: &[u8], bob: &Agent) {
    let before = pins(bob);
    for _ in 0..3 {
        let (mut near, far) = duplex(1 << 16);
        let playing = async {
            near.write_all(recording).await.expect("write");
            near.shutdown().await.expect("shutdown");
            let mut seen = Vec::new();
            near.read_to_end(&mut seen).await.expect("read");
            seen
        };
        let (answered, seen) = tokio::join!(bob.accept(far, Source::shared()), playing);
        assert!(matches!(answered, Err(Error::Noise(_))), "{answered:?}");
        // Message 2, which only Alice could read, and the refusal of the stale confirmation.
        assert!(seen.len() > 1152 && seen.ends_with(&[0, 0]));
        assert_eq!(pins(bob), before);
    }
}

// attack T9
#[tokio::test(start_paused = true)]
async fn a_replayed_ik_connection_is_accepted_nowhere() {
    let (alice, bob) = acquainted();
    let recording = recorded(&alice, &bob).await;
    // The same responder, long enough afterwards that a sighting would be noted.
    let later = |peers| {
        let clock = TestClock::at(NOW.plus(2 * HOUR));
        builder(2).card(bob.card().clone()).clock(clock as Arc<dyn Clock>).peers(peers)
    };
    played(&recording, &bob).await;
    // After a restart.
    let restarted = later(Arc::clone(bob.peers())).build().expect("agent");
    played(&recording, &restarted).await;
    // Another replica, which has never seen this message.
    let replica = later(Arc::new(sealwire::Peers::in_memory())).build().expect("agent");
    crate::live::common::introduce(&replica, &alice);
    played(&recording, &replica).await;
}

// attack T9
#[tokio::test(start_paused = true)]
async fn a_replayed_xx_connection_is_accepted_nowhere() {
    let (alice, bob) = (crate::live::common::open(1), crate::live::common::open(2));
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((&alice, sealwire::Peer::Stranger, near), (&bob, far)).await;
    let (mut at_alice, mut at_bob) = (at_alice.expect("dial"), at_bob.expect("answer"));
    at_alice.send(b"pay the bill").await.expect("send");
    at_bob.recv().await.expect("recv");
    let replica = crate::live::common::open(2);
    for bob in [&bob, &replica] {
        let before = pins(bob);
        let (mut near, far) = duplex(1 << 16);
        near.write_all(&log.sent(Way::ToResponder)).await.expect("write");
        let answered = bob.accept(far, Source::shared()).await;
        assert!(matches!(answered, Err(Error::Noise(_))), "{answered:?}");
        assert_eq!(pins(bob), before);
    }
}
