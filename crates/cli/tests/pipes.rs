//! Two agents in two processes, and what may happen to the bytes between them.

mod common;

use std::{io::Write, net::TcpListener, thread, time::Duration};

use common::{Agent, Tamper, content, friends, middle, sealwire};

const MIB: usize = 1024 * 1024;

#[test]
fn pinned_agents_move_data_both_ways_and_both_ends_say_done() {
    let (alice, bob) = friends();
    let (from_alice, from_bob) = (content(5 * MIB, 1), content(5 * MIB + 17, 2));
    let (listening, address) = alice.listen(&[], &from_alice);
    let dialled = bob.connect(address, &["--peer", &alice.id], &from_bob);
    let listened = listening.wait();

    assert_eq!((dialled.code, listened.code), (0, 0), "{}{}", dialled.stderr, listened.stderr);
    assert!(dialled.stdout == from_alice && listened.stdout == from_bob);
    let met = dialled.event("connected");
    assert_eq!((&met["peer"], &met["handshake"]), (&alice.id.clone().into(), &"IK".into()));
    assert_eq!(listened.event("connected")["peer"], bob.id);
    let closed = dialled.event("closed");
    assert_eq!(closed["sent"].as_u64(), Some(from_bob.len() as u64));
    assert_eq!(closed["received"].as_u64(), Some(from_alice.len() as u64));
}

#[test]
fn strangers_meet_once_and_the_address_is_then_bound_to_the_peer() {
    let (alice, bob, mallory) = (Agent::new(), Agent::new(), Agent::new());
    let (listening, address) = alice.listen(&["--allow-any"], b"hello");
    let first = bob.connect(address, &["--suite", "chacha20-poly1305"], b"hi");
    assert_eq!((first.code, listening.wait().stdout.as_slice()), (0, &b"hi"[..]));
    let met = first.event("connected");
    assert_eq!((met["first_contact"].as_bool(), &met["handshake"]), (Some(true), &"XX".into()));

    // The same address means the same agent from now on.
    let port = address.to_string();
    let listen = |agent: &Agent| {
        let args = ["listen", &port, "--allow-any", "--json"];
        let mut running = sealwire(agent.home(), &args).start(Some(b""));
        running.event("listening");
        running
    };
    let listening = listen(&alice);
    let again = bob.connect(address, &[], b"");
    assert_eq!((again.code, listening.wait().code), (0, 0), "{}", again.stderr);
    assert_eq!(again.event("connected")["handshake"], "IK");

    let listening = listen(&mallory);
    bob.connect(address, &[], b"secret").assert_failed(5, "another agent answered");
    // Unless the user says so.
    let meant = bob.connect(address, &["--stranger"], b"");
    assert_eq!((meant.code, listening.wait().stdout.len()), (0, 0), "{}", meant.stderr);

    // Who is forgotten is forgotten with its addresses.
    assert_eq!(bob.run(&["trust", "remove", &mallory.id]).code, 0);
    let listening = listen(&alice);
    let met = bob.connect(address, &[], b"");
    assert_eq!(met.event("connected")["peer"], alice.id);
    assert_eq!(listening.wait().code, 0);
}

#[test]
fn an_unknown_peer_is_refused_and_the_listener_lives_on() {
    let (alice, bob) = friends();
    let stranger = Agent::new();
    let (mut listening, address) = alice.listen(&[], b"");
    let refused = stranger.connect(address, &[], b"never sent");
    refused.assert_failed(4, "the peer refused");
    assert!(refused.event("failed")["hint"].as_str().expect("a hint").contains("--allow-any"));
    listening.event("rejected");

    // With the card in hand it is refused just the same.
    let card = common::file(stranger.home(), "alice", alice.card().as_bytes());
    stranger.connect(address, &["--card", &card], b"").assert_failed(4, "the peer refused");
    // And its own directory on both sides is a mistake that is named.
    let own = alice.connect(address, &["--stranger"], b"");
    assert!([1, 4].contains(&own.code), "{}", own.stderr);

    let friend = bob.connect(address, &["--peer", &alice.id], b"me");
    let listened = listening.wait();
    assert_eq!((friend.code, listened.code), (0, 0), "{}", listened.stderr);
    assert_eq!(listened.stdout, b"me");
}

