//! Identities, trust and inspection: what the commands write, say and refuse.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use std::{fs, io::Read, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use common::{Agent, file, friends, sealwire};
use sealwire::identity::IdentityCard;

#[test]
fn a_new_identity_is_shown_and_its_card_is_printed_and_renewed() {
    let agent = Agent::new();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&agent.file("keys")), 0o600);

    let shown = agent.run(&["id", "show", "--json"]).json();
    assert_eq!(shown["id"], agent.id);
    assert_eq!(shown["kx_ids"], serde_json::json!([1]));
    assert!(agent.run(&["id", "show"]).text().contains(&agent.id));

    // Neither showing nor printing needs the passphrase while the card is young.
    let args = ["id", "card", "--json"];
    let printed = sealwire(agent.home(), &args).without_passphrase().run(b"");
    let card = printed.json()["card"].as_str().expect("a card").to_owned();
    let read = IdentityCard::from_text(&card).expect("a card");
    assert_eq!(read.claimed().id().as_str(), agent.id);
    assert_eq!(agent.card(), card);

    let renewed = agent.run(&["id", "card", "--renew", "--json"]).json();
    assert!(renewed["sequence"].as_u64() > shown["sequence"].as_u64());
    // The old card is answered for until it ends.
    let cards = agent.run(&["inspect", agent.file("cards").to_str().expect("text"), "--json"]);
    let cards = &cards.json()["cards"];
    assert_eq!(cards.as_array().expect("a list").len(), 2);
    assert_eq!(
        (&cards[0]["sequence"], &cards[1]["sequence"]),
        (&shown["sequence"], &renewed["sequence"])
    );
}

