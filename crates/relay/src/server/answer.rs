//! Answers: what is found, and problems.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use tokio::{sync::oneshot, time::timeout};

use super::{Shared, budget::Share, connection::Peer, driver};
use crate::{
    Problem,
    wire::{CBOR, PROBLEM},
};

/// What the relay calls itself.
const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("sealwire/", env!("CARGO_PKG_VERSION")));

/// Part of a large answer that is handed to the connection at a time. The rest stays counted.
pub(super) const PIECE: usize = 16 * 1024;

/// A request that fails, with what its answer says beside the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: Problem,
    /// When to try again, in seconds.
    pub(super) retry_after: Option<u64>,
    /// The methods that the path takes.
    pub(super) allow: Option<&'static str>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let retry_after = match problem {
            Problem::Unavailable => Some(5),
            Problem::Rate | Problem::MailboxFull | Problem::SenderFull | Problem::Quota => Some(60),
            _ => None,
        };
        Self { problem, retry_after, allow: None }
    }
}

impl Refusal {
    /// Too many requests, the next one in so many seconds.
    pub(super) const fn rate(seconds: u64) -> Self {
        Self { problem: Problem::Rate, retry_after: Some(seconds), allow: None }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let Self { problem, retry_after, allow } = self;
        let status = StatusCode::from_u16(problem.status()).unwrap_or_default();
        let mut response = with_body(status, PROBLEM, problem.to_json().into());
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    common(&mut response);
    response
}

/// An answer with a body of this media type.
pub(super) fn with_body(
    status: StatusCode,
    media_type: &'static str,
    body: Bytes,
) -> Response<Body> {
    with(status, media_type, Body::new(Full::new(body)))
}

/// A body of ours.
pub(super) fn cbor(body: &impl crate::wire::Body) -> Response<Body> {
    with_body(StatusCode::OK, CBOR, body.to_bytes().into())
}

/// A body of ours that may be long: its memory is counted until it is taken, and the connection
/// ends when that takes too long.
pub(super) fn large(
    shared: &Shared,
    peer: &Arc<Peer>,
    body: &impl crate::wire::Body,
) -> Result<Response<Body>, Refusal> {
    let rest = Bytes::from(body.to_bytes());
    if rest.len() <= PIECE {
        return Ok(with_body(StatusCode::OK, CBOR, rest));
    }
    let share = peer.slot.memory(rest.len()).ok_or(Problem::Unavailable)?;
    let (taken, waiting) = oneshot::channel();
    let (limit, peer) = (shared.settings.times.answer, Arc::clone(peer));
    driver::start(async move {
        // The sender is dropped with the body, and never sends.
        if timeout(limit, waiting).await.is_err() {
            peer.end.notify_one();
        }
    });
    let body = Pieces { rest, _share: share, _taken: taken };
    Ok(with(StatusCode::OK, CBOR, Body::new(body)))
}

/// Puts the headers that every answer has.
pub(super) fn common(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn with(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    common(&mut response);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A body that is handed out piece by piece.
#[derive(Debug)]
struct Pieces {
    rest: Bytes,
    _share: Share,
    _taken: oneshot::Sender<()>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