#[test]
fn the_same_agent_on_both_sides_is_named() {
    let alice = Agent::new();
    let (_listening, address) = alice.listen(&["--allow-any"], b"");
    let own = alice.connect(address, &[], b"");
    own.assert_failed(1, "is this agent itself");
    assert!(own.stderr.contains("--home"));
}

#[test]
fn the_exchange_key_alone_must_match() {
    let (alice, bob) = (Agent::new(), Agent::new());
    let key = |agent: &Agent| {
        let text = agent.card();
        let card = sealwire::identity::IdentityCard::from_text(&text).expect("a card");
        hex::encode(card.claimed().exchange_key().as_bytes())
    };
    let (listening, address) = alice.listen(&["--allow-any"], b"");
    bob.connect(address, &["--key", &key(&bob)], b"").assert_failed(5, "exchange key is not");
    let right = bob.connect(address, &["--key", &key(&alice)], b"");
    assert_eq!((right.code, listening.wait().code), (0, 0), "{}", right.stderr);
    let bad = bob.connect(address, &["--key", "zz"], b"");
    bad.assert_failed(2, "--key zz");
}

#[test]
fn a_port_in_use_and_a_port_without_a_listener_are_sentences() {
    let agent = Agent::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("bound").to_string();
    agent.run(&["listen", &address]).assert_failed(
        1,
        &format!(
            "address {address} is in use; choose another port or stop the program that holds it"
        ),
    );
    drop(holder);
    agent.run(&["connect", &address]).assert_failed(1, &format!("nobody listens at {address}"));
    agent.run(&["listen", "nonsense"]).assert_failed(2, "nonsense is not an address");
}

#[test]
fn a_cut_in_mid_stream_is_told_at_both_ends() {
    let (alice, bob) = friends();
    let data = content(5 * MIB, 3);
    let (listening, address) = alice.listen(&[], b"");
    let address = middle(address, Tamper::CutAfter(MIB));
    let dialled = bob.connect(address, &["--peer", &alice.id], &data);
    let listened = listening.wait();
    assert_eq!((dialled.code, listened.code), (3, 3), "{}{}", dialled.stderr, listened.stderr);
    assert!(!listened.stdout.is_empty() && data.starts_with(&listened.stdout));
}

#[test]
fn a_changed_byte_stops_the_stream_before_it() {
    let (alice, bob) = friends();
    // More than sockets hold: a sender learns that nobody reads only when it cannot go on.
    let data = content(64 * MIB, 4);
    let (listening, address) = alice.listen(&[], b"");
    let address = middle(address, Tamper::FlipAt(2 * MIB));
    let dialled = bob.connect(address, &["--peer", &alice.id], &data);
    let listened = listening.wait();
    assert_eq!(dialled.code, 3, "{}", dialled.stderr);
    listened.assert_failed(1, "changed on the way");
    assert!(listened.stdout.len() < 2 * MIB && data.starts_with(&listened.stdout));
}

#[test]
fn a_killed_peer_is_a_cut() {
    let (alice, bob) = friends();
    let (mut listening, address) = alice.listen(&[], b"");
    let mut dialled = bob.start_connect(address, &["--peer", &alice.id], None);
    dialled.event("connected");
    listening.event("connected");
    let pipe = dialled.stdin.as_mut().expect("open");
    pipe.write_all(b"the first half").expect("it runs");
    thread::sleep(Duration::from_secs(2));
    dialled.kill();
    let listened = listening.wait();
    assert_eq!(listened.code, 3, "{}", listened.stderr);
    assert_eq!(listened.stdout, b"the first half");
}

#[test]
fn what_is_typed_leaves_at_once() {
    let (alice, bob) = friends();
    let (listening, address) = alice.listen(&[], b"a word");
    let mut dialled = bob.start_connect(address, &["--peer", &alice.id], None);
    dialled.event("connected");
    // The listener has closed its direction; this one stays open until its input ends.
    for _ in 0..3 {
        dialled.stdin.as_mut().expect("open").write_all(b"tick ").expect("it runs");
        thread::sleep(Duration::from_millis(50));
    }
    let dialled = dialled.wait();
    assert_eq!((dialled.code, dialled.stdout.as_slice()), (0, &b"a word"[..]));
    assert_eq!(listening.wait().stdout, b"tick tick tick ");
}
