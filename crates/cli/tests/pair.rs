//! Two people who pin each other's agents: a relay, and two agents, each in a process of its own.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use common::{Agent, Done, Relay, Running, sealwire};
use rustix::process::Signal;
use serde_json::Value;

/// Starts one side, with standard input left open.
fn pair(agent: &Agent, relay: &Relay, args: &[&str]) -> Running {
    let args = [&["pair", "--json"], args].concat();
    sealwire(agent.home(), &args).env("SEALWIRE_AGENT_RELAY", &relay.url()).start(None)
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().expect("a text").to_owned()
}

/// Lets both sides meet, up to the phrases: the code is typed in small letters.
fn meet(alice: &Agent, bob: &Agent, relay: &Relay) -> ([Running; 2], [String; 2]) {
    let mut first = pair(alice, relay, &[]);
    let code = text(&first.event("code"), "code");
    let mut second = pair(bob, relay, &[&code.to_lowercase()]);
    let at_alice = first.event("phrase");
    let at_bob = second.event("phrase");
    assert_eq!(
        (text(&at_alice, "peer"), text(&at_bob, "peer")),
        (bob.id.clone(), alice.id.clone())
    );
    ([first, second], [text(&at_alice, "phrase"), text(&at_bob, "phrase")])
}

fn answer(mut side: Running, line: &str) -> Done {
    side.type_line(line);
    side.wait()
}

fn pinned(agent: &Agent) -> String {
    agent.run(&["trust", "list", "--json"]).text()
}

#[test]
fn who_confirms_the_others_phrase_pins_the_other() {
    let (relay, alice, bob) = (Relay::start(), Agent::new(), Agent::new());
    let ([first, second], [at_alice, at_bob]) = meet(&alice, &bob, &relay);
    assert_eq!(at_alice, at_bob);
    let first = answer(first, &at_bob);
    let second = answer(second, &at_alice.to_uppercase());
    assert_eq!((first.code, second.code), (0, 0), "{} {}", first.stderr, second.stderr);
    assert_eq!((first.json()["id"].as_str(), second.json()["id"].as_str()), {
        (Some(bob.id.as_str()), Some(alice.id.as_str()))
    });
    for (agent, other) in [(&alice, &bob), (&bob, &alice)] {
        let list = pinned(agent);
        assert!(list.contains(&other.id) && list.contains("out_of_band"), "{list}");
    }
    // What they need of the relay is gone from there, and it never had a name.
    assert_eq!(relay.status()["now"]["mailboxes"], 0);
    let seen = relay.on_disk();
    let is_there = |text: &str| seen.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!is_there(&alice.id) && !is_there(&bob.id));
}

// attack T7
#[test]
fn without_the_others_phrase_nothing_is_pinned() {
    let (relay, alice, bob) = (Relay::start(), Agent::new(), Agent::new());
    // A script that says yes to all, and the phrase of another pairing.
    for line in ["yes", "bab-bab-bab-bab"] {
        let (sides, _) = meet(&alice, &bob, &relay);
        for side in sides {
            answer(side, line).assert_failed(5, "the phrases differ");
        }
    }
    assert!(!pinned(&alice).contains(&bob.id) && !pinned(&bob).contains(&alice.id));
}

#[test]
fn a_code_under_which_nobody_waits_is_told_at_once() {
    let (relay, alice) = (Relay::start(), Agent::new());
    let waiting = pair(&alice, &relay, &["4K7M-2QXD"]).wait();
    waiting.assert_failed(6, "nobody waits under this code");
    assert_eq!(relay.status()["now"]["mailboxes"], 0);
    pair(&alice, &relay, &["4K7M-2QX"]).wait().assert_failed(2, "eight characters");
    pair(&alice, &relay, &["4K7M-2QXU"]).wait().assert_failed(2, "pairing code");
    pair(&alice, &relay, &["--timeout", "3601"]).wait().assert_failed(2, "3600");
}

#[test]
fn who_waits_in_vain_gives_up_and_cleans_up() {
    let (relay, alice, bob) = (Relay::start(), Agent::new(), Agent::new());
    let mut first = pair(&alice, &relay, &["--timeout", "1"]);
    let code = text(&first.event("code"), "code");
    first.wait().assert_failed(6, "the other side did not come");
    assert_eq!(relay.status()["now"]["mailboxes"], 0);
    pair(&bob, &relay, &[&code]).wait().assert_failed(6, "nobody waits under this code");

    let mut first = pair(&alice, &relay, &[]);
    first.event("code");
    first.signal(Signal::INT);
    first.wait().assert_failed(1, "the pairing was ended");
    assert_eq!(relay.status()["now"]["mailboxes"], 0);
}

#[test]
fn who_is_asked_to_end_before_an_answer_pins_nobody() {
    let (relay, alice, bob) = (Relay::start(), Agent::new(), Agent::new());
    let ([first, mut second], [_, at_bob]) = meet(&alice, &bob, &relay);
    second.signal(Signal::TERM);
    // Until then its standard input stays open.
    second.event("failed");
    second.wait().assert_failed(1, "the pairing was ended");
    // The other side does not know. It has paired with Bob, and pins him.
    assert_eq!(answer(first, &at_bob).code, 0);
    assert!(pinned(&alice).contains(&bob.id) && !pinned(&bob).contains(&alice.id));
}

#[test]
fn a_relay_that_is_killed_meanwhile_is_waited_for_and_one_that_is_away_is_told() {
    let (mut relay, alice, bob) = (Relay::start(), Agent::new(), Agent::new());
    let mut first = pair(&alice, &relay, &[]);
    let code = text(&first.event("code"), "code");
    relay.kill();
    pair(&bob, &relay, &[&code]).wait().assert_failed(6, "cannot be reached");
    relay.restart();
    let mut second = pair(&bob, &relay, &[&code]);
    let phrases = [first.event("phrase"), second.event("phrase")];
    assert_eq!(phrases[0]["phrase"], phrases[1]["phrase"]);
    for side in [first, second] {
        assert_eq!(answer(side, &text(&phrases[0], "phrase")).code, 0);
    }
}
