//! An agent whose state takes a key elsewhere to open, beside its own.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failing test fails")]

mod common;

use std::{fs, path::Path};

use common::{Agent, Done, PASSPHRASE, Relay, file};
use sealwire::custody::{Params, Passphrase, system_rng};
use sealwire_custody::kms::KekFile;
use serde_json::Value;
use tempfile::TempDir;

/// A key file in another place than the agent's directory.
struct Elsewhere(TempDir);

impl Elsewhere {
    fn new(name: &str) -> Self {
        let elsewhere = Self(tempfile::tempdir().expect("a directory"));
        let kek = KekFile::create_with(
            elsewhere.path(),
            name,
            &passphrase(),
            Params::MIN,
            &mut system_rng(),
        );
        kek.expect("made");
        elsewhere
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("kek")
    }

    fn word(&self) -> String {
        format!("file:{}", self.path().display())
    }

    fn rotate(&self) {
        let mut kek = KekFile::open(self.path(), &passphrase()).expect("opens");
        kek.rotate(&passphrase(), &mut system_rng()).expect("rotated");
    }
}

fn passphrase() -> Passphrase {
    Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("a passphrase")
}

fn configure(agent: &Agent, relay: &Relay, kms: &str) {
    let text = format!("[agent]\nrelay = \"{}\"\nstate_kms = \"{kms}\"\n", relay.url());
    file(agent.home(), "sealwire.toml", text.as_bytes());
}

fn check(done: &Done, name: &str) -> (String, String) {
    let checks = done.json()["checks"].as_array().expect("checks").clone();
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or(&Value::Null);
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("said"))
}

fn received(agent: &Agent) -> Done {
    agent.run(&["recv"])
}

// STA-22, STA-24
#[test]
fn an_agent_works_with_its_key_elsewhere_and_not_without_it() {
    let (relay, elsewhere) = (Relay::start(), Elsewhere::new("guard"));
    let (alice, bob) = common::friends();
    configure(&alice, &relay, &elsewhere.word());
    configure(&bob, &relay, "");
    for agent in [&alice, &bob] {
        let published = agent.run(&["keys", "publish"]);
        assert_eq!(published.code, 0, "{}", published.stderr);
    }
    let sent = bob.run_with(&["send", &alice.id], b"how far is the moon?");
    assert_eq!(sent.code, 0, "{}", sent.stderr);

    // The key is away: nothing works, and each says what is missing.
    let away = elsewhere.0.path().join("away");
    fs::rename(elsewhere.path(), &away).expect("moved");
    for command in [&["recv"][..], &["sessions", "list"], &["keys", "publish"], &["keys", "rewrap"]]
    {
        let refused = alice.run(command);
        assert_eq!(refused.code, 1, "{command:?}: {}", refused.stderr);
        let said = format!("there is no key file {}", elsewhere.path().display());
        assert!(refused.stderr.contains(&said), "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("nothing is lost"), "{command:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains(PASSPHRASE));
    }
    // Whoever has directory and passphrase, and turns the setting off.
    configure(&alice, &relay, "");
    let refused = alice.run(&["recv"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("is wrapped by the key local:guard"), "{}", refused.stderr);
    assert!(refused.stderr.contains("set agent.state_kms"), "{}", refused.stderr);
    configure(&alice, &relay, &elsewhere.word());
    let doctor = alice.run(&["doctor", "--json"]);
    assert_eq!(check(&doctor, "state").0, "fail");

    // It is back, and the message is there.
    fs::rename(away, elsewhere.path()).expect("moved");
    let got = received(&alice);
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert!(got.text().contains("how far is the moon?"), "{}", got.text());
    let doctor = alice.run(&["doctor", "--json"]);
    let (state, said) = check(&doctor, "state key");
    assert_eq!(state, "ok");
    assert!(said.contains(&elsewhere.word()), "{said}");

    elsewhere.rotate();
    let rewrapped = alice.run(&["keys", "rewrap", "--json"]).json();
    assert_eq!((&rewrapped["key"], &rewrapped["version"]), (&"local:guard".into(), &"2".into()));
    assert_eq!(received(&alice).code, 0);
}

// STA-22, STA-23
#[test]
fn a_state_is_guarded_from_now_on_by_another_key_and_no_more() {
    let relay = Relay::start();
    let (first, second) = (Elsewhere::new("first"), Elsewhere::new("second"));
    let alice = Agent::new();
    configure(&alice, &relay, "");
    let list = || alice.run(&["sessions", "list"]);
    assert_eq!(list().code, 0, "{}", list().stderr);

    configure(&alice, &relay, &first.word());
    let refused = list();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("`sealwire keys rewrap`"), "{}", refused.stderr);
    let steps: [(&str, Option<&str>, &str); 3] = [
        (&first.word(), None, "and local:first, version 1"),
        (&second.word(), Some(&first.word()), "and local:second, version 1"),
        ("", Some(&second.word()), "this agent's keys alone"),
    ];
    for (to, from, says) in steps {
        configure(&alice, &relay, to);
        if from.is_some() {
            let unsaid = alice.run(&["keys", "rewrap"]);
            assert_eq!(unsaid.code, 1, "{}", unsaid.stderr);
            assert!(unsaid.stderr.contains("--from"), "{}", unsaid.stderr);
        }
        let from: Vec<&str> = from.into_iter().flat_map(|from| ["--from", from]).collect();
        for _ in 0..2 {
            let done = alice.run(&[&["keys", "rewrap"], &from[..]].concat());
            assert_eq!(done.code, 0, "{to}: {}", done.stderr);
            assert!(done.text().contains(says), "{to}: {}", done.text());
        }
        assert_eq!(list().code, 0, "{to}: {}", list().stderr);
    }
    assert!(!Path::new(&alice.file("state/state.key.next")).exists());
}
