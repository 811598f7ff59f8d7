//! No key of a session stays in memory once a step has replaced it, or the session is gone.
//!
//! A child process plays a conversation and stops at the places below. This process plays the
//! same one, reads the keys out of the states that it had at these places, and looks for each
//! in the child's memory.

use sealwire_core::{Timestamp, keys::StaticSecret, secret::Secret};
use sealwire_ratchet::{Session, hazmat};
use sealwire_testkit::memory::{self, Child, Drawn, Findings, Notes};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What is drawn for the conversation, and what the child leaks in the end.
const SEED: u64 = 1;
const LEAKED: u64 = 2;

/// Plays the conversation; `at` is called at the places "begun" and "stepped".
fn play(mut at: impl FnMut(&'static str, &Session, &Session)) {
    let mut draws = Drawn::new(SEED);
    let (at_alice, at_bob, prefix) = hazmat::agreed_pair(&mut draws).expect("randomness");
    let prekey = Secret::random(&mut draws).expect("randomness");
    let public = *StaticSecret::from_seed(&prekey).expect("a key").public();
    let mut alice = Session::initiate(at_alice, &public, prefix.clone(), NOW, &mut draws);
    let alice = alice.as_mut().expect("a session");
    alice.drop_prefix();
    let mut bob = Session::respond(at_bob, &prekey, &prefix, NOW).expect("a session");
    drop(prekey);
    for (place, turns) in [("begun", 3), ("stepped", 12)] {
        for turn in 0..turns {
            let (from, to) =
                if turn % 2 == 0 { (&mut *alice, &mut bob) } else { (&mut bob, &mut *alice) };
            let sealed = from.seal(NOW, &mut draws, b"text").expect("sealed");
            from.apply(sealed.step).expect("fresh");
            let opened = to.open(NOW, &sealed.frame).expect("it opens");
            to.apply(opened.step).expect("fresh");
        }
        at(place, alice, &bob);
    }
}

/// The child of the test below.
#[test]
fn child() {
    if memory::argument().is_none() {
        return;
    }
    play(|place, _, _| memory::stop(place));
    memory::stop("dropped");
    // The control: this is found, so what is not found is not there.
    let leaked = Drawn::new(LEAKED).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

/// Secrets of a state, by the layout that `state` documents.
fn keys_of(session: &Session) -> Vec<(&'static str, Vec<u8>)> {
    let state = session.to_bytes();
    let (mut at, mut keys) = (95, Vec::new());
    let mut take = |len: usize| {
        at += len;
        state[at - len..at].to_vec()
    };
    let prefix = take(1)[0];
    take(if prefix == 2 { 66 } else { 0 });
    for name in ["root key", "next sending header key", "next receiving header key"] {
        keys.push((name, take(32)));
    }
    match take(1)[0] {
        2 => {
            keys.push(("private key of the ratchet", take(32)));
            take(32);
            keys.push(("sending header key", take(32)));
            keys.push(("sending chain key", take(32)));
            take(32);
        }
        _ => drop(take(4)),
    }
    assert_eq!(take(37)[0], 1, "it has received");
    keys.push(("receiving header key", take(32)));
    keys.push(("receiving chain key", take(32)));
    take(8);
    match take(5)[0] {
        1 => keys.push(("KEM seed", take(64))),
        2 => keys.push(("KEM secret", take(32))),
        5 => {
            take(1088);
            keys.push(("KEM secret", take(32)));
        }
        _ => {}
    }
    keys
}

// attack T35
#[test]
fn a_replaced_key_and_a_dropped_session_leave_nothing() {
    let mut notes = Notes::default();
    let mut places = std::collections::BTreeMap::new();
    play(|place, alice, bob| {
        for (who, session) in [("alice", alice), ("bob", bob)] {
            for (name, key) in keys_of(session) {
                // A header key is "next" at first and shared: noted where it is first held.
                let name = format!("{who}'s {name} when {place}");
                notes.add(name.clone(), &key);
                places.insert(name, place);
            }
        }
    });
    let sk = Drawn::new(SEED).block();
    notes.add("SK", &sk);
    notes.add("leaked", &Drawn::new(LEAKED).block());
    let mut child = Child::start("session::child", "");
    let mut wrong = Vec::new();
    let mut names = |found: &Findings, place: &str| {
        for (name, held) in &places {
            if found.contains_key(name) != (*held == place) {
                wrong.push(format!("{name} at `{place}`: {:?}", found.get(name)));
            }
        }
        if found.contains_key("SK") || found.contains_key("leaked") != (place == "leaked") {
            wrong.push(format!("SK or the control at `{place}`: {:?}", found.keys()));
        }
    };
    for place in ["begun", "stepped", "dropped", "leaked"] {
        names(&child.at(place, |child| child.search(&notes)), place);
    }
    child.end();
    assert!(places.len() >= 28, "{} keys", places.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
