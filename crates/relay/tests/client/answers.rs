//! What it believes.

use std::time::{Duration, Instant};

use sealwire_relay::{
    Problem,
    client::{Client, ClientError, RelayUrl, Settings, Skew},
    wire::{Body, CBOR, Messages, PROBLEM},
};

use crate::scripted::{
    NOW, Reply, Scripted, agent, answer, answer_with, client, deposit, device, keys, mailbox_key,
    nonce, problem, problem_with, settings,
};

/// What comes of a request for a bundle, once.
async fn bundle(reply: impl FnMut() -> Reply + Send + 'static) -> ClientError {
    let mut reply = reply;
    let relay = Scripted::new(move |_| reply()).await;
    relay.client().bundle(&device()).await.expect_err("it is no answer")
}

#[tokio::test]
async fn what_is_no_answer_of_a_relay_is_not_believed() {
    let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
    let raw: [(&str, Vec<u8>); 5] = [
        ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()),
        ("a length that is none", head("content-length: many\r\n")),
        ("two lengths", head("content-length: 1\r\ncontent-length: 2\r\n")),
        ("a head without end", [head("").as_slice(), &vec![b'a'; 1 << 20]].concat()),
        ("a header without end", format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(1 << 20)).into()),
    ];
    for (what, bytes) in raw {
        let error = bundle(move || Reply::Last(bytes.clone())).await;
        assert!(matches!(error, ClientError::Protocol(_)), "{what}: {error:?}");
        assert!(!error.is_retryable());
    }
    type Answer = (&'static str, u16, &'static str, Vec<u8>);
    let answers: [Answer; 9] = [
        ("a page of a portal", 200, "text/html", b"<h1>Welcome</h1>".to_vec()),
        ("nothing", 200, CBOR, Vec::new()),
        ("another status", 204, CBOR, Vec::new()),
        ("another body", 200, CBOR, Messages::default().to_bytes()),
        ("too long", 200, CBOR, vec![0; 1 << 20]),
        ("elsewhere", 301, "text/html", Vec::new()),
        ("a 404 that is none of a relay's", 404, "text/html", b"Not Found".to_vec()),
        ("a problem that does not decode", 404, PROBLEM, b"{".to_vec()),
        ("a problem that is too long", 404, PROBLEM, vec![b' '; 1 << 20]),
    ];
    for (what, status, media_type, body) in answers {
        let error = bundle(move || answer(status, media_type, &body)).await;
        assert!(matches!(error, ClientError::Protocol(_)), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_read_to_its_end() {
    let begun = Instant::now();
    let error = bundle(|| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = [b"4000\r\n".as_slice(), &[0; 0x4000], b"\r\n"].concat();
        Reply::Last([head.as_slice(), &chunk.repeat(64)].concat())
    });
    let error = error.await;
    assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn each_problem_is_told_as_what_it_is() {
    for expected in Problem::ALL.into_iter().filter(|problem| !problem.is_retryable()) {
        if matches!(expected, Problem::NotFound | Problem::Replayed) {
            continue;
        }
        let error = bundle(move || problem_with(expected, "")).await;
        match error {
            ClientError::Problem(found) => assert_eq!(found, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
}

// REL-8
#[tokio::test]
async fn a_problem_of_a_later_release_goes_by_its_status() {
    for (status, expected) in [(400, Problem::Malformed), (409, Problem::Conflict)] {
        let body = format!("{{\"type\":\"{}of-tomorrow\"}}", Problem::TYPE_PREFIX);
        let error = bundle(move || answer(status, PROBLEM, body.as_bytes())).await;
        assert!(matches!(error, ClientError::Problem(found) if found == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let relay = Scripted::new(|_| problem(Problem::Stale)).await;
    for (offset, text) in [
        (-3600_i64, "the clock of this machine is 3600 s behind that of the relay"),
        (90, "the clock of this machine is 90 s ahead of that of the relay"),
    ] {
        let ours = NOW.as_secs().checked_add_signed(offset).expect("near");
        let mut settings = settings();
        settings.clock = std::sync::Arc::new(move || sealwire_core::Timestamp::from_secs(ours));
        let client = client(&format!("http://127.0.0.1:{}", relay.port), settings);
        let error = client.remaining(&device()).await.expect_err("stale");
        assert_eq!(error.to_string(), text);
        assert!(!error.is_retryable());
        let probe = client.probe().await.expect("a relay");
        let skew = probe.skew.expect("off");
        assert_eq!((skew.seconds(), skew.is_ahead()), (offset.unsigned_abs(), offset > 0));
        assert_eq!(probe.date, Some(NOW));
    }
    // With a clock that is right the relay is wrong, and says so by itself.
    let error = relay.client().remaining(&device()).await.expect_err("stale");
    assert!(matches!(error, ClientError::Problem(Problem::Stale)), "{error:?}");
    assert_eq!(Skew::between(NOW, NOW.plus(59)), None);
}

#[tokio::test]
async fn a_probe_tells_a_relay_from_what_is_none() {
    let relay = Scripted::new(|seen| {
        assert_eq!(seen.header("signature"), None, "nobody says who asks");
        problem_with(Problem::NotFound, "server: sealwire/0.1.0\r\n")
    });
    let relay = relay.await;
    let probe = relay.client().probe().await.expect("a relay");
    assert_eq!(probe.server.as_deref(), Some("sealwire/0.1.0"));
    assert_eq!((probe.address.port(), probe.skew, probe.tls), (relay.port, None, None));
    assert!(probe.round_trip < Duration::from_secs(5));

    let other = Scripted::new(|_| answer_with(404, "content-type: text/html\r\n", b"")).await;
    let error = other.client().probe().await.expect_err("no relay");
    assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
}

// REL-30
#[tokio::test]
async fn plain_http_to_another_machine_is_refused_before_anything_is_sent() {
    // TEST-NET-1 (RFC 5737) answers nobody.
    let client = client("http://192.0.2.1:9", settings());
    let error = client.probe().await.expect_err("plain");
    assert!(matches!(error, ClientError::Plain), "{error:?}");
    let error = client.bundle(&device()).await.expect_err("plain");
    assert!(matches!(error, ClientError::Plain), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let nobody = client(&format!("http://127.0.0.1:{port}"), settings());
    let error = nobody.probe().await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
    // RFC 6761: a name under `invalid` does not resolve.
    let nowhere = client("http://relay.invalid", settings());
    let error = nowhere.probe().await.expect_err("no such name");
    assert!(matches!(error, ClientError::Unresolved(_)), "{error:?}");
}

#[tokio::test]
async fn without_an_identity_nothing_is_asked_in_its_name() {
    let relay = Scripted::new(|_| problem(Problem::NotFound)).await;
    let url = RelayUrl::parse(&format!("http://127.0.0.1:{}", relay.port)).expect("a URL");
    let nobody = Client::new(url, None, settings()).expect("a client");
    let error = nobody.claim(&device(), nonce(1)).await.expect_err("nobody");
    assert!(matches!(error, ClientError::Misuse(_)), "{error:?}");
    assert_eq!(relay.seen().len(), 0);
    assert_eq!(nobody.bundle(&device()).await.expect("public"), None);
}

// attack T34
#[tokio::test]
async fn errors_and_debug_output_name_nobody() {
    let relay = Scripted::new(|_| problem(Problem::NotFound)).await;
    let client = relay.client();
    let key = mailbox_key(7);
    let mut text = format!("{client:?} {:?} {:?}", settings(), Settings::default());
    let errors = [
        deposit(&client, 9, 1).await.expect_err("gone"),
        client.fetch(&key, 0, 1, Duration::ZERO).await.expect_err("gone"),
        bundle(|| Reply::Last(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort".to_vec())).await,
        bundle(|| answer(200, CBOR, b"\x80")).await,
    ];
    for error in errors {
        text += &format!(" {error:?} {error}");
    }
    let target = &relay.seen()[0].target;
    assert!(target.contains("CQkJCQkJ"), "the id of the mailbox");
    let identity = sealwire_core::KeyStore::identity(keys().as_ref()).as_bytes().to_vec();
    for secret in [identity, vec![9; 16], vec![0x5a; 32], key.public().as_bytes().to_vec()] {
        assert!(!sealwire_testkit::leak::shows(&text, &secret), "{text}");
    }
    assert!(!text.contains(agent().as_str()) && !text.contains("CQkJ"), "{text}");
}
