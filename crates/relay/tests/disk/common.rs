//! Mailboxes, frames and devices by number.

use std::{env, future::Future, process::Command};

use sealwire_core::{Timestamp, keys::SigningKey, secret::Secret};
use sealwire_identity::AgentId;
use sealwire_relay::{
    Caller, Device, MessageId, Nonce, ReceiveId, SendId, Token,
    store::{Appended, Deposit, Directory, Mailboxes, Outcome, SqliteStore, Taken},
    wire::{Check, Kind, MailboxKind, NewMailbox, Page, Publish, Published},
};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn bytes(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(crate) fn receive(number: u64) -> ReceiveId {
    ReceiveId::from_bytes(bytes(number))
}

pub(crate) fn nonce(number: u64) -> Nonce {
    Nonce::from_bytes(bytes(number))
}

pub(crate) fn message(number: u64) -> MessageId {
    MessageId::from_bytes(bytes(number))
}

pub(crate) fn caller() -> Caller {
    Caller::of("a caller")
}

pub(crate) fn deposit(mailbox: u64, id: u64) -> Deposit {
    Deposit {
        mailbox: receive(mailbox),
        token: Token::from_bytes([1; 16]),
        message: message(id),
        frame: frame(id),
    }
}

/// 2 KiB that depend on the id.
pub(crate) fn frame(id: u64) -> Vec<u8> {
    (0..256_u64).flat_map(|part| (id.wrapping_mul(0x9E37_79B9) ^ part).to_be_bytes()).collect()
}

pub(crate) fn device(number: u8) -> Device {
    let key = SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(number)));
    Device { agent: AgentId::from_key(key.public()), number: 0 }
}

pub(crate) async fn create(store: &SqliteStore, number: u64) -> Outcome {
    let new = NewMailbox {
        send: SendId::from_bytes(bytes(1_000_000 + number)),
        kind: MailboxKind::Pairwise,
        secret: Secret::init_with(|secret| secret.fill(1)),
        lifetime: 7 * 24 * 60 * 60,
        per_token: 1000,
    };
    store.create(NOW, &receive(number), &new).await.expect("creates")
}

pub(crate) async fn append(store: &SqliteStore, mailbox: u64, id: u64) -> Appended {
    store.append(NOW, &[deposit(mailbox, id)]).await.expect("appends")[0]
}

/// The sequences and ids of all messages of a mailbox; their frames are what they were.
pub(crate) async fn read(store: &SqliteStore, mailbox: u64) -> Vec<(u64, MessageId)> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let found = store.fetch(NOW, &receive(mailbox), after, 100).await.expect("fetches");
        let (messages, more) = found.expect("a mailbox");
        for found in messages {
            let id = u64::from_be_bytes(found.id.as_bytes()[8..].try_into().expect("8 bytes"));
            assert!(found.frame == frame(id), "another frame");
            after = found.sequence;
            all.push((found.sequence, found.id));
        }
        if !more {
            return all;
        }
    }
}

pub(crate) async fn publish(store: &SqliteStore, of: &Device) -> Outcome {
    let published = Published { card: vec![1; 500], bundle: vec![2; 1500] };
    let check = Check { card: [1; 32], bundle: [2; 32], sequence: 1 };
    let publish = Publish { published, contact: None };
    let until = NOW.plus(100 * 24 * 60 * 60);
    store.publish(of, &publish, &check, until).await.expect("publishes")
}

pub(crate) async fn add_page(store: &SqliteStore, of: &Device, base: u32, count: u32) -> Outcome {
    let keys = (base..base + count).map(|id| id.to_be_bytes().to_vec()).collect();
    let not_after = NOW.plus(50 * 24 * 60 * 60);
    let page = Page { not_after, header: b"header".to_vec(), keys };
    store.add_page(NOW, of, Kind::X25519, base, &page).await.expect("adds")
}

pub(crate) async fn claim(store: &SqliteStore, of: &Device, number: u64) -> Taken {
    let taken = store.claim(NOW, &caller(), of, &nonce(number)).await.expect("claims");
    taken.expect("a known device")
}

/// The id of the X25519 key of a claim.
pub(crate) async fn claimed(store: &SqliteStore, of: &Device, number: u64) -> Option<u32> {
    let key = claim(store, of, number).await.claimed.x25519?.key;
    Some(u32::from_be_bytes(key.try_into().expect("4 bytes")))
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).build().expect("a runtime").block_on(future)
}

/// How often: more when there is time, which `SEALWIRE_LONG=1` asks for.
pub(crate) fn rounds(few: u32) -> u32 {
    if env::var_os("SEALWIRE_LONG").is_some_and(|value| value == "1") { 20 * few } else { few }
}

/// A test of this binary as a process of its own: it finds `argument` in `SEALWIRE_CHILD`.
pub(crate) fn process(test: &str, argument: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--nocapture"]).env("SEALWIRE_CHILD", argument);
    command
}

/// What the process was started with; `None` when no test has started it.
pub(crate) fn argument() -> Option<String> {
    env::var("SEALWIRE_CHILD").ok()
}
