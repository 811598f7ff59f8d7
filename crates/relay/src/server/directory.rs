//! Operations 1 to 6: cards, bundles and one-time prekeys.

use axum::body::Body;
use http::{Response, StatusCode};
use sealwire_core::{Timestamp, kdf};
use sealwire_identity::IdentityCard;

use super::{
    answer::{self, Refusal},
    rate::Limiter,
    request::Call,
};
use crate::{
    Caller, Device, Problem,
    store::{Outcome, Taken},
    wire::{Check, Claim, Kind, Operation, Page, Publish},
};

/// How long an entry stays after its card has expired, in seconds: 8 days, so that the owner
/// finds it after a holiday, and messages that were begun with it can be answered.
const AFTER_EXPIRY: u64 = 8 * 24 * 60 * 60;

pub(super) async fn publish(
    call: &Call<'_>,
    operation: &Operation,
    of: &Device,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    limit(call, &shared.limiters.publications_per_address, call.origin())?;
    let publish: Publish = call.decode()?;
    let verified = call.verify(operation)?;
    let (check, until) = checked(&publish, of, shared.time.now())?;
    call.spend(&verified).await?;
    let outcome = shared.store.publish(of, &publish, &check, until).await;
    made(outcome.map_err(|error| shared.store_failed(&error))?, StatusCode::NO_CONTENT)
}

/// Whether the card is a valid one of this agent. Whoever asks for it checks it again: that a
/// relay does so too keeps rubbish out.
// REL-25
fn checked(publish: &Publish, of: &Device, now: Timestamp) -> Result<(Check, Timestamp), Problem> {
    let published = &publish.published;
    let card = IdentityCard::from_bytes(&published.card).and_then(|card| card.verify(now));
    let card = card.map_err(|_| Problem::Malformed)?;
    let card = card.as_verified();
    if card.id() != &of.agent {
        return Err(Problem::Malformed);
    }
    let check = Check {
        card: kdf::sha256(&[&published.card]),
        bundle: kdf::sha256(&[&published.bundle]),
        sequence: card.sequence(),
    };
    Ok((check, card.not_after().plus(AFTER_EXPIRY)))
}

pub(super) async fn published(call: &Call<'_>, of: &Device) -> Result<Response<Body>, Refusal> {
    let published = call.shared.store.published(of).await;
    let published = published.map_err(|error| call.shared.store_failed(&error))?;
    Ok(answer::cbor(&published.ok_or(Problem::NotFound)?))
}

pub(super) async fn add_page(
    call: &Call<'_>,
    operation: &Operation,
    of: &Device,
    kind: Kind,
    base: u32,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    limit(call, &shared.limiters.publications_per_address, call.origin())?;
    let page: Page = call.decode()?;
    call.signed(operation).await?;
    let outcome = shared.store.add_page(shared.time.now(), of, kind, base, &page).await;
    made(outcome.map_err(|error| shared.store_failed(&error))?, StatusCode::CREATED)
}

pub(super) async fn remaining(
    call: &Call<'_>,
    operation: &Operation,
    of: &Device,
) -> Result<Response<Body>, Refusal> {
    call.signed(operation).await?;
    let remaining = call.shared.store.remaining(call.shared.time.now(), of).await;
    Ok(answer::cbor(&remaining.map_err(|error| call.shared.store_failed(&error))?))
}

pub(super) async fn claim(
    call: &Call<'_>,
    operation: &Operation,
    of: &Device,
) -> Result<Response<Body>, Refusal> {
    let shared = call.shared;
    let limiters = &shared.limiters;
    // Before anything that costs: agents are made for nothing, addresses are not.
    limit(call, &limiters.claims_per_address, call.origin())?;
    let claim: Claim = call.decode()?;
    let verified = call.verify(operation)?;
    let caller = Caller::of(&verified.key_id);
    limit(call, &limiters.claims_per_caller, caller)?;
    limit(call, &limiters.claims_per_target, of)?;
    call.spend(&verified).await?;
    let taken = shared.store.claim(shared.time.now(), &caller, of, &claim.nonce).await;
    let taken = taken.map_err(|error| shared.store_failed(&error))?.ok_or(Problem::NotFound)?;
    if taken.claimed.x25519.is_none() || taken.claimed.kem.is_none() {
        shared.metrics.drained.add(1);
    }
    tell_owner(call, &taken).await;
    Ok(answer::cbor(&taken.claimed))
}

/// Tells the owner when few keys are left.
// REL-28
async fn tell_owner(call: &Call<'_>, taken: &Taken) {
    let Some(contact) = taken.contact.filter(|_| taken.remaining.is_low()) else { return };
    let shared = call.shared;
    let elapsed = shared.time.elapsed();
    let entrance = shared.entrances.of(shared.store.as_ref(), &contact, elapsed).await;
    // The claim stands whether or not the owner can be told.
    if let Ok(Some(entrance)) = entrance {
        shared.subscribers.prekeys_low(&entrance.mailbox);
    }
}

// REL-29
pub(super) async fn check(call: &Call<'_>, of: &Device) -> Result<Response<Body>, Refusal> {
    let check = call.shared.store.check(of).await;
    let check = check.map_err(|error| call.shared.store_failed(&error))?;
    Ok(answer::cbor(&check.ok_or(Problem::NotFound)?))
}

/// The answer to a change.
pub(super) fn made(outcome: Outcome, done: StatusCode) -> Result<Response<Body>, Refusal> {
    match outcome {
        Outcome::Done => Ok(answer::empty(done)),
        Outcome::Known if done == StatusCode::CREATED => Ok(answer::empty(StatusCode::OK)),
        Outcome::Known => Ok(answer::empty(done)),
        Outcome::Conflict => Err(Problem::Conflict.into()),
        Outcome::Quota => Err(Problem::Quota.into()),
        Outcome::Absent => Err(Problem::NotFound.into()),
    }
}

/// Counts a request by `who`.
pub(super) fn limit(
    call: &Call<'_>,
    limiter: &Limiter,
    who: impl core::hash::Hash,
) -> Result<(), Refusal> {
    limiter.take(who, call.shared.time.elapsed()).map_err(Refusal::rate)
}
