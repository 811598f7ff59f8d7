//! A store that is forgotten with the process.

use core::fmt;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealwire_core::{Timestamp, secret::Secret};

use super::{
    Appended, Deposit, Directory, Entrance, Mailboxes, Nonces, Outcome, Pending, Store, StoreError,
    Taken, Usage,
    backlog::{Arrival, Backlog},
    stock::{ClaimId, Place, Stock},
};
use crate::{
    Caller, Device, Nonce, ReceiveId, SendId, Token, limits,
    wire::{
        Check, Claimed, ClaimedKey, Kind, MailboxKind, Message, NewMailbox, Page, Publish,
        Published, Remaining, Revoke,
    },
};

/// All that a relay keeps, in this process's memory: for tests, and for relays that may forget.
///
/// ```
/// use sealwire_relay::store::{MemoryStore, Store};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new();
/// assert_eq!(store.usage().await?.mailboxes, 0);
/// # Ok::<(), sealwire_relay::store::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    mark: Timestamp,
    rows: u64,
    devices: HashMap<Device, Entry>,
    pages: HashMap<u64, Page>,
    mailboxes: HashMap<ReceiveId, Mailbox>,
    sends: HashMap<SendId, ReceiveId>,
    nonces: HashMap<(Caller, Nonce), Timestamp>,
}

/// A device of the directory.
struct Entry {
    published: Published,
    check: Check,
    stock: Stock,
}

struct Mailbox {
    send: SendId,
    kind: MailboxKind,
    secret: Secret<32>,
    lifetime: u64,
    per_token: u32,
    revoked: Vec<Token>,
    backlog: Backlog,
    frames: HashMap<u64, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between two changes of a call can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call, which is over before it is waited for.
    fn call<'a, T: Send + 'a>(&'a self, change: impl FnOnce(&mut State) -> T) -> Pending<'a, T> {
        let result = change(&mut self.lock());
        Box::pin(core::future::ready(Ok(result)))
    }
}

impl Directory for MemoryStore {
    fn publish<'a>(
        &'a self,
        of: &'a Device,
        publish: &'a Publish,
        check: &'a Check,
        until: Timestamp,
    ) -> Pending<'a, Outcome> {
        self.call(|state| state.publish(of, publish, check, until))
    }

    fn published<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.call(|state| state.devices.get(of).map(|entry| entry.published.clone()))
    }

    fn check<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Check>> {
        self.call(|state| state.devices.get(of).map(|entry| entry.check))
    }

    fn add_page<'a>(
        &'a self,
        now: Timestamp,
        of: &'a Device,
        kind: Kind,
        base: u32,
        page: &'a Page,
    ) -> Pending<'a, Outcome> {
        self.call(|state| {
            let row = state.row();
            let Some(entry) = state.devices.get_mut(of) else { return Outcome::Absent };
            let outcome = entry.stock.judge(now, kind, base);
            if outcome == Outcome::Done {
                entry.stock.add(row, kind, base, page);
                state.pages.insert(row, page.clone());
            }
            outcome
        })
    }

    fn remaining<'a>(&'a self, now: Timestamp, of: &'a Device) -> Pending<'a, Remaining> {
        self.call(|state| {
            let entry = state.devices.get(of);
            entry.map(|entry| entry.stock.remaining(now)).unwrap_or_default()
        })
    }

    fn claim<'a>(
        &'a self,
        now: Timestamp,
        caller: &'a Caller,
        of: &'a Device,
        nonce: &'a Nonce,
    ) -> Pending<'a, Option<Taken>> {
        self.call(|state| {
            let entry = state.devices.get_mut(of)?;
            let answer = entry.stock.claim(now, ClaimId::of(caller, nonce));
            let key = |place: Option<Place>| {
                let Place { row, index } = place?;
                let page = state.pages.get(&row)?;
                let key = page.keys.get(usize::from(index))?.clone();
                Some(ClaimedKey { header: page.header.clone(), key })
            };
            Some(Taken {
                claimed: Claimed { x25519: key(answer.x25519), kem: key(answer.kem) },
                remaining: entry.stock.remaining(now),
                contact: entry.stock.contact,
            })
        })
    }
}

