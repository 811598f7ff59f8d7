//! The thirteen operations: from a request to its answer.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;

use super::{
    Event, Shared,
    answer::{self, Refusal},
    connection::Peer,
    deposit, directory, mailbox,
    request::{self, Call},
    stream,
};
use crate::{
    Problem,
    wire::{OPENAPI, Operation},
};

/// Where the description of the operations is served.
const OPENAPI_PATH: &str = "/v1/openapi.json";

/// What requests are counted under: the names of the operations in their order, and what is none
/// of them.
pub(super) const NAMES: [&str; 14] = [
    "publish",
    "published",
    "add-page",
    "remaining",
    "claim",
    "check",
    "create-mailbox",
    "close-mailbox",
    "revoke",
    "deposit",
    "fetch",
    "ack",
    "stream",
    "other",
];

/// The place of [`OTHER`] in [`NAMES`].
const OTHER: usize = NAMES.len() - 1;

/// Answers a request, and counts it.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let start = shared.time.elapsed();
    let mut number = OTHER;
    let answered = respond(shared, peer, request, &mut number).await;
    let took = shared.time.elapsed().saturating_sub(start);
    let problem = answered.as_ref().err().map(|refusal| refusal.problem);
    shared.metrics.answered(number, problem, took);
    if problem == Some(Problem::Internal) {
        let operation = NAMES.get(number).copied().unwrap_or_default();
        shared.log_now_and_then(|| Event::Failed { operation });
    }
    answered.unwrap_or_else(Refusal::into_response)
}

/// What can be told without the mailbox or the agent comes first, and what is cheap to tell.
// REL-7
async fn respond(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
    number: &mut usize,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let authority = request::authority(shared, peer, &parts)?;
    if parts.uri.path() == OPENAPI_PATH && parts.method == http::Method::GET {
        let document = Bytes::from_static(OPENAPI.as_bytes());
        return Ok(answer::with_body(StatusCode::OK, "application/json", document));
    }
    let operation = parse(&parts)?;
    *number = number_of(&operation);
    let (body, share) = request::read_body(shared, peer, &parts, &operation, body).await?;
    if let Operation::Stream(id) = operation {
        let call = Call { shared, peer, parts: &parts, authority, body, share };
        let subscription = stream::subscribe(&call, &operation, id).await?;
        return stream::upgrade(shared, peer, &mut parts, subscription).await;
    }
    run(Call { shared, peer, parts: &parts, authority, body, share }, operation).await
}

fn parse(parts: &Parts) -> Result<Operation, Refusal> {
    let path = parts.uri.path();
    Operation::parse(parts.method.as_str(), path, parts.uri.query()).map_err(|problem| Refusal {
        allow: if problem == Problem::Method { Operation::allow(path) } else { None },
        ..Refusal::from(problem)
    })
}

async fn run(call: Call<'_>, operation: Operation) -> Result<Response<Body>, Refusal> {
    match &operation {
        Operation::Publish(of) => directory::publish(&call, &operation, of).await,
        Operation::Published(of) => directory::published(&call, of).await,
        Operation::AddPage { of, kind, base } => {
            directory::add_page(&call, &operation, of, *kind, *base).await
        }
        Operation::Remaining(of) => directory::remaining(&call, &operation, of).await,
        Operation::Claim(of) => directory::claim(&call, &operation, of).await,
        Operation::Check(of) => directory::check(&call, of).await,
        Operation::CreateMailbox(id) => mailbox::create(&call, &operation, id).await,
        Operation::CloseMailbox(id) => mailbox::close(&call, &operation, id).await,
        Operation::Revoke(id) => mailbox::revoke(&call, &operation, id).await,
        Operation::Deposit(id) => deposit::deposit(call, id).await,
        Operation::Fetch { mailbox, after, limit, wait } => {
            mailbox::fetch(&call, &operation, mailbox, *after, *limit, *wait).await
        }
        Operation::Ack(id) => mailbox::ack(&call, &operation, id).await,
        // It is answered before, with what is left of the request.
        Operation::Stream(_) => Err(Problem::Internal.into()),
    }
}

fn number_of(operation: &Operation) -> usize {
    NAMES.iter().position(|name| *name == operation.name()).unwrap_or(OTHER)
}
