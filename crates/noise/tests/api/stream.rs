//! `NoiseStream` between honest peers, over transports of every kind.

use std::io::{ErrorKind, IoSlice};

use rand_core::TryRng;
use sealwire_core::Suite;
use sealwire_noise::{
    NoiseStream, Session,
    record::{CONTENT_LEN, CloseReason, MAX_IDLE_RECORDS},
};
use sealwire_testkit::rng::SeededRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::{
    peers::{alice, bob, ik, xx},
    transport::{Rough, Script, poll_once, ready},
};

pub(crate) fn sessions() -> (Session, Session) {
    let (_, at_alice, at_bob) = xx(&alice(), &bob(), Suite::AesGcm, 0);
    (at_alice, at_bob)
}

fn streams(buffer: usize) -> (NoiseStream<DuplexStream>, NoiseStream<DuplexStream>) {
    let ((at_alice, at_bob), (left, right)) = (sessions(), duplex(buffer));
    (NoiseStream::new(left, at_alice), NoiseStream::new(right, at_bob))
}

fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let Ok(()) = SeededRng::new(seed).try_fill_bytes(&mut bytes);
    bytes
}

fn below(rng: &mut SeededRng, bound: usize) -> usize {
    let Ok(drawn) = rng.try_next_u32();
    usize::try_from(drawn).expect("32 bits") % bound
}

async fn write_in_pieces<W: AsyncWriteExt + Unpin>(mut to: W, content: &[u8], seed: u64) {
    let (mut rng, mut rest) = (SeededRng::new(seed), content);
    while !rest.is_empty() {
        let len = (1 + below(&mut rng, 40_000)).min(rest.len());
        to.write_all(&rest[..len]).await.expect("a write");
        rest = &rest[len..];
        if below(&mut rng, 4) == 0 {
            to.flush().await.expect("a flush");
        }
    }
    to.shutdown().await.expect("a close");
}

async fn read_in_pieces<R: AsyncReadExt + Unpin>(mut from: R, seed: u64) -> Vec<u8> {
    let (mut rng, mut all) = (SeededRng::new(seed), Vec::new());
    loop {
        let mut piece = vec![0; 1 + below(&mut rng, 40_000)];
        let len = from.read(&mut piece).await.expect("a read");
        if len == 0 {
            return all;
        }
        all.extend_from_slice(&piece[..len]);
    }
}

// REC-7
#[tokio::test]
async fn bytes_arrive_whatever_the_pieces_and_the_transport() {
    // With one byte at a time every header is split.
    // attack T24
    for (seed, most) in [(1, 1), (2, 7), (3, 1_000), (4, 100_000)] {
        let len = 600 * most.min(500);
        let ((at_alice, at_bob), (left, right)) = (sessions(), duplex(3_000));
        let left = NoiseStream::new(Rough::new(left, seed, most), at_alice);
        let right = NoiseStream::new(Rough::new(right, seed + 10, most), at_bob);
        let (from_bob, to_bob) = tokio::io::split(left);
        let (from_alice, to_alice) = tokio::io::split(right);
        let (ping, pong) = (content(len, seed), content(len, seed + 1));
        let ((), (), got_pong, got_ping) = tokio::join!(
            write_in_pieces(to_bob, &ping, seed + 2),
            write_in_pieces(to_alice, &pong, seed + 3),
            read_in_pieces(from_bob, seed + 4),
            read_in_pieces(from_alice, seed + 5),
        );
        assert!(got_ping == ping && got_pong == pong, "seed {seed}");
    }
}

#[tokio::test]
async fn ten_mebibytes_arrive_unchanged() {
    let (left, right) = streams(64 * 1024);
    let sent = content(10 << 20, 5);
    let ((), got) = tokio::join!(write_in_pieces(left, &sent, 6), read_in_pieces(right, 7));
    assert!(got == sent);
}

