//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether
//! the input was read.

#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::str;

#[cfg(feature = "hazmat")]
use sealwire::hazmat::Row;
use sealwire::{
    Body, Content, MAX_LARGE_LEN,
    core::pad::{frame_class, pad},
    pairing::{Code, Message},
};

/// A content is read only from its own encoding, and a part is within its whole.
pub fn content(bytes: &[u8]) -> bool {
    let Ok(content) = Content::from_bytes(bytes) else { return false };
    assert_eq!(*content.to_bytes(), bytes);
    if let Body::Part(part) = &content.body {
        let end = part.offset.checked_add(u64::try_from(part.bytes.len()).expect("short"));
        let end = end.expect("no overflow");
        assert!(end <= part.length.unwrap_or(MAX_LARGE_LEN) && end <= MAX_LARGE_LEN);
        assert!(part.length.is_none_or(|length| (end == length) == part.digest.is_some()));
        assert!(!part.bytes.is_empty() || (end == 0 && part.digest.is_some()));
    }
    true
}

/// A message of a pairing is read only from its own frame, and a code is written in one way. The
/// padding of a frame is not in the corpus.
pub fn pairing(bytes: &[u8]) -> bool {
    let code = str::from_utf8(bytes).ok().and_then(|text| Code::parse(text).ok());
    if let Some(code) = code {
        let text = code.to_string();
        assert!(text.len() == 9 && Code::parse(&text).is_ok_and(|again| again == code));
        return true;
    }
    let mut frame = bytes.to_vec();
    let Some(class) = frame_class(frame.len() + 1) else { return false };
    pad(&mut frame, class).expect("there is room");
    let Ok(message) = Message::from_frame(&frame) else { return false };
    assert_eq!(message.to_frame().expect("a frame"), frame);
    true
}

/// A row is read only from its own encoding. The first byte picks the kind.
#[cfg(feature = "hazmat")]
pub fn store_rows(bytes: &[u8]) -> bool {
    let Some((kind, value)) = bytes.split_first() else { return false };
    let Some(row) = Row::ALL.get(usize::from(*kind)) else { return false };
    let Ok(again) = row.again(value) else { return false };
    assert_eq!(*again, value, "{row:?}");
    true
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    // CON-5
    #[test]
    fn contents() {
        replay("content", super::content);
    }

    // attack T32
    // PAIR-4
    #[test]
    fn pairings() {
        replay("pairing", super::pairing);
    }

    // attack T32
    #[cfg(feature = "hazmat")]
    #[test]
    fn rows_of_the_store() {
        replay("store_rows", super::store_rows);
    }
}