impl Mailboxes for MemoryStore {
    fn create<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        mailbox: &'a NewMailbox,
    ) -> Pending<'a, Outcome> {
        self.call(|state| state.create(now, *id, mailbox))
    }

    fn close<'a>(&'a self, id: &'a ReceiveId) -> Pending<'a, bool> {
        self.call(|state| state.close(id))
    }

    fn revoke<'a>(&'a self, id: &'a ReceiveId, revoke: &'a Revoke) -> Pending<'a, Outcome> {
        self.call(|state| match state.mailboxes.get_mut(id) {
            Some(mailbox) => mailbox.revoke(revoke),
            None => Outcome::Absent,
        })
    }

    fn entrance<'a>(&'a self, id: &'a SendId) -> Pending<'a, Option<Entrance>> {
        self.call(|state| {
            let receive = *state.sends.get(id)?;
            let mailbox = state.mailboxes.get(&receive)?;
            Some(Entrance {
                mailbox: receive,
                kind: mailbox.kind,
                secret: copy(&mailbox.secret),
                revoked: mailbox.revoked.clone(),
            })
        })
    }

    fn append<'a>(&'a self, now: Timestamp, batch: &'a [Deposit]) -> Pending<'a, Vec<Appended>> {
        self.call(|state| batch.iter().map(|deposit| state.append(now, deposit)).collect())
    }

    fn fetch<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        after: u64,
        limit: u32,
    ) -> Pending<'a, Option<(Vec<Message>, bool)>> {
        self.call(|state| {
            let mailbox = state.mailboxes.get_mut(id)?;
            mailbox.backlog.read = mailbox.backlog.read.max(now);
            let (entries, more) = mailbox.backlog.plan(now, after, limit);
            let frames = &mailbox.frames;
            let message = |entry: super::backlog::Entry| {
                let frame = frames.get(&entry.row)?.clone();
                Some(Message { sequence: entry.sequence, id: entry.message, frame })
            };
            Some((entries.into_iter().filter_map(message).collect(), more))
        })
    }

    fn ack<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        sequences: &'a [u64],
    ) -> Pending<'a, Option<u32>> {
        self.call(|state| {
            let mailbox = state.mailboxes.get_mut(id)?;
            mailbox.expire(now);
            let removed = mailbox.backlog.ack(sequences);
            mailbox.backlog.forget();
            for entry in &removed {
                mailbox.frames.remove(&entry.row);
            }
            Some(u32::try_from(removed.len()).unwrap_or(u32::MAX))
        })
    }
}

impl Nonces for MemoryStore {
    fn spend<'a>(
        &'a self,
        signer: &'a Caller,
        nonce: &'a Nonce,
        until: Timestamp,
    ) -> Pending<'a, bool> {
        let spent = &mut self.lock().nonces;
        let new = !spent.contains_key(&(*signer, *nonce));
        let result = if new && spent.len() >= limits::MAX_NONCES {
            Err(StoreError::Full)
        } else {
            spent.entry((*signer, *nonce)).or_insert(until);
            Ok(new)
        };
        Box::pin(core::future::ready(result))
    }
}

impl Store for MemoryStore {
    fn sweep(&self, now: Timestamp, limit: u32) -> Pending<'_, bool> {
        self.call(|state| state.sweep(now, limit as usize))
    }

    fn mark(&self, now: Timestamp) -> Pending<'_, Timestamp> {
        self.call(|state| {
            state.mark = state.mark.max(now);
            state.mark
        })
    }

    fn usage(&self) -> Pending<'_, Usage> {
        self.call(|state| {
            let messages = state.mailboxes.values().map(|mailbox| mailbox.frames.len() as u64);
            Usage {
                devices: state.devices.len() as u64,
                mailboxes: state.mailboxes.len() as u64,
                messages: messages.sum(),
                bytes: 0,
            }
        })
    }
}

impl State {
    fn row(&mut self) -> u64 {
        self.rows = self.rows.saturating_add(1);
        self.rows
    }

    fn publish(
        &mut self,
        of: &Device,
        publish: &Publish,
        check: &Check,
        until: Timestamp,
    ) -> Outcome {
        let Publish { published, contact } = publish;
        if let Some(entry) = self.devices.get_mut(of) {
            let stock = &mut entry.stock;
            let outcome = super::judge_publish(&entry.check, stock.contact, check, *contact);
            if outcome == Outcome::Done {
                entry.published = published.clone();
                entry.check = *check;
                (stock.until, stock.contact) = (until, *contact);
            }
            return outcome;
        }
        let stock = Stock { until, contact: *contact, ..Stock::default() };
        let entry = Entry { published: published.clone(), check: *check, stock };
        self.devices.insert(of.clone(), entry);
        Outcome::Done
    }

