//! Operation 10: frames are left, many in one transaction.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderName, Response, StatusCode};
use sealwire_core::pad::FRAME_CLASSES;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    Phase, Shared,
    answer::{self, Refusal},
    budget::Share,
    directory::limit,
    request::{Call, single},
};
use crate::{
    Capability, MessageId, Problem, SendId, Token,
    limits::MAX_BATCH,
    store::{Appended, Deposit, Entrance},
    wire::{self, MailboxKind},
};

/// Frames of one transaction, in bytes: 4 MiB, so that none takes long.
const MAX_BATCH_LEN: usize = 4 * 1024 * 1024;

/// Transactions under way at a time: while one is written, the next is on its way.
const LANES: usize = 2;

/// A frame that waits to be stored.
#[derive(Debug)]
pub(super) struct Waiting {
    deposit: Deposit,
    answer: oneshot::Sender<Result<Appended, Refusal>>,
    /// Its memory, and its place among those that wait.
    shares: (Option<Share>, Share),
}

/// The end of the queue that is taken from.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Waiting>>>;

// REL-6
pub(super) async fn deposit(mut call: Call<'_>, id: &SendId) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    // All that can be told without the mailbox comes first.
    if !FRAME_CLASSES.contains(&call.body.len()) {
        return Err(Problem::FrameSize.into());
    }
    let header = |name| single(&call.parts.headers, HeaderName::from_static(name));
    let message = header(wire::MESSAGE_ID).and_then(|text| MessageId::parse(text).ok());
    let message = message.ok_or(Problem::Malformed)?;
    let (entrance, token) = admit(&call, id, header(wire::CAPABILITY)).await?;
    if entrance.kind == MailboxKind::Contact {
        limit(&call, &shared.limiters.contacts_per_address, call.origin())?;
    }
    let deposit = Deposit { mailbox: entrance.mailbox, token, message, frame: call.body.to_vec() };
    let (answer, answered) = oneshot::channel();
    let place = call.peer.slot.place().ok_or(Problem::Unavailable)?;
    let waiting = Waiting { deposit, answer, shares: (call.share.take(), place) };
    shared.deposits.try_send(waiting).map_err(|_| Problem::Unavailable)?;
    match answered.await.map_err(|_| Problem::Internal)?? {
        // The sender cannot tell one from the other: he only missed the answer.
        Appended::Taken(_) | Appended::Known => Ok(answer::empty(StatusCode::ACCEPTED)),
        Appended::Full => Err(Problem::MailboxFull.into()),
        Appended::TokenFull => Err(Problem::SenderFull.into()),
        Appended::Gone => Err(Problem::NotFound.into()),
    }
}

/// Checks the capability. Whatever is wrong, a missing mailbox too, has one path and one answer.
// REL-16
async fn admit(
    call: &Call<'_>,
    id: &SendId,
    capability: Option<&str>,
) -> Result<(Arc<Entrance>, Token), Refusal> {
    let shared = call.shared;
    let found = shared.entrances.of(shared.store.as_ref(), id, shared.time.elapsed()).await;
    let entrance = found.map_err(|error| shared.store_failed(&error))?;
    let capability = capability.and_then(|text| Capability::parse(text).ok());
    let capability = capability.ok_or(Problem::NotFound)?;
    capability.admit(entrance.as_deref(), id, shared.time.now())?;
    Ok((entrance.ok_or(Problem::NotFound)?, *capability.token()))
}

/// Starts with an empty queue: where frames are put, and where they are taken from.
pub(super) fn queue(bound: usize) -> (mpsc::Sender<Waiting>, Queue) {
    let (sender, receiver) = mpsc::channel(bound.max(1));
    (sender, Arc::new(Mutex::new(receiver)))
}

/// Stores what waits until the relay has ended and nothing waits any more.
pub(super) async fn store_all(shared: Arc<Shared>, queue: Queue) {
    let lane = || store_batches(&shared, &queue);
    let [first, second]: [_; LANES] = [lane(), lane()];
    tokio::join!(first, second);
}

async fn store_batches(shared: &Shared, queue: &Queue) {
    loop {
        let batch = next_batch(shared, queue).await;
        if batch.is_empty() {
            return;
        }
        store_batch(shared, batch).await;
    }
}

/// What waits, within the bounds of a batch. Empty at the end.
async fn next_batch(shared: &Shared, queue: &Queue) -> Vec<Waiting> {
    let mut queue = queue.lock().await;
    let first = tokio::select! {
        biased;
        first = queue.recv() => first,
        () = shared.reached(Phase::Ended) => {
            queue.close();
            queue.recv().await
        }
    };
    let Some(first) = first else { return Vec::new() };
    let mut length = first.deposit.frame.len();
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH && length < MAX_BATCH_LEN {
        let Ok(next) = queue.try_recv() else { break };
        length = length.saturating_add(next.deposit.frame.len());
        batch.push(next);
    }
    batch
}

/// Nothing is answered before the store has it.
// REL-18
async fn store_batch(shared: &Shared, batch: Vec<Waiting>) {
    let (deposits, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.deposit, (waiting.answer, waiting.shares)))
        .unzip();
    shared.metrics.batches.add(1);
    shared.metrics.batched.add(deposits.len());
    let appended = shared.store.append(shared.time.now(), &deposits).await;
    let appended = appended.map_err(|error| shared.store_failed(&error));
    for (index, (deposit, (answer, _))) in deposits.iter().zip(answers).enumerate() {
        let outcome = match &appended {
            Ok(all) => all.get(index).copied().ok_or_else(|| Problem::Internal.into()),
            Err(refusal) => Err(*refusal),
        };
        if let Ok(Appended::Taken(_)) = outcome {
            shared.subscribers.arrived(&deposit.mailbox);
        }
        // Whoever asked may be gone.
        let _ = answer.send(outcome);
    }
}
