//! Fills a store before a relay runs over it.

use std::path::Path;

use futures_util::future::try_join_all;
use sealwire::core::kdf;
use sealwire_bench::Failure;
use sealwire_relay::{
    limits::MAX_PAGE_KEYS,
    store::{Outcome, SqliteStore, Store},
    wire::{Check, Kind, Page, Publish, Published},
};
use tokio::runtime::Builder;

use crate::people::{self, Owner};

/// About what they have in truth, in bytes.
const CARD_LEN: usize = 512;
const BUNDLE_LEN: usize = 1536;
const HEADER_LEN: usize = 160;

/// Keys with their paths, in bytes, and how many a page has of each kind.
const X25519: (Kind, usize, u32) = (Kind::X25519, 270, 100);
const ML_KEM: (Kind, usize, u32) = (Kind::MlKem, 1350, 20);

/// How long all of it is good, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// Calls of the store that are under way at a time: they share transactions.
const TOGETHER: usize = 512;

/// What a relay holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Content {
    pub(crate) mailboxes: u32,
    /// Agents with a card and a bundle.
    pub(crate) agents: u32,
    /// One-time keys of each kind, for each of them.
    pub(crate) keys: u32,
}

/// Makes a store in a folder.
pub(crate) fn fill_folder(folder: &Path, content: Content) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().build()?;
    runtime.block_on(fill(&SqliteStore::open(folder)?, content))
}

/// Fills an empty store.
pub(crate) async fn fill(store: &impl Store, content: Content) -> Result<(), Failure> {
    let Content { mailboxes, agents, keys } = content;
    for part in sorted(mailboxes, |number| *Owner::new(*number).receive.as_bytes()).chunks(TOGETHER)
    {
        try_join_all(part.iter().map(|number| make_mailbox(store, *number))).await?;
    }
    for part in sorted(agents, |number| people::device_hash(*number)).chunks(TOGETHER) {
        try_join_all(part.iter().map(|number| publish(store, *number, keys))).await?;
    }
    Ok(())
}

/// All numbers below `end`, in the order of the keys that they are kept under: in another, each
/// row would be written with a page of its own, and a million take an hour.
fn sorted<K: Ord>(end: u32, key: impl FnMut(&u32) -> K) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..end).collect();
    numbers.sort_by_cached_key(key);
    numbers
}

async fn make_mailbox(store: &impl Store, number: u32) -> Result<(), Failure> {
    let owner = Owner::new(number);
    made(store.create(people::now(), &owner.receive, &owner.mailbox()).await?)
}

async fn publish(store: &impl Store, number: u32, keys: u32) -> Result<(), Failure> {
    let (now, device) = (people::now(), people::device(number));
    let (card, bundle) = (content("card", number, CARD_LEN), content("bundle", number, BUNDLE_LEN));
    let check = Check { card: kdf::sha256(&[&card]), bundle: kdf::sha256(&[&bundle]), sequence: 1 };
    let publish = Publish { published: Published { card, bundle }, contact: None };
    made(store.publish(&device, &publish, &check, now.plus(DAY)).await?)?;
    for (kind, len, most) in [X25519, ML_KEM] {
        debug_assert!(usize::try_from(most).is_ok_and(|most| most <= MAX_PAGE_KEYS));
        for base in (0..keys).step_by(usize::try_from(most)?) {
            let ids = base..base.saturating_add(most).min(keys);
            let header = content("header", base, HEADER_LEN);
            let keys = ids.map(|id| content("key", id, len)).collect();
            let page = Page { not_after: now.plus(DAY), header, keys };
            made(store.add_page(now, &device, kind, base, &page).await?)?;
        }
    }
    Ok(())
}

fn made(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Done => Ok(()),
        _ => Err(format!("a store could not be filled: {outcome:?}").into()),
    }
}

/// Bytes that differ from those of another number.
fn content(what: &str, number: u32, len: usize) -> Vec<u8> {
    let mut content = people::nonce(what, number).to_vec();
    content.resize(len, 0x5A);
    content
}
