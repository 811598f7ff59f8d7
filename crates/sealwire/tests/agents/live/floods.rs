//! Slow, idle and many.

use std::{net::SocketAddr, time::Duration};

use sealwire::{Agent, Error, Limits, Peer, Rate, Source};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::live::common::{builder, channels, id_of, introduce, open};

fn limited(change: impl FnOnce(&mut Limits)) -> Agent {
    let mut limits = Limits::default();
    change(&mut limits);
    builder(2).limits(limits).inbound(sealwire::AllowAnyAuthenticated).build().expect("agent")
}

async fn seen(mut near: DuplexStream) -> Vec<u8> {
    let mut seen = Vec::new();
    near.read_to_end(&mut seen).await.expect("read");
    seen
}

// attack T24
#[tokio::test(start_paused = true)]
async fn one_byte_a_second_ends_at_the_deadline() {
    let bob = open(2);
    let (mut near, far) = duplex(1 << 16);
    let slow = async {
        for byte in [1, 1, 1, 2, 1, 2].into_iter().chain(std::iter::repeat(0)) {
            if near.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let answering = timeout(Duration::from_millis(10_001), bob.accept(far, Source::shared()));
    let (answered, ()) = tokio::join!(answering, slow);
    assert!(matches!(answered, Ok(Err(Error::Timeout))), "{answered:?}");
}

// attack T24
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_ends_at_the_deadline() {
    let alice = open(1);
    introduce(&alice, &open(2));
    for peer in [Peer::Stranger, id_of(&open(2))] {
        let (near, _far) = duplex(1 << 16);
        let dialling = timeout(Duration::from_millis(10_001), alice.connect(near, peer));
        assert!(matches!(dialling.await, Ok(Err(Error::Timeout))));
        // A transport that takes nothing is no different.
        let (near, _far) = duplex(1);
        let dialling = timeout(Duration::from_millis(10_001), alice.connect(near, Peer::Stranger));
        assert!(matches!(dialling.await, Ok(Err(Error::Timeout))));
    }
}

// attack T24
#[tokio::test(start_paused = true)]
async fn a_thousand_idle_connections_end_and_others_are_answered_meanwhile() {
    let bob = open(2);
    let mut accepting = JoinSet::new();
    let mut idle = Vec::new();
    for number in 0..1000_usize {
        // A small transport: what each one costs is not its buffer.
        let (mut near, far) = duplex(16);
        near.write_all(&[1, 1, 1, 2][..number % 5]).await.expect("write");
        idle.push(near);
        let bob = bob.clone();
        accepting.spawn(async move { bob.accept(far, Source::shared()).await });
    }
    tokio::task::yield_now().await;
    let alice = open(1);
    let _channels = channels(&alice, Peer::Stranger, &bob).await;
    let mut ended = 0;
    while let Some(outcome) = accepting.join_next().await {
        assert!(matches!(outcome.expect("no panic"), Err(Error::Timeout)));
        ended += 1;
    }
    assert_eq!((ended, idle.len()), (1000, 1000));
}

// attack T24
#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_refused_until_others_end() {
    let bob = limited(|limits| limits.open = 2);
    let mut accepting = JoinSet::new();
    let mut idle = Vec::new();
    for _ in 0..2 {
        let (near, far) = duplex(64);
        idle.push(near);
        let bob = bob.clone();
        accepting.spawn(async move { bob.accept(far, Source::shared()).await });
    }
    tokio::task::yield_now().await;
    let (near, far) = duplex(64);
    assert!(matches!(bob.accept(far, Source::shared()).await, Err(Error::Busy)));
    assert_eq!(seen(near).await, [0, 0]);
    while let Some(outcome) = accepting.join_next().await {
        assert!(matches!(outcome.expect("no panic"), Err(Error::Timeout)));
    }
    let ends = channels(&open(1), Peer::Stranger, &bob).await;
    // An established channel takes no place.
    let others = channels(&open(3), Peer::Stranger, &bob).await;
    let _more = channels(&open(4), Peer::Stranger, &bob).await;
    drop((ends, others));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_dials_too_often_is_refused_and_others_are_not() {
    let bob = limited(|limits| limits.per_source = Rate { per_second: 1, burst: 2 });
    let alice = open(1);
    let from = |last| SocketAddr::from(([192, 0, 2, last], 7));
    for (source, expected) in [(1, true), (1, true), (1, false), (2, true), (1, false)] {
        let (near, far) = duplex(1 << 16);
        let (at_alice, at_bob) =
            tokio::join!(alice.connect(near, Peer::Stranger), bob.accept(far, from(source)));
        assert_eq!(at_bob.is_ok(), expected, "{at_bob:?}");
        assert_eq!(matches!(at_bob, Err(Error::Busy)), !expected);
        assert_eq!(matches!(at_alice, Err(Error::Refused)), !expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_buffered_before_the_gate_is_bounded_over_all_connections() {
    // Room for one message 1 of XX, which has 1216 bytes.
    let bob = limited(|limits| limits.buffered_kib = 2);
    let (mut near, far) = duplex(1 << 16);
    near.write_all(&[1, 1, 1, 2, 1, 2, 0, 0, 0, 0, 4, 192]).await.expect("write");
    let busy = bob.clone();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move { busy.accept(far, Source::shared()).await });
    tokio::task::yield_now().await;
    let (mut second, far) = duplex(1 << 16);
    second.write_all(&[1, 1, 1, 2, 1, 2, 0, 0, 0, 0, 4, 192]).await.expect("write");
    assert!(matches!(bob.accept(far, Source::shared()).await, Err(Error::Busy)));
    assert_eq!(seen(second).await, [0, 0]);
    assert!(matches!(accepting.join_next().await, Some(Ok(Err(Error::Timeout)))));
}

#[tokio::test(start_paused = true)]
async fn connections_that_wait_for_their_confirmation_hold_no_place_among_the_pending() {
    let bob = limited(|limits| limits.pending = 1);
    let alice = open(1);
    introduce(&alice, &bob);
    // Alice's first message, and then silence: a replay looks like this.
    let (near, far, log) = crate::live::wire::tapped();
    let (at_alice, _) = crate::live::common::call((&alice, id_of(&bob), near), (&bob, far)).await;
    drop(at_alice);
    let sent = log.sent(crate::live::wire::Way::ToResponder);
    let mut accepting = JoinSet::new();
    let (mut stalled, far) = duplex(1 << 16);
    stalled.write_all(&sent[..sent.len() - 19]).await.expect("write");
    let busy = bob.clone();
    accepting.spawn(async move { busy.accept(far, Source::shared()).await });
    let message2 = stalled.read_u16().await.expect("message 2");
    assert!(message2 > 1152);
    let _channels = channels(&alice, id_of(&bob), &bob).await;
    assert!(matches!(accepting.join_next().await, Some(Ok(Err(Error::Timeout)))));
}