// REC-7
#[test]
fn a_cancelled_read_or_write_loses_and_repeats_nothing() {
    let (mut left, mut right) = streams(5_000);
    let sent = content(400_000, 8);
    let (mut rng, mut rest, mut got) = (SeededRng::new(9), &sent[..], Vec::new());
    let (mut cancelled_writes, mut cancelled_reads) = (0, 0);
    while got.len() < sent.len() {
        let len = (1 + below(&mut rng, 30_000)).min(rest.len());
        // A write that is dropped has taken all it said or nothing.
        match poll_once(left.write(&rest[..len])) {
            Some(taken) => rest = &rest[taken.expect("a write")..],
            None => cancelled_writes += 1,
        }
        let mut piece = vec![0; 1 + below(&mut rng, 3_000)];
        match poll_once(right.read(&mut piece)) {
            Some(len) => got.extend_from_slice(&piece[..len.expect("a read")]),
            None => cancelled_reads += 1,
        }
        if rest.is_empty() {
            let _ = poll_once(left.flush());
        }
    }
    assert!(got == sent);
    assert!(cancelled_writes > 10 && cancelled_reads > 10, "{cancelled_writes} {cancelled_reads}");
}

#[tokio::test]
async fn a_vectored_write_is_one_record_in_order() {
    let (at_alice, at_bob) = sessions();
    let mut stream = NoiseStream::new(Script::default(), at_alice);
    assert!(tokio::io::AsyncWrite::is_write_vectored(&stream));
    let pieces = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(stream.write_vectored(&pieces).await.expect("a write"), 7);
    // More pieces than one record takes: the rest is for the next call.
    let many = vec![IoSlice::new(b"x"); 20];
    assert_eq!(stream.write_vectored(&many).await.expect("a write"), 16);
    // More content than one record takes.
    let large = vec![1; CONTENT_LEN];
    let pieces = [IoSlice::new(&large[1..]), IoSlice::new(b"ab"), IoSlice::new(b"c")];
    assert_eq!(stream.write_vectored(&pieces).await.expect("a write"), CONTENT_LEN);
    assert_eq!(stream.write_vectored(&[]).await.expect("a write"), 0);
    stream.shutdown().await.expect("a close");
    let wire = stream.get_ref().written.clone();
    assert_eq!(wire.len(), (7 + 19) + (16 + 19) + (CONTENT_LEN + 19) + (1 + 19));
    let got = read_in_pieces(NoiseStream::new(Script::of(&wire), at_bob), 1).await;
    let sent = [&b"one two"[..], &[b'x'; 16], &large[1..], b"a"].concat();
    assert!(got == sent);
}

#[test]
fn a_large_write_is_four_records_in_one_call_to_the_transport() {
    let (at_alice, at_bob) = sessions();
    let mut stream = NoiseStream::new(Script::default(), at_alice);
    let sent = content(4 * CONTENT_LEN + 1, 12);
    assert_eq!(ready(stream.write(&sent)).expect("a write"), 4 * CONTENT_LEN);
    assert_eq!(stream.get_ref().writes, 1);
    assert_eq!(stream.get_ref().written.len(), 4 * (CONTENT_LEN + 19));
    ready(stream.write_all(&sent[4 * CONTENT_LEN..])).expect("a write");
    assert_eq!(stream.get_ref().writes, 2);
    ready(stream.shutdown()).expect("a close");
    let mut reading = NoiseStream::new(Script::of(&stream.get_ref().written), at_bob);
    let mut got = Vec::new();
    ready(reading.read_to_end(&mut got)).expect("all of it");
    assert!(got == sent);
}

// attack T32: a peer that does not read makes nobody hold more than one write's records.
#[test]
fn a_write_waits_while_an_earlier_one_does() {
    let (mut left, mut right) = streams(1_000);
    let sent = content(4 * CONTENT_LEN, 13);
    assert_eq!(poll_once(left.write(&sent)).expect("taken").expect("a write"), sent.len());
    assert!(poll_once(left.write(b"more")).is_none(), "the first still waits");
    let mut got = vec![0; sent.len()];
    let mut have = 0;
    while have < got.len() {
        if let Some(len) = poll_once(right.read(&mut got[have..])) {
            have += len.expect("a read");
        }
        let _ = poll_once(left.flush());
    }
    assert!(got == sent);
    assert_eq!(poll_once(left.write(b"more")).expect("taken").expect("a write"), 4);
}

