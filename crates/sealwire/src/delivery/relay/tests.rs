//! What is kept of mailboxes and told of them, and which relays are talked to.

use super::{handle::parse_address, *};
use crate::SystemClock;
use sealwire_core::MemoryKeyStore;
use sealwire_relay::Problem;
use sealwire_testkit::rng::SeededRng;
use std::io;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn url(text: &str) -> RelayUrl {
    RelayUrl::parse(text).expect(text)
}

fn keys(seed: u64) -> Arc<MemoryKeyStore> {
    Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys"))
}

/// At home at one relay, which others know under another name, and allowed to talk to a third.
fn delivery() -> RelayDelivery {
    let mut settings = RelaySettings::new(url("http://127.0.0.1:9"));
    settings.public = Some(url("https://home.example"));
    settings.allowed = vec![url("http://127.0.0.2:9")];
    RelayDelivery::new(settings, keys(1), Arc::new(SystemClock::new())).expect("a delivery")
}

fn address(capability: &str) -> Address {
    Address::new(&[1; 16], capability.as_bytes()).expect("short")
}

#[test]
fn a_handle_is_what_opens_the_same_mailbox_again() {
    let handle = Handle::draw().expect("randomness");
    let stored = handle.to_mailbox().expect("short");
    assert_eq!(stored.as_bytes().len(), 81);
    let again = Handle::parse(&stored).expect("a handle");
    assert_eq!((again.id(), again.send()), (handle.id(), handle.send()));
    assert_eq!(again.to_mailbox().expect("short"), stored);
}

#[test]
fn a_handle_of_another_kind_is_refused() {
    let stored = Handle::draw().expect("randomness").to_mailbox().expect("short");
    let bytes = stored.as_bytes();
    let other_version = [&[2], &bytes[1..]].concat();
    for (what, bytes) in [
        ("none", Vec::new()),
        ("that of a process", vec![7; 16]),
        ("one byte less", bytes[..80].to_vec()),
        ("one byte more", [bytes, &[0]].concat()),
        ("another version", other_version),
    ] {
        let handle = MailboxHandle::new(Zeroizing::new(bytes)).expect("short");
        assert!(matches!(Handle::parse(&handle), Err(DeliveryError::Refused(_))), "{what}");
    }
}

