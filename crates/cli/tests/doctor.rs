//! What `doctor` says of an agent, its relay and its configuration.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt};

use common::{Agent, Done, Relay, file, sealwire};
use serde_json::Value;

fn doctor(agent: &Agent, relay: &str, args: &[&str]) -> Done {
    let args = [&["doctor", "--json"], args].concat();
    sealwire(agent.home(), &args).env("SEALWIRE_AGENT_RELAY", relay).run(b"")
}

/// What was found of one thing.
fn check(done: &Done, name: &str) -> Value {
    let report = done.json();
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}")).clone()
}

fn state(done: &Done, name: &str) -> String {
    check(done, name)["state"].as_str().expect("a state").to_owned()
}

#[test]
fn an_agent_and_a_relay_in_order_are_said_to_be_so() {
    let (agent, relay) = (Agent::new(), Relay::start());
    fs::set_permissions(agent.home(), fs::Permissions::from_mode(0o700)).expect("changed");
    let done = doctor(&agent, &relay.url(), &[]);
    assert_eq!((done.code, &done.json()["healthy"]), (0, &true.into()), "{}", done.text());
    for name in ["configuration", "directory", "clock", "card", "relay", "relay's clock"] {
        assert_eq!(state(&done, name), "ok", "{}", check(&done, name));
    }
    for name in ["keys", "state", "inbox", "outbox", "sessions"] {
        assert_eq!(state(&done, name), "ok", "{}", check(&done, name));
    }
    // Nothing watches over the state as a whole, and that is worth a word; so is that nobody can
    // write to this agent yet.
    assert_eq!((state(&done, "anchor"), state(&done, "prekeys")), ("warn".into(), "warn".into()));
    let publish = sealwire(agent.home(), &["keys", "publish"]);
    assert_eq!(publish.env("SEALWIRE_AGENT_RELAY", &relay.url()).run(b"").code, 0);
    let done_again = doctor(&agent, &relay.url(), &[]);
    assert_eq!(state(&done_again, "prekeys"), "ok", "{}", check(&done_again, "prekeys"));
    let values = done.json()["configuration"].as_array().expect("a list").clone();
    let relay_key = values.iter().find(|value| value["key"] == "agent.relay").expect("there");
    assert_eq!(
        (&relay_key["from"], &relay_key["variable"], &relay_key["value"]),
        (
            &"environment".into(),
            &"SEALWIRE_AGENT_RELAY".into(),
            &format!("\"{}\"", relay.url()).into()
        )
    );
    let text =
        sealwire(agent.home(), &["doctor"]).env("SEALWIRE_AGENT_RELAY", &relay.url()).run(b"");
    assert!(text.text().contains("log.retention_days = 30"), "{}", text.text());
}

#[test]
fn what_does_not_work_fails_and_says_what_to_do() {
    let agent = Agent::new();
    let nobody = "http://127.0.0.1:1";
    let done = doctor(&agent, nobody, &[]);
    assert_eq!((done.code, state(&done, "relay").as_str()), (1, "fail"), "{}", done.text());
    assert!(check(&done, "relay")["todo"].as_str().expect("told").contains("sealwire relay run"));

    file(agent.home(), "sealwire.toml", b"\n[agent]\nrelya = \"\"");
    let done = doctor(&agent, nobody, &[]);
    assert_eq!((done.code, state(&done, "configuration").as_str()), (1, "fail"));
    let said = check(&done, "configuration")["said"].as_str().expect("told").to_owned();
    assert!(said.contains("line 3 of ") && said.contains("did you mean agent.relay?"), "{said}");
    fs::remove_file(agent.file("sealwire.toml")).expect("removed");

    fs::set_permissions(agent.home(), fs::Permissions::from_mode(0o755)).expect("changed");
    let wrong = sealwire(agent.home(), &["doctor", "--json"])
        .env("SEALWIRE_PASSPHRASE", "umbrella-quartz-lantern-43")
        .env("SEALWIRE_AGENT_RELAY", nobody)
        .run(b"");
    assert_eq!((state(&wrong, "directory"), state(&wrong, "keys")), ("warn".into(), "fail".into()));
}

#[test]
fn an_anchor_is_set_once_in_words_and_then_watches() {
    let (agent, elsewhere) = (Agent::new(), tempfile::tempdir().expect("a directory"));
    let nobody = "http://127.0.0.1:1";
    doctor(&agent, nobody, &[]);
    let anchor = elsewhere.path().join("anchor");
    let text = format!("[agent]\nanchor = \"{}\"\n", anchor.display());
    file(agent.home(), "sealwire.toml", text.as_bytes());
    let refused = doctor(&agent, nobody, &[]);
    assert_eq!(state(&refused, "state"), "fail");
    let todo = check(&refused, "state")["todo"].as_str().expect("told").to_owned();
    assert!(todo.contains("--change-anchor"), "{todo}");
    assert_eq!(state(&doctor(&agent, nobody, &["--change-anchor"]), "anchor"), "ok");
    assert_eq!(state(&doctor(&agent, nobody, &[]), "anchor"), "ok");
    let listed = agent.run(&["sessions", "list", "--json"]);
    assert_eq!((listed.code, &listed.json()["sessions"]), (0, &serde_json::json!([])));
}
