//! What the tests share: a local key service, and objects sealed under it.

use core::{
    future::Future,
    pin::pin,
    task::{Context as Task, Poll, Waker},
};
use std::sync::Arc;

use sealwire_core::{Suite, Timestamp};
use sealwire_envelope::{
    Context, Draft, Error, Head, KeyRecord, Pairs, Unlocked,
    local::{LocalKek, LocalKeys},
};
use sealwire_testkit::rng::SeededRng;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The result of a future that waits for nothing.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}

pub(crate) fn kek(seed: u64) -> LocalKek<SeededRng> {
    let keys = LocalKeys::generate("test", &mut SeededRng::new(seed)).unwrap();
    LocalKek::new(Arc::new(keys), SeededRng::new(seed + 1_000))
}

pub(crate) fn context() -> Context {
    Context::new([("tenant", "acme"), ("content-type", "text/plain")]).unwrap()
}

pub(crate) fn tenant(name: &str) -> Pairs {
    Pairs::new([("tenant", name)]).unwrap()
}

/// So many bytes, no two chunks of which are alike.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i ^ (i >> 8) ^ (i >> 14)) & 0xFF).unwrap()).collect()
}

/// An object and its key record.
pub(crate) struct Stored {
    pub(crate) body: Vec<u8>,
    pub(crate) record: KeyRecord,
}

pub(crate) fn seal(kek: &LocalKek<SeededRng>, suite: Suite, seed: u64, plaintext: &[u8]) -> Stored {
    let draft = Draft::new(suite, &context(), &mut SeededRng::new(seed)).unwrap();
    let record = now_or_never(KeyRecord::wrap(&draft, kek, NOW)).unwrap();
    let body = draft.seal(&record, plaintext).unwrap();
    Stored { body, record }
}

/// The object unlocked, if its head can be read at all.
pub(crate) fn unlock(
    kek: &LocalKek<SeededRng>,
    stored: &Stored,
    required: &Pairs,
) -> Result<Unlocked, Error> {
    let (head, _) = Head::split(&stored.body)?;
    now_or_never(stored.record.unlock(kek, &head, required, &()))
}

pub(crate) fn open(kek: &LocalKek<SeededRng>, stored: &Stored) -> Result<Vec<u8>, Error> {
    Ok(unlock(kek, stored, &tenant("acme"))?.open(&stored.body)?.to_vec())
}
