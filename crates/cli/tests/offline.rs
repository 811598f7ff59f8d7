//! Agents that are not there at the same time, in processes of their own, with a relay between
//! them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use common::{Agent, Done, Relay, Running, Sealwire, content, file, friends, sealwire};
use rustix::process::Signal;
use sealwire::core::kdf::sha256;
use serde_json::Value;

/// A command of an agent that uses this relay.
fn at(relay: &Relay, agent: &Agent, args: &[&str]) -> Sealwire {
    sealwire(agent.home(), args).env("SEALWIRE_AGENT_RELAY", &relay.url())
}

/// Sends a message, and gives its id.
fn send(relay: &Relay, from: &Agent, to: &Agent, bytes: &[u8]) -> String {
    id_of(&at(relay, from, &["send", &to.id, "--json"]).run(bytes))
}

/// The id of a message that was sent.
fn id_of(sent: &Done) -> String {
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    sent.json()["message"].as_str().expect("an id").to_owned()
}

/// Takes what is there, each message in a line of JSON.
fn recv(relay: &Relay, agent: &Agent) -> Vec<Value> {
    let done = at(relay, agent, &["recv", "--json"]).run(b"");
    assert_eq!(done.code, 0, "{}", done.stderr);
    done.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Pinned agents, the second of whom can be written to.
fn known_at(relay: &Relay) -> (Agent, Agent) {
    let (alice, bob) = friends();
    publish(relay, &bob);
    (alice, bob)
}

fn publish(relay: &Relay, agent: &Agent) {
    let published = at(relay, agent, &["keys", "publish", "--json"]).run(b"");
    assert_eq!(published.code, 0, "{}", published.stderr);
    let status = published.json();
    let left = (&status["one_time_x25519"], &status["one_time_ml_kem"]);
    assert_eq!(left, (&100.into(), &20.into()));
}

/// The files in a directory, by their content's hash, with how often each is there.
fn files(directory: &Path) -> HashMap<[u8; 32], usize> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(directory).expect("there") {
        let path = entry.expect("there").path();
        let hidden = path.file_name().expect("a name").to_string_lossy().starts_with('.');
        if !hidden {
            *found.entry(sha256(&[&fs::read(path).expect("readable")])).or_insert(0) += 1;
        }
    }
    found
}

fn directory_of(agent: &Agent, name: &str) -> String {
    let path = agent.file(name);
    fs::create_dir(&path).expect("made");
    path.to_str().expect("text").to_owned()
}

/// Waits for something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let tick = Duration::from_millis(20);
    let ticks = common::PATIENCE.as_millis() / tick.as_millis();
    let mut found = (0..ticks).filter_map(|_| {
        thread::sleep(tick);
        look()
    });
    found.next().expect("it comes")
}

#[test]
fn what_one_leaves_the_other_finds_once() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let first = send(&relay, &alice, &bob, b"how far is the moon?");
    let path = file(alice.home(), "second", b"\xff\x00");
    let second = id_of(&at(&relay, &alice, &["send", &bob.id, &path, "--json"]).run(b"unread"));
    let third = send(&relay, &alice, &bob, b"");
    let got = recv(&relay, &bob);
    let ids: Vec<&Value> = got.iter().map(|message| &message["message"]).collect();
    assert_eq!(ids, [first.as_str(), second.as_str(), third.as_str()]);
    assert_eq!(
        (&got[0]["text"], &got[0]["from"]),
        (&"how far is the moon?".into(), &Value::from(&*alice.id))
    );
    assert_eq!((&got[1]["base64"], &got[1]["bytes"]), (&"/wA=".into(), &2.into()));
    assert_eq!(got[2]["text"], "");
    assert!(recv(&relay, &bob).is_empty(), "each once");

    // What the relay keeps shows neither what was said nor who said it: Alice has published nothing.
    let kept = relay.on_disk();
    for secret in ["how far is the moon?", &alice.id] {
        assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }

    // An answer finds its way although Alice published nothing; as bytes, without a line end.
    send(&relay, &bob, &alice, b"384,400 km");
    let text = at(&relay, &alice, &["recv"]).run(b"");
    assert_eq!((text.code, text.stdout.as_slice()), (0, &b"384,400 km"[..]), "{}", text.stderr);
}

