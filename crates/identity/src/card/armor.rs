//! The card as text, in lines that survive mail and terminals.

use base64ct::{Base64, Encoding};
use sealwire_core::{DecodeError, DecodeReason};

const BEGIN: &str = "-----BEGIN SEALWIRE CARD-----";
const END: &str = "-----END SEALWIRE CARD-----";

/// Characters of base64 in a line, as in PEM (RFC 7468 section 2).
const LINE: usize = 64;

/// The longest text, in bytes: the longest card in base64 takes 5,464, with line ends and the
/// first and last line under 5,800.
const MAX_LEN: usize = 6 * 1024;

/// The text of `bytes`.
// CARD-16
pub(super) fn encode(bytes: &[u8]) -> String {
    let base64 = Base64::encode_string(bytes);
    let mut text = String::with_capacity(MAX_LEN);
    text.push_str(BEGIN);
    for (index, character) in base64.chars().enumerate() {
        if index % LINE == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

/// The bytes of a text: white space around it and CRLF line ends are tolerated, nothing else.
// CARD-17
pub(super) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let error = |reason| DecodeError::new("card text", reason);
    let refuse = |rule| error(DecodeReason::Invalid(rule));
    let text = text.trim_ascii();
    if text.len() > MAX_LEN {
        return Err(error(DecodeReason::TooLong(MAX_LEN)));
    }
    let mut lines = text.lines();
    if lines.next() != Some(BEGIN) {
        return Err(refuse("the first line is -----BEGIN SEALWIRE CARD-----"));
    }
    if lines.next_back() != Some(END) {
        return Err(refuse("the last line is -----END SEALWIRE CARD-----"));
    }
    let mut base64 = String::with_capacity(text.len());
    for line in lines {
        // Only the last line is shorter, and none is empty.
        if line.is_empty() || line.len() > LINE || !base64.len().is_multiple_of(LINE) {
            return Err(refuse("every line but the last has 64 characters"));
        }
        base64.push_str(line);
    }
    let bytes = Base64::decode_vec(&base64).map_err(|_| refuse("not base64; copy it again"))?;
    if Base64::encode_string(&bytes) != base64 {
        return Err(error(DecodeReason::NonCanonical));
    }
    Ok(bytes)
}