// REC-8
#[tokio::test]
async fn one_direction_closes_while_the_other_goes_on() {
    let (mut left, mut right) = streams(1_000);
    left.write_all(b"question").await.expect("a write");
    left.shutdown().await.expect("a close");
    assert!(!left.is_writable() && left.is_readable());
    let mut question = Vec::new();
    right.read_to_end(&mut question).await.expect("a clean end");
    assert_eq!(question, b"question");
    assert_eq!(right.close_reason(), Some(CloseReason::Done));
    assert!(right.is_writable() && !right.is_readable());
    right.write_all(b"answer").await.expect("a write");
    right.shutdown().await.expect("a close");
    let mut answer = Vec::new();
    left.read_to_end(&mut answer).await.expect("a clean end");
    assert_eq!(answer, b"answer");
    assert_eq!(left.channel_binding(), right.channel_binding());
    // The end stays the end.
    assert_eq!(left.read(&mut [0; 8]).await.expect("still the end"), 0);
}

#[tokio::test]
async fn a_close_carries_its_reason() {
    for reason in [CloseReason::Done, CloseReason::Age, CloseReason::Policy, CloseReason::Other(9)]
    {
        let (mut left, mut right) = streams(1_000);
        left.seal_close(reason).expect("open");
        assert!(left.seal_close(reason).is_err());
        left.shutdown().await.expect("a close");
        assert_eq!(right.read(&mut [0; 8]).await.expect("a clean end"), 0);
        assert_eq!(right.close_reason(), Some(reason));
    }
}

#[tokio::test]
async fn a_write_after_the_close_is_an_error_and_a_second_shutdown_is_none() {
    let (at_alice, _) = sessions();
    let mut stream = NoiseStream::new(Script::default(), at_alice);
    stream.shutdown().await.expect("a close");
    let len = stream.get_ref().written.len();
    for write in [&b"late"[..], b""] {
        let error = stream.write(write).await.expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(error.get_ref().is_some_and(|source| source.is::<sealwire_noise::Error>()));
    }
    stream.flush().await.expect("nothing waits");
    stream.shutdown().await.expect("closed already");
    assert_eq!((stream.get_ref().written.len(), stream.get_ref().shutdowns), (len, 1));
}

#[test]
fn a_stream_needs_no_runtime_and_no_timer() {
    let (at_alice, at_bob) = sessions();
    let mut left = NoiseStream::new(Script::default(), at_alice);
    ready(left.write_all(b"content")).expect("a write");
    ready(left.shutdown()).expect("a close");
    let mut right = NoiseStream::new(Script::of(&left.get_ref().written), at_bob);
    let mut got = Vec::new();
    ready(right.read_to_end(&mut got)).expect("a clean end");
    assert_eq!(got, b"content");
}

#[tokio::test]
async fn an_empty_read_and_an_empty_write_do_nothing() {
    let (mut left, mut right) = streams(1_000);
    assert_eq!(left.read(&mut []).await.expect("nothing"), 0);
    for _ in 0..=MAX_IDLE_RECORDS {
        assert_eq!(left.write(b"").await.expect("nothing"), 0);
    }
    left.write_all(b"x").await.expect("a write");
    left.flush().await.expect("a flush");
    assert_eq!(right.read_u8().await.expect("a byte"), b'x');
}

#[tokio::test]
async fn the_confirmation_of_ik_is_followed_by_a_stream() {
    let (_, at_alice, at_bob) = ik(&alice(), &bob(), Suite::ChaChaPoly, 0);
    let (left, right) = duplex(1_000);
    let (mut left, mut right) = (NoiseStream::new(left, at_alice), NoiseStream::new(right, at_bob));
    for byte in 0..4 {
        left.write_u8(byte).await.expect("a write");
        left.flush().await.expect("a flush");
        assert_eq!(right.read_u8().await.expect("a byte"), byte);
        right.write_u8(byte).await.expect("a write");
        right.flush().await.expect("a flush");
        assert_eq!(left.read_u8().await.expect("a byte"), byte);
    }
}