#[test]
fn commands_of_one_agent_wait_for_one_another() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let start = |body: &[u8]| at(&relay, &alice, &["send", &bob.id, "--json"]).start(Some(body));
    let mut sent: Vec<String> =
        [b"1", b"2", b"3"].map(|body| start(body)).map(|sender| id_of(&sender.wait())).to_vec();
    let got = recv(&relay, &bob);
    let mut ids: Vec<&str> = got.iter().filter_map(|got| got["message"].as_str()).collect();
    sent.sort();
    ids.sort_unstable();
    assert_eq!(ids, sent);
}

#[test]
fn agents_at_two_relays_write_to_each_other_where_both_allow_it() {
    let (near, far) = (Relay::start(), Relay::start());
    let (alice, bob) = (Agent::new(), Agent::new());
    let run = |agent: &Agent, relay: &Relay, others: &str, args: &[&str], stdin: &[u8]| {
        at(relay, agent, args)
            .env("SEALWIRE_AGENT_PUBLIC_RELAY", &relay.url())
            .env("SEALWIRE_AGENT_OTHER_RELAYS", others)
            .run(stdin)
    };
    let hers = |others: &str, args: &[&str], stdin: &[u8]| run(&alice, &near, others, args, stdin);
    let his = |args: &[&str], stdin: &[u8]| run(&bob, &far, &near.url(), args, stdin);
    // The cards say where to look.
    let card = his(&["id", "card"], b"");
    assert_eq!(hers("", &["trust", "pin", "-"], &card.stdout).code, 0);
    assert_eq!(his(&["trust", "pin", "-"], &hers("", &["id", "card"], b"").stdout).code, 0);
    let shown = his(&["id", "card", "--json"], b"").json();
    assert_eq!((&shown["home_relay"], &shown["card"]), (&far.url().into(), &card.text().into()));
    assert_eq!(his(&["keys", "publish"], b"").code, 0);

    let refused = hers("", &["send", &bob.id], b"hello");
    refused.assert_failed(2, &format!("{}, which its card names", far.url()));
    assert!(refused.stderr.contains("agent.other_relays"), "{}", refused.stderr);
    id_of(&hers(&far.url(), &["send", &bob.id, "--json"], b"hello"));
    assert_eq!(his(&["recv", "--json"], b"").json()["text"], "hello");
    id_of(&his(&["send", &alice.id, "--json"], b"hello yourself"));
    assert_eq!(hers(&far.url(), &["recv", "--json"], b"").json()["text"], "hello yourself");
}

#[test]
fn a_message_with_a_key_is_sent_once() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let once = |key: &str, bytes: &[u8]| {
        at(&relay, &alice, &["send", &bob.id, "--once", key, "--json"]).run(bytes)
    };
    let long = content(100_000, 1);
    let (short_id, long_id) = (id_of(&once("a", b"pay 7")), id_of(&once("b", &long)));
    assert_eq!((id_of(&once("a", b"pay 7")), id_of(&once("b", &long))), (short_id, long_id));
    once("a", b"pay 8").assert_failed(2, "was used for another message");
    once("b", &content(100_000, 2)).assert_failed(2, "not what it was");
    let out = directory_of(&bob, "out");
    assert_eq!(at(&relay, &bob, &["recv", "--out", &out]).run(b"").code, 0);
    let hash = |bytes: &[u8]| (sha256(&[bytes]), 1);
    assert_eq!(files(Path::new(&out)), HashMap::from([hash(b"pay 7"), hash(&long)]));
}

#[test]
fn a_message_stays_until_the_command_is_done_with_it() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let id = send(&relay, &alice, &bob, b"first");
    send(&relay, &alice, &bob, b"second");
    let out = bob.file("out");
    let failing = format!("cat >> {}; exit 7", out.display());
    let failed = at(&relay, &bob, &["recv", "--exec", &failing, "--json"]).run(b"");
    failed.assert_failed(1, "exit status: 7");
    assert_eq!(failed.event("kept")["message"], id);
    // The second one waits behind the first.
    assert_eq!(fs::read(&out).expect("the command ran"), b"first");

    let command = format!(
        "printf '%s %s ' \"$SEALWIRE_FROM\" \"$SEALWIRE_MESSAGE_ID\" >> {0}; cat >> {0}; \
         test -z \"$SEALWIRE_PASSPHRASE\"",
        out.display()
    );
    fs::write(&out, "").expect("emptied");
    let done = at(&relay, &bob, &["recv", "--exec", &command, "--json"]).run(b"");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = fs::read_to_string(&out).expect("text");
    assert!(text.starts_with(&format!("{} {id} first{} ", alice.id, alice.id)), "{text}");
    assert!(text.ends_with(" second"), "{text}");
    // It may send, though its agent is at work.
    send(&relay, &alice, &bob, b"third");
    let answer = format!("{} send \"$SEALWIRE_FROM\" >&2", env!("CARGO_BIN_EXE_sealwire"));
    assert_eq!(at(&relay, &bob, &["recv", "--exec", &answer]).run(b"").code, 0);
    assert_eq!(recv(&relay, &alice)[0]["text"], "third");
    // One that does not read what it is given is done with it all the same.
    send(&relay, &alice, &bob, &content(20_000, 1));
    assert_eq!(at(&relay, &bob, &["recv", "--exec", "exec 0<&-"]).run(b"").code, 0);
    assert!(recv(&relay, &bob).is_empty());
}

