//! Devices, pages, mailboxes and frames by number.

use std::sync::Arc;

use crate::{
    Caller, Device, MessageId, Nonce, ReceiveId, SendId, Token,
    store::{Appended, Deposit, Store, Taken},
    wire::{Check, Kind, MailboxKind, NewMailbox, Page, Publish, Published},
};
use sealwire_core::{Timestamp, keys::SigningKey, secret::Secret};
use sealwire_identity::AgentId;

/// A store that a test can open again.
pub(crate) trait Subject: Sized {
    /// An empty one.
    fn new() -> Self;

    fn store(&self) -> Arc<dyn Store>;

    /// As after a restart of the relay, which not all survive: `None` then.
    fn reopen(self) -> Option<Self>;
}

pub(crate) const DAY: u64 = 24 * 60 * 60;
pub(crate) const LIFETIME: u64 = 7 * DAY;

pub(crate) const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

pub(crate) fn device(number: u8) -> Device {
    let key = SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(number)));
    Device { agent: AgentId::from_key(key.public()), number: 0 }
}

pub(crate) fn caller(number: u32) -> Caller {
    Caller::of(&format!("caller {number}"))
}

pub(crate) fn bytes(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(crate) fn nonce(number: u64) -> Nonce {
    Nonce::from_bytes(bytes(number))
}

pub(crate) fn token(number: u64) -> Token {
    Token::from_bytes(bytes(number))
}

pub(crate) fn message(number: u64) -> MessageId {
    MessageId::from_bytes(bytes(number))
}

pub(crate) fn receive(number: u64) -> ReceiveId {
    ReceiveId::from_bytes(bytes(number))
}

pub(crate) fn send(number: u64) -> SendId {
    SendId::from_bytes(bytes(1_000_000 + number))
}

pub(crate) fn secret(number: u8) -> Secret<32> {
    Secret::init_with(|bytes| bytes.fill(number))
}

pub(crate) fn mailbox(number: u64) -> NewMailbox {
    NewMailbox {
        send: send(number),
        kind: MailboxKind::Pairwise,
        secret: secret(1),
        lifetime: LIFETIME,
        per_token: 1000,
    }
}

/// A card of this sequence and a bundle, and what is said of them.
pub(crate) fn publication(sequence: u64, bundle: u8) -> (Publish, Check) {
    let card = format!("card {sequence}").into_bytes();
    let check = Check { card: [sequence as u8; 32], bundle: [bundle; 32], sequence };
    (Publish { published: Published { card, bundle: vec![bundle; 3] }, contact: None }, check)
}

/// A page of keys that say who they are.
pub(crate) fn page(kind: Kind, base: u32, count: u32, not_after: Timestamp) -> Page {
    let keys = (base..base + count).map(|id| key(kind, id)).collect();
    Page { not_after, header: format!("{kind:?} from {base}").into_bytes(), keys }
}

pub(crate) fn key(kind: Kind, id: u32) -> Vec<u8> {
    format!("{kind:?} {id}").into_bytes()
}

pub(crate) fn deposit(mailbox: u64, id: u64) -> Deposit {
    Deposit {
        mailbox: receive(mailbox),
        token: token(0),
        message: message(id),
        frame: format!("frame {id}").into_bytes(),
    }
}

/// Publishes a device with a page of X25519 and one of ML-KEM keys.
pub(crate) async fn stocked(store: &dyn Store, of: &Device, x25519: u32, kem: u32) {
    let (publish, check) = publication(1, 1);
    store.publish(of, &publish, &check, at(1000 * DAY)).await.expect("publishes");
    for (kind, count) in [(Kind::X25519, x25519), (Kind::MlKem, kem)] {
        if count > 0 {
            let page = page(kind, 1, count, at(52 * DAY));
            store.add_page(at(0), of, kind, 1, &page).await.expect("adds");
        }
    }
}

/// Makes mailboxes of these numbers.
pub(crate) async fn boxes(store: &dyn Store, numbers: &[u64]) {
    for number in numbers {
        store.create(at(0), &receive(*number), &mailbox(*number)).await.expect("creates");
    }
}

pub(crate) async fn append(store: &dyn Store, now: Timestamp, deposit: Deposit) -> Appended {
    let appended = store.append(now, &[deposit]).await.expect("appends");
    appended.into_iter().next().expect("one answer")
}

/// The sequences and ids of all messages of a mailbox, and their frames.
pub(crate) async fn read(
    store: &dyn Store,
    now: Timestamp,
    mailbox: u64,
) -> Option<Vec<(u64, MessageId, Vec<u8>)>> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let (messages, more) =
            store.fetch(now, &receive(mailbox), after, 100).await.expect("fetches")?;
        all.extend(messages.into_iter().map(|found| (found.sequence, found.id, found.frame)));
        if !more {
            return Some(all);
        }
        after = all.last().expect("more behind something").0;
    }
}

/// The sequences of all messages of a mailbox.
pub(crate) async fn sequences(store: &dyn Store, now: Timestamp, mailbox: u64) -> Vec<u64> {
    let messages = read(store, now, mailbox).await.expect("a mailbox");
    messages.into_iter().map(|(sequence, ..)| sequence).collect()
}

pub(crate) async fn claim(
    store: &dyn Store,
    now: Timestamp,
    of: &Device,
    by: u32,
    number: u64,
) -> Taken {
    let taken = store.claim(now, &caller(by), of, &nonce(number)).await.expect("claims");
    taken.expect("a known device")
}

/// The X25519 and the ML-KEM key of a claim.
pub(crate) fn keys(taken: &Taken) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let key = |key: &Option<crate::wire::ClaimedKey>| key.as_ref().map(|k| k.key.clone());
    (key(&taken.claimed.x25519), key(&taken.claimed.kem))
}

/// Sweeps until there is nothing to do.
pub(crate) async fn sweep(store: &dyn Store, now: Timestamp, limit: u32) -> usize {
    let mut steps = 1;
    while store.sweep(now, limit).await.expect("sweeps") {
        steps += 1;
    }
    steps
}