    fn create(&mut self, now: Timestamp, id: ReceiveId, new: &NewMailbox) -> Outcome {
        if let Some(mailbox) = self.mailboxes.get(&id) {
            return if mailbox.is(new) { Outcome::Known } else { Outcome::Conflict };
        }
        if self.sends.contains_key(&new.send) {
            return Outcome::Conflict;
        }
        self.sends.insert(new.send, id);
        self.mailboxes.insert(id, Mailbox::new(now, new));
        Outcome::Done
    }

    fn close(&mut self, id: &ReceiveId) -> bool {
        let Some(mailbox) = self.mailboxes.remove(id) else { return false };
        self.sends.remove(&mailbox.send);
        true
    }

    fn append(&mut self, now: Timestamp, deposit: &Deposit) -> Appended {
        let row = self.row();
        let Some(mailbox) = self.mailboxes.get_mut(&deposit.mailbox) else {
            return Appended::Gone;
        };
        mailbox.expire(now);
        let arrival = Arrival {
            row,
            until: now.plus(mailbox.lifetime),
            len: deposit.frame.len() as u64,
            message: deposit.message,
            token: deposit.token,
            per_token: mailbox.per_token,
        };
        match mailbox.backlog.append(now, arrival) {
            Ok(sequence) => {
                mailbox.frames.insert(row, deposit.frame.clone());
                Appended::Taken(sequence)
            }
            Err(refused) => refused,
        }
    }

    fn sweep(&mut self, now: Timestamp, limit: usize) -> bool {
        let spent: Vec<(Caller, Nonce)> = self
            .nonces
            .iter()
            .filter_map(|(nonce, until)| (*until < now).then_some(*nonce))
            .take(limit)
            .collect();
        for nonce in &spent {
            self.nonces.remove(nonce);
        }
        let unread = |mailbox: &Mailbox| mailbox.backlog.is_abandoned(now);
        let unread = self.mailboxes.iter().filter(|(_, mailbox)| unread(mailbox));
        let unread: Vec<ReceiveId> = unread.map(|(id, _)| *id).take(limit).collect();
        for id in &unread {
            self.close(id);
        }
        let mut removed = 0_usize;
        for mailbox in self.mailboxes.values_mut() {
            if removed < limit {
                removed = removed.saturating_add(mailbox.sweep(now));
            }
        }
        let devices = self.sweep_devices(now, limit);
        spent.len() == limit || unread.len() == limit || removed >= limit || devices
    }

    fn sweep_devices(&mut self, now: Timestamp, limit: usize) -> bool {
        let old = self.devices.iter().filter(|(_, entry)| entry.stock.until <= now);
        let old: Vec<Device> = old.map(|(device, _)| device.clone()).take(limit).collect();
        for device in &old {
            let lots = self.devices.remove(device).map(|entry| entry.stock.lots);
            for lot in lots.unwrap_or_default() {
                self.pages.remove(&lot.row);
            }
        }
        let mut removed = 0_usize;
        for entry in self.devices.values_mut() {
            if removed < limit {
                let waste = entry.stock.expire(now);
                removed = removed.saturating_add(waste.pages.len());
                for row in waste.pages {
                    self.pages.remove(&row);
                }
            }
        }
        old.len() == limit || removed >= limit
    }
}

impl Mailbox {
    fn new(now: Timestamp, new: &NewMailbox) -> Self {
        let NewMailbox { send, kind, secret, lifetime, per_token } = new;
        Self {
            send: *send,
            kind: *kind,
            secret: copy(secret),
            lifetime: *lifetime,
            per_token: *per_token,
            revoked: Vec::new(),
            backlog: Backlog::new(now),
            frames: HashMap::new(),
        }
    }

    fn is(&self, new: &NewMailbox) -> bool {
        (self.send, self.kind, self.lifetime, self.per_token)
            == (new.send, new.kind, new.lifetime, new.per_token)
            && self.secret == new.secret
    }

    fn revoke(&mut self, revoke: &Revoke) -> Outcome {
        match super::revoked(&self.revoked, revoke) {
            Ok(revoked) => {
                self.revoked = revoked;
                if let Some(secret) = &revoke.secret {
                    self.secret = copy(secret);
                }
                Outcome::Done
            }
            Err(outcome) => outcome,
        }
    }

    fn expire(&mut self, now: Timestamp) {
        if self.backlog.has_expired(now) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Timestamp) -> usize {
        let rows = self.backlog.expire(now);
        for row in &rows {
            self.frames.remove(row);
        }
        rows.len()
    }
}

fn copy(secret: &Secret<32>) -> Secret<32> {
    Secret::init_with(|bytes| bytes.copy_from_slice(secret.expose()))
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