#[test]
fn a_handler_answers_while_its_agent_waits_for_more() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let sealwire = env!("CARGO_BIN_EXE_sealwire");
    let command = format!("tr a-z A-Z | {sealwire} send \"$SEALWIRE_FROM\" > /dev/null 2>&1");
    let mut waiting =
        at(&relay, &bob, &["recv", "--wait", "--exec", &command, "--json"]).start(None);
    waiting.event("waiting");
    send(&relay, &alice, &bob, b"how are you?");
    waiting.event("handled");
    assert_eq!(recv(&relay, &alice)[0]["text"], "HOW ARE YOU?");
    // Its state is in use, and other commands say so.
    at(&relay, &bob, &["sessions", "list"]).run(b"").assert_failed(6, "recv --wait");
    at(&relay, &bob, &["recv"]).run(b"").assert_failed(6, "another process");
    // What needs no state works, and so does a long message, without a passphrase.
    assert_eq!(at(&relay, &bob, &["keys", "status"]).run(b"").code, 0);
    let long = content(300_000, 2);
    let path = file(bob.home(), "long", &long);
    let sent = at(&relay, &bob, &["send", &alice.id, &path, "--json"]).without_passphrase();
    assert_eq!(id_of(&sent.run(b"")).len(), 32);
    let unknown = at(&relay, &bob, &["send", "z6Mkx"]).run(b"hello");
    unknown.assert_failed(2, "no pinned agent");
    let out = directory_of(&alice, "out");
    assert_eq!(at(&relay, &alice, &["recv", "--out", &out]).run(b"").code, 0);
    assert_eq!(files(Path::new(&out)), HashMap::from([(sha256(&[&long]), 1)]));

    // A long one goes through the command too, and its answer from a pipe to a pipe.
    let long = file(alice.home(), "long", &[b'a'; 100_000]);
    id_of(&at(&relay, &alice, &["send", &bob.id, &long, "--json"]).run(b""));
    waiting.event("handled");
    let got = at(&relay, &alice, &["recv"]).run(b"");
    assert!(got.code == 0 && got.stdout == [b'A'; 100_000], "{}", got.stderr);
    assert_eq!(fs::read_dir(alice.file("incoming")).expect("there").count(), 0);

    // A hangup builds the agent anew, and it goes on.
    waiting.signal(Signal::HUP);
    waiting.event("waiting");
    send(&relay, &alice, &bob, b"and now?");
    waiting.event("handled");
    assert_eq!(recv(&relay, &alice)[0]["text"], "AND NOW?");
    waiting.terminate();
    let stopped = waiting.wait();
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    stopped.event("stopped");
    assert_eq!(at(&relay, &bob, &["sessions", "list"]).run(b"").code, 0);
}

/// Waits until a sender waits for the peer to be there.
fn waits_for_the_peer(sender: &mut Running) {
    let reason = |told: &Value| told["waiting"].as_str().is_some_and(|why| why.contains("peer"));
    while !reason(&sender.event("progress")) {}
}

/// As if it had been killed when the file was in its place, and acknowledged.
fn remains_of_a_crash_are_removed(relay: &Relay, agent: &Agent, out: &Path) {
    let place = fs::read_dir(out).expect("there").next().expect("a file").expect("there").path();
    let name = place.file_name().expect("a name").to_str().expect("text");
    fs::hard_link(&place, out.join(format!(".{name}.part"))).expect("linked");
    // What was never put into its place may be another agent's, at work.
    let other = format!(".{}.part", name.replace(|character| character != '-', "a"));
    fs::write(out.join(&other), "not whole").expect("written");
    let args = ["recv", "--out", out.to_str().expect("text")];
    assert_eq!(at(relay, agent, &args).run(b"").code, 0);
    let mut left: Vec<_> =
        fs::read_dir(out).expect("there").map(|entry| entry.expect("there").file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, [other.as_str(), name]);
}

