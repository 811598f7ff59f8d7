//! Operations 7 to 9, 11 and 12: what the owner of a mailbox does.

use core::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use tokio::time::sleep;

use super::{
    Phase,
    answer::{self, Refusal},
    directory::{limit, made},
    request::Call,
    subscribers::Subscription,
};
use crate::{
    Problem, ReceiveId,
    wire::{Acked, Acks, Messages, NewMailbox, Operation, Revoke},
};

pub(super) async fn create(
    call: &Call<'_>,
    operation: &Operation,
    id: &ReceiveId,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    limit(call, &shared.limiters.mailboxes_per_address, call.origin())?;
    let mailbox: NewMailbox = call.decode()?;
    call.signed(operation).await?;
    let outcome = shared.store.create(shared.time.now(), id, &mailbox).await;
    let outcome = outcome.map_err(|error| shared.store_failed(&error))?;
    shared.entrances.made(&mailbox.send);
    made(outcome, StatusCode::CREATED)
}

pub(super) async fn close(
    call: &Call<'_>,
    operation: &Operation,
    id: &ReceiveId,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    call.signed(operation).await?;
    let was_there = shared.store.close(id).await;
    shared.entrances.changed(id);
    if !was_there.map_err(|error| shared.store_failed(&error))? {
        return Err(Problem::NotFound.into());
    }
    shared.subscribers.closed(id);
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn revoke(
    call: &Call<'_>,
    operation: &Operation,
    id: &ReceiveId,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    let revoke: Revoke = call.decode()?;
    call.signed(operation).await?;
    let outcome = shared.store.revoke(id, &revoke).await;
    // Whether or not it failed: what is remembered may be wrong now.
    shared.entrances.changed(id);
    made(outcome.map_err(|error| shared.store_failed(&error))?, StatusCode::NO_CONTENT)
}

pub(super) async fn fetch(
    call: &Call<'_>,
    operation: &Operation,
    id: &ReceiveId,
    after: u64,
    limit: u32,
    wait: u64,
) -> Result<Response<Body>, Refusal> {
    call.signed(operation).await?;
    let messages = if wait == 0 {
        let mut messages = read(call, id, after, limit).await?;
        messages.prekeys_low = call.shared.subscribers.take_low(id);
        messages
    } else {
        wait_for(call, id, after, limit, Duration::from_secs(wait)).await?
    };
    answer::large(call.shared, call.peer, &messages)
}

async fn read(
    call: &Call<'_>,
    id: &ReceiveId,
    after: u64,
    limit: u32,
) -> Result<Messages, Refusal> {
    let shared = call.shared;
    let found = shared.store.fetch(shared.time.now(), id, after, limit).await;
    let found = found.map_err(|error| shared.store_failed(&error))?;
    let (messages, more) = found.ok_or(Problem::NotFound)?;
    Ok(Messages { messages, more, prekeys_low: false })
}

/// Waits until there is something, the time is up, or the relay ends.
async fn wait_for(
    call: &Call<'_>,
    id: &ReceiveId,
    after: u64,
    limit: u32,
    wait: Duration,
) -> Result<Messages, Refusal> {
    let shared = call.shared;
    let subscription = subscribe(call, id)?;
    let up = sleep(wait);
    tokio::pin!(up);
    let mut prekeys_low = subscription.take().low;
    loop {
        let mut messages = read(call, id, after, limit).await?;
        if !messages.messages.is_empty() || prekeys_low {
            messages.prekeys_low = prekeys_low;
            return Ok(messages);
        }
        tokio::select! {
            news = subscription.news() => prekeys_low |= news.low,
            () = up.as_mut() => return Ok(messages),
            () = shared.reached(Phase::Draining) => return Ok(messages),
        }
    }
}

/// Waits for news of a mailbox.
pub(super) fn subscribe(call: &Call<'_>, id: &ReceiveId) -> Result<Subscription, Refusal> {
    let max = call.shared.settings.bounds.waiting_readers;
    call.shared.subscribers.subscribe(*id, max).ok_or_else(|| Problem::Quota.into())
}

pub(super) async fn ack(
    call: &Call<'_>,
    operation: &Operation,
    id: &ReceiveId,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    let acks: Acks = call.decode()?;
    call.signed(operation).await?;
    let removed = shared.store.ack(shared.time.now(), id, &acks.sequences).await;
    let removed = removed.map_err(|error| shared.store_failed(&error))?;
    Ok(answer::cbor(&Acked { removed: removed.ok_or(Problem::NotFound)? }))
}