// REL-12
// attack T34
#[test]
fn mailboxes_share_nothing_that_joins_them() {
    let drawn: Vec<Handle> = (0..50).map(|_| Handle::draw().expect("randomness")).collect();
    let mut seen = Vec::new();
    for handle in &drawn {
        let stored = handle.to_mailbox().expect("short");
        let address = handle.address(NOW, None).expect("short");
        let (_, capability, _) = parse_address(&address).expect("ours");
        let bytes = stored.as_bytes();
        seen.extend([&bytes[1..33], &bytes[33..49], &bytes[49..81]].map(<[u8]>::to_vec));
        seen.extend([handle.id().as_bytes().to_vec(), capability.token().as_bytes().to_vec()]);
        assert_eq!(address.mailbox(), handle.send().as_bytes());
        assert_ne!(handle.id().as_bytes(), handle.send().as_bytes());
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn an_address_names_the_relay_when_it_is_to() {
    let handle = Handle::draw().expect("randomness");
    for relay in [None, Some(url("https://relay.example:8443"))] {
        let address = handle.address(NOW, relay.as_ref()).expect("short");
        let (send, capability, found) = parse_address(&address).expect("ours");
        assert_eq!((send, found), (handle.send(), relay));
        let secret = handle.secret().expect("a secret");
        assert!(capability.check(&secret, &send, NOW));
        assert!(!capability.check(&secret, &send, NOW.plus(1)));
    }
    // Each is minted anew, so that one can be revoked without the other.
    let token = || {
        let address = handle.address(NOW, None).expect("short");
        *parse_address(&address).expect("ours").1.token()
    };
    assert_ne!(token(), token());
}

#[test]
fn an_address_that_is_none_of_a_relay_is_refused() {
    let good = Handle::draw().expect("randomness").address(NOW, None).expect("short");
    let good = core::str::from_utf8(good.capability()).expect("text").to_owned();
    let mailboxes: [&[u8]; 3] = [&[], &[1; 15], &[1; 17]];
    for mailbox in mailboxes {
        let address = Address::new(mailbox, good.as_bytes()).expect("short");
        assert!(parse_address(&address).is_err(), "{}", mailbox.len());
    }
    for (what, capability) in [
        ("nothing", String::new()),
        ("a relay alone", "@https://relay.example".into()),
        ("no relay behind the sign", format!("{good}@")),
        ("a relay with a path", format!("{good}@https://relay.example/x")),
        ("two relays", format!("{good}@https://relay.example@https://relay.example")),
        ("a line break", format!("{good}\r\nhost: other")),
        ("a version to come", good.replacen("v1", "v2", 1)),
    ] {
        assert!(parse_address(&address(&capability)).is_err(), "{what}");
    }
    let not_text = Address::new(&[1; 16], &[0xff; 90]).expect("short");
    assert!(parse_address(&not_text).is_err());
}

#[test]
fn the_longest_name_of_a_relay_fits_into_an_address() {
    let handle = Handle::draw().expect("randomness");
    let longest = url(&format!("https://{}:65535", "a.".repeat(70) + "aaaaaa"));
    let address = handle.address(NEVER, Some(&longest)).expect("it fits");
    assert!(address.capability().len() <= Address::MAX_CAPABILITY_LEN);
    let too_long = url(&format!("https://{}", "a.".repeat(120) + "a"));
    assert!(handle.address(NEVER, Some(&too_long)).is_err());
}

// REL-30
#[tokio::test]
async fn a_peer_cannot_bring_this_agent_to_another_relay() {
    let delivery = delivery();
    let capability = Handle::draw().expect("randomness").address(NOW, None).expect("short");
    let capability = core::str::from_utf8(capability.capability()).expect("text").to_owned();
    let place = |relay: &str| {
        let to = address(&format!("{capability}{relay}"));
        delivery.place(&to).map(|(client, ..)| client.url().clone())
    };
    let home = url("http://127.0.0.1:9");
    assert_eq!(place("").expect("our own"), home);
    assert_eq!(place("@http://127.0.0.1:9").expect("our own"), home);
    assert_eq!(place("@https://home.example").expect("our own, as others know it"), home);
    assert_eq!(place("@http://127.0.0.2:9").expect("allowed"), url("http://127.0.0.2:9"));
    for other in ["https://evil.example", "http://127.0.0.1:10", "https://127.0.0.2:9"] {
        let refused = place(&format!("@{other}")).expect_err(other);
        assert!(matches!(refused, DeliveryError::Refused(_)), "{other}");
        assert!(!refused.is_retryable());
    }

    let bob = Device::from(&AgentId::from_key(keys(2).identity()));
    assert_eq!(delivery.directory(&bob).url(), &home);
    assert!(!delivery.route(&bob.agent, "https://evil.example"));
    assert!(!delivery.route(&bob.agent, "not a URL"));
    assert_eq!(delivery.directory(&bob).url(), &home);
    assert!(delivery.route(&bob.agent, "http://127.0.0.2:9"));
    assert_eq!(delivery.directory(&bob).url(), &url("http://127.0.0.2:9"));
    assert!(delivery.route(&bob.agent, "https://home.example"));
    assert_eq!(delivery.directory(&bob).url(), &home);
}

#[test]
fn only_a_mailbox_that_is_gone_is_told_as_gone() {
    for problem in Problem::ALL {
        let error = failed(ClientError::Problem(problem));
        let is_gone = matches!(error, DeliveryError::Gone);
        assert_eq!(is_gone, problem == Problem::NotFound, "{problem:?}");
        let again = problem.is_retryable()
            || matches!(problem, Problem::Replayed | Problem::Stale | Problem::Misdirected);
        assert_eq!(error.is_retryable(), again, "{problem:?}");
    }
}

#[test]
fn what_can_be_put_right_does_not_lose_a_message() {
    // The outbox gives up what is refused for good.
    let io = || io::Error::other("test");
    for error in [
        ClientError::Unresolved(io()),
        ClientError::Unreachable(io()),
        ClientError::Untrusted(io()),
        ClientError::Plain,
        ClientError::Protocol("test"),
        ClientError::Randomness,
    ] {
        let text = error.to_string();
        let error = failed(error);
        assert!(error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

// attack T34
#[test]
fn debug_shows_no_mailbox() {
    let delivery = delivery();
    let bob = AgentId::from_key(keys(2).identity());
    assert!(delivery.route(&bob, "http://127.0.0.2:9"));
    let text = format!("{delivery:?} {:?}", RelaySettings::new(url("http://127.0.0.1:9")));
    assert!(!text.contains("did:"), "{text}");
}
