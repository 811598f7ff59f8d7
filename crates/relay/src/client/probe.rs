//! Whether a relay is there.

use core::time::Duration;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    Request,
    header::{CONTENT_TYPE, DATE, HOST, HeaderName, SERVER},
};
use http_body_util::Full;
use sealwire_core::Timestamp;

use super::{ClientError, Shared, Skew, TlsFacts, date, driver, pool::Connection};
use crate::wire::PROBLEM;

/// What [`Client::probe`](super::Client::probe) found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// From the request to its answer, over a connection that stands.
    pub round_trip: Duration,
    /// The relay's clock.
    pub date: Option<Timestamp>,
    /// How far this clock is from it, where signatures would be refused.
    pub skew: Option<Skew>,
    /// What the relay calls itself.
    pub server: Option<String>,
    /// What TLS agreed on, `None` without TLS.
    pub tls: Option<TlsFacts>,
    /// Where it was reached.
    pub address: SocketAddr,
}

/// The longest name that is believed.
const MAX_SERVER_LEN: usize = 64;

pub(super) async fn probe(shared: &Shared) -> Result<Probe, ClientError> {
    let mut connection = Connection::begin(shared.connector.connect().await?).await?;
    // There is nothing at this path, and only a relay says so in this way.
    let request = Request::get("/v1")
        .header(HOST, shared.url.authority())
        .body(Full::new(Bytes::new()))
        .map_err(|_| ClientError::Misuse("a request that HTTP has no form for"))?;
    let begun = driver::now();
    let answer = tokio::time::timeout(shared.settings.answer, connection.send(request)).await;
    let answer = answer.map_err(|_| ClientError::timed_out("it did not answer in time"))??;
    let round_trip = driver::now().saturating_duration_since(begun);

    let text = |name: HeaderName| answer.headers().get(name)?.to_str().ok();
    if text(CONTENT_TYPE) != Some(PROBLEM) {
        return Err(ClientError::Protocol("it answers otherwise than a relay"));
    }
    let date = text(DATE).and_then(date::parse);
    let skew = date.and_then(|date| Skew::between((shared.settings.clock)(), date));
    let server = text(SERVER).filter(|server| server.len() <= MAX_SERVER_LEN).map(str::to_owned);
    let facts = connection.facts;
    Ok(Probe { round_trip, date, skew, server, tls: facts.tls, address: facts.address })
}
