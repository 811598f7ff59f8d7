//! Limits to set a relay beside: a server that does nothing, and a relay without a disk.

use std::{future::pending, io::Write as _, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::StatusCode,
    routing::post,
    serve::{ListenerExt as _, serve},
};
use sealwire_bench::Failure;
use sealwire_relay::{
    server::{NoLog, Rates, Relay, Settings, SystemClock},
    store::MemoryStore,
};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::{
    figures::MAILBOXES,
    fill::{Content, fill},
};

/// Serves until it is killed.
pub(crate) fn run(what: &str) -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    match what {
        "axum" => runtime.block_on(empty()),
        "memory" => runtime.block_on(memory()),
        _ => Err(format!("no limit `{what}`").into()),
    }
}

/// Takes the body of a deposit, and nothing more.
async fn empty() -> Result<(), Failure> {
    let taken = async |_: Bytes| StatusCode::ACCEPTED;
    let router = Router::new().route("/v1/mailboxes/{id}/messages", post(taken));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(listener.local_addr()?)?;
    // Only speed is lost where it cannot be set.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(serve(listener, router).await?)
}

async fn memory() -> Result<(), Failure> {
    let mut settings = Settings { admin: None, rates: Rates::none(), ..Settings::default() };
    settings.listen.set_port(0);
    settings.bounds.connections_per_address = settings.bounds.connections;
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock::new()));
    fill(store.as_ref(), Content { mailboxes: MAILBOXES, ..Content::default() }).await?;
    let relay = Relay::start(store, settings, clock, Arc::new(NoLog)).await?;
    say(relay.address())?;
    pending::<Result<(), Failure>>().await
}

fn say(address: SocketAddr) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{address}")?;
    Ok(stdout.flush()?)
}
