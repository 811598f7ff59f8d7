//! Handshake frames over a byte stream.

use std::io::ErrorKind;

use sealwire_core::{DecodeReason, Suite};
use sealwire_noise::{
    Error, Pattern, Preamble,
    frame::{self, FrameError, REFUSAL},
};
use tokio::io::duplex;

use crate::{
    peers::{alice, bob, start_ik, start_xx},
    transport::{Rough, Script, ready},
};

fn noise<T>(outcome: Result<T, FrameError>) -> Option<Error> {
    match outcome {
        Err(FrameError::Noise(error)) => Some(error),
        _ => None,
    }
}

fn io<T>(outcome: Result<T, FrameError>) -> Option<ErrorKind> {
    match outcome {
        Err(FrameError::Io(error)) => Some(error.kind()),
        _ => None,
    }
}

// HS-10
#[tokio::test]
async fn a_first_flight_arrives_one_byte_at_a_time() {
    // attack T24
    let flights = [
        (start_xx(&alice(), Suite::AesGcm, 0).0, start_xx(&alice(), Suite::AesGcm, 0).1),
        (
            start_ik(&alice(), &bob(), Suite::AesGcm, 0).0,
            start_ik(&alice(), &bob(), Suite::AesGcm, 0).1,
        ),
    ];
    for (preamble, message) in flights {
        let (mut left, right) = duplex(100);
        let mut right = Rough::new(right, 1, 1);
        let (written, read) =
            tokio::join!(frame::write_first(&mut left, &preamble, &message), async {
                let preamble = frame::read_preamble(&mut right).await?;
                Ok::<_, FrameError>((preamble, frame::read_message(&mut right, 65_535).await?))
            });
        written.expect("written");
        assert_eq!(read.expect("read"), (preamble, message));
    }
}

#[test]
fn a_preamble_cut_at_any_byte_is_an_end_of_file() {
    // attack T24, T32
    let preamble = start_ik(&alice(), &bob(), Suite::AesGcm, 0).0.to_bytes();
    for cut in 0..preamble.len() {
        let read = ready(frame::read_preamble(&mut Script::of(&preamble[..cut])));
        assert_eq!(io(read), Some(ErrorKind::UnexpectedEof), "{cut}");
    }
}

// HS-2
#[test]
fn a_bad_head_is_refused_before_more_is_read() {
    // attack T6, T32
    for (name, head) in [
        ("version", [2, 1, 1, 1]),
        ("suite", [1, 3, 1, 1]),
        ("pattern", [1, 1, 3, 1]),
        ("no suite offered", [1, 1, 1, 0]),
        ("nine suites offered", [1, 1, 1, 9]),
    ] {
        let mut script = Script::of(&[&head[..], &[0; 2_000]].concat());
        let refused = noise(ready(frame::read_preamble(&mut script)));
        assert!(matches!(refused, Some(Error::Decode(_))), "{name}");
        assert_eq!(script.incoming.len(), 2_000, "{name}");
    }
    let refused = Preamble::rest_len(&[9, 1, 1, 1]).expect_err("a version");
    assert_eq!(refused.reason(), DecodeReason::UnknownVersion(9));
}

// HS-12
#[test]
fn message_lengths_at_the_edge() {
    // attack T24
    let read = |bytes: &[u8], max: usize| ready(frame::read_message(&mut Script::of(bytes), max));
    assert_eq!(noise(read(&REFUSAL, 100)), Some(Error::Refused));
    assert_eq!(read(&[0, 1, 7], 100).expect("one byte"), [7]);
    let most = [&100u16.to_be_bytes()[..], &[7; 100]].concat();
    assert_eq!(read(&most, 100).expect("the most"), [7; 100]);
    let mut longer = Script::of(&[&101u16.to_be_bytes()[..], &[7; 101]].concat());
    let refused = noise(ready(frame::read_message(&mut longer, 100)));
    assert_eq!((refused, longer.incoming.len()), (Some(Error::Handshake), 101));
    let largest = [&[0xFF; 2][..], &vec![7; 65_535]].concat();
    assert_eq!(read(&largest, usize::MAX).expect("the largest").len(), 65_535);
    assert_eq!(io(read(&largest[..65_536], usize::MAX)), Some(ErrorKind::UnexpectedEof));
    for cut in 0..2 {
        assert_eq!(io(read(&most[..cut], 100)), Some(ErrorKind::UnexpectedEof), "{cut}");
    }
    let max = *Pattern::Xx.message_lengths(1).expect("message 1").end();
    assert_eq!(noise(read(&1217u16.to_be_bytes(), max)), Some(Error::Handshake));
    assert_eq!(noise(ready(frame::read_record(&mut Script::of(&REFUSAL)))), Some(Error::Refused));
}

#[test]
fn a_message_of_no_length_is_misuse_and_writes_nothing() {
    for message in [vec![], vec![0; 65_536]] {
        let mut script = Script::default();
        let outcome = noise(ready(frame::write_message(&mut script, &message)));
        assert!(matches!(outcome, Some(Error::Misuse(_))));
        assert_eq!(script.written, b"");
    }
    let mut script = Script::default();
    ready(frame::write_message(&mut script, b"abc")).expect("written");
    ready(frame::write_all(&mut script, &REFUSAL)).expect("written");
    assert_eq!(script.written, b"\0\x03abc\0\0");
}
