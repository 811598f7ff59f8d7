//! `NoiseStream` over a transport that somebody else controls, or that breaks.

use std::io::{ErrorKind, IoSlice};

use sealwire_noise::{Error, NoiseStream, record::CloseReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    stream::sessions,
    transport::{Fault, Script, ready},
};

const CONTENTS: [&[u8]; 3] = [b"first", b"second, longer", b"x"];

/// A short conversation as it is on the wire: three records of data and a close. Gives where
/// each record starts, too.
fn wire() -> (Vec<u8>, Vec<usize>) {
    let (mut sealer, _) = sessions().0.into_parts();
    let (mut wire, mut starts) = (Vec::new(), Vec::new());
    for content in CONTENTS {
        starts.push(wire.len());
        sealer.seal_data(content, &mut wire).expect("open");
    }
    starts.push(wire.len());
    sealer.seal_close(CloseReason::Done, &mut wire).expect("open");
    (wire, starts)
}

fn receiver(bytes: &[u8]) -> NoiseStream<Script> {
    NoiseStream::new(Script::of(bytes), sessions().1)
}

/// The error of this crate inside an I/O error.
fn cause(error: &std::io::Error) -> Option<&Error> {
    error.get_ref().and_then(|source| source.downcast_ref())
}

/// Reads to the end or the error; gives what was released.
fn read_all(stream: &mut NoiseStream<Script>) -> (Vec<u8>, std::io::Result<usize>) {
    let mut released = Vec::new();
    let end = ready(stream.read_to_end(&mut released));
    (released, end)
}

/// What the whole records before `place` hold.
fn whole_before(starts: &[usize], place: usize) -> Vec<u8> {
    let whole = starts[1..].iter().filter(|end| **end <= place).count();
    CONTENTS[..whole].concat()
}

// REC-7, REC-8
#[test]
fn a_cut_at_any_byte_is_an_error_and_never_a_clean_end() {
    // attack T24
    let (wire, starts) = wire();
    for cut in 0..wire.len() {
        let mut stream = receiver(&wire[..cut]);
        let (released, end) = read_all(&mut stream);
        let error = end.expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
        assert_eq!(cause(&error), Some(&Error::Truncated), "{cut}");
        assert_eq!(released, whole_before(&starts, cut), "{cut}");
        assert_eq!(stream.close_reason(), None);
    }
    let (released, end) = read_all(&mut receiver(&wire));
    assert_eq!((released, end.expect("whole")), (CONTENTS.concat(), 20));
}

// REC-7, REC-10
#[test]
fn a_changed_byte_releases_nothing_of_its_record_and_poisons_both_directions() {
    // attack T24
    let (wire, starts) = wire();
    for place in 0..wire.len() {
        let mut changed = wire.clone();
        changed[place] ^= 1;
        let mut stream = receiver(&changed);
        let (released, end) = read_all(&mut stream);
        let error = end.expect_err("changed");
        // A length that grew makes the receiver wait for bytes that never come.
        let kinds = [ErrorKind::InvalidData, ErrorKind::UnexpectedEof];
        let is_length = starts.iter().any(|start| place - start.min(&place) < 2);
        assert!(kinds[..=usize::from(is_length)].contains(&error.kind()), "{place}: {error}");
        assert_eq!(released, whole_before(&starts, place), "{place}");
        assert!(!stream.is_readable() && !stream.is_writable());
        for _ in 0..2 {
            assert_eq!(ready(stream.read(&mut [0; 8])).expect_err("poisoned").kind(), error.kind());
            let written = ready(stream.write(b"late")).expect_err("poisoned");
            assert_eq!(written.kind(), ErrorKind::BrokenPipe);
            assert!(ready(stream.flush()).is_err());
            assert!(ready(stream.shutdown()).is_err());
            assert_eq!(stream.seal_close(CloseReason::Done), Err(Error::Closed));
        }
        // Nobody is told that the stream ended well.
        assert_eq!(stream.get_ref().written, b"");
    }
}

// HS-12
#[test]
fn a_refusal_takes_the_place_of_the_first_record_only() {
    // attack T24
    let (wire, starts) = wire();
    for (index, start) in starts.iter().enumerate() {
        let mut stream = receiver(&[&wire[..*start], &[0, 0]].concat());
        let (released, end) = read_all(&mut stream);
        let error = end.expect_err("refused");
        let (expected, kind) = match index {
            0 => (Error::Refused, ErrorKind::ConnectionRefused),
            _ => (Error::Record, ErrorKind::InvalidData),
        };
        assert_eq!((cause(&error), error.kind()), (Some(&expected), kind), "record {index}");
        assert_eq!(released, whole_before(&starts, *start));
    }
}

