//! Noise as it is published: XX and IK without anything of ours.

use std::ffi::OsString;

use super::{Duo, Side};

const PATTERNS: [&str; 2] = ["XX", "IK"];
const CIPHERS: [&str; 2] = ["ChaChaPoly", "AESGCM"];

/// Static keys of the two sides; a key pair of RFC 7748, section 6.1, for the
/// responder, whose public key an IK initiator must know.
const INITIATOR_SECRET: &str = "a11ce0000000000000000000000000000000000000000000000000000000c0de";
const RESPONDER_SECRET: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
const RESPONDER_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";

/// Both patterns and ciphers, each with our side as initiator and as responder.
pub(super) fn duos() -> Vec<Duo> {
    let mut duos = Vec::new();
    for pattern in PATTERNS {
        for cipher in CIPHERS {
            duos.extend([Side::Initiator, Side::Responder].map(|we| duo(pattern, cipher, we)));
        }
    }
    duos
}

fn duo(pattern: &str, cipher: &str, we: Side) -> Duo {
    let protocol = format!("Noise_{pattern}_25519_{cipher}_SHA256");
    let initiator = ["initiator", INITIATOR_SECRET, RESPONDER_PUBLIC];
    let initiator = if pattern == "IK" { &initiator[..] } else { &initiator[..2] };
    let responder = &["responder", RESPONDER_SECRET][..];
    let (ours, theirs) = match we {
        Side::Initiator => (initiator, responder),
        Side::Responder => (responder, initiator),
    };
    let [ours, theirs] = [ours, theirs].map(|words| {
        let words = std::iter::once(&protocol[..]).chain(words.iter().copied());
        words.map(OsString::from).collect()
    });
    Duo { name: format!("{protocol:<49} ours as {we}"), we, ours, theirs }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pattern_cipher_and_direction_is_a_case() {
        let names: BTreeSet<String> = duos().into_iter().map(|duo| duo.name).collect();
        assert_eq!(names.len(), 8);
        assert!(names.iter().any(|name| {
            name.starts_with("Noise_IK_25519_AESGCM_SHA256 ") && name.ends_with(" as responder")
        }));
    }
}
