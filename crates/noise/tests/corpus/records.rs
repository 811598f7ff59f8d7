//! A session with somebody between its ends, for its records alone and for a stream over them.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use sealwire_core::Suite;
use sealwire_noise::{
    Error, NoiseStream, Session,
    record::{CONTENT_LEN, CloseReason, MAX_IDLE_RECORDS, Opened, Opener, Sealer},
};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Held, Pieces};

/// A record as it was sealed.
#[derive(Clone, PartialEq, Eq)]
struct Record {
    ciphertext: Vec<u8>,
    held: Held,
}

/// Steps of a script that are heeded: enough for a row of idle records that is too long.
const MAX_STEPS: usize = 64;

/// The first byte picks suite and direction; the others, in pairs, say what one end seals and
/// what the one between does with it. The other end opens exactly what was sealed, up to the
/// first difference, and nothing after it.
pub fn record(script: &[u8]) -> bool {
    let Some((_, receiver, sealed, wire)) = play(script) else { return false };
    check(receiver.into_parts().1, &sealed, wire)
}

/// As [`record`], where the other end is a stream whose transport gives a few bytes at a time,
/// and may lack the last one: it gives the content that came before the first difference, and
/// ends well only after an intact close. The first byte picks that too.
pub fn stream(script: &[u8]) -> bool {
    let Some((first, receiver, sealed, mut wire)) = play(script) else { return false };
    let mut bytes = Vec::new();
    for Record { ciphertext, .. } in &wire {
        let length = u16::try_from(ciphertext.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend(ciphertext.iter().take(usize::from(length)));
    }
    if first & 4 != 0 {
        bytes.pop();
        wire.pop();
    }
    let (content, close) = intact(&sealed, &wire);
    let pieces = Pieces { bytes: &bytes, size: 1 << (first >> 4) };
    let mut stream = NoiseStream::new(tokio::io::join(pieces, tokio::io::sink()), receiver);
    let mut context = Context::from_waker(Waker::noop());
    let mut read = Vec::new();
    let end = loop {
        let mut buffer = [0; 1000];
        let mut buffer = ReadBuf::new(&mut buffer);
        // The transport is always ready, and so is the stream.
        match Pin::new(&mut stream).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break Some(true),
            Poll::Ready(Ok(())) => read.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => break Some(false),
            Poll::Pending => break None,
        }
    };
    assert_eq!(read, content);
    assert_eq!(end, Some(close.is_some()));
    assert_eq!(stream.close_reason(), close);
    assert!(!stream.is_readable());
    close.is_some()
}

/// What a script makes of a new session: its first byte, the receiving end, and the records as
/// sealed and as they arrive.
fn play(script: &[u8]) -> Option<(u8, Session, Vec<Record>, Vec<Record>)> {
    let (first, steps) = script.split_first()?;
    let suite = if first & 1 == 0 { Suite::AesGcm } else { Suite::ChaChaPoly };
    let (initiator, responder) = super::sessions(suite);
    let (from, to) = if first & 2 == 0 { (initiator, responder) } else { (responder, initiator) };
    let (steps, _) = steps.as_chunks();
    let steps = steps.get(..MAX_STEPS).unwrap_or(steps);
    let sealed = seal(from.into_parts().0, steps);
    let wire = damage(sealed.clone(), steps);
    Some((*first, to, sealed, wire))
}

