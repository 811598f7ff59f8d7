//! What the operator sees, on a listener of its own: health, metrics, and a page with limits and
//! counters. It names nobody.

use core::{
    fmt::{self, Write},
    time::Duration,
};
use std::sync::Arc;

use axum::{Router, extract::State, http::HeaderValue, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::{
    Phase, Shared, answer,
    api::NAMES,
    metrics::{self, Text},
};
use crate::{limits, store::Usage};

/// How long the store may take to answer before the relay counts as not ready.
const READY: Duration = Duration::from_secs(2);

/// What the page may do: show its own style, and nothing else.
const CONTENT_SECURITY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The pages.
pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(page))
        .route("/status", get(status))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(measurements))
}

/// Answers the operator.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response {
    let pages = router().with_state(Arc::clone(shared));
    let answered = pages.oneshot(request).await;
    // A router has no errors.
    let mut response = answered.unwrap_or_else(|never| match never {});
    answer::common(&mut response);
    response
}

/// The process answers.
async fn health() -> Response {
    answer::with_body(StatusCode::OK, PLAIN, Bytes::from_static(b"ok\n"))
}

/// The store answers, and the relay is not about to end.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let draining = *shared.phase.borrow() >= Phase::Draining;
    if !draining && usage(&shared).await.is_some() {
        answer::with_body(StatusCode::OK, PLAIN, Bytes::from_static(b"ready\n"))
    } else {
        let body = Bytes::from_static(b"not ready\n");
        answer::with_body(StatusCode::SERVICE_UNAVAILABLE, PLAIN, body)
    }
}

async fn usage(shared: &Shared) -> Option<Usage> {
    timeout(READY, shared.store.usage()).await.ok()?.ok()
}

async fn measurements(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = Text::default();
    shared.metrics.write_requests(&mut text);
    let usage = usage(&shared).await;
    for number in numbers(&shared, usage) {
        let Number { name, kind, help, value } = number;
        text.single(&format!("sealwire_{name}"), kind, help, value);
    }
    answer::with_body(StatusCode::OK, metrics::TEXT, text.0.into())
}

/// A number that metrics, page and status show alike.
struct Number {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: u64,
}

fn numbers(shared: &Shared, usage: Option<Usage>) -> Vec<Number> {
    let metrics = &shared.metrics;
    let number = |kind| move |name, help, value| Number { name, kind, help, value };
    let (gauge, counter) = (number("gauge"), number("counter"));
    let up = shared.time.elapsed().as_secs();
    let mut numbers = vec![
        gauge("ready", "1 when the store answers.", u64::from(usage.is_some())),
        gauge("uptime_seconds", "Seconds since the start.", up),
        gauge(
            "clock_ahead",
            "1 when the clock is not believed.",
            u64::from(shared.time.observe().jumped),
        ),
        gauge("clock_behind_seconds", "How far the clock was set back.", shared.time.behind()),
        gauge("connections", "Connections of agents.", shared.connections.count() as u64),
        gauge("streams", "WebSockets.", metrics.streams.read()),
        gauge("readers", "Waiting for news, streams too.", shared.subscribers.count() as u64),
        gauge("body_bytes", "Memory of bodies.", shared.connections.body_bytes() as u64),
        gauge(
            "waiting_deposits",
            "Frames not yet stored.",
            shared.connections.waiting_deposits() as u64,
        ),
        counter("deposit_batches_total", "Transactions of deposits.", metrics.batches.read()),
        counter("deposits_batched_total", "Frames in them.", metrics.batched.read()),
        counter("claims_drained_total", "Claims that lacked a key.", metrics.drained.read()),
        counter("connections_refused_total", "Beyond the bounds.", metrics.refused.read()),
        counter("handshakes_failed_total", "Of TLS.", metrics.handshakes_failed.read()),
        counter("sweeps_total", "Deletions of what has expired.", metrics.sweeps.read()),
        counter("store_failures_total", "Of the store.", metrics.store_failures.read()),
    ];
    if let Some(usage) = usage {
        numbers.extend([
            gauge("devices", "Devices in the directory.", usage.devices),
            gauge("mailboxes", "Mailboxes.", usage.mailboxes),
            gauge("messages", "Messages in them.", usage.messages),
            gauge("store_bytes", "Bytes that the store takes.", usage.bytes),
        ]);
    }
    numbers
}

