//! What holds for every input of the decoders of this crate, for every session with somebody
//! between its ends, and for every handshake. The fuzz targets of the same names include this
//! file, and the tests at its foot replay the targets' corpora. Each says whether all of the
//! input was accepted.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

#[cfg(all(feature = "hazmat", feature = "tokio"))]
mod duplex;
mod endpoints;
#[cfg(all(feature = "hazmat", feature = "tokio"))]
mod records;

#[cfg(feature = "tokio")]
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use sealwire_noise::{MAX_PAYLOAD, Payload, Preamble, record::CloseReason};
#[cfg(all(feature = "hazmat", feature = "tokio"))]
use {
    sealwire_core::{Suite, secret::Secret},
    sealwire_noise::{Role, Session, hazmat},
};
#[cfg(feature = "tokio")]
use {
    sealwire_noise::frame::{read_message, read_preamble},
    tokio::io::{AsyncRead, ReadBuf},
};

pub use endpoints::endpoints;
#[cfg(all(feature = "hazmat", feature = "tokio"))]
pub use {
    duplex::duplex,
    records::{record, stream},
};

/// A payload is read only from the bytes that it is written as.
pub fn handshake_payload(bytes: &[u8]) -> bool {
    let Ok(payload) = Payload::from_bytes(bytes) else { return false };
    assert_eq!(payload.to_bytes(), bytes);
    assert!(bytes.len() <= MAX_PAYLOAD);
    true
}

/// A preamble is read only from the bytes that it is written as, and its first four bytes say
/// how long it is.
pub fn preamble(bytes: &[u8]) -> bool {
    let rest = bytes.first_chunk().map(Preamble::rest_len);
    if let Some(Ok(rest)) = rest {
        assert!(rest <= Preamble::MAX_LEN - Preamble::HEAD_LEN);
    }
    let Ok(preamble) = Preamble::from_bytes(bytes) else { return false };
    assert_eq!(preamble.to_bytes(), bytes);
    assert_eq!(rest, Some(Ok(bytes.len() - Preamble::HEAD_LEN)));
    assert!(preamble.offered().contains(preamble.suite()));
    true
}

/// The first frames of a connection, in small pieces: a preamble and a message are read only
/// from the bytes that they are written as, and a message of no more than was asked for. The
/// first byte picks the pieces, the second the longest message.
#[cfg(feature = "tokio")]
pub fn frames(bytes: &[u8]) -> bool {
    let Some(([first, most], mut rest)) = bytes.split_first_chunk() else { return false };
    let mut pieces = Pieces { bytes: rest, size: 1 << (first >> 4) };
    let most = usize::from(*most) * 8;
    let Ok(preamble) = poll_once(read_preamble(&mut pieces)).expect("bytes or their end") else {
        return false;
    };
    let preamble = preamble.to_bytes();
    assert!(rest.starts_with(&preamble));
    rest = rest.get(preamble.len()..).unwrap_or_default();
    let Ok(message) = poll_once(read_message(&mut pieces, most)).expect("bytes or their end")
    else {
        return false;
    };
    assert!((1..=most).contains(&message.len()));
    let length = u16::try_from(message.len()).expect("a length of two bytes").to_be_bytes();
    assert!(rest.starts_with(&[&length[..], &message].concat()));
    true
}

/// What a future gives when it is asked once; it is dropped then, whatever it was about.
#[cfg(feature = "tokio")]
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// What a record, or another packet, holds.
#[derive(Clone, PartialEq, Eq)]
enum Held {
    Data(Vec<u8>),
    Pad,
    Close(CloseReason),
    /// No record: a message of the handshake.
    Message,
    /// Whatever the one between the ends wrote.
    #[cfg(all(feature = "hazmat", feature = "tokio"))]
    Forged,
}

/// A transport that gives at most `size` bytes at a time.
#[cfg(feature = "tokio")]
struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

#[cfg(feature = "tokio")]
impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.size.min(buffer.remaining()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(count);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// The two ends of a session that no handshake made, the initiator's first: a handshake for
/// each input would take most of a fuzzer's time.
#[cfg(all(feature = "hazmat", feature = "tokio"))]
fn sessions(suite: Suite) -> (Session, Session) {
    let end = |role| {
        let keys = [1, 2].map(|fill| Secret::init_with(|key: &mut [u8; 32]| key.fill(fill)));
        hazmat::session(suite, role, keys).expect("two keys")
    };
    (end(Role::Initiator), end(Role::Responder))
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn handshake_payloads() {
        replay("handshake_payload", super::handshake_payload);
    }

    // attack T32
    #[test]
    fn preambles() {
        replay("preamble", super::preamble);
    }

    // attack T32
    #[cfg(feature = "tokio")]
    #[test]
    fn frames() {
        replay("frames", super::frames);
    }

    // attack T32
    #[cfg(all(feature = "hazmat", feature = "tokio"))]
    #[test]
    fn records() {
        replay("record", super::record);
    }

    // attack T32
    #[cfg(all(feature = "hazmat", feature = "tokio"))]
    #[test]
    fn streams() {
        replay("stream", super::stream);
    }

    // attack T33
    #[cfg(all(feature = "hazmat", feature = "tokio"))]
    #[test]
    fn two_streams() {
        replay("duplex", super::duplex);
    }

    // attack T33
    #[test]
    fn two_endpoints() {
        replay("endpoints", super::endpoints);
    }
}