// attack T26
#[test]
fn a_file_arrives_bit_for_bit_through_kills_of_relay_and_agents() {
    let mut relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let data = content(4 * 1024 * 1024 + 17, 3);
    let path = file(alice.home(), "file", &data);
    let out = directory_of(&bob, "out");
    let url = relay.url();
    let start = || {
        let command = sealwire(alice.home(), &["send", &bob.id, &path, "--json"]);
        command.env("SEALWIRE_AGENT_RELAY", &url).start(None)
    };
    // A beginning is at the relay; more follows once Bob has been there.
    let mut sender = start();
    waits_for_the_peer(&mut sender);
    sender.kill();
    sender.wait();
    // What Bob has of it waits for a place, and for the rest.
    let looked = at(&relay, &bob, &["recv", "--json"]).run(b"");
    assert_eq!((looked.code, looked.stdout.as_slice()), (0, &b""[..]), "{}", looked.stderr);
    assert_eq!(looked.event("needs_place")["bytes"], data.len());
    let part = at(&relay, &bob, &["recv", "--out", &out, "--json"]).run(b"");
    assert_eq!((part.code, part.stdout.as_slice()), (0, &b""[..]), "{}", part.stderr);
    assert_eq!(part.event("incomplete")["length"], data.len());
    assert!(files(Path::new(&out)).is_empty());

    let mut sender = start();
    sender.event("progress");
    relay.kill();
    relay.restart();
    let wait = || at(&relay, &bob, &["recv", "--wait", "--out", &out, "--json"]).start(None);
    let mut receiver = wait();
    receiver.event("progress");
    receiver.kill();
    receiver.wait();
    let receiver = wait();
    let sent = sender.wait();
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    assert_eq!(sent.event("accepted")["bytes"], data.len());
    let arrived = HashMap::from([(sha256(&[&data]), 1)]);
    until(|| (files(Path::new(&out)) == arrived).then_some(()));
    // Nothing of it lies around, and the same file can be sent again.
    until(|| (fs::read_dir(&out).expect("there").count() == 1).then_some(()));
    receiver.terminate();
    assert_eq!(receiver.wait().code, 0);
    remains_of_a_crash_are_removed(&relay, &bob, Path::new(&out));
    assert_ne!(id_of(&start().wait()), id_of(&sent));
}

// attack T26
#[test]
fn what_was_acknowledged_arrives_once_though_the_relay_is_killed_in_a_loop() {
    let mut relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let out = directory_of(&bob, "out");
    let mut receiver = at(&relay, &bob, &["recv", "--wait", "--out", &out, "--json"]).start(None);
    receiver.event("waiting");
    // Alice's agent waits too, so that her commands cost nothing but a message.
    let mut hers = at(&relay, &alice, &["recv", "--wait", "--json"]).start(None);
    hers.event("waiting");

    let mut senders: Vec<(Vec<u8>, Running)> = Vec::new();
    for round in 0..5_u64 {
        for number in 0..6_u64 {
            let body = content(2000, 1000 + round * 8 + number);
            let sender = at(&relay, &alice, &["send", &bob.id, "--json"]).start(Some(&body));
            senders.push((body, sender));
        }
        relay.kill();
        relay.restart();
    }
    let mut sent = BTreeMap::new();
    for (body, sender) in senders {
        assert!(sent.insert(id_of(&sender.wait()), sha256(&[&body])).is_none(), "an id twice");
    }
    let expected: HashMap<[u8; 32], usize> = sent.values().map(|hash| (*hash, 1)).collect();
    assert_eq!(expected.len(), 30);
    let arrived =
        until(|| Some(files(Path::new(&out))).filter(|found| found.len() >= expected.len()));
    assert!(arrived == expected, "{} of {}", arrived.len(), expected.len());
}

