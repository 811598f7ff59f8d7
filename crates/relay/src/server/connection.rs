//! One connection, from the handshake to its end.

use core::{convert::Infallible, net::IpAddr, pin::pin, time::Duration};
use std::{io, sync::Arc};

use axum::body::Body;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    Phase, Shared, admin, api,
    connections::Slot,
    settings::Times,
    socket::{Socket, Transport},
};

/// The most headers of a request: those of a proxy and ours are a few dozen.
const MAX_HEADERS: usize = 64;

/// The longest head of a request: a DID of which each byte is escaped, and two signatures' worth
/// of headers.
const MAX_HEAD_LEN: u32 = 16 * 1024;

/// The most that is buffered for writing and reading on an HTTP/1.1 connection.
const BUFFER: usize = 64 * 1024;

/// Requests of an HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 64;

/// What an HTTP/2 connection may send before it is read: four of the largest frames, and one in
/// a stream.
const WINDOW: u32 = 256 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;

/// Who is at the other end.
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// What it may call this relay when the settings name none.
    pub(super) names: Vec<String>,
    /// What it takes of the bounds.
    pub(super) slot: Slot,
    /// Ends the connection.
    pub(super) end: Notify,
}

/// Who is served.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Agents,
    Operator,
}

/// Serves a connection to its end. What goes wrong in it concerns nobody but the peer.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: Arc<Peer>,
    tls: Option<TlsAcceptor>,
    side: Side,
) {
    let times = shared.settings.times;
    let transport = match tls {
        Some(acceptor) => match handshake(&acceptor, stream, times.handshake).await {
            Ok(transport) => transport,
            Err(_) => return shared.metrics.handshakes_failed.add(1),
        },
        None => Transport::Plain(stream),
    };
    let mut socket = Socket::new(transport, times.answer);
    let http2 = tokio::select! {
        http2 = socket.is_http2(times.head) => http2,
        () = shared.reached(Phase::Draining) => return,
    };
    // Whoever sends nothing, or goes away, gets no answer.
    let Ok(http2) = http2 else { return };
    if http2 {
        serve_http2(shared, socket, peer, side).await;
    } else {
        serve_http1(shared, socket, peer, side).await;
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    limit: Duration,
) -> io::Result<Transport> {
    let stream = timeout(limit, acceptor.accept(stream)).await??;
    Ok(Transport::Tls(Box::new(stream)))
}

/// Runs `$connection` until it ends, is ended, or the relay does.
macro_rules! run {
    ($connection:expr, $shared:expr, $peer:expr) => {{
        let mut connection = pin!($connection);
        let mut awaited = Phase::Draining;
        loop {
            tokio::select! {
                // A connection that breaks is not the relay's fault.
                _ = connection.as_mut() => break,
                () = $peer.end.notified() => break,
                () = $shared.reached(awaited) => {
                    if awaited == Phase::Ended {
                        break;
                    }
                    awaited = Phase::Ended;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }};
}

async fn serve_http1(shared: Arc<Shared>, socket: Socket, peer: Arc<Peer>, side: Side) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.times.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(BUFFER);
    let service = {
        let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
        service_fn(move |request| answer(Arc::clone(&shared), Arc::clone(&peer), side, request))
    };
    let connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
    run!(connection, shared, peer);
}

async fn serve_http2(shared: Arc<Shared>, socket: Socket, peer: Arc<Peer>, side: Side) {
    let Times { ping, .. } = shared.settings.times;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(BUFFER)
        .max_header_list_size(MAX_HEAD_LEN)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping);
    let service = {
        let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
        service_fn(move |request| answer(Arc::clone(&shared), Arc::clone(&peer), side, request))
    };
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    run!(connection, shared, peer);
}

async fn answer(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    side: Side,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(match side {
        Side::Agents => api::answer(&shared, &peer, request).await,
        Side::Operator => admin::answer(&shared, request).await,
    })
}