/// The limits in force, in words and as they are.
fn bounds(shared: &Shared) -> Vec<(&'static str, String)> {
    let settings = &shared.settings;
    let (rates, bounds, times) = (settings.rates, settings.bounds, settings.times);
    let rate = |limit: Option<super::PerMinute>| {
        limit.map_or_else(|| "none".to_owned(), |limit| limit.0.to_string())
    };
    vec![
        ("claims_per_caller_and_minute", rate(rates.claims_per_caller)),
        ("claims_per_target_and_minute", rate(rates.claims_per_target)),
        ("claims_per_address_and_minute", rate(rates.claims_per_address)),
        ("mailboxes_per_address_and_minute", rate(rates.mailboxes_per_address)),
        ("publications_per_address_and_minute", rate(rates.publications_per_address)),
        ("contacts_per_address_and_minute", rate(rates.contacts_per_address)),
        ("connections", bounds.connections.to_string()),
        ("connections_per_address", bounds.connections_per_address.to_string()),
        ("body_bytes", bounds.bodies.to_string()),
        ("waiting_deposits", bounds.waiting_deposits.to_string()),
        ("waiting_readers_per_mailbox", bounds.waiting_readers.to_string()),
        ("head_seconds", times.head.as_secs().to_string()),
        ("body_seconds", times.body.as_secs().to_string()),
        ("answer_seconds", times.answer.as_secs().to_string()),
        ("drain_seconds", times.drain.as_secs().to_string()),
        ("messages_per_mailbox", limits::MAX_MESSAGES.to_string()),
        ("bytes_per_mailbox", limits::MAX_MAILBOX_LEN.to_string()),
        ("message_lifetime_seconds", limits::MAX_MESSAGE_LIFETIME.to_string()),
    ]
}

/// The page's content as JSON.
async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let mut json = format!(
        "{{\"version\":\"{}\",\"draining\":{}",
        env!("CARGO_PKG_VERSION"),
        *shared.phase.borrow() >= Phase::Draining
    );
    let mut object = |name: &str, entries: Vec<(&str, String)>| {
        let entries = entries.iter().map(|(name, value)| match value.parse::<u64>() {
            Ok(number) => format!("\"{name}\":{number}"),
            Err(_) => format!("\"{name}\":null"),
        });
        let entries = entries.collect::<Vec<_>>().join(",");
        // Writing to a String cannot fail.
        let _: fmt::Result = write!(json, ",\"{name}\":{{{entries}}}");
    };
    object("limits", bounds(&shared));
    let numbers = numbers(&shared, usage(&shared).await);
    object("now", numbers.iter().map(|it| (it.name, it.value.to_string())).collect());
    let requests = |index: usize| shared.metrics.totals(index);
    let all = NAMES.iter().enumerate();
    object("requests", all.clone().map(|(at, name)| (*name, requests(at).0.to_string())).collect());
    object("problems", all.map(|(at, name)| (*name, requests(at).1.to_string())).collect());
    json.push('}');
    answer::with_body(StatusCode::OK, JSON, json.into())
}

async fn page(State(shared): State<Arc<Shared>>) -> Response {
    let mut html = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sealwire relay</title>",
        "<style>body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}",
        "table{border-collapse:collapse;width:100%;margin-bottom:2rem}",
        "td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left}",
        "td+td,th+th{text-align:right}</style><h1>Sealwire relay</h1><p>Version ",
        env!("CARGO_PKG_VERSION"),
    ));
    let numbers = numbers(&shared, usage(&shared).await);
    html.push_str(if numbers.iter().any(|it| it.name == "ready" && it.value == 1) {
        ", ready.</p>"
    } else {
        ", <strong>the store does not answer</strong>.</p>"
    });
    let now = numbers.iter().map(|it| vec![it.help.to_owned(), it.value.to_string()]);
    table(&mut html, "Now", &["", ""], now);
    let requests = NAMES.iter().enumerate().map(|(index, name)| {
        let (all, problems) = shared.metrics.totals(index);
        vec![(*name).to_owned(), all.to_string(), problems.to_string()]
    });
    table(&mut html, "Requests", &["Operation", "All", "Problems"], requests);
    let bounds = bounds(&shared).into_iter();
    let bounds = bounds.map(|(name, value)| vec![name.replace('_', " "), value]);
    table(&mut html, "Limits", &["", ""], bounds);
    let mut response = answer::with_body(StatusCode::OK, HTML, html.into());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
    response
}

/// A table. What stands in it is ours, and needs no escaping.
fn table(html: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    // Writing to a String cannot fail.
    let _: fmt::Result = write!(html, "<h2>{title}</h2><table><tr>");
    for cell in head {
        let _: fmt::Result = write!(html, "<th>{cell}</th>");
    }
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _: fmt::Result = write!(html, "<td>{cell}</td>");
        }
    }
    html.push_str("</table>");
}
