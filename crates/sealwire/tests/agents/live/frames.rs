//! Lengths that no frame has.

use sealwire::{Agent, Error, Peer, Source, noise};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::live::common::{id_of, introduce, open, pins};

const MAX_PAYLOAD: usize = noise::MAX_PAYLOAD;

fn framed(length: usize, bytes: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("a length").to_be_bytes();
    [&length[..], &vec![7; bytes]].concat()
}

fn ik_preamble() -> Vec<u8> {
    [&[1, 1, 2, 2, 1, 2, 0, 0, 0, 1][..], &[7; 1088 + 32]].concat()
}

/// Writes to Bob, and gives what he says of it and sends.
async fn answer(bob: &Agent, bytes: &[u8]) -> (Error, Vec<u8>) {
    let (mut near, far) = duplex(1 << 18);
    near.write_all(bytes).await.expect("write");
    near.shutdown().await.expect("shutdown");
    let error = bob.accept(far, Source::shared()).await.expect_err("no channel");
    let mut seen = Vec::new();
    near.read_to_end(&mut seen).await.expect("read");
    (error, seen)
}

// attack T24
#[tokio::test(start_paused = true)]
async fn message_1_of_a_length_that_it_cannot_have_is_refused() {
    let bob = open(2);
    let xx = &[1, 1, 1, 2, 1, 2, 0, 0, 0, 0][..];
    let ik = ik_preamble();
    for (preamble, max) in [(xx, 1216), (&ik[..], 1296 + MAX_PAYLOAD)] {
        for length in [0, 1, max - 1, max, max + 1, 65_535] {
            // All of it, all but one byte of it, and only its length.
            for bytes in [length, length.saturating_sub(1), 0] {
                let sent = [preamble, &framed(length, bytes)].concat();
                let (error, seen) = answer(&bob, &sent).await;
                let peers_fault = matches!(error, Error::Noise(_) | Error::Truncated);
                assert!(peers_fault, "{length} {bytes}: {error:?}");
                // A whole message 1 of XX is sound, whatever the bytes: message 2 answers it.
                let answered = (preamble[2], length, bytes) == (1, max, max);
                let refusals: &[&[u8]] = &[&[0, 0], &[0, 0, 0, 0]];
                assert_eq!(refusals.contains(&&seen[..]), !answered, "{length} {bytes}");
                assert!(seen.ends_with(&[0, 0]), "{length} {bytes}");
            }
        }
    }
    assert_eq!(pins(&bob), []);
}

// attack T24
#[tokio::test(start_paused = true)]
async fn message_2_of_a_length_that_it_cannot_have_is_refused() {
    let alice = open(1);
    introduce(&alice, &open(2));
    let before = pins(&alice);
    for (peer, tokens) in [(Peer::Stranger, 1200), (id_of(&open(2)), 1152)] {
        let max = tokens + MAX_PAYLOAD;
        for length in [0, 1, tokens - 1, max, max + 1, 65_535] {
            let (near, mut far) = duplex(1 << 18);
            far.write_all(&framed(length, length)).await.expect("write");
            far.shutdown().await.expect("shutdown");
            let dialled = alice.connect(near, peer.clone()).await;
            let expected = match length {
                0 => matches!(dialled, Err(Error::Refused)),
                _ => matches!(dialled, Err(Error::Noise(noise::Error::Handshake))),
            };
            assert!(expected, "{length}: {dialled:?}");
        }
    }
    assert_eq!(pins(&alice), before);
}

// attack T24
#[tokio::test(start_paused = true)]
async fn message_3_of_a_length_that_it_cannot_have_is_refused() {
    let bob = open(2);
    let max = 64 + MAX_PAYLOAD;
    for length in [0, 1, 63, 64, max, max + 1, 65_535] {
        let (mut near, far) = duplex(1 << 18);
        let keys = crate::live::common::keys(1);
        let own = noise::Introduction::default();
        let local = noise::Local::new(keys.clone(), sealwire::core::KeyStore::newest(&*keys), own);
        let (preamble, message1, _) = noise::initiator::start_xx(
            local,
            sealwire::core::Suite::AesGcm,
            sealwire::core::SuiteSet::all(),
            &mut sealwire_testkit::rng::SeededRng::new(5),
        )
        .expect("message 1");
        noise::frame::write_first(&mut near, &preamble, &message1).await.expect("write");
        near.write_all(&framed(length, length)).await.expect("write");
        near.shutdown().await.expect("shutdown");
        let answered = bob.accept(far, Source::shared()).await;
        let peers_fault = matches!(answered, Err(Error::Noise(_) | Error::Refused));
        assert!(peers_fault, "{length}: {answered:?}");
        let message2 = usize::from(near.read_u16().await.expect("message 2"));
        let mut seen = Vec::new();
        near.read_to_end(&mut seen).await.expect("read");
        assert_eq!(seen[message2..], [0, 0], "the refusal in place of the first record");
    }
    assert_eq!(pins(&bob), []);
}

// attack T24
#[tokio::test(start_paused = true)]
async fn a_confirmation_of_a_length_that_it_cannot_have_is_refused() {
    let (alice, bob) = crate::live::common::acquainted();
    let (near, far, log) = crate::live::wire::tapped();
    let ends = crate::live::common::call((&alice, id_of(&bob), near), (&bob, far)).await;
    let sent = log.sent(crate::live::wire::Way::ToResponder);
    drop(ends);
    let before = pins(&bob);
    let first = &sent[..sent.len() - 19];
    for length in [0, 1, 16, 17, 256, 257, 65_535] {
        let (error, seen) = answer(&bob, &[first, &framed(length, length)].concat()).await;
        let peers_fault = matches!(error, Error::Noise(_) | Error::Refused);
        assert!(peers_fault, "{length}: {error:?}");
        assert!(seen.ends_with(&[0, 0]), "{length}");
        assert_eq!(pins(&bob), before);
    }
}

// attack T24
#[tokio::test(start_paused = true)]
async fn a_first_flight_split_at_any_byte_is_read_the_same() {
    let (alice, bob) = crate::live::common::acquainted();
    let (near, far, log) = crate::live::wire::tapped();
    let ends = crate::live::common::call((&alice, id_of(&bob), near), (&bob, far)).await;
    drop(ends);
    let sent = log.sent(crate::live::wire::Way::ToResponder);
    let first = &sent[..sent.len() - 19];
    for at in (1..12).chain((12..first.len()).step_by(397)) {
        let (mut near, far) = duplex(1 << 16);
        let writing = async {
            near.write_all(&first[..at]).await.expect("write");
            tokio::task::yield_now().await;
            near.write_all(&first[at..]).await.expect("write");
            let message2 = near.read_u16().await.expect("message 2");
            drop(near);
            message2
        };
        let (answered, message2) = tokio::join!(bob.accept(far, Source::shared()), writing);
        assert!(answered.is_err() && message2 > 1152, "split at {at}");
    }
}
