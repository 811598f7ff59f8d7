//! The byte stream, the messages, and the ways in which both end.

use std::io::ErrorKind;

use sealwire::{Channel, Error, MAX_MESSAGE_LEN, noise::record::CloseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::live::common::{acquainted, call, channels, id_of};
use crate::live::wire::{Way, cutting, tapped};

async fn pair() -> (Channel<DuplexStream>, Channel<DuplexStream>) {
    let (alice, bob) = acquainted();
    channels(&alice, id_of(&bob), &bob).await
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_size_keep_their_boundaries() {
    let (mut at_alice, mut at_bob) = pair().await;
    let sizes = [0, 1, 3, 4, 5, 16_380, 16_384, 16_385, 65_536, 300_000];
    let message = |size: usize| -> Vec<u8> { (0..size).map(|at| at.to_le_bytes()[0]).collect() };
    let sending = async {
        for size in sizes {
            at_alice.send(&message(size)).await.expect("send");
        }
        at_alice.close().await.expect("close");
        at_alice.message_count().sent
    };
    let receiving = async {
        for size in sizes {
            assert_eq!(at_bob.recv().await.expect("recv"), Some(message(size)));
        }
        assert_eq!(at_bob.recv().await.expect("the end"), None);
        at_bob.message_count().received
    };
    let (sent, received) = tokio::join!(sending, receiving);
    assert_eq!((sent, received), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_refused_on_both_sides() {
    let (mut at_alice, mut at_bob) = pair().await;
    let too_long = vec![0; MAX_MESSAGE_LEN + 1];
    let sent = at_alice.send(&too_long).await;
    assert!(matches!(sent, Err(Error::MessageTooLong(MAX_MESSAGE_LEN))));
    assert_eq!(at_alice.message_count().sent, 0);
    // A peer that announces one anyway costs nothing, again and again.
    let length = u32::try_from(MAX_MESSAGE_LEN + 1).expect("fits").to_be_bytes();
    at_alice.write_all(&length).await.expect("write");
    at_alice.flush().await.expect("flush");
    for _ in 0..2 {
        let received = at_bob.recv().await;
        assert!(matches!(received, Err(Error::MessageTooLong(MAX_MESSAGE_LEN))));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_message_arrives() {
    let (mut at_alice, mut at_bob) = pair().await;
    let message = vec![7; MAX_MESSAGE_LEN];
    let (sent, received) = tokio::join!(at_alice.send(&message), at_bob.recv());
    sent.expect("send");
    assert!(received.expect("recv") == Some(message));
}

#[tokio::test(start_paused = true)]
async fn one_side_closes_and_the_other_still_speaks() {
    let (mut at_alice, mut at_bob) = pair().await;
    at_alice.write_all(b"question").await.expect("write");
    at_alice.close().await.expect("close");
    at_alice.close().await.expect("closing twice is closing once");
    assert!(at_alice.is_closed());
    let mut text = Vec::new();
    at_bob.read_to_end(&mut text).await.expect("read");
    assert_eq!(text, b"question");
    assert_eq!(at_bob.peer_closed(), Some(CloseReason::Done));
    assert!(!at_bob.is_closed());
    at_bob.send(b"answer").await.expect("send");
    at_bob.close().await.expect("close");
    assert_eq!(at_alice.recv().await.expect("recv").as_deref(), Some(&b"answer"[..]));
    assert_eq!(at_alice.recv().await.expect("recv"), None);
    let written = at_alice.write_all(b"more").await.expect_err("it is closed");
    assert_eq!(written.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_close_in_the_middle_of_a_message_is_a_truncation() {
    for partial in [&[0, 0][..], &[0, 0, 0, 5, b'a', b'b']] {
        let (mut at_alice, mut at_bob) = pair().await;
        at_alice.write_all(partial).await.expect("write");
        at_alice.close().await.expect("close");
        assert!(matches!(at_bob.recv().await, Err(Error::Truncated)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dropped_is_never_a_clean_end() {
    let (mut at_alice, mut at_bob) = pair().await;
    at_alice.send(b"whole").await.expect("send");
    drop(at_alice);
    assert_eq!(at_bob.recv().await.expect("recv").as_deref(), Some(&b"whole"[..]));
    assert!(matches!(at_bob.recv().await, Err(Error::Truncated)));
    assert!(at_bob.is_closed());
    let read = at_bob.read(&mut [0; 8]).await.expect_err("still cut");
    assert_eq!(read.kind(), ErrorKind::UnexpectedEof);
}

/// A call over `cutting` wires, cut so many bytes after the initiator's handshake.
async fn cut_after(handshake: usize, bytes: usize) -> Channel<DuplexStream> {
    let (alice, bob) = acquainted();
    let (near, far, _) = cutting(Way::ToResponder, handshake + bytes);
    let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
    let mut at_alice = at_alice.expect("dial");
    let _ = at_alice.send(b"never cut short").await;
    let _ = at_alice.close().await;
    at_bob.expect("answer")
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_every_byte_of_the_records_is_reported() {
    let (alice, bob) = acquainted();
    let (near, far, log) = tapped();
    let ends = call((&alice, id_of(&bob), near), (&bob, far)).await;
    let handshake = log.sent(Way::ToResponder).len();
    let mut at_alice = ends.0.expect("dial");
    at_alice.send(b"never cut short").await.expect("send");
    at_alice.close().await.expect("close");
    let mut at_bob = ends.1.expect("answer");
    while at_bob.recv().await.expect("recv").is_some() {}
    let records = log.sent(Way::ToResponder).len() - handshake;
    for bytes in 0..records {
        let mut at_bob = cut_after(handshake, bytes).await;
        let first = at_bob.recv().await;
        if let Ok(Some(message)) = first {
            assert_eq!(message, b"never cut short");
            assert!(matches!(at_bob.recv().await, Err(Error::Truncated)), "cut at {bytes}");
        } else {
            assert!(matches!(first, Err(Error::Truncated)), "cut at {bytes}: {first:?}");
        }
    }
}
