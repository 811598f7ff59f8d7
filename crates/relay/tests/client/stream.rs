//! Streams: what is told, what is asked over them, and that they come back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use sealwire_relay::{
    MessageId, Problem, ReceiveId,
    client::{News, Stream},
    wire::{Acked, Acks, FromClient, FromServer, Message, Messages, Operation},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, handshake::derive_accept_key, protocol::Role},
};

use crate::scripted::{Reply, Scripted, Seen, mailbox_key, problem};

/// The relay's end of a stream.
struct Far(WebSocketStream<TcpStream>);

impl Far {
    async fn say(&mut self, message: FromServer) {
        self.raw(tungstenite::Message::Binary(message.to_bytes().into())).await;
    }

    async fn raw(&mut self, message: tungstenite::Message) {
        self.0.send(message).await.expect("sent");
    }

    /// The next request; `None` when the client has gone.
    async fn hear(&mut self) -> Option<FromClient> {
        loop {
            match self.0.next().await?.ok()? {
                tungstenite::Message::Binary(bytes) => {
                    return Some(FromClient::from_bytes(&bytes).expect("a request"));
                }
                tungstenite::Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// Accepts a stream, and hands over its other end.
fn accept(seen: &Seen, ends: &mpsc::UnboundedSender<Far>) -> Reply {
    let id = ReceiveId::of(mailbox_key(7).public());
    assert_eq!(seen.operation(), Operation::Stream(id));
    assert!(seen.header("signature").is_some());
    let accept = derive_accept_key(seen.header("sec-websocket-key").expect("a key").as_bytes());
    let ends = ends.clone();
    Reply::Take(Box::new(move |mut stream| {
        Box::pin(async move {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                 upgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("written");
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            let _ = ends.send(Far(socket));
        })
    }))
}

type Told = Arc<Mutex<Vec<News>>>;

/// A relay that accepts streams, the client's end, and what that has told.
async fn begin() -> (Scripted, mpsc::UnboundedReceiver<Far>, Stream, Told) {
    let (sender, ends) = mpsc::unbounded_channel();
    let relay = Scripted::new(move |seen| accept(seen, &sender)).await;
    let (stream, told) = listen(&relay);
    (relay, ends, stream, told)
}

fn listen(relay: &Scripted) -> (Stream, Told) {
    let told: Told = Arc::default();
    let log = Arc::clone(&told);
    let news = move |news| log.lock().expect("lock").push(news);
    (relay.client().stream(mailbox_key(7), news), told)
}

/// The other end of a stream, once it stands.
async fn far(ends: &mut mpsc::UnboundedReceiver<Far>) -> Far {
    let end = tokio::time::timeout(Duration::from_secs(20), ends.recv()).await;
    let mut far = end.expect("in time").expect("one");
    far.say(FromServer::Ready).await;
    far
}

async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

fn message(sequence: u64) -> Message {
    Message { sequence, id: MessageId::from_bytes([1; 16]), frame: vec![0; 2048] }
}

#[tokio::test]
async fn news_are_told_as_they_come() {
    let (_relay, mut ends, stream, told) = begin().await;
    let mut far = far(&mut ends).await;
    stream.settle().await;
    assert!(stream.is_live());
    assert_eq!(*told.lock().expect("lock"), [], "the backlog is read anyway");
    far.say(FromServer::Arrived).await;
    far.say(FromServer::PrekeysLow).await;
    until("the news", || *told.lock().expect("lock") == [News::Arrived, News::PrekeysLow]).await;
}

#[tokio::test]
async fn what_is_asked_is_answered_in_order_with_news_between() {
    let (_relay, mut ends, stream, told) = begin().await;
    let mut far = far(&mut ends).await;
    stream.settle().await;
    let fetch = stream.fetch(5, 10);
    let ack = stream.ack(Acks { sequences: vec![6] });
    let refused = stream.fetch(9, 10);
    let answering = async {
        assert_eq!(far.hear().await, Some(FromClient::Fetch { after: 5, limit: 10 }));
        assert_eq!(far.hear().await, Some(FromClient::Ack(Acks { sequences: vec![6] })));
        assert_eq!(far.hear().await, Some(FromClient::Fetch { after: 9, limit: 10 }));
        far.say(FromServer::Messages { messages: vec![message(6)], more: true }).await;
        far.say(FromServer::Arrived).await;
        far.say(FromServer::Acked { removed: 1 }).await;
        far.say(FromServer::Problem(Problem::NotFound)).await;
    };
    let (found, acked, refused, ()) = tokio::join!(fetch, ack, refused, answering);
    let found = found.expect("live").expect("found");
    let expected = Messages { messages: vec![message(6)], more: true, prekeys_low: false };
    assert_eq!(found, expected);
    assert_eq!(acked.expect("live").expect("acked"), Acked { removed: 1 });
    refused.expect("live").expect_err("refused");
    assert_eq!(*told.lock().expect("lock"), [News::Arrived]);
    assert!(stream.is_live());
}

#[tokio::test]
async fn a_stream_that_breaks_comes_back_and_says_so() {
    let (relay, mut ends, stream, told) = begin().await;
    for round in 1..4 {
        let far = far(&mut ends).await;
        until("the stream", || stream.is_live()).await;
        assert_eq!(told.lock().expect("lock").len(), round - 1);
        drop(far);
        until("the end", || !stream.is_live() || relay.seen().len() > round).await;
    }
    let _far = far(&mut ends).await;
    until("the stream", || stream.is_live()).await;
    assert_eq!(*told.lock().expect("lock"), [News::Arrived; 3]);
    let mut signatures: Vec<String> = relay
        .seen()
        .iter()
        .map(|seen| seen.header("signature").expect("signed").to_owned())
        .collect();
    signatures.dedup();
    assert_eq!(signatures.len(), 4, "each is signed anew");
}

#[tokio::test]
async fn where_no_stream_stands_nothing_is_asked_over_it() {
    let relay = Scripted::new(|_| Reply::Cut).await;
    let (stream, _told) = listen(&relay);
    stream.settle().await;
    assert!(!stream.is_live());
    assert!(stream.fetch(0, 1).await.is_none());
    assert!(stream.ack(Acks { sequences: vec![1] }).await.is_none());
    // It is tried again and again.
    until("another attempt", || relay.seen().len() > 3).await;
}

#[tokio::test]
async fn a_question_that_a_broken_stream_took_along_is_none() {
    let (_relay, mut ends, stream, _told) = begin().await;
    let mut far = far(&mut ends).await;
    stream.settle().await;
    let breaking = async {
        far.hear().await.expect("a request");
        drop(far);
    };
    let (answer, ()) = tokio::join!(stream.fetch(0, 1), breaking);
    assert!(answer.is_none());
}

// attack T24
#[tokio::test]
async fn a_relay_that_is_silent_is_given_up_and_tried_again() {
    let (relay, mut ends, stream, told) = begin().await;
    // Nobody reads this end, so that nobody answers a ping.
    let _silent = far(&mut ends).await;
    stream.settle().await;
    until("another attempt", || relay.seen().len() > 1).await;
    let _second = far(&mut ends).await;
    until("the news", || *told.lock().expect("lock") == [News::Arrived]).await;
}

#[tokio::test]
async fn a_relay_that_answers_pings_keeps_its_stream() {
    let (relay, mut ends, stream, _told) = begin().await;
    let mut far = far(&mut ends).await;
    stream.settle().await;
    let reading = tokio::time::timeout(Duration::from_secs(3), far.hear());
    reading.await.expect_err("nothing is asked");
    assert!(stream.is_live());
    assert_eq!(relay.seen().len(), 1);
}

#[tokio::test]
async fn a_mailbox_that_is_gone_is_told_once_and_not_asked_for_again() {
    let relay = Scripted::new(|_| problem(Problem::NotFound)).await;
    let (stream, told) = listen(&relay);
    stream.settle().await;
    until("the news", || *told.lock().expect("lock") == [News::Arrived]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((relay.seen().len(), stream.is_live()), (1, false));
    assert!(stream.fetch(0, 1).await.is_none());
}

#[tokio::test]
async fn whoever_does_not_keep_to_the_protocol_is_left() {
    type Bad = (&'static str, Vec<tungstenite::Message>);
    let binary = |bytes: Vec<u8>| tungstenite::Message::Binary(bytes.into());
    let said = |message: FromServer| binary(message.to_bytes());
    let bad: [Bad; 7] = [
        ("text", vec![tungstenite::Message::Text("hello".into())]),
        ("no message", vec![binary(vec![0x80])]),
        ("too long", vec![binary(vec![0; FromServer::MAX_LEN + 1])]),
        ("ready twice", vec![said(FromServer::Ready)]),
        ("an answer that nobody asked for", vec![said(FromServer::Acked { removed: 1 })]),
        ("a problem that nobody asked for", vec![said(FromServer::Problem(Problem::Internal))]),
        ("a farewell", vec![tungstenite::Message::Close(None)]),
    ];
    for (what, messages) in bad {
        let (relay, mut ends, stream, _told) = begin().await;
        let mut far = far(&mut ends).await;
        stream.settle().await;
        for message in messages {
            far.raw(message).await;
        }
        until(what, || relay.seen().len() > 1).await;
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_right_opens_no_stream() {
    type Lines = fn(&str) -> String;
    let cases: [(&str, Lines); 4] = [
        ("no accept", |_| "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n".into()),
        ("another accept", |_| {
            "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: AAAA\r\n"
                .into()
        }),
        ("no upgrade at all", |_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".into()),
        ("an answer in between", |_| "HTTP/1.1 103 Hints\r\n".into()),
    ];
    for (what, lines) in cases {
        let relay = Scripted::new(move |seen| {
            let key = seen.header("sec-websocket-key").expect("a key");
            Reply::Last(format!("{}\r\n", lines(key)).into_bytes())
        });
        let relay = relay.await;
        let (stream, _told) = listen(&relay);
        stream.settle().await;
        assert!(!stream.is_live(), "{what}");
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends() {
    let (_relay, mut ends, stream, _told) = begin().await;
    let mut far = far(&mut ends).await;
    stream.settle().await;
    drop(stream);
    let end = tokio::time::timeout(Duration::from_secs(20), far.hear()).await;
    assert_eq!(end.expect("in time"), None);
}
