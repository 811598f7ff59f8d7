//! Connections that are slow, silent, many, or broken off.

use std::{sync::Arc, time::Duration};

use sealwire_relay::{
    Problem,
    wire::{Body, MailboxKind, Messages},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    http::Http,
    people::{Owner, deposit},
    rig::{Rig, frame},
};

/// What the operator is shown under `now`.
pub(crate) async fn number(rig: &Rig, name: &str) -> u64 {
    let answer = rig.operator("/status").await;
    let json: serde_json::Value = serde_json::from_slice(&answer.is(200).body).expect("JSON");
    json["now"][name].as_u64().expect("a number")
}

/// Waits until that number is this.
pub(crate) async fn until(rig: &Rig, name: &str, value: u64) {
    until_is(rig, name, |number| number == value).await;
}

/// Waits until that number is as it should be.
pub(crate) async fn until_is(rig: &Rig, name: &str, good: impl Fn(u64) -> bool) {
    let reached = async {
        while !good(number(rig, name).await) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), reached).await.expect("the number within 20 s");
}

// attack T24: one byte a moment, and nothing at all.
#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let rig = Rig::with(|settings| settings.times.head = Duration::from_millis(400)).await;
    let slow = async |mut connection: Http, bytes: &'static [u8]| {
        for byte in bytes {
            if connection.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        connection.closed().await;
    };
    let started = Instant::now();
    tokio::join!(
        slow(rig.connect().await, b""),
        slow(rig.connect().await, b"P"),
        slow(rig.connect().await, b"PRI * HTTP/2.0\r\n"),
        slow(
            rig.connect().await,
            b"GET /v1/agents HTTP/1.1\r\nhost: relay.example\r\nx: aaaaaaaaaa"
        ),
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    until(&rig, "connections", 0).await;
    // One that has asked before is not kept for ever either.
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut idle = rig.connect().await;
    idle.ask(&rig.signed(&owner, &owner.fetch(0, 1, 0), &[])).await.is(200);
    idle.closed().await;
}

// attack T24
#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let rig = Rig::with(|settings| settings.times.body = Duration::from_millis(300)).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let bytes = deposit(owner.send, &capability, &frame(1)).to_bytes(&rig.host);
    let mut connection = rig.connect().await;
    connection.write(&bytes[..bytes.len() - 1]).await;
    assert_eq!(connection.answer().await.expect("an answer").problem(), Problem::TooSlow);
    connection.closed().await;
    until(&rig, "body_bytes", 0).await;
    assert_eq!(rig.fetch(&owner, 0, 1).await.messages.len(), 0);
}

/// A mailbox with almost a megabyte in it, and a request for all of that.
async fn a_megabyte(rig: &Rig) -> Owner {
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..15 {
        rig.deposit(&owner, &vec![byte; 65_536]).await.is(202);
    }
    owner
}

// attack T24: whoever does not read what he asked for does not hold it for ever.
#[tokio::test]
async fn an_answer_that_is_not_read_ends_its_connection() {
    let rig = Rig::with(|settings| settings.times.answer = Duration::from_millis(500)).await;
    let owner = a_megabyte(&rig).await;
    until(&rig, "connections", 0).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut reader = Http::over(socket.connect(rig.address).await.expect("connected"), &rig.host);
    // Several, since much fits into the buffers of sockets.
    for _ in 0..8 {
        let ask = rig.signed(&owner, &owner.fetch(0, 100, 0), &[]);
        reader.write(&ask.to_bytes(&rig.host)).await;
    }
    until(&rig, "connections", 1).await;
    until(&rig, "connections", 0).await;
    assert_eq!(number(&rig, "body_bytes").await, 0);
    // Whoever reads gets all of it.
    let answer = rig.ask_signed(&owner, &owner.fetch(0, 100, 0), &[]).await;
    assert_eq!(Messages::from_bytes(&answer.is(200).body).expect("a body").messages.len(), 15);
}

// attack T24: many that say nothing, beside those who have something to say.
#[tokio::test]
async fn hundreds_of_silent_connections_hinder_nobody() {
    let rig = Rig::with(|settings| settings.bounds.connections_per_address = 400).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut silent = Vec::new();
    for _ in 0..390 {
        silent.push(TcpStream::connect(rig.address).await.expect("a connection"));
    }
    until(&rig, "connections", 390).await;
    rig.deposit(&owner, &frame(1)).await.is(202);
    for _ in 0..30 {
        silent.push(TcpStream::connect(rig.address).await.expect("a connection"));
    }
    until(&rig, "connections", 400).await;
    // Those beyond the bound are closed at once.
    let refused = number(&rig, "connections_refused_total").await;
    assert!(refused >= 20, "{refused}");
    silent.clear();
    until(&rig, "connections", 0).await;
    rig.deposit(&owner, &frame(2)).await.is(202);
    assert_eq!(rig.fetch(&owner, 0, 10).await.messages.len(), 2);
}

// attack T24: a connection that breaks off, wherever it is.
#[tokio::test]
async fn a_reset_at_any_point_harms_nobody() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let whole = deposit(owner.send, &capability, &frame(1)).to_bytes(&rig.host);
    let wait = rig.signed(&owner, &owner.fetch(100, 1, 60), &[]).to_bytes(&rig.host);
    let mut connections = Vec::new();
    for bytes in [&whole[..0], &whole[..1], &whole[..60], &whole[..whole.len() - 1], &whole, &wait]
    {
        for _ in 0..3 {
            let mut connection = rig.connect().await;
            connection.write(bytes).await;
            connections.push(connection.stream);
        }
    }
    until(&rig, "deposits_batched_total", 3).await;
    until(&rig, "readers", 1).await;
    for connection in connections {
        #[expect(deprecated, reason = "what it may do wrong, waiting, a linger of zero does not")]
        connection.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    until(&rig, "connections", 0).await;
    until(&rig, "readers", 0).await;
    assert_eq!(number(&rig, "body_bytes").await, 0);
    let taken = rig.fetch(&owner, 0, 10).await.messages.len();
    assert_eq!(taken, 1, "the same message, three times");
}

// What was begun is finished although nobody waits for the answer.
#[tokio::test]
async fn a_sender_who_goes_away_may_find_his_frame_taken() {
    let rig = Arc::new(Rig::start().await);
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..20 {
        let capability = owner.capability(1, rig.now());
        let ask = deposit(owner.send, &capability, &frame(byte));
        let mut connection = rig.connect().await;
        connection.write(&ask.to_bytes(&rig.host)).await;
        drop(connection);
        // Repeated, it is taken once.
        rig.ask(&ask).await.is(202);
    }
    assert_eq!(rig.fetch(&owner, 0, 100).await.messages.len(), 20);
}