// REC-2
#[test]
fn lengths_at_the_edge_are_refused() {
    // attack T24
    for len in [1u16, 16, 17, u16::MAX - 1, u16::MAX] {
        let bytes = [&len.to_be_bytes()[..], &vec![0; usize::from(len)]].concat();
        let error = read_all(&mut receiver(&bytes)).1.expect_err("garbage");
        assert_eq!(cause(&error), Some(&Error::Record), "{len}");
        let error = read_all(&mut receiver(&bytes[..bytes.len() - 1])).1.expect_err("cut");
        assert_eq!(cause(&error), Some(&Error::Truncated), "{len}");
    }
}

#[test]
fn what_follows_the_close_is_not_read() {
    let (wire, _) = wire();
    let mut stream = receiver(&[&wire[..], b"\0\0more"].concat());
    assert_eq!(read_all(&mut stream).0, CONTENTS.concat());
    assert_eq!(ready(stream.read(&mut [0; 8])).expect("the end"), 0);
}

#[test]
fn idle_records_without_end_do_not_keep_a_reader_busy() {
    // attack T24
    let (mut sealer, _) = sessions().0.into_parts();
    let mut wire = Vec::new();
    for _ in 0..33 {
        sealer.seal_pad(10, &mut wire).expect("open");
    }
    let (released, end) = read_all(&mut receiver(&wire));
    assert_eq!(cause(&end.expect_err("idle")), Some(&Error::Record));
    assert_eq!(released, b"");
}

// REC-10
#[test]
fn a_transport_that_fails_to_read_ends_both_directions() {
    let (wire, _) = wire();
    let mut script = Script::of(&wire[..30]);
    script.read_fault = Some(ErrorKind::ConnectionReset);
    let mut stream = NoiseStream::new(script, sessions().1);
    let (released, end) = read_all(&mut stream);
    assert_eq!(released, CONTENTS[0]);
    assert_eq!(end.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(ready(stream.write(b"late")).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(ready(stream.read(&mut [0; 8])).expect_err("over").kind(), ErrorKind::UnexpectedEof);
}

// REC-10
#[test]
fn a_transport_that_fails_to_write_ends_writing_and_not_reading() {
    let (wire, _) = wire();
    for (fault, kind) in [
        (Fault::Error(ErrorKind::ConnectionReset), ErrorKind::ConnectionReset),
        (Fault::Zero, ErrorKind::WriteZero),
    ] {
        let mut script = Script::of(&wire);
        script.write_fault = Some(fault);
        let mut stream = NoiseStream::new(script, sessions().1);
        // The bytes are taken; the failure comes with the next call.
        assert_eq!(ready(stream.write(b"content")).expect("taken"), 7);
        assert_eq!(ready(stream.flush()).expect_err("failed").kind(), kind);
        assert_eq!(ready(stream.write(b"more")).expect_err("failed").kind(), kind);
        let pieces = [IoSlice::new(b"more")];
        assert_eq!(ready(stream.write_vectored(&pieces)).expect_err("failed").kind(), kind);
        assert_eq!(ready(stream.shutdown()).expect_err("failed").kind(), kind);
        assert!(!stream.is_writable() && stream.is_readable());
        assert_eq!(read_all(&mut stream).0, CONTENTS.concat());
        assert_eq!(stream.close_reason(), Some(CloseReason::Done));
    }
}

#[test]
fn debug_of_a_stream_shows_no_content() {
    // attack T34
    let (wire, _) = wire();
    let mut stream = receiver(&wire);
    ready(stream.read(&mut [0; 1])).expect("a byte");
    let text = format!("{stream:?}") + &format!("{stream:#?}").replace('\n', " ");
    for content in CONTENTS.iter().filter(|content| content.len() > 1) {
        let list: Vec<String> = content.iter().map(u8::to_string).collect();
        assert!(!text.contains(&list.join(", ")), "{text}");
        assert!(!text.contains(&hex::encode(content)), "{text}");
    }
    let binding: Vec<String> = stream.channel_binding().iter().map(u8::to_string).collect();
    assert!(!text.contains(&binding.join(", ")), "{text}");
    // The control.
    assert!(format!("{:?}", CONTENTS[0]).contains("102, 105, 114"));
}
