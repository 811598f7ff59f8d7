//! What `Debug` shows: no key, no mailbox, and nobody's name.

use sealwire_core::Suite;
use sealwire_ratchet::{
    Error, ReplayCache,
    agreement::FirstMessage,
    prekey::{Rotation, UnverifiedBundle},
};
use sealwire_testkit::{leak::shows, rng::SeededRng};

use crate::common::{Agent, NEITHER, NONE, NOW, contact, reply, store};

/// `{:?}` and `{:#?}` of everything that an agreement makes, and the secrets in it.
fn shown(alice: &Agent, bob: &Agent) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut shown = Vec::new();
    macro_rules! show {
        ($($value:expr),* $(,)?) => { $(shown.push(format!("{0:?} {0:#?}", $value));)* };
    }
    let bundle = bob.verified();
    let keys = bob.one_time(0, crate::common::BOTH);
    let mut rng = SeededRng::new(8);
    let rotation = bob.prekeys.rotate(Rotation::Now, NOW, &mut rng).expect("room");
    let refill = bob.prekeys.refill(&bob.publisher(), NONE, NOW, &mut rng).expect("keys");
    show!(bundle, keys, rotation, refill.map(|refill| refill.change), bob.prekeys, contact());
    show!(UnverifiedBundle::from_bytes(&bob.bundle).expect("sound"), alice.local(), reply());

    let sent = alice.write_to(bob, bob.one_time(0, NEITHER), Suite::AesGcm);
    let first = FirstMessage::from_prefix(&sent.prefix).expect("a first message");
    show!(sent, first, bob.prekeys.find(&first, NOW).expect("held"));
    let claim = bob.open(&sent.prefix).expect("a first message");
    show!(claim, claim.introduced());
    let accepted = claim.prove(alice.identity()).expect("Alice");
    let replay = accepted.replay.expect("no one-time key");
    let mut cache = ReplayCache::new();
    cache.insert(replay).expect("room");
    show!(accepted, replay, cache);

    let mut secrets = bob.state();
    secrets.push(sent.agreed.secret().expose().to_vec());
    secrets.push(accepted.prekey.expose().to_vec());
    secrets.push(replay.to_bytes()[5..].to_vec());
    secrets.extend([contact().mailbox, contact().capability, alice.card(), bob.id.clone()]);
    secrets.extend([reply().mailbox, reply().capability].into_iter().flatten());
    (shown, secrets)
}

// attack T34
#[test]
fn debug_shows_no_secret_and_no_name() {
    let alice = Agent::new("alice in wonderland", store(1), 11);
    let bob = Agent::new("bob the builder", store(2), 12);
    let (shown, secrets) = shown(&alice, &bob);
    assert_eq!(shown.len(), 17);
    for secret in secrets {
        // Counters and lengths at the head of a row are no secrets, and full of zeros.
        let secret = if secret.len() > 200 { &secret[100..200] } else { &secret[..] };
        for text in &shown {
            assert!(!shows(text, secret), "{text}");
        }
        assert!(shows(&format!("{secret:?}"), secret), "the control");
    }
}

// attack T34
// AGR-17
#[test]
fn errors_tell_nothing_of_the_cause() {
    for (error, text) in [
        (Error::Open, "the message does not open"),
        (Error::NoPrekey, "the first message names a prekey that is not held"),
        (Error::Replay, "the first message was seen before"),
    ] {
        assert_eq!(error.to_string(), text);
        assert!(std::error::Error::source(&error).is_none());
    }
}
