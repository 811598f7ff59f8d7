//! Objects at rest: in memory, in files, and their key records.

mod file;
mod records;

use std::{
    pin::pin,
    sync::Arc,
    task::{self, Poll, Waker},
};

use sealwire::{core::Suite, custody::system_rng};
use sealwire_bench::{Failure, Request, busy_rate};
use sealwire_envelope::{
    Context, Draft, Error, Head, KeyRecord, Pairs,
    kms::Kms,
    local::{LocalKek, LocalKeys},
};

use crate::side::NOW;

const MIB: u32 = 1024 * 1024;

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    match request.name.as_str() {
        "seal 64KiB mem" => seal(request, MIB / 16),
        "seal 64MiB mem" => seal(request, 64 * MIB),
        "open 64MiB mem" => open(request, 64 * MIB),
        "range" | "range, file" | "many" | "rewrap" => records::measure(request),
        _ => file::measure(request),
    }
}

/// Whose objects these are.
struct Owner {
    kek: Box<dyn Kms>,
    context: Context,
    required: Pairs,
}

impl Owner {
    fn new() -> Result<Self, Failure> {
        let keys = Arc::new(LocalKeys::generate("bench", &mut system_rng())?);
        Ok(Self {
            kek: Box::new(LocalKek::new(keys, system_rng())),
            context: Context::new([("tenant", "acme"), ("content-type", "text/plain")])?,
            required: Pairs::new([("tenant", "acme")])?,
        })
    }

    /// An object, and its key record. Memory that is long enough is used again.
    fn seal(&self, content: &[u8], out: &mut Vec<u8>) -> Result<KeyRecord, Failure> {
        let draft = Draft::new(Suite::AesGcm, &self.context, &mut system_rng())?;
        let record = ready(KeyRecord::wrap(&draft, &*self.kek, NOW))?;
        let layout = draft.layout(u64::try_from(content.len())?)?;
        out.resize(usize::try_from(layout.body_len())?, 0);
        draft.seal_to_slice(&record, content, out)?;
        Ok(record)
    }
}

/// An object from the drawing of its key to the encoding of its record, in memory that was used
/// before.
fn seal(request: &Request, len: u32) -> Result<f64, Failure> {
    let owner = Owner::new()?;
    let content = vec![0xA5; usize::try_from(len)?];
    let mut sealed = Vec::new();
    let rate = busy_rate(request.time, || Ok(owner.seal(&content, &mut sealed)?.to_bytes()))?;
    Ok(rate * f64::from(len))
}

/// An object and its record, from their bytes.
fn open(request: &Request, len: u32) -> Result<f64, Failure> {
    let owner = Owner::new()?;
    let mut sealed = Vec::new();
    let record = owner.seal(&vec![0xA5; usize::try_from(len)?], &mut sealed)?.to_bytes();
    let mut opened = Vec::new();
    let rate = busy_rate(request.time, || {
        let (head, _) = Head::split(&sealed)?;
        let record = KeyRecord::from_bytes(&record)?;
        let unlocked = ready(record.unlock(&*owner.kek, &head, &owner.required, &()))?;
        let layout = unlocked.layout(u64::try_from(sealed.len())?)?;
        opened.resize(usize::try_from(layout.plaintext_len())?, 0);
        unlocked.open_to_slice(&sealed, &mut opened)?;
        Ok(opened.len())
    })?;
    Ok(rate * f64::from(len))
}

/// What a future gives that waits for nothing: keys and objects are here. Without a runtime a
/// store does on this thread all that it would hand to another.
fn ready<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match pin!(future).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result?),
        Poll::Pending => Err("it waits for another thread".into()),
    }
}
