//! The age limit of a channel.

use std::{sync::Arc, time::Duration};

use sealwire::{Agent, Channel, Error, noise::record::CloseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::live::common::{HOUR, NOW, TestClock, builder, call, id_of, introduce};

struct Ends {
    clocks: [Arc<TestClock>; 2],
    alice: Channel<DuplexStream>,
    bob: Channel<DuplexStream>,
}

async fn over(buffer: usize) -> Ends {
    let clocks = [TestClock::at(NOW), TestClock::at(NOW)];
    let agent = |seed: u64, clock: &Arc<TestClock>| -> Agent {
        builder(seed).clock(Arc::clone(clock) as _).build().expect("agent")
    };
    let (alice, bob) = (agent(1, &clocks[0]), agent(2, &clocks[1]));
    introduce(&alice, &bob);
    introduce(&bob, &alice);
    let (near, far) = duplex(buffer);
    let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
    Ends { clocks, alice: at_alice.expect("dial"), bob: at_bob.expect("answer") }
}

#[tokio::test(start_paused = true)]
async fn an_aged_channel_says_so_to_both_sides() {
    let Ends { clocks, mut alice, mut bob } = over(1 << 16).await;
    alice.send(b"young").await.expect("send");
    clocks[0].pass(HOUR - 1);
    alice.send(b"old").await.expect("send");
    assert!(!alice.is_closed());
    clocks[0].pass(1);
    assert!(alice.is_closed());
    for _ in 0..2 {
        assert!(matches!(alice.send(b"too old").await, Err(Error::Expired)));
    }
    assert_eq!(alice.message_count().sent, 2);
    for expected in [Some(b"young".to_vec()), Some(b"old".to_vec()), None] {
        assert_eq!(bob.recv().await.expect("recv"), expected);
    }
    assert_eq!(bob.peer_closed(), Some(CloseReason::Age));
    // The other direction is still complete.
    bob.send(b"I see").await.expect("send");
    bob.close().await.expect("close");
    assert_eq!(alice.recv().await.expect("recv").as_deref(), Some(&b"I see"[..]));
    assert_eq!(alice.recv().await.expect("recv"), None);
    alice.close().await.expect("close");
}

#[tokio::test(start_paused = true)]
async fn an_aged_stream_refuses_writes_and_flushes_and_still_shuts_down() {
    let Ends { clocks, mut alice, mut bob } = over(1 << 16).await;
    clocks[0].pass(HOUR);
    let flushed = alice.flush().await.map_err(Error::from);
    assert!(matches!(flushed, Err(Error::Expired)));
    let written = alice.write(b"x").await.map_err(Error::from);
    assert!(matches!(written, Err(Error::Expired)));
    alice.shutdown().await.expect("shutdown");
    assert_eq!(bob.read(&mut [0; 8]).await.expect("a clean end"), 0);
    assert_eq!(bob.peer_closed(), Some(CloseReason::Age));
}

#[tokio::test(start_paused = true)]
async fn closing_an_aged_channel_gives_the_reason() {
    let Ends { clocks, mut alice, mut bob } = over(1 << 16).await;
    clocks[0].pass(2 * HOUR);
    alice.close().await.expect("close");
    assert_eq!(bob.recv().await.expect("recv"), None);
    assert_eq!(bob.peer_closed(), Some(CloseReason::Age));
}

#[tokio::test(start_paused = true)]
async fn a_message_under_way_leaves_whole_before_the_close() {
    let Ends { clocks, mut alice, mut bob } = over(100).await;
    let message = vec![5; 200_000];
    let stalled = tokio::time::timeout(Duration::ZERO, alice.send(&message)).await;
    assert!(stalled.is_err(), "nobody reads yet");
    clocks[0].pass(HOUR);
    let (sent, received) = tokio::join!(alice.send(b"next"), async {
        let first = bob.recv().await.expect("recv");
        (first, bob.recv().await.expect("recv"))
    });
    assert!(matches!(sent, Err(Error::Expired)));
    assert!(received == (Some(message), None));
    assert_eq!(bob.peer_closed(), Some(CloseReason::Age));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_only_reads_ends_it_too() {
    let Ends { clocks, mut alice, mut bob } = over(1 << 16).await;
    clocks[1].pass(HOUR);
    alice.send(b"one").await.expect("send");
    assert_eq!(bob.recv().await.expect("recv").as_deref(), Some(&b"one"[..]));
    assert_eq!(alice.recv().await.expect("recv"), None);
    assert_eq!(alice.peer_closed(), Some(CloseReason::Age));
    // A peer that goes on regardless is not read for ever.
    alice.send(b"two").await.expect("send");
    clocks[1].pass(HOUR);
    assert!(matches!(bob.recv().await, Err(Error::Expired)));
    let read = bob.read(&mut [0; 8]).await.map_err(Error::from);
    assert!(matches!(read, Err(Error::Expired)));
}
