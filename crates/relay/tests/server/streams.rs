//! Streams: what is new is told once, and whoever does not listen costs nothing.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use sealwire_relay::{
    Problem,
    wire::{Acks, Body, FromClient, FromServer, Kind, MailboxKind, Operation},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::{
    connections::{number, until, until_is},
    people::{Agent, Owner, add_page, claim, page},
    rig::{Rig, frame},
};

pub(crate) struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    /// A stream that says it is ready.
    pub(crate) async fn open(rig: &Rig, owner: &Owner) -> Self {
        let mut stream = Self::try_open(rig, owner).await.expect("a stream");
        assert_eq!(stream.next().await, FromServer::Ready);
        stream
    }

    async fn try_open(rig: &Rig, owner: &Owner) -> Result<Self, Error> {
        let operation = Operation::Stream(owner.receive);
        let ask = rig.signed(owner, &operation, &[]);
        let url = format!("ws://{}{}", rig.host, operation.path());
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in &ask.headers {
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let connection = TcpStream::connect(rig.address).await.expect("a connection");
        tokio_tungstenite::client_async(request, connection).await.map(|(stream, _)| Self(stream))
    }

    async fn send(&mut self, message: &FromClient) {
        self.0.send(Message::Binary(message.to_bytes().into())).await.expect("sent");
    }

    /// The next message of the relay.
    async fn next(&mut self) -> FromServer {
        loop {
            let message = timeout(Duration::from_secs(20), self.0.next()).await.expect("in time");
            match message.expect("a message").expect("a good one") {
                Message::Binary(bytes) => {
                    return FromServer::from_bytes(&bytes).expect("a message of ours");
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether there is nothing to read for a moment.
    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.next()).await.is_err()
    }

    async fn ask(&mut self, message: &FromClient) -> FromServer {
        self.send(message).await;
        self.next().await
    }

    /// Waits for the end, and says how it was given.
    async fn end(&mut self) -> Option<CloseCode> {
        loop {
            let next = timeout(Duration::from_secs(20), self.0.next()).await.expect("in time");
            match next {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn fetch(after: u64) -> FromClient {
    FromClient::Fetch { after, limit: 100 }
}

#[tokio::test]
async fn a_reader_is_told_fetches_and_acknowledges() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    rig.deposit(&owner, &frame(1)).await.is(202);
    let mut stream = Stream::open(&rig, &owner).await;
    let FromServer::Messages { messages, more } = stream.ask(&fetch(0)).await else {
        panic!("no messages");
    };
    assert_eq!((messages.len(), messages[0].frame[0], more), (1, 1, false));
    rig.deposit(&owner, &frame(2)).await.is(202);
    assert_eq!(stream.next().await, FromServer::Arrived);
    let FromServer::Messages { messages: new, .. } = stream.ask(&fetch(messages[0].sequence)).await
    else {
        panic!("no messages");
    };
    assert_eq!((new.len(), new[0].frame[0]), (1, 2));
    let acks = Acks { sequences: vec![messages[0].sequence, new[0].sequence] };
    assert_eq!(stream.ask(&FromClient::Ack(acks)).await, FromServer::Acked { removed: 2 });
    assert_eq!(rig.fetch(&owner, 0, 10).await.messages.len(), 0);
}

// REL-20
#[tokio::test]
async fn arrivals_are_told_once_until_the_reader_asks() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut stream = Stream::open(&rig, &owner).await;
    for byte in 0..20 {
        rig.deposit(&owner, &frame(byte)).await.is(202);
    }
    assert_eq!(stream.next().await, FromServer::Arrived);
    assert!(stream.is_silent().await);
    let FromServer::Messages { messages, .. } = stream.ask(&fetch(0)).await else {
        panic!("no messages");
    };
    assert_eq!(messages.len(), 20);
    assert!(stream.is_silent().await);
    rig.deposit(&owner, &frame(99)).await.is(202);
    assert_eq!(stream.next().await, FromServer::Arrived);
}

#[tokio::test]
async fn all_readers_of_a_mailbox_are_told_and_those_of_others_are_not() {
    let rig = Rig::start().await;
    let (owner, other) =
        (rig.owner(MailboxKind::Pairwise).await, rig.owner(MailboxKind::Pairwise).await);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::open(&rig, &owner).await);
    }
    let mut elsewhere = Stream::open(&rig, &other).await;
    rig.deposit(&owner, &frame(1)).await.is(202);
    for stream in &mut streams {
        assert_eq!(stream.next().await, FromServer::Arrived);
    }
    assert!(elsewhere.is_silent().await);
}

#[tokio::test]
async fn a_reader_is_told_when_keys_run_low() {
    let rig = Rig::start().await;
    let (owner, bob) = (rig.owner(MailboxKind::Contact).await, Agent::new());
    rig.publish(&bob, &bob.publish(1, rig.now(), Some(owner.send))).await.is(204);
    let body = page(1, 3, rig.now()).to_bytes();
    rig.ask_signed(&bob, &add_page(&bob, Kind::X25519, 1), &body).await.is(201);
    let mut stream = Stream::open(&rig, &owner).await;
    rig.claim(&Agent::new(), &bob, &claim()).await;
    assert_eq!(stream.next().await, FromServer::PrekeysLow);
}

#[tokio::test]
async fn what_is_no_request_ends_a_stream() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let longest = vec![0; FromClient::MAX_LEN];
    for (name, message, problem, code) in [
        ("empty", Message::Binary(Vec::new().into()), true, Some(CloseCode::Policy)),
        ("rubbish", Message::Binary(vec![0xFF; 9].into()), true, Some(CloseCode::Policy)),
        (
            "rubbish as long as may be",
            Message::Binary(longest.into()),
            true,
            Some(CloseCode::Policy),
        ),
        ("text", Message::Text("fetch".into()), false, Some(CloseCode::Unsupported)),
        ("too long", Message::Binary(vec![0; FromClient::MAX_LEN + 1].into()), false, None),
    ] {
        let mut stream = Stream::open(&rig, &owner).await;
        stream.0.send(message).await.expect("sent");
        if problem {
            assert_eq!(stream.next().await, FromServer::Problem(Problem::Malformed), "{name}");
        }
        assert_eq!(stream.end().await, code, "{name}");
    }
    until(&rig, "streams", 0).await;
}

#[tokio::test]
async fn a_stream_of_a_mailbox_that_is_closed_ends() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut stream = Stream::open(&rig, &owner).await;
    rig.ask_signed(&owner, &Operation::CloseMailbox(owner.receive), &[]).await.is(204);
    assert_eq!(stream.next().await, FromServer::Problem(Problem::NotFound));
    assert_eq!(stream.end().await, Some(CloseCode::Normal));
    assert!(matches!(Stream::try_open(&rig, &owner).await, Err(Error::Http(_))));
    until(&rig, "readers", 0).await;
}

