//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether
//! the input was read.

// In the library it is part of the client, which fuzz targets are built without.
#[path = "../src/client/url.rs"]
pub mod url;

use std::str;

use self::url::RelayUrl;
use sealwire_core::{Timestamp, keys::SigningKey, secret::Secret};
use sealwire_relay::{
    Capability, Problem, SendId,
    signature::{
        self, CONTENT_DIGEST, RequestParts, SIGNATURE, SIGNATURE_INPUT, SignatureHeaders,
        SignedHeaders, Verified,
    },
    wire::{
        Acked, Acks, Body, Check, Claim, Claimed, FromClient, FromServer, Messages, NewMailbox,
        Operation, Page, Publish, Published, Remaining, Revoke,
    },
};

/// In the lifetime of the signatures and capabilities among the seeds.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A body is read only from its own encoding. The first byte picks the kind.
pub fn relay_bodies(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => body::<Publish>(bytes),
        1 => body::<Published>(bytes),
        2 => body::<Page>(bytes),
        3 => body::<Remaining>(bytes),
        4 => body::<Claim>(bytes),
        5 => body::<Claimed>(bytes),
        6 => body::<Check>(bytes),
        7 => body::<NewMailbox>(bytes),
        8 => body::<Revoke>(bytes),
        9 => body::<Messages>(bytes),
        10 => body::<Acks>(bytes),
        11 => body::<Acked>(bytes),
        // What is read of a problem is what is sent for it.
        12 => Problem::from_json(bytes).is_some_and(|problem| {
            assert_eq!(Problem::from_json(problem.to_json().as_bytes()), Some(problem));
            true
        }),
        _ => false,
    }
}

fn body<T: Body>(bytes: &[u8]) -> bool {
    T::from_bytes(bytes).is_ok_and(|read| {
        assert_eq!(read.to_bytes(), bytes);
        assert!(bytes.len() <= T::MAX_LEN);
        true
    })
}

/// So is a message of a stream: of a client behind 0, of a server behind 1.
pub fn relay_stream(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let again = match first {
        0 => FromClient::from_bytes(bytes).map(|read| read.to_bytes()),
        1 => FromServer::from_bytes(bytes).map(|read| read.to_bytes()),
        _ => return false,
    };
    again.is_ok_and(|again| {
        assert_eq!(again, bytes);
        true
    })
}

/// A request line is read only as it is written: method, space, path and query.
pub fn relay_paths(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Some((method, target)) = text.split_once(' ') else { return false };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    match Operation::parse(method, path, query) {
        Ok(operation) => {
            assert_eq!((operation.method(), operation.target().as_str()), (method, target));
            let allow = Operation::allow(path).unwrap_or_default();
            assert!(allow.split(", ").any(|allowed| allowed == method));
            true
        }
        Err(problem) => {
            assert!(
                [Problem::NotFound, Problem::Method, Problem::Malformed].contains(&problem),
                "{problem}"
            );
            let is_somewhere = Operation::allow(path).is_some();
            assert_eq!(is_somewhere, problem != Problem::NotFound);
            false
        }
    }
}

/// A capability is read only from its own text, and only the one that was minted is good. Behind
/// `@`, as in the address of a mailbox, stands where its relay is: that has one form.
pub fn relay_capability(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let (text, relay) = text.split_once('@').map_or((text, None), |(text, at)| (text, Some(at)));
    if let Some(Ok(relay)) = relay.map(RelayUrl::parse) {
        let text = relay.to_string();
        assert!(text.len() <= RelayUrl::MAX_LEN && RelayUrl::parse(&text) == Ok(relay), "{text}");
    }
    Capability::parse(text).is_ok_and(|read| {
        assert_eq!(read.to_text(), text);
        assert!(text.len() <= Capability::MAX_LEN);
        let secret = Secret::init_with(|secret| secret.fill(7));
        let good = read.check(&secret, &SendId::from_bytes([1; 16]), NOW);
        assert_eq!(good, text == MINTED, "{text}");
        true
    })
}

/// For mailbox 01…, with secret 07… and token 02….
const MINTED: &str =
    "v1.AgICAgICAgICAgICAgICAg.1800000000.A9zU3mAuafwjnOrUlIG8U6Kq9ecOOsvwNs6wPFcoXBU";

/// The three headers of a signature, each on a line, and the method, authority, path and query
/// of the request, which has a body of three bytes. Only the request that was signed verifies,
/// and only as it was.
pub fn relay_signature(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let fields = [CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE].map(|name| (name, line()));
    let (method, authority, path) = (line(), line(), line());
    let request = RequestParts { method, authority, path, query: lines.next(), body: &[1, 2, 3] };
    let fields = fields.map(|(name, value)| (name, value.as_bytes()));
    let Ok(headers) = SignatureHeaders::collect(fields) else { return false };
    let Ok(verified) = signature::verify(&request, &headers, NOW) else { return false };
    // Ed25519 has one signature for a message, and nobody else has the key.
    let key = SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(7)));
    let Verified { created, nonce, key_id, .. } = verified;
    let again = signature::sign(&request, created, &nonce, &key_id, |base| Ok(key.sign(base)));
    assert_eq!(again.as_ref().map(SignedHeaders::fields), Ok(fields));
    assert_eq!((method, path), ("POST", "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/acks"));
    assert_eq!(authority.to_ascii_lowercase(), "relay.example");
    assert_eq!(request.query.unwrap_or_default(), "");
    true
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn bodies_and_problems() {
        replay("relay_bodies", super::relay_bodies);
    }

    // attack T24, T32
    #[test]
    fn messages_of_streams() {
        replay("relay_stream", super::relay_stream);
    }

    // attack T32
    #[test]
    fn request_lines() {
        replay("relay_paths", super::relay_paths);
    }

    // attack T32
    #[test]
    fn capabilities() {
        replay("relay_capability", super::relay_capability);
    }

    // attack T32
    #[test]
    fn signatures() {
        replay("relay_signature", super::relay_signature);
    }
}
