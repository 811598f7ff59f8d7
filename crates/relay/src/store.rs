//! What a relay keeps, as traits: [`Directory`], [`Mailboxes`] and [`Nonces`], which a
//! [`Store`] has all of.
//!
//! What is asked of every implementation, and checked by `store_conformance!`:
//!
//! - A call that was answered has taken effect for good, and is seen by every later call of any
//!   process that shares the store.
//! - A call that fails has changed nothing.
//! - Calls of different devices and mailboxes do not wait for one another longer than a
//!   transaction takes.
//! - `now` is the caller's: a store reads no clock, so that expiry can be tested.
//!
//! A distributed store needs no more than one atomic statement for each call.

mod backlog;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stock;

use core::{fmt, future::Future, pin::Pin};

use sealwire_core::{Timestamp, secret::Secret};

use crate::{
    Caller, Device, MessageId, Nonce, ReceiveId, SendId, Token,
    wire::{
        Check, Claimed, Kind, MailboxKind, Message, NewMailbox, Page, Publish, Published,
        Remaining, Revoke,
    },
};

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// What a call of a store gives: a future that can be sent to another thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Cards, bundles and one-time prekeys of devices. It looks into none of them.
pub trait Directory: Send + Sync + fmt::Debug {
    /// Makes a card and bundle those that are handed out. A card with an older sequence than what
    /// is there, or with the same one and other content, is [`Outcome::Conflict`]; exactly what is
    /// there is [`Outcome::Known`]. `until` is when the entry may be swept.
    fn publish<'a>(
        &'a self,
        of: &'a Device,
        publish: &'a Publish,
        check: &'a Check,
        until: Timestamp,
    ) -> Pending<'a, Outcome>;

    /// The card and bundle of a device.
    fn published<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>>;

    /// What [`Directory::published`] gives, short.
    fn check<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Check>>;

    /// Adds a page of one-time keys. One of this device, kind and base that was ever there, and
    /// is not swept yet, is [`Outcome::Known`] and changes nothing; so is one below many that were
    /// used up, since ids ascend. [`Outcome::Quota`] beyond
    /// [`MAX_PAGES`](crate::limits::MAX_PAGES), [`Outcome::Absent`] for a device of which nothing
    /// is published.
    // REL-26
    fn add_page<'a>(
        &'a self,
        now: Timestamp,
        of: &'a Device,
        kind: Kind,
        base: u32,
        page: &'a Page,
    ) -> Pending<'a, Outcome>;

    /// How many one-time keys can be claimed.
    fn remaining<'a>(&'a self, now: Timestamp, of: &'a Device) -> Pending<'a, Remaining>;

    /// Takes the next one-time key of each kind from the oldest page that has one: one step of a
    /// counter, and no key goes out twice. The same caller, device and nonce get the same keys
    /// for [`CLAIM_LIFETIME`](crate::limits::CLAIM_LIFETIME), unless they got none at all. `None`
    /// for an unknown device.
    // REL-27
    fn claim<'a>(
        &'a self,
        now: Timestamp,
        caller: &'a Caller,
        of: &'a Device,
        nonce: &'a Nonce,
    ) -> Pending<'a, Option<Taken>>;
}

/// What a claim took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a claim says of its device")]
pub struct Taken {
    /// The keys.
    pub claimed: Claimed,
    /// What is left of them.
    pub remaining: Remaining,
    /// The mailbox whose readers are told when that is little.
    pub contact: Option<SendId>,
}

/// Mailboxes and the frames in them.
pub trait Mailboxes: Send + Sync + fmt::Debug {
    /// Makes a mailbox. The same again is [`Outcome::Known`]; another under either id is
    /// [`Outcome::Conflict`].
    // REL-13
    fn create<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        mailbox: &'a NewMailbox,
    ) -> Pending<'a, Outcome>;

    /// Removes a mailbox with all that is in it. Says whether it was there.
    fn close<'a>(&'a self, id: &'a ReceiveId) -> Pending<'a, bool>;

    /// Revokes tokens, or all with a new secret, which forgets those that were revoked singly.
    /// [`Outcome::Quota`] beyond [`MAX_REVOKED`](crate::limits::MAX_REVOKED),
    /// [`Outcome::Absent`] when there is no such mailbox.
    // REL-17
    fn revoke<'a>(&'a self, id: &'a ReceiveId, revoke: &'a Revoke) -> Pending<'a, Outcome>;

    /// What a deposit is judged by.
    fn entrance<'a>(&'a self, id: &'a SendId) -> Pending<'a, Option<Entrance>>;

    /// Takes frames, in one transaction: for each, in order, what became of it.
    // REL-18, REL-19, REL-24
    fn append<'a>(&'a self, now: Timestamp, batch: &'a [Deposit]) -> Pending<'a, Vec<Appended>>;

    /// The oldest messages behind `after` that have not expired, within
    /// [`MAX_FETCH`](crate::limits::MAX_FETCH) and
    /// [`MAX_FETCH_LEN`](crate::limits::MAX_FETCH_LEN), and whether there are more. `None` when
    /// there is no such mailbox. Also notes that the mailbox is read.
    // REL-21, REL-23
    fn fetch<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        after: u64,
        limit: u32,
    ) -> Pending<'a, Option<(Vec<Message>, bool)>>;

    /// Removes messages for good, and remembers their ids for as long as they would have lived.
    /// Gives how many were there, `None` when there is no such mailbox.
    // REL-22
    fn ack<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        sequences: &'a [u64],
    ) -> Pending<'a, Option<u32>>;
}

