//! Files that the user names.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sealwire::{
    core::Unverified,
    identity::{self, IdentityCard},
};

use crate::{error::Failure, text::Plain};

/// Reads a file, or standard input where it is named `-`, up to `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(max).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(max).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    Ok(bytes)
}

/// Reads a card, as text or as bytes. It is not verified.
pub(crate) fn card(path: &Path) -> Result<Unverified<IdentityCard>, Failure> {
    // Longer than any card as text, so that one that is too long is seen to be.
    const MAX: u64 = 16 * 1024;
    let bytes = read(path, MAX)?;
    parse_card(&bytes).map_err(|error| {
        Failure::other(format!("{} is not a card that can be read: {error}", Plain::path(path)))
            .hint("a card is what `sealwire id card` prints at its owner's")
    })
}

fn parse_card(bytes: &[u8]) -> Result<Unverified<IdentityCard>, identity::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => IdentityCard::from_text(text),
        Err(_) => IdentityCard::from_bytes(bytes),
    }
}
