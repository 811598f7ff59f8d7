//! The address of a home relay: text from a peer that is shown on terminals.

use sealwire_core::{DecodeError, DecodeReason};

/// The longest address, in bytes: a host name of at most 253 bytes behind `https://` rarely
/// comes near it.
pub(super) const MAX_LEN: usize = 256;

/// Gives back `text` when it looks like a URL and can do no harm on a terminal.
pub(super) fn check(text: &str) -> Result<&str, DecodeError> {
    let error = |reason| Err(DecodeError::new("home relay", reason));
    // CARD-8
    if text.len() > MAX_LEN {
        return error(DecodeReason::TooLong(MAX_LEN));
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) {
        return error(DecodeReason::Invalid("begins with https:// or http:// and names a host"));
    }
    if !text.bytes().all(is_uri_character) {
        return error(DecodeReason::Invalid("holds only the characters of a URL"));
    }
    Ok(text)
}

/// RFC 3986 section 2: unreserved, gen-delims, sub-delims and the percent sign.
fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}