/// The records that the sending end makes of the steps.
fn seal(mut sealer: Sealer, steps: &[[u8; 2]]) -> Vec<Record> {
    let mut sealed = Vec::new();
    for [step, argument] in steps {
        let length = match step % 16 {
            0 | 2 | 3 => usize::from(*argument),
            // Up to a little more than one record takes.
            1 => usize::from(*argument) * 65,
            _ => continue,
        };
        let was_open = sealer.is_open();
        let mut out = Vec::new();
        let (result, held) = match step % 16 {
            2 => (sealer.seal_pad(length, &mut out), Held::Pad),
            3 => {
                let reason = CloseReason::from_u8(*argument);
                (sealer.seal_close(reason, &mut out), Held::Close(reason))
            }
            _ => {
                let content = vec![*step; length];
                (sealer.seal_data(&content, &mut out), Held::Data(content))
            }
        };
        match &result {
            Ok(()) => assert!(was_open && length <= CONTENT_LEN),
            Err(Error::Closed) => assert!(!was_open),
            Err(error) => assert!(length > CONTENT_LEN, "{error}"),
        }
        // What is refused leaves nothing behind.
        assert_eq!(out.is_empty(), result.is_err());
        let Some((length, ciphertext)) = out.split_first_chunk() else { continue };
        assert_eq!(usize::from(u16::from_be_bytes(*length)), ciphertext.len());
        sealed.push(Record { ciphertext: ciphertext.to_vec(), held });
    }
    sealed
}

/// What the one between the ends makes of the records.
fn damage(mut wire: Vec<Record>, steps: &[[u8; 2]]) -> Vec<Record> {
    for [step, argument] in steps {
        let place = usize::from(step >> 4);
        let argument = usize::from(*argument);
        let count = wire.len();
        let Some(record) = wire.get_mut(place) else { continue };
        match step % 16 {
            4 => {
                let at = argument % record.ciphertext.len().max(1);
                record.ciphertext.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
            }
            5 => record.ciphertext.truncate(argument),
            6 => record.ciphertext.resize(record.ciphertext.len() + argument, 0),
            7 => drop(wire.remove(place)),
            8 => wire.swap(place, argument % count),
            9 => {
                let repeated = record.clone();
                wire.insert(argument % count, repeated);
            }
            10 => {
                // Up to a little more than a length can say.
                let ciphertext = steps.as_flattened().iter().copied().cycle();
                let ciphertext = ciphertext.take(argument * 258).collect();
                wire.insert(place, Record { ciphertext, held: Held::Forged });
            }
            _ => {}
        }
    }
    wire
}

/// The receiving end opens the records of the wire as long as they are those that were sealed.
/// Says whether all of them were.
fn check(mut opener: Opener, sealed: &[Record], wire: Vec<Record>) -> bool {
    let mut idle = 0;
    let mut all = true;
    let mut sealed = sealed.iter();
    for mut record in wire {
        let was_open = opener.is_open();
        let intact = was_open && sealed.next() == Some(&record);
        idle = match &record.held {
            Held::Data(content) if !content.is_empty() => 0,
            _ => idle + 1,
        };
        let opened = opener.open(&mut record.ciphertext);
        match &record.held {
            _ if !was_open => assert_eq!(opened, Err(Error::Closed)),
            _ if !intact => assert_eq!(opened, Err(Error::Record)),
            Held::Close(reason) => assert_eq!(opened, Ok(Opened::Close(*reason))),
            _ if idle > MAX_IDLE_RECORDS => assert_eq!(opened, Err(Error::Record)),
            Held::Data(content) => assert_eq!(opened, Ok(Opened::Data(content))),
            Held::Pad | Held::Message | Held::Forged => assert_eq!(opened, Ok(Opened::Nothing)),
        }
        let goes_on = matches!(opened, Ok(Opened::Data(_) | Opened::Nothing));
        all &= opened.is_ok();
        assert_eq!(opener.is_open(), goes_on);
    }
    all
}

/// The content of the records that arrive as they were sealed, and the close among them.
fn intact(sealed: &[Record], wire: &[Record]) -> (Vec<u8>, Option<CloseReason>) {
    let (mut content, mut idle) = (Vec::new(), 0);
    for (_, record) in sealed.iter().zip(wire).take_while(|(sealed, record)| sealed == record) {
        match &record.held {
            Held::Close(reason) => return (content, Some(*reason)),
            Held::Data(data) if !data.is_empty() => {
                idle = 0;
                content.extend_from_slice(data);
            }
            _ => idle += 1,
        }
        if idle > MAX_IDLE_RECORDS {
            break;
        }
    }
    (content, None)
}