#[tokio::test]
async fn a_stream_that_is_asked_for_without_an_upgrade_is_refused() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let operation = Operation::Stream(owner.receive);
    let answer = rig.ask_signed(&owner, &operation, &[]).await;
    assert_eq!(answer.problem(), Problem::Malformed);
    until(&rig, "readers", 0).await;
}

// attack T24: a peer that is gone without a word, or says nothing any more.
#[tokio::test]
async fn a_stream_that_gives_no_sign_of_life_ends() {
    let rig = Rig::with(|settings| settings.times.ping = Duration::from_millis(400)).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let silent = Stream::open(&rig, &owner).await;
    let mut alive = Stream::open(&rig, &owner).await;
    // Reading answers pings.
    assert!(timeout(Duration::from_millis(2500), alive.next()).await.is_err());
    assert_eq!(number(&rig, "streams").await, 1);
    drop(silent);
    rig.deposit(&owner, &frame(1)).await.is(202);
    assert_eq!(alive.next().await, FromServer::Arrived);
}

// attack T24: a reader that asks and asks, and never reads.
#[tokio::test]
async fn a_stream_that_is_not_read_ends() {
    let rig = Rig::with(|settings| settings.times.answer = Duration::from_millis(400)).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..15 {
        rig.deposit(&owner, &vec![byte; 65_536]).await.is(202);
    }
    let mut stream = Stream::open(&rig, &owner).await;
    let asking = async {
        loop {
            let message = Message::Binary(fetch(0).to_bytes().into());
            if stream.0.send(message).await.is_err() {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(5), asking).await;
    until(&rig, "streams", 0).await;
}

// attack T24: what waits to be read on streams is bounded, as elsewhere.
#[tokio::test]
async fn streams_that_are_not_read_share_the_memory_of_one_address() {
    let rig = Rig::with(|settings| {
        settings.times.answer = Duration::from_secs(4);
        settings.bounds.bodies = 8 * 1024 * 1024;
    })
    .await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..15 {
        rig.deposit(&owner, &vec![byte; 65_536]).await.is(202);
    }
    // The first is full of answers that it does not read, and holds almost a megabyte.
    let mut full = Stream::open(&rig, &owner).await;
    let asking =
        async { while full.0.send(Message::Binary(fetch(0).to_bytes().into())).await.is_ok() {} };
    tokio::select! {
        () = asking => panic!("it is not full"),
        () = until_is(&rig, "body_bytes", |bytes| bytes > 900_000) => {}
    }
    let mut other = Stream::open(&rig, &owner).await;
    let refused = FromServer::Problem(Problem::Unavailable);
    assert_eq!(other.ask(&fetch(0)).await, refused);
    // Once that stream has ended, there is memory again.
    until(&rig, "body_bytes", 0).await;
    assert!(matches!(other.ask(&fetch(0)).await, FromServer::Messages { .. }));
}

#[tokio::test]
async fn streams_are_closed_with_a_reason_when_the_relay_ends() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut one = Stream::open(&rig, &owner).await;
    let silent = Stream::open(&rig, &owner).await;
    let Rig { relay, log, .. } = rig;
    let (code, ()) = tokio::join!(one.end(), relay.shutdown());
    assert_eq!(code, Some(CloseCode::Restart));
    let last = log.0.lock().expect("a lock").last().cloned();
    assert_eq!(last, Some(sealwire_relay::server::Event::Stopped { cut_off: 0 }));
    drop(silent);
}

// attack T24: hundreds of streams on which nothing happens.
#[tokio::test]
async fn hundreds_of_streams_are_told_and_closed() {
    let rig = Rig::start().await;
    let mut readers = Vec::new();
    for _ in 0..300 {
        let owner = rig.owner(MailboxKind::Pairwise).await;
        let stream = Stream::open(&rig, &owner).await;
        readers.push((owner, stream));
    }
    assert_eq!(number(&rig, "streams").await, 300);
    for (owner, _) in &readers {
        rig.deposit(owner, &frame(1)).await.is(202);
    }
    for (_, stream) in &mut readers {
        assert_eq!(stream.next().await, FromServer::Arrived);
    }
    drop(readers);
    until(&rig, "streams", 0).await;
    until(&rig, "readers", 0).await;
}