/// Signatures that were used.
pub trait Nonces: Send + Sync + fmt::Debug {
    /// Notes the nonce of a signature until it is too old anyway. Says whether it is new.
    /// `signer` is SHA-256 of the key id. [`StoreError::Full`] beyond
    /// [`MAX_NONCES`](crate::limits::MAX_NONCES).
    fn spend<'a>(
        &'a self,
        signer: &'a Caller,
        nonce: &'a Nonce,
        until: Timestamp,
    ) -> Pending<'a, bool>;
}

/// All that a relay keeps.
pub trait Store: Directory + Mailboxes + Nonces {
    /// Removes some of what has expired, at most about `limit` rows of each kind: a step of a pass
    /// through everything. Says whether the pass goes on; it may then be some time before the next
    /// one, since what has expired is not given to anybody anyway.
    fn sweep(&self, now: Timestamp, limit: u32) -> Pending<'_, bool>;

    /// The latest time that was ever given to it: keeps the later of that and `now`.
    fn mark(&self, now: Timestamp) -> Pending<'_, Timestamp>;

    /// How much there is, for the operator; also whether the store answers at all.
    fn usage(&self) -> Pending<'_, Usage>;
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what a relay answers by")]
pub enum Outcome {
    /// It was made.
    Done,
    /// It was there already.
    Known,
    /// There is a newer or another one.
    Conflict,
    /// There are as many as are kept.
    Quota,
    /// There is no such thing to change.
    Absent,
}

/// What a deposit is judged by.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "all that a capability is checked against")]
pub struct Entrance {
    /// The mailbox behind it.
    pub mailbox: ReceiveId,
    /// What it is for.
    pub kind: MailboxKind,
    /// The secret of its capabilities.
    pub secret: Secret<32>,
    /// Those that were revoked singly.
    pub revoked: Vec<Token>,
}

/// A frame whose capability was checked.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "what a store needs of a frame")]
pub struct Deposit {
    /// Where it goes.
    pub mailbox: ReceiveId,
    /// By whose capability.
    pub token: Token,
    /// Its id.
    pub message: MessageId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what a relay answers by")]
pub enum Appended {
    /// It is in the mailbox, under this sequence.
    Taken(u64),
    /// The mailbox has seen its id.
    Known,
    /// The mailbox has as many messages or bytes as it may.
    Full,
    /// This token has as many messages in it as it may.
    TokenFull,
    /// The mailbox is gone.
    Gone,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what an operator is shown")]
pub struct Usage {
    /// Devices in the directory.
    pub devices: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in all mailboxes.
    pub messages: u64,
    /// Bytes on disk, in bytes.
    pub bytes: u64,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or what stands for it, is full. Nothing was changed.
    #[error("there is no room to store anything")]
    Full,
    /// It cannot be read or written, with what the database said.
    #[error("the store failed: {0}")]
    Failed(String),
    /// It is not a store of this release.
    #[error("the store is not one that this release reads: {0}")]
    Foreign(String),
}

impl fmt::Debug for Deposit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deposit(..)")
    }
}

/// What becomes of a publication where there is one already.
fn judge_publish(
    was: &Check,
    contact_was: Option<SendId>,
    check: &Check,
    contact: Option<SendId>,
) -> Outcome {
    if check.sequence < was.sequence || (check.sequence == was.sequence && check.card != was.card) {
        return Outcome::Conflict;
    }
    if check == was && contact == contact_was { Outcome::Known } else { Outcome::Done }
}

/// The tokens that are revoked singly after a revocation.
fn revoked(before: &[Token], revoke: &Revoke) -> Result<Vec<Token>, Outcome> {
    let before = if revoke.secret.is_some() { &[] } else { before };
    let mut revoked = before.to_vec();
    for token in &revoke.tokens {
        if !revoked.contains(token) {
            revoked.push(*token);
        }
    }
    if revoked.len() > crate::limits::MAX_REVOKED { Err(Outcome::Quota) } else { Ok(revoked) }
}

#[cfg(test)]
mod tests;
