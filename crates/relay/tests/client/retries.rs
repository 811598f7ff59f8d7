//! When it asks again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sealwire_relay::{
    Problem,
    client::ClientError,
    wire::{Body, CBOR, Messages, Remaining},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::scripted::{
    Reply, Scripted, accepted, answer, answer_with, client, deposit, device, mailbox_key, nonce,
    problem, problem_with, settings,
};

/// Much longer than every deadline here, on a machine that has other work too.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay that fails so many times, and then takes a frame.
async fn failing(times: usize, reply: impl Fn() -> Reply + Send + 'static) -> Scripted {
    let mut left = times;
    Scripted::new(move |_| {
        if left == 0 {
            return accepted();
        }
        left -= 1;
        reply()
    })
    .await
}

// REL-35
// attack T26
#[tokio::test]
async fn a_request_whose_answer_was_lost_is_made_again_with_the_same_id() {
    let half = || Reply::Last(b"HTTP/1.1 202 Accepted\r\ncontent-le".to_vec());
    let short = || Reply::Last(b"HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n123".to_vec());
    let fault = || answer_with(502, "content-type: text/html\r\n", b"<h1>Bad Gateway</h1>");
    type Fault = (&'static str, fn() -> Reply);
    let replies: [Fault; 9] = [
        ("the connection ends", || Reply::Cut),
        ("in the head", half),
        ("in the body", short),
        ("no answer", || Reply::Silence),
        ("a gateway without a relay", fault),
        ("busy", || problem(Problem::Unavailable)),
        ("a fault", || problem(Problem::Internal)),
        ("too slow", || problem(Problem::TooSlow)),
        ("too often", || problem(Problem::Rate)),
    ];
    for (what, reply) in replies {
        let relay = failing(2, reply).await;
        deposit(&relay.client(), 9, 1).await.expect(what);
        let seen = relay.seen();
        assert_eq!(seen.len(), 3, "{what}");
        for again in &seen[1..] {
            assert_eq!((&again.target, &again.body), (&seen[0].target, &seen[0].body));
            assert_eq!(again.headers, seen[0].headers, "{what}: the same id and capability");
        }
    }
}

// REL-35
#[tokio::test]
async fn a_signed_request_is_signed_anew_each_time() {
    let mut replies = vec![
        answer(200, CBOR, &Remaining { x25519: 1, kem: 2 }.to_bytes()),
        problem(Problem::Replayed),
        Reply::Cut,
    ];
    let relay = Scripted::new(move |_| replies.pop().expect("three times")).await;
    let remaining = relay.client().remaining(&device()).await.expect("in the end");
    assert_eq!(remaining, Some(Remaining { x25519: 1, kem: 2 }));
    let mut signatures: Vec<String> = relay
        .seen()
        .iter()
        .map(|seen| seen.header("signature").expect("signed").to_owned())
        .collect();
    signatures.sort();
    signatures.dedup();
    assert_eq!(signatures.len(), 3);
}

#[tokio::test]
async fn a_claim_is_repeated_with_its_nonce() {
    let relay = Scripted::new(|_| Reply::Cut).await;
    let mut settings = settings();
    settings.deadline = Duration::from_millis(200);
    let client = client(&format!("http://127.0.0.1:{}", relay.port), settings);
    client.claim(&device(), nonce(5)).await.expect_err("cut");
    let seen = relay.seen();
    assert!(seen.len() > 1);
    assert!(seen.iter().all(|again| again.body == seen[0].body));
}

#[tokio::test]
async fn what_would_fail_again_is_not_asked_again() {
    for refusal in Problem::ALL {
        let repeated = refusal.is_retryable() || refusal == Problem::Replayed;
        // A full mailbox waits for its owner.
        let full = matches!(refusal, Problem::MailboxFull | Problem::SenderFull);
        if repeated && !full {
            continue;
        }
        let relay = Scripted::new(move |_| problem(refusal)).await;
        deposit(&relay.client(), 9, 1).await.expect_err("refused");
        assert_eq!(relay.seen().len(), 1, "{refusal:?}");
    }
}

// REL-35
#[tokio::test]
async fn the_relays_own_word_on_when_to_come_back_is_kept() {
    let relay = failing(1, || problem_with(Problem::Rate, "retry-after: 1\r\n")).await;
    let begun = Instant::now();
    deposit(&relay.client(), 9, 1).await.expect("later");
    assert!(begun.elapsed() >= Duration::from_secs(1));

    // Later than the caller waits: it is told at once.
    let relay = failing(1, || problem_with(Problem::Unavailable, "retry-after: 3600\r\n")).await;
    let begun = Instant::now();
    let error = deposit(&relay.client(), 9, 1).await.expect_err("in an hour");
    assert!(matches!(error, ClientError::Problem(Problem::Unavailable)), "{error:?}");
    assert!(error.is_retryable());
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(relay.seen().len(), 1);

    for nonsense in ["soon", "-1", "99999999999999999999999", "Fri, 15 Jan 2027 08:00:00 GMT"] {
        let line = format!("retry-after: {nonsense}\r\n");
        let relay = failing(1, move || problem_with(Problem::Rate, &line)).await;
        deposit(&relay.client(), 9, 1).await.expect(nonsense);
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    for reply in [|| problem(Problem::Unavailable), || Reply::Silence, || Reply::Cut] {
        let relay = Scripted::new(move |_| reply()).await;
        let mut settings = settings();
        settings.deadline = Duration::from_secs(1);
        let client = client(&format!("http://127.0.0.1:{}", relay.port), settings);
        let begun = Instant::now();
        let error = deposit(&client, 9, 1).await.expect_err("never");
        assert!(error.is_retryable(), "{error:?}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        assert!(relay.seen().len() > 1);
    }
}

#[tokio::test]
async fn a_relay_that_does_not_run_is_given_up_sooner() {
    let mut settings = settings();
    settings.refused = Duration::from_millis(300);
    // Nobody gets this port.
    let client = client("http://127.0.0.1:1", settings);
    let begun = Instant::now();
    let error = deposit(&client, 9, 1).await.expect_err("nobody is there");
    assert!(matches!(error, ClientError::Unreachable(_)) && error.is_retryable(), "{error:?}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_relay_that_is_away_is_found_so_once_and_not_for_every_mailbox() {
    let relay = Scripted::new(|_| Reply::Silence).await;
    let mut settings = settings();
    settings.deadline = Duration::from_secs(1);
    let client = client(&format!("http://127.0.0.1:{}", relay.port), settings);
    deposit(&client, 9, 1).await.expect_err("away");
    let asked = relay.seen().len();
    let begun = Instant::now();
    for mailbox in 0..100 {
        let error = deposit(&client, mailbox, 1).await.expect_err("away");
        if begun.elapsed() > Duration::from_millis(400) {
            break; // This machine has other work, and soon the relay is tried again.
        }
        assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
        assert_eq!(relay.seen().len(), asked);
    }
    // It is tried again soon.
    tokio::time::sleep(Duration::from_millis(600)).await;
    deposit(&client, 9, 1).await.expect_err("away");
    assert!(relay.seen().len() > asked);
}

#[tokio::test]
async fn a_connection_that_the_relay_closed_is_replaced_without_a_pause() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    // Every second request over a connection finds it closed.
    let relay = Scripted::new(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number % 3 == 1 { Reply::Cut } else { accepted() }
    });
    let relay = relay.await;
    let mut settings = settings();
    settings.pause = Duration::from_secs(60);
    let client = client(&format!("http://127.0.0.1:{}", relay.port), settings);
    for message in 0..5 {
        deposit(&client, 9, message).await.expect("at once");
    }
}

#[tokio::test]
async fn a_wait_for_messages_may_take_longer_than_an_answer() {
    async fn late(mut stream: TcpStream) {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let body = Messages::default().to_bytes();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(&body).await.expect("written");
    }
    let relay = Scripted::new(|seen| {
        assert!(seen.target.ends_with("wait=2"), "{}", seen.target);
        Reply::Take(Box::new(|stream| Box::pin(late(stream))))
    });
    let relay = relay.await;
    let wait = Duration::from_secs(2);
    let found = relay.client().fetch(&mailbox_key(7), 0, 10, wait).await.expect("in time");
    assert_eq!(found, Messages::default());
    assert_eq!(relay.seen().len(), 1);
}
