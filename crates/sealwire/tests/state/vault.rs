//! An anchor in Vault, against a KV engine in a few lines.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use sealwire::{
    custody::kms::{VaultSettings, VaultToken},
    store::{Anchor, AnchorState, Error, Table, VaultAnchor},
};
use zeroize::Zeroizing;

use crate::common::{Harness, OnDisk, put};

/// One value with its versions. Answers while it is `up`; applies and does not answer for so
/// many requests as `mute` says.
#[derive(Default)]
struct Engine {
    value: Mutex<(u64, String)>,
    down: std::sync::atomic::AtomicBool,
    mute: AtomicUsize,
    asked: AtomicUsize,
}

impl Engine {
    fn serve(&self, method: &str, body: &str) -> (u16, String) {
        let mut value = self.value.lock().expect("lock");
        if method == "GET" {
            return match value.0 {
                0 => (404, r#"{"errors":[]}"#.to_owned()),
                version => (200, found(&value.1, version)),
            };
        }
        let cas = field(body, "\"cas\":").parse::<u64>().expect("a number");
        if cas != value.0 {
            let said =
                r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
            return (400, said.to_owned());
        }
        *value = (cas + 1, field(body, "\"value\":").trim_matches('"').to_owned());
        (200, format!(r#"{{"data":{{"version":{}}}}}"#, value.0))
    }

    fn connection(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || self.down.load(Ordering::SeqCst) {
                return;
            }
            let method = line.split(' ').next().expect("a method").to_owned();
            let mut length = 0;
            while line.trim_end() != "" {
                line.clear();
                reader.read_line(&mut line).expect("a header");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            self.asked.fetch_add(1, Ordering::SeqCst);
            let (status, answer) = self.serve(&method, &String::from_utf8(body).expect("JSON"));
            let mute = |left: usize| left.checked_sub(1);
            if self.mute.fetch_update(Ordering::SeqCst, Ordering::SeqCst, mute).is_ok() {
                return;
            }
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all(format!("{head}{answer}").as_bytes()).expect("sent");
        }
    }
}

fn found(value: &str, version: u64) -> String {
    format!(r#"{{"data":{{"data":{{"value":"{value}"}},"metadata":{{"version":{version}}}}}}}"#)
}

/// What stands behind a name, up to the end of it.
fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let (_, rest) = body.split_once(name).expect(name);
    rest.split(['}', ',']).next().expect("an end")
}

fn start() -> (Arc<Engine>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let engine = Arc::new(Engine::default());
    let own = Arc::clone(&engine);
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let own = Arc::clone(&own);
            let serve = move || own.connection(stream);
            thread::Builder::new().spawn(serve).expect("a thread");
        }
    };
    thread::Builder::new().spawn(accept).expect("a thread");
    (engine, address)
}

fn anchor(address: &str) -> VaultAnchor {
    let token = VaultToken::Fixed(Zeroizing::new("root".to_owned()));
    let mut settings = VaultSettings::new(address, "agents/alice", token);
    settings.mount = "secret".to_owned();
    settings.http.answer = Duration::from_millis(500);
    settings.http.deadline = Duration::from_secs(1);
    VaultAnchor::new(settings).expect("settings")
}

fn at(generation: u64) -> AnchorState {
    AnchorState::new(generation, [7; 32])
}

// attack T3
// STA-14, STA-25
#[test]
fn an_anchor_moves_from_where_it_is_and_from_nowhere_else() {
    let (_, address) = start();
    let (one, other) = (anchor(&address), anchor(&address));
    assert_eq!(one.name(), "secret/agents/alice");
    assert_eq!(one.read().expect("reads"), None);
    let refused = one.advance(Some(at(1)), at(2)).expect_err("it has nothing");
    assert!(matches!(refused, Error::AnchorMoved), "{refused}");
    one.advance(None, at(1)).expect("first");
    one.advance(Some(at(1)), at(2)).expect("second");
    for from in [None, Some(at(1)), Some(at(3)), Some(AnchorState::new(2, [8; 32]))] {
        for anchor in [&one, &other] {
            let refused = anchor.advance(from, at(3)).expect_err("not from here");
            assert!(matches!(refused, Error::AnchorMoved), "{refused}");
        }
    }
    // What one remembers does not stand in the way of seeing what the other did.
    other.advance(Some(at(2)), at(3)).expect("the other's turn");
    let refused = one.advance(Some(at(2)), at(4)).expect_err("it was moved");
    assert!(matches!(refused, Error::AnchorMoved), "{refused}");
    assert_eq!(one.read().expect("reads"), Some(at(3)));
}

// attack T3
// STA-16, STA-25
#[test]
fn an_older_state_is_refused_and_each_commit_costs_one_request() {
    let (engine, address) = start();
    let mut disk = OnDisk::with(Some(Arc::new(anchor(&address))));
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    let backup = disk.backup("backup");
    disk.reopen();
    put(&*disk.store(), Table::Session, "bob", "2");
    let before = engine.asked.load(Ordering::SeqCst);
    for number in 0..10 {
        put(&*disk.store(), Table::Session, "bob", format!("{number}"));
    }
    assert_eq!(engine.asked.load(Ordering::SeqCst), before + 10);
    disk.close();
    disk.restore(&backup);
    let refused = disk.refused();
    assert!(matches!(refused, Error::RolledBack { .. }), "{refused}");
}

// STA-14, STA-25
#[test]
fn an_anchor_that_does_not_answer_ends_the_store_and_loses_nothing() {
    let (engine, address) = start();
    let mut disk = OnDisk::with(Some(Arc::new(anchor(&address))));
    // The answer to one request is lost, and the request is made again.
    engine.mute.store(1, Ordering::SeqCst);
    put(&*disk.store(), Table::Session, "bob", "1");
    // The server is away for longer than that.
    engine.down.store(true, Ordering::SeqCst);
    let mut effects = sealwire::Effects::new();
    let (key, value) = (crate::common::key("bob"), crate::common::value("2"));
    effects.put(Table::Session, key, value).expect("short");
    let refused = disk.store().commit(effects).expect_err("no answer");
    assert!(matches!(refused, Error::AnchorUnavailable(_)), "{refused}");
    assert!(refused.is_retryable());
    assert!(matches!(disk.store().status(), Err(Error::Poisoned)));
    disk.close();
    let refused = disk.refused();
    assert!(matches!(refused, Error::AnchorUnavailable(_)), "{refused}");
    engine.down.store(false, Ordering::SeqCst);
    disk.reopen();
    let found = crate::common::get(&*disk.store(), Table::Session, "bob");
    assert_eq!(found.as_deref(), Some(&b"2"[..]), "what was stored is there");
    put(&*disk.store(), Table::Session, "bob", "3");
}

// STA-25: whoever calls may be within a runtime.
#[tokio::test]
async fn an_anchor_can_be_asked_from_anywhere() {
    let (_, address) = start();
    let anchor = Arc::new(anchor(&address));
    assert_eq!(anchor.read().expect("reads"), None);
    let own = Arc::clone(&anchor);
    let moved = tokio::task::spawn_blocking(move || own.advance(None, at(1))).await;
    moved.expect("ends").expect("moved");
    assert_eq!(anchor.read().expect("reads"), Some(at(1)));
    assert!(!format!("{anchor:?}").contains("root"));
}

#[test]
fn a_value_that_is_no_anchor_is_refused() {
    let (engine, address) = start();
    for bad in ["", "AAAA", "?"] {
        *engine.value.lock().expect("lock") = (1, bad.to_owned());
        let refused = anchor(&address).read().expect_err("no anchor");
        assert!(matches!(refused, Error::Anchor(_)) && !refused.is_retryable(), "{refused}");
    }
}