/// What an agent that runs answers to these bytes.
fn answer(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(agent.file("socket")).expect("it listens");
    stream.write_all(bytes).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("shut");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn an_agent_that_runs_refuses_what_is_no_request_and_goes_on() {
    let relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    let mut waiting = at(&relay, &alice, &["recv", "--wait", "--json"]).start(None);
    waiting.event("waiting");
    let mode = fs::metadata(alice.file("socket")).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let request = |peer: &str, version: u8| {
        format!(
            "{{\"version\":{version},\"peer\":\"{peer}\",\"name\":null,\"parts\":false,\
             \"length\":null,\"patience\":0}}\n"
        )
        .into_bytes()
    };
    let good = request(&bob.id, 1);
    let piece = |length: u32, bytes: &[u8]| [&length.to_be_bytes(), bytes].concat();
    for (what, bytes, said) in [
        ("nothing", vec![], "the request was cut"),
        ("no line", vec![b'x'; 16 * 1024], "the request was cut"),
        ("no JSON", b"hello\n".to_vec(), "this is not a request"),
        ("a stranger's release", request(&bob.id, 2), "another release"),
        ("no id", request("bob", 1), "failed"),
        (
            "an agent that is not pinned",
            [request(&Agent::new().id, 1), piece(0, b"")].concat(),
            "failed",
        ),
        ("a message that is cut", [good.clone(), piece(9, b"hel")].concat(), ""),
        ("a message without its end", [good.clone(), piece(5, b"hello")].concat(), ""),
        ("a piece that is too long", [good.clone(), piece(u32::MAX, b"hello")].concat(), ""),
    ] {
        let answer = answer(&alice, &bytes);
        assert!(answer.contains(said) && !answer.contains("\"sent\""), "{what}: {answer}");
        assert!(!said.is_empty() || answer.is_empty(), "{what}: {answer}");
    }
    let whole = [good, piece(5, b"hello"), piece(0, b"")].concat();
    assert!(answer(&alice, &whole).contains("\"sent\""));
    let got = recv(&relay, &bob);
    assert_eq!((got.len(), &got[0]["text"]), (1, &"hello".into()), "the others were not sent");
}

#[test]
fn what_keeps_a_message_from_going_is_a_sentence() {
    let relay = Relay::start();
    let (alice, bob) = friends();
    let stranger = Agent::new();
    let run = |args: &[&str]| at(&relay, &alice, args).run(b"hello");
    let directory = alice.home().to_str().expect("text").to_owned();
    let long = file(alice.home(), "long", &content(100_000, 1));
    for (args, code, sentence) in [
        (&["send", ""][..], 2, "no peer is named"),
        (&["send", "z6Mk\u{1b}[2J"], 2, "begins with z6Mk\\u{1b}[2J"),
        (&["send", &stranger.id], 1, "is not pinned"),
        (&["send", &bob.id, "/no/such/file"], 1, "cannot read /no/such/file"),
        (&["send", &bob.id, &directory], 1, "Is a directory"),
        (&["send", &bob.id, "--patience", "0"], 6, "published no prekeys"),
        (&["send", &bob.id, &long, "--patience", "0"], 6, "`sealwire keys publish` does so"),
        (&["send", &bob.id, "--patience", "soon"], 2, "invalid value 'soon'"),
        (&["recv", "--out", "/no/such/directory"], 2, "is not a directory"),
        (&["recv", "--out", &directory, "--exec", "cat"], 2, "cannot be used with"),
    ] {
        run(args).assert_failed(code, sentence);
    }
    let wrong =
        at(&relay, &alice, &["send", &bob.id]).env("SEALWIRE_PASSPHRASE", "umbrella-quartz");
    wrong.run(b"hello").assert_failed(1, "passphrase");
    let nobody = tempfile::tempdir().expect("a directory");
    sealwire(nobody.path(), &["recv"]).run(b"").assert_failed(1, "no identity");
    let nowhere = "http://127.0.0.1:1";
    for args in [&["recv"][..], &["send", &bob.id, "--patience", "1"], &["keys", "publish"]] {
        let failed =
            sealwire(alice.home(), args).env("SEALWIRE_AGENT_RELAY", nowhere).run(b"hello");
        failed.assert_failed(6, "cannot be reached");
    }
}

#[test]
fn what_was_sealed_leaves_when_the_relay_is_back() {
    let mut relay = Relay::start();
    let (alice, bob) = known_at(&relay);
    send(&relay, &alice, &bob, b"first");
    relay.kill();
    let waits = at(&relay, &alice, &["send", &bob.id, "--patience", "0"]).run(b"second");
    waits.assert_failed(6, "in the outbox");
    relay.restart();
    assert!(recv(&relay, &alice).is_empty());
    let got = recv(&relay, &bob);
    let texts: Vec<&Value> = got.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["first", "second"]);
}
