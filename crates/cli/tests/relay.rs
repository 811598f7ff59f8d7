//! The relay as its operator runs it.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use common::{Relay, file, sealwire};
use rustix::process::Signal;
use serde_json::Value;

/// One request, and all that is answered.
fn get(relay: &Relay, path: &str) -> String {
    let mut stream = TcpStream::connect(relay.address).expect("it listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", relay.address);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn a_relay_runs_without_configuration_and_ends_when_it_is_asked() {
    let mut relay = Relay::start();
    assert!(get(&relay, "/v1/nothing").starts_with("HTTP/1.1 404 "));
    let status = relay.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["draining"], &status["now"]["mailboxes"]), (&false.into(), &0.into()));
    let text = sealwire(relay.home(), &["relay", "status", "--admin", &relay.admin.to_string()]);
    assert!(text.run(b"").text().contains("mailboxes"));

    let ended = relay.stop();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.event("draining");
    ended.event("stopped");
    // What it keeps is for its owner alone.
    for path in ["relay", "relay/log"] {
        let mode = fs::metadata(relay.home().join(path)).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}");
    }
    let gone = sealwire(relay.home(), &["relay", "status", "--admin", &relay.admin.to_string()]);
    gone.run(b"").assert_failed(6, "no relay runs");
}

#[test]
fn an_interrupt_ends_it_too_and_a_hangup_does_not() {
    let relay = Relay::start();
    let home = relay.home();
    let args = ["relay", "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"];
    let data = home.join("other");
    let data = ["--data", data.to_str().expect("text")];
    let mut other = sealwire(home, &[&args[..], &data].concat()).start(Some(b""));
    other.event("listening");
    other.signal(Signal::HUP);
    other.event("certificate_loaded");
    other.signal(Signal::INT);
    let ended = other.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(home.join("other/log").is_dir(), "the log goes with the data");
}

#[test]
fn the_log_has_a_line_for_each_event_and_names_nobody() {
    let mut relay = Relay::start();
    get(
        &relay,
        "/v1/agents/did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp/devices/0/bundle",
    );
    relay.stop();
    let log = fs::read_dir(relay.home().join("relay/log")).expect("there");
    let files: Vec<_> = log.map(|entry| entry.expect("there").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = fs::read_to_string(&files[0]).expect("text");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!((events.first(), events.last()), (Some(&"started"), Some(&"stopped")));
    assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
    // attack T34
    assert!(!text.contains("did:") && !text.contains("z6Mk") && !text.contains("127.0.0.1"));
}

#[test]
fn what_keeps_a_relay_from_running_is_a_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("bound").to_string();
    let run = |args: &[&str]| {
        sealwire(home, &[&["relay", "run", "--admin", "127.0.0.1:0"], args].concat()).run(b"")
    };
    run(&["--listen", &taken]).assert_failed(1, &format!("address {taken} is in use"));
    run(&["--listen", "0.0.0.0:0"]).assert_failed(2, "plain HTTP on 0.0.0.0:0");
    run(&["--listen", "localhost"]).assert_failed(2, "invalid value 'localhost'");

    for (text, code, sentence) in [
        ("[relay]\nlisten = \"here\"", 2, "line 2 of "),
        ("[relay]\nlisten = \"here\"", 2, "relay.listen must be an IP address and a port"),
        ("[relay]\nlisen = \"127.0.0.1:0\"", 2, "did you mean relay.listen?"),
        (
            "[relay]\ntls_key = \"key.pem\"",
            2,
            "relay.tls_certificate and relay.tls_key go together",
        ),
        ("[relay]\ntls_certificate = \"no.pem\"\ntls_key = \"no.pem\"", 1, "cannot read "),
        (
            "[relay]\ntls_certificate = \"sealwire.toml\"\ntls_key = \"sealwire.toml\"",
            2,
            "certificate",
        ),
        ("[relay]\ndata = \"sealwire.toml\"", 1, "sealwire.toml"),
        ("[relay]\nlisten = \"0.0.0.0:0\"\nplain_http_anywhere = true", 2, "authorities"),
        ("[relay]\nadmin = \"0.0.0.0:0\"", 2, "admin_anywhere"),
    ] {
        file(home, "sealwire.toml", text.as_bytes());
        let args: &[&str] =
            if text.contains("listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let failed = sealwire(home, &[&["relay", "run"], args].concat()).run(b"");
        failed.assert_failed(code, sentence);
        assert!(!failed.stderr.contains('\u{1b}'));
    }
    let elsewhere = file(home, "other.toml", b"[realy]");
    let failed = sealwire(home, &["relay", "run", "--config", &elsewhere]).run(b"");
    failed.assert_failed(2, "did you mean [relay]?");
    let failed = sealwire(home, &["relay", "run"]).env("SEALWIRE_CONFIG", "/no/such/file").run(b"");
    failed.assert_failed(1, "cannot read /no/such/file");
    let failed = sealwire(home, &["relay", "run"]).env("SEALWIRE_RELAY_SPEED", "1").run(b"");
    failed.assert_failed(2, "unknown variable SEALWIRE_RELAY_SPEED");
}

#[test]
fn a_copy_is_made_beside_a_running_relay_and_put_in_the_place_of_one_that_is_gone() {
    let mut relay = Relay::start();
    let home = relay.home().to_owned();
    let run = |args: &[&str]| sealwire(&home, &[&["relay"], args].concat()).run(b"");
    let copy = home.join("copy").to_str().expect("text").to_owned();
    let made = run(&["backup", &copy, "--json"]);
    assert_eq!((made.code, &made.json()["to"]), (0, &copy.clone().into()), "{}", made.stderr);
    let mode = fs::metadata(&copy).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0);
    // A second relay of the same data, and a copy over what is there, are refused.
    let twice = run(&["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert_eq!(twice.code, 1, "{}", twice.stderr);
    assert_eq!(run(&["restore", &copy]).code, 1);
    assert_eq!(relay.stop().code, 0);
    assert_eq!(run(&["restore", &copy]).code, 1);

    fs::rename(home.join("relay"), home.join("gone")).expect("moved");
    assert_eq!(run(&["backup", &copy]).code, 1, "nothing is there to copy");
    let restored = run(&["restore", &copy]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(restored.text().contains("one-time prekeys of before are void"));
    relay.restart();
    assert_eq!(relay.status()["now"]["ready"], 1);
    let nonsense = file(&home, "nonsense", b"this is no database");
    fs::create_dir(home.join("other")).expect("made");
    let other = home.join("other");
    let failed = sealwire(&home, &["relay", "restore", &nonsense])
        .env("SEALWIRE_RELAY_DATA", other.to_str().expect("text"))
        .run(b"");
    assert_eq!(failed.code, 1, "{}", failed.stderr);
}
