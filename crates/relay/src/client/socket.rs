//! A WebSocket to one mailbox (operation 13).

use core::{
    pin::Pin,
    task::{Context, Poll},
};

use base64ct::{Base64, Encoding};
use futures_util::{SinkExt, Stream as _};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sealwire_core::{keys::SigningKey, rng};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    ClientError, Shared,
    call::{Call, Failure},
    driver,
    pool::Connection,
};
use crate::{
    ReceiveId,
    wire::{FromClient, FromServer, Operation},
};

/// What bytes are read into at a time, in bytes: many streams may stand side by side.
const BUFFER_LEN: usize = 8 * 1024;

/// A stream that stands.
pub(super) struct Socket(WebSocketStream<TokioIo<Upgraded>>);

/// What came.
pub(super) enum Heard {
    Message(FromServer),
    /// A sign of life.
    Pong,
}

impl Socket {
    /// Connects, and waits until the relay is ready to tell of what arrives.
    pub(super) async fn open(shared: &Shared, key: &SigningKey) -> Result<Self, Failure> {
        let within = shared.settings.connect + shared.settings.answer;
        tokio::time::timeout(within, Self::begin(shared, key))
            .await
            .unwrap_or_else(|_| Err(ClientError::timed_out("no stream came about in time").into()))
    }

    async fn begin(shared: &Shared, key: &SigningKey) -> Result<Self, Failure> {
        let nonce = rng::draw::<16>(&mut driver::rng()).map_err(|_| ClientError::Randomness)?;
        let nonce = Base64::encode_string(nonce.expose());
        let bad = |_| ClientError::Misuse("base64 is a value of a header");
        let operation = Operation::Stream(ReceiveId::of(key.public()));
        let call = Call::new(&operation)
            .key(key)
            .header(CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            .header(SEC_WEBSOCKET_KEY, HeaderValue::try_from(&nonce).map_err(bad)?);
        let request = shared.request(&call).await?;
        let mut connection = Connection::begin(shared.connector.connect().await?).await?;
        let response = connection.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            shared.judge(response, 0).await?;
            return Err(ClientError::Protocol("it does not switch to a stream").into());
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| *accepted != derive_accept_key(nonce.as_bytes())) {
            return Err(ClientError::Protocol("its handshake of a stream is not right").into());
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_LEN)
            .write_buffer_size(0)
            .max_write_buffer_size(FromClient::MAX_LEN + BUFFER_LEN)
            .max_message_size(Some(FromServer::MAX_LEN))
            .max_frame_size(Some(FromServer::MAX_LEN));
        let io = TokioIo::new(upgraded);
        let mut socket =
            Self(WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await);
        loop {
            match core::future::poll_fn(|context| socket.poll_heard(context)).await? {
                Heard::Message(FromServer::Ready) => return Ok(socket),
                Heard::Message(FromServer::Problem(problem)) => {
                    return Err(ClientError::Problem(problem).into());
                }
                Heard::Message(_) => {
                    return Err(ClientError::Protocol("its stream begins otherwise").into());
                }
                Heard::Pong => {}
            }
        }
    }

    pub(super) fn poll_heard(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Heard, ClientError>> {
        let Poll::Ready(message) = Pin::new(&mut self.0).poll_next(context) else {
            return Poll::Pending;
        };
        let heard = match message {
            Some(Ok(Message::Binary(bytes))) => FromServer::from_bytes(&bytes)
                .map(Heard::Message)
                .map_err(|_| ClientError::Protocol("a message that does not decode")),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Heard::Pong),
            Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                Err(ClientError::Protocol("a message that is not binary"))
            }
            Some(Ok(Message::Close(_))) | None => {
                Err(ClientError::Unreachable(std::io::ErrorKind::ConnectionAborted.into()))
            }
            Some(Err(error)) => Err(broken(error)),
        };
        Poll::Ready(heard)
    }

    pub(super) async fn say(&mut self, message: &FromClient) -> Result<(), ClientError> {
        self.0.send(Message::Binary(message.to_bytes().into())).await.map_err(broken)
    }

    pub(super) async fn ping(&mut self) -> Result<(), ClientError> {
        self.0.send(Message::Ping(Vec::new().into())).await.map_err(broken)
    }

    pub(super) async fn close(mut self) {
        // Whoever does not want to hear it finds out.
        let _ = self.0.close(None).await;
    }
}

fn broken(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Unreachable(std::io::Error::other(error))
}
