//! What `Debug` shows of a handshake and a session: no key, and nobody's name.

use rand_core::TryRng;
use sealwire_core::{Suite, SuiteSet, keystore::KeySeeds};
use sealwire_noise::{GateKey, initiator, responder};
use sealwire_testkit::rng::{FixedRng, SeededRng};

use crate::peers::{Peer, bob, rngs};

/// Whether `text` shows six bytes in a row of `secret` in hex, base64 or as a list of decimals.
fn shows(text: &str, secret: &[u8]) -> bool {
    secret.windows(6).any(|window| {
        let lower = hex::encode(window);
        let decimal: Vec<String> = window.iter().map(u8::to_string).collect();
        text.contains(&lower)
            || text.contains(&lower.to_uppercase())
            || text.contains(&base64(window))
            || text.replace(['\n', ' '], "").contains(&decimal.join(","))
            || text.contains(&String::from_utf8_lossy(window).into_owned())
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[bits >> shift & 63]));
        }
    }
    text
}

/// `{:?}` and `{:#?}` of everything that a run of both patterns makes.
fn shown(alice: &Peer, bob: &Peer, random: &[u8]) -> (Vec<String>, [u8; 32]) {
    let mut shown = Vec::new();
    macro_rules! show {
        ($($value:expr),*) => { $(shown.push(format!("{0:?} {0:#?}", $value));)* };
    }
    let offered = SuiteSet::all;
    let mut rng = FixedRng::new(random);
    let (preamble, message1, sent) =
        initiator::start_xx(alice.local(), Suite::AesGcm, offered(), &mut rng).expect("XX 1");
    let (message2, answered) =
        responder::answer_xx(bob.local(), &preamble, &message1, &mut rngs(0).1).expect("XX 2");
    show!(alice.local(), sent, answered);
    let claim = sent.read(&message2).expect("XX 2");
    show!(claim);
    let replied = claim.prove(bob.identity()).expect("Bob");
    show!(replied);
    let (message3, at_alice) = replied.finish(&bob.id).expect("XX 3");
    let claim = answered.read(&message3).expect("XX 3");
    show!(at_alice, claim, claim.payload());
    let binding = *at_alice.channel_binding();
    let (sealer, opener) = at_alice.into_parts();
    show!(sealer, opener);

    let mut rng = FixedRng::new(random);
    let (preamble, message1, sent) =
        initiator::start_ik(alice.local(), bob.known(), Suite::AesGcm, offered(), &mut rng)
            .expect("IK 1");
    show!(sent, GateKey::new(&bob.publics.kem).expect("a key"));
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rngs(0).1);
    let proven = claim.expect("IK 1").prove(alice.identity()).expect("Alice");
    show!(proven);
    let (message2, replied) = proven.reply(&alice.id).expect("IK 2");
    show!(replied);
    let proven = sent.read(&message2).expect("IK 2").prove(bob.identity()).expect("Bob");
    show!(proven);
    (shown, binding)
}

#[test]
fn debug_shows_no_secret_and_no_name() {
    // attack T34
    let seeds = KeySeeds::generate(&mut SeededRng::new(77)).expect("seeds");
    let alice = Peer::from_seeds("alice-in-wonderland", &seeds);
    let mut random = [0; 128];
    let Ok(()) = SeededRng::new(78).try_fill_bytes(&mut random);
    let (shown, binding) = shown(&alice, &bob(), &random);
    assert_eq!(shown.len(), 15);
    let secrets = [&seeds.to_bytes()[3..], &random, &binding, &alice.id];
    for text in &shown {
        assert!(!secrets.iter().any(|secret| shows(text, secret)), "{text}");
    }
    // The control: the same check does see a leak of each kind.
    for leak in [
        format!("{random:?}"),
        format!("{random:#?}"),
        hex::encode(random),
        hex::encode_upper(random),
        base64(&random),
    ] {
        assert!(shows(&leak, &random), "{leak}");
    }
    assert!(shows("Local { id: alice-in-wonderland }", &alice.id));
}

#[test]
fn errors_tell_a_peer_nothing_of_the_cause() {
    // attack T34
    use sealwire_noise::Error;
    for (error, text) in [
        (Error::Handshake, "the handshake failed"),
        (Error::Record, "a record does not open"),
        (Error::Proof, "the peer's proof of identity is wrong"),
    ] {
        assert_eq!(error.to_string(), text);
        assert!(std::error::Error::source(&error).is_none());
    }
}
