//! Operation 13: a WebSocket on which the owner of a mailbox asks, and is told what is new.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    body::Body,
    extract::{
        FromRequestParts as _, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
};
use http::{Response, request::Parts};
use tokio::time::{sleep, timeout};

use super::{
    Phase, Shared,
    answer::{self, PIECE, Refusal},
    connection::Peer,
    mailbox,
    request::Call,
    subscribers::{News, Subscription},
};
use crate::{
    Problem, ReceiveId,
    limits::MAX_NUMBER,
    wire::{FromClient, FromServer, Operation},
};

/// What a stream reads into: there are many streams, and requests on them are short.
const READ_BUFFER: usize = 2 * 1024;

/// How long is waited for the other side to agree that a stream ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who reads which mailbox.
#[derive(Debug)]
pub(super) struct Reader {
    mailbox: ReceiveId,
    subscription: Subscription,
}

/// Checks who asks for a stream, and begins to note what is new.
pub(super) async fn subscribe(
    call: &Call<'_>,
    operation: &Operation,
    mailbox: ReceiveId,
) -> Result<Reader, Refusal> {
    let shared = call.shared;
    call.signed(operation).await?;
    let subscription = mailbox::subscribe(call, &mailbox)?;
    // Nothing lies behind the last number: this only asks whether there is such a mailbox.
    let found = shared.store.fetch(shared.time.now(), &mailbox, MAX_NUMBER, 1).await;
    found.map_err(|error| shared.store_failed(&error))?.ok_or(Problem::NotFound)?;
    Ok(Reader { mailbox, subscription })
}

/// Answers with the upgrade, after which the stream runs.
pub(super) async fn upgrade(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    parts: &mut Parts,
    reader: Reader,
) -> Result<Response<Body>, Refusal> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    let upgrade = upgrade
        .map_err(|_| Problem::Malformed)?
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(FromClient::MAX_LEN)
        .max_frame_size(FromClient::MAX_LEN);
    let (shared, peer) = (Arc::clone(shared), Arc::clone(peer));
    let mut response = upgrade.on_upgrade(move |socket| async move {
        let _counted = shared.metrics.streams.count();
        let stream = Stream { shared: &shared, peer: &peer, reader, socket, told: false };
        stream.run().await;
    });
    answer::common(&mut response);
    Ok(response)
}

struct Stream<'a> {
    shared: &'a Arc<Shared>,
    /// Whoever is connected counts as that until the stream ends.
    peer: &'a Peer,
    reader: Reader,
    socket: WebSocket,
    /// Arrivals were told, and the client has not asked since.
    told: bool,
}

/// Why a stream ends.
enum End {
    /// The other side is gone, or takes nothing.
    Gone,
    /// With a reason that the other side is told.
    Close(u16, &'static str),
}

/// What a stream waits for.
enum Next {
    News(News),
    Request(Option<Message>),
    Silence,
    Drain,
}

impl Stream<'_> {
    async fn run(mut self) {
        let end = match self.send(&FromServer::Ready).await {
            Ok(()) => self.serve().await,
            Err(end) => end,
        };
        let End::Close(code, reason) = end else { return };
        let farewell = CloseFrame { code, reason: reason.into() };
        if timeout(FAREWELL, self.socket.send(Message::Close(Some(farewell)))).await.is_ok() {
            // Whatever else was sent is not looked at.
            let _ =
                timeout(FAREWELL, async { while let Some(Ok(_)) = self.socket.recv().await {} })
                    .await;
        }
    }

    async fn serve(&mut self) -> End {
        let mut pinged = false;
        loop {
            let next = self.next().await;
            let step = match next {
                Next::News(news) => self.tell(news).await,
                Next::Request(Some(message)) => {
                    pinged = false;
                    self.handle(message).await
                }
                Next::Request(None) => Err(End::Gone),
                Next::Silence if pinged => Err(End::Gone),
                Next::Silence => {
                    pinged = true;
                    self.deliver(Message::Ping(bytes::Bytes::new())).await
                }
                Next::Drain => Err(End::Close(close_code::RESTART, "the relay ends")),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            news = self.reader.subscription.news() => Next::News(news),
            message = self.socket.recv() => Next::Request(message.and_then(Result::ok)),
            () = sleep(self.shared.settings.times.ping) => Next::Silence,
            () = self.shared.reached(Phase::Draining) => Next::Drain,
        }
    }

    /// Tells what is new, arrivals once until the client asks.
    // REL-20
    async fn tell(&mut self, news: News) -> Result<(), End> {
        if news.closed {
            self.send(&FromServer::Problem(Problem::NotFound)).await?;
            return Err(End::Close(close_code::NORMAL, "the mailbox is closed"));
        }
        if news.low {
            self.send(&FromServer::PrekeysLow).await?;
        }
        if news.arrived && !self.told {
            self.told = true;
            self.send(&FromServer::Arrived).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, message: Message) -> Result<(), End> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            // The socket answers a ping by itself.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
            Message::Text(_) => return Err(End::Close(close_code::UNSUPPORTED, "not binary")),
        };
        let Ok(request) = FromClient::from_bytes(&bytes) else {
            self.send(&FromServer::Problem(Problem::Malformed)).await?;
            return Err(End::Close(close_code::POLICY, "malformed"));
        };
        // What arrives from now on is news again.
        self.told = false;
        let answer = answer_to(self.shared, &self.reader.mailbox, request).await;
        self.send(&answer.unwrap_or_else(FromServer::Problem)).await
    }

    /// Sends a message. The memory of a long one is counted until it is taken.
    async fn send(&mut self, message: &FromServer) -> Result<(), End> {
        let mut bytes = message.to_bytes();
        let mut share = None;
        if bytes.len() > PIECE {
            share = self.peer.slot.memory(bytes.len());
            if share.is_none() {
                bytes = FromServer::Problem(Problem::Unavailable).to_bytes();
            }
        }
        let delivered = self.deliver(Message::Binary(bytes.into())).await;
        drop(share);
        delivered
    }

    /// Sends, to whoever takes it within the time that an answer may take.
    async fn deliver(&mut self, message: Message) -> Result<(), End> {
        let limit = self.shared.settings.times.answer;
        match timeout(limit, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

async fn answer_to(
    shared: &Shared,
    id: &ReceiveId,
    request: FromClient,
) -> Result<FromServer, Problem> {
    let (store, now) = (&shared.store, shared.time.now());
    match request {
        FromClient::Fetch { after, limit } => {
            let found = store.fetch(now, id, after, limit).await;
            let found = found.map_err(|error| shared.store_failed(&error).problem)?;
            let (messages, more) = found.ok_or(Problem::NotFound)?;
            Ok(FromServer::Messages { messages, more })
        }
        FromClient::Ack(acks) => {
            let removed = store.ack(now, id, &acks.sequences).await;
            let removed = removed.map_err(|error| shared.store_failed(&error).problem)?;
            Ok(FromServer::Acked { removed: removed.ok_or(Problem::NotFound)? })
        }
    }
}
