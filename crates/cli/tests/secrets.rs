//! What is printed shows no secret.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::fs;

use argon2::{Algorithm, Argon2, Params, Version};
use common::{Agent, Done, PASSPHRASE, Relay, friends, sealwire};
use sealwire::core::{aead, secret::Secret};
use sealwire_testkit::leak;

/// Where the parts of a key file are: docs/spec/key-file.md.
const SALT: std::ops::Range<usize> = 19..35;
const NONCE: std::ops::Range<usize> = 35..59;
const HEADER: usize = 61;

/// The private seeds in a key file.
fn seeds(file: &[u8]) -> Vec<u8> {
    let params = Params::new(64 * 1024, 3, 4, Some(32)).expect("in bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = [0; 32];
    argon2.hash_password_into(PASSPHRASE.as_bytes(), &file[SALT], &mut key).expect("derives");
    let key = Secret::try_init_with(|out: &mut [u8; 32]| {
        out.copy_from_slice(&key);
        Ok::<_, ()>(())
    });
    let mut message = file[HEADER..].to_vec();
    let nonce = file[NONCE].try_into().expect("24 bytes");
    let key = key.expect("a key");
    aead::xchacha_open(&key, &nonce, &file[..HEADER], &mut message).expect("it opens");
    message
}

/// What commands say that go through a relay.
fn offline(alice: &Agent, bob: &Agent) -> Vec<Done> {
    let relay = Relay::start();
    let run = |agent: &Agent, args: &[&str]| {
        let command = sealwire(agent.home(), args).env("SEALWIRE_AGENT_RELAY", &relay.url());
        let done = command.run(b"hello");
        assert_eq!(done.code, 0, "{}", done.stderr);
        done
    };
    vec![
        run(alice, &["keys", "publish"]),
        run(alice, &["keys", "status", "--json"]),
        run(bob, &["send", &alice.id]),
        run(alice, &["recv", "--exec", "env >&2; ps -o args= >&2; cat"]),
        run(alice, &["send", &bob.id, "--json"]),
        run(bob, &["recv", "--json"]),
        run(alice, &["sessions", "list"]),
        run(alice, &["doctor"]),
    ]
}

// attack T34
#[test]
fn no_command_prints_a_key_or_the_passphrase() {
    let (alice, bob) = friends();
    let path = |name: &str| alice.file(name).to_str().expect("text").to_owned();
    let mut said: Vec<Done> = Vec::new();
    for json in [&[][..], &["--json"]] {
        for args in [
            &["id", "show"][..],
            &["id", "card"],
            &["id", "new"],
            &["trust", "list"],
            &["inspect", &path("keys")],
            &["inspect", &path("cards")],
            &["inspect", &path("pins")],
        ] {
            said.push(alice.run(&[args, json].concat()));
        }
    }
    said.push(alice.run(&["id", "card", "--renew"]));
    let (listening, address) = alice.listen(&[], b"");
    said.push(bob.connect(address, &["--peer", &alice.id], b""));
    said.push(listening.wait());
    said.extend(offline(&alice, &bob));
    let text: String = said.iter().map(|done| done.text() + &done.stderr).collect();

    let seeds = seeds(&fs::read(alice.file("keys")).expect("keys"));
    assert!(seeds.len() > 64);
    let windows: Vec<&[u8]> = seeds.windows(16).step_by(8).collect();
    assert!(windows.iter().all(|window| !leak::shows(&text, window)));
    assert!(!leak::shows(&text, PASSPHRASE.as_bytes()) && !text.contains(PASSPHRASE));
    // The search would have found one.
    assert!(leak::shows(&(text + &hex::encode(windows[2])), windows[2]));
}