#[test]
fn the_directory_is_made_for_the_owner_alone() {
    let parent = tempfile::tempdir().expect("a directory");
    let home = parent.path().join("one/two");
    assert_eq!(sealwire(&home, &["id", "new"]).run(b"").code, 0);
    for directory in [&home, &parent.path().join("one")] {
        let mode = fs::metadata(directory).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn an_identity_is_never_overwritten() {
    let agent = Agent::new();
    let before = fs::read(agent.file("keys")).expect("keys");
    agent.run(&["id", "new"]).assert_failed(1, "there is an identity already");
    assert_eq!(fs::read(agent.file("keys")).expect("keys"), before);

    // Nor is another made on top of the cards that one has left.
    fs::rename(agent.file("keys"), agent.file("elsewhere")).expect("renamed");
    agent.run(&["id", "new"]).assert_failed(1, "holds cards of another agent");
    assert!(!agent.file("keys").exists());
}

#[test]
fn a_wrong_passphrase_a_missing_one_and_a_bad_one_are_told_apart() {
    let agent = Agent::new();
    let renew = || sealwire(agent.home(), &["id", "card", "--renew"]);
    let wrong = renew().env("SEALWIRE_PASSPHRASE", "umbrella-quartz-lantern-43").run(b"");
    wrong.assert_failed(1, "the passphrase is wrong, or the file was changed");
    let missing = renew().without_passphrase().run(b"");
    missing.assert_failed(1, "there is no terminal to ask for the passphrase on");
    assert!(missing.stderr.contains("set SEALWIRE_PASSPHRASE"));
    let short = renew().env("SEALWIRE_PASSPHRASE", "short").run(b"");
    short.assert_failed(1, "SEALWIRE_PASSPHRASE: the passphrase is shorter than 8 bytes");
    let json = sealwire(agent.home(), &["id", "card", "--renew", "--json"])
        .env("SEALWIRE_PASSPHRASE", "umbrella-quartz-lantern-43")
        .run(b"");
    let failed = json.event("failed");
    assert_eq!((failed["code"].as_u64(), json.stdout.len()), (Some(1), 0));
}

#[test]
fn a_half_written_key_file_is_named_and_left_as_it_is() {
    let agent = Agent::new();
    let whole = fs::read(agent.file("keys")).expect("keys");
    for len in [0, 5, 40, whole.len() - 1] {
        fs::write(agent.file("keys"), &whole[..len]).expect("written");
        let failed = agent.run(&["id", "card", "--renew"]);
        failed.assert_failed(1, "keys: key file: the input ends too early");
        assert!(failed.stderr.contains("only partly written or copied"), "{}", failed.stderr);
        assert_eq!(fs::read(agent.file("keys")).expect("keys").len(), len);
    }
    fs::write(agent.file("keys"), &whole).expect("written");
    assert_eq!(agent.run(&["id", "card", "--renew"]).code, 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_a_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    // A file where a directory has to be stops root too.
    let blocked = file(directory.path(), "file", b"");
    let below = Path::new(&blocked).join("home");
    let failed = sealwire(&below, &["id", "new"]).run(b"");
    failed.assert_failed(1, "cannot");
    assert!(failed.stderr.contains("--home or SEALWIRE_HOME"), "{}", failed.stderr);

    let none = sealwire(directory.path(), &["listen", "127.0.0.1:0"]).run(b"");
    none.assert_failed(1, "make one with `sealwire id new`");
    let none = sealwire(directory.path(), &["id", "show"]).run(b"");
    none.assert_failed(1, "no identity in");
}

#[test]
fn peers_are_pinned_listed_and_removed() {
    let (alice, bob) = friends();
    let again = alice.run_with(&["trust", "pin", "-", "--json"], bob.card().as_bytes());
    assert_eq!(again.json()["before"], "same");
    let newer = bob.run(&["id", "card", "--renew"]).text();
    let path = file(alice.home(), "bob.card", newer.as_bytes());
    assert_eq!(alice.run(&["trust", "pin", &path, "--json"]).json()["before"], "older");
    let older = bob.run(&["inspect", bob.file("cards").to_str().expect("text"), "--json"]).json();
    assert_eq!(older["cards"][0]["valid"], true);

    let listed = alice.run(&["trust", "list", "--json"]).json();
    assert_eq!(listed["peers"][0]["id"], bob.id);
    assert_eq!(listed["peers"][0]["pinned"], "out_of_band");
    assert!(alice.run(&["trust", "list"]).text().contains(&bob.id));

    assert_eq!(alice.run(&["trust", "remove", &bob.id, "--json"]).json()["removed"], bob.id);
    alice.run(&["trust", "remove", &bob.id]).assert_failed(1, "is not pinned");
    assert_eq!(alice.run(&["trust", "list", "--json"]).json()["peers"], serde_json::json!([]));
}

#[test]
fn what_is_not_a_peers_card_is_not_pinned() {
    let agent = Agent::new();
    let own = agent.card();
    agent.run_with(&["trust", "pin", "-"], own.as_bytes()).assert_failed(1, "own card");
    agent.run_with(&["trust", "pin", "-"], b"no card").assert_failed(1, "is not a card");
    agent.run(&["trust", "pin", "/nowhere/card"]).assert_failed(1, "cannot read /nowhere/card");
    agent.run(&["trust", "remove", "did:web:x"]).assert_failed(2, "did:key:");

    // A changed card: one bit of the signature, which stands at its end.
    let stranger = Agent::new();
    let text = stranger.card();
    let card = IdentityCard::from_text(&text).expect("a card");
    let mut bytes = card.claimed().as_bytes().to_vec();
    *bytes.last_mut().expect("a card") ^= 1;
    let forged = file(agent.home(), "forged", &bytes);
    let refused = agent.run(&["trust", "pin", &forged]);
    assert!([1, 5].contains(&refused.code), "{}", refused.stderr);
    assert!(refused.stderr.contains("signature"), "{}", refused.stderr);
    assert!(!agent.file("pins").exists());
}

#[test]
fn every_kind_of_file_is_recognised() {
    let (alice, bob) = friends();
    let inspect = |path: &str| alice.run(&["inspect", path, "--json"]).json();
    let path = |name: &str| alice.file(name).to_str().expect("text").to_owned();

    let text = bob.card();
    let card = IdentityCard::from_text(&text).expect("a card");
    for (name, content) in [("text", text.as_bytes()), ("binary", card.claimed().as_bytes())] {
        let found = inspect(&file(alice.home(), name, content));
        assert_eq!((&found["kind"], &found["encoding"]), (&"card".into(), &name.into()));
        assert_eq!(found["cards"][0]["id"], bob.id);
        assert_eq!(found["cards"][0]["valid"], true);
    }
    let keys = inspect(&path("keys"));
    assert_eq!(keys["kind"], "key_file");
    assert_eq!((keys["memory_kib"].as_u64(), keys["passes"].as_u64()), (Some(65_536), Some(3)));
    let pins = inspect(&path("pins"));
    assert_eq!((&pins["kind"], &pins["pins"][0]["id"]), (&"pins".into(), &bob.id.clone().into()));

    for (args, pattern) in [(&["--stranger"][..], "XX"), (&["--peer", &bob.id][..], "IK")] {
        let captured = capture(&alice, args);
        let found = inspect(&file(alice.home(), pattern, &captured));
        assert_eq!((&found["kind"], &found["pattern"]), (&"preamble".into(), &pattern.into()));
        assert_eq!(found["kx_id"].as_u64(), (pattern == "IK").then_some(1));
        assert!(alice.run(&["inspect", &path(pattern)]).text().contains("ML-KEM-768"));
    }
}

/// The first bytes of a connection, which then ends.
fn capture(agent: &Agent, args: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dialling = agent.start_connect(listener.local_addr().expect("bound"), args, Some(b""));
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut captured = vec![0; 1200];
    stream.read_exact(&mut captured).expect("more than a preamble");
    drop((stream, listener));
    dialling.wait().assert_failed(3, "during the handshake");
    captured
}

#[test]
fn what_is_unknown_is_said_with_what_was_tried() {
    let agent = Agent::new();
    let path = file(agent.home(), "\u{1b}[2Jnotes", b"\x09\x1b[31mnotes");
    let failed = agent.run(&["inspect", &path]);
    failed.assert_failed(
        1,
        "is not a card, key file, pins file, sealed object, key record or start of a connection",
    );
    for kind in ["card text", "key file", "pin store", "preamble"] {
        assert!(failed.stderr.contains(kind), "{}", failed.stderr);
    }
    assert!(!failed.stderr.contains('\u{1b}'), "{:?}", failed.stderr);
}

#[test]
fn help_and_usage_end_as_the_table_says() {
    let home = tempfile::tempdir().expect("a directory");
    for command in
        [&["--help"][..], &["listen", "--help"], &["connect", "--help"], &["open", "--help"]]
    {
        let help = sealwire(home.path(), command).run(b"");
        assert_eq!(help.code, 0);
        assert!(help.text().contains("Exit codes:"));
    }
    // What it cannot reach is said where it is asked for.
    let erase = sealwire(home.path(), &["erase", "--help"]).run(b"").text();
    assert!(erase.contains("does not reach copies of the key record itself"), "{erase}");
    assert_eq!(sealwire(home.path(), &["connect"]).run(b"").code, 2);
    let json = sealwire(home.path(), &["connect", "--json"]).run(b"");
    assert_eq!((json.code, json.event("failed")["code"].as_u64()), (2, Some(2)));
    let both = ["connect", "a:1", "--stranger", "--peer", "did:key:x"];
    assert_eq!(sealwire(home.path(), &both).run(b"").code, 2);
}
