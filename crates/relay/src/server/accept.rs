//! Takes connections.

use core::{net::SocketAddr, time::Duration};
use std::sync::Arc;

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Event, Phase, Shared,
    connection::{self, Peer, Side},
    connections::Connections,
    driver,
    request::without_port,
};

/// How long nothing is accepted after that failed, as when too many files are open: trying again
/// at once would only burn time.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the relay drains.
pub(super) async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    connections: Arc<Connections>,
    side: Side,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.reached(Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, _)) => take(&shared, stream, &connections, side),
            Err(error) => {
                shared.log_now_and_then(|| Event::AcceptFailed { reason: error.to_string() });
                sleep(PAUSE).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, stream: TcpStream, connections: &Arc<Connections>, side: Side) {
    // A connection that is gone already has no addresses.
    let (Ok(from), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let is_proxy = shared.settings.trusted_proxies.iter().any(|proxy| proxy.contains(from.ip()));
    let Some(slot) = connections.enter(from.ip(), is_proxy) else {
        return shared.metrics.refused.add(1);
    };
    // Only speed is lost where it cannot be set.
    let _ = stream.set_nodelay(true);
    let tls = match side {
        Side::Agents => shared.tls().map(TlsAcceptor::from),
        Side::Operator => None,
    };
    let names = if shared.names.is_empty() { names(shared, local) } else { Vec::new() };
    let peer = Peer { address: from.ip(), names, slot, end: Notify::new() };
    driver::start(connection::serve(Arc::clone(shared), stream, Arc::new(peer), tls, side));
}

/// The names of a relay that was given none: the address that was connected to, and `localhost`.
fn names(shared: &Shared, local: SocketAddr) -> Vec<String> {
    [local.to_string(), format!("localhost:{}", local.port())]
        .iter()
        .map(|name| without_port(name, shared.default_ports()).to_owned())
        .collect()
}
