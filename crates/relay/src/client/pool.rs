//! Connections that are kept for the next request of the same purpose.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    ClientError,
    connect::{Connected, Facts},
    driver,
};
use crate::{ReceiveId, SendId, wire::Credential};

/// What a connection is used for. The relay sees whatever goes over one connection as one
/// caller's, so that requests which show an identity, frames to different peers, and different
/// mailboxes never share one.
// REL-34
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What anybody may ask.
    Lookup,
    /// What is signed with the identity key.
    Identity,
    /// What is signed with the key of a mailbox.
    Mailbox(ReceiveId),
    /// Frames for a mailbox.
    Deposit(SendId),
}

impl From<Credential<'_>> for Purpose {
    fn from(credential: Credential<'_>) -> Self {
        match credential {
            Credential::Nothing => Self::Lookup,
            Credential::Agent(_) | Credential::Caller => Self::Identity,
            Credential::Mailbox(id) => Self::Mailbox(id),
            Credential::Capability(id) => Self::Deposit(id),
        }
    }
}

/// Connections that are kept at a time: those that were used last.
const MAX_IDLE: usize = 64;

/// Connections that are idle.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    lifetime: Duration,
}

struct Idle {
    purpose: Purpose,
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { idle: Mutex::default(), lifetime }
    }

    pub(super) fn take(&self, purpose: Purpose) -> Option<Connection> {
        let mut idle = self.sweep(driver::now());
        let found = idle.iter().rposition(|idle| idle.purpose == purpose)?;
        Some(idle.remove(found).connection)
    }

    pub(super) fn put(&self, purpose: Purpose, connection: Connection) {
        let since = driver::now();
        let mut idle = self.sweep(since);
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { purpose, connection, since });
    }

    /// Closes what has been idle for too long, or was closed by the relay.
    fn sweep(&self, now: Instant) -> MutexGuard<'_, Vec<Idle>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| {
            let age = now.saturating_duration_since(idle.since);
            age < self.lifetime && !idle.connection.sender.is_closed()
        });
        idle
    }
}

/// A connection for one request after another.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    pub(super) facts: Facts,
}

/// The longest head of an answer, in bytes.
const MAX_HEAD_LEN: usize = 16 * 1024;

impl Connection {
    /// Speaks HTTP over a new connection.
    pub(super) async fn begin(connected: Connected) -> Result<Self, ClientError> {
        let Connected { io, facts } = connected;
        let (sender, driving) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_LEN)
            .handshake(TokioIo::new(io))
            .await
            .map_err(judge)?;
        driver::spawn(async move {
            // What goes wrong is told to whoever waits for an answer.
            let _ = driving.with_upgrades().await;
        });
        Ok(Self { sender, facts })
    }

    /// Sends a request, and reads no more of the answer than its head.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        self.sender.ready().await.map_err(judge)?;
        self.sender.send_request(request).await.map_err(judge)
    }
}

/// Reads a body of at most so many bytes.
pub(super) async fn read(body: Incoming, most: usize) -> Result<Bytes, ClientError> {
    let read = Limited::new(body, most).collect().await;
    Ok(read
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => judge(*error),
            Err(error) if error.is::<LengthLimitError>() => {
                ClientError::Protocol("an answer is longer than it may be")
            }
            Err(_) => ClientError::Protocol("an answer breaks off"),
        })?
        .to_bytes())
}

fn judge(error: hyper::Error) -> ClientError {
    if error.is_parse() {
        return ClientError::Protocol("it does not speak HTTP/1.1 as asked for");
    }
    ClientError::Unreachable(std::io::Error::other(error))
}
