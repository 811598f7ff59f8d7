//! A party over standard input and output, for interoperability tests with
//! `xtask/interop/envelope_peer.py`, which describes the commands. Each line in is a command, each
//! line out its answer.
#![forbid(unsafe_code)]
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::{
    error::Error,
    future::Future,
    io::{BufRead, Write, stdin, stdout},
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, Waker},
};

use sealwire_core::{Suite, Timestamp};
use sealwire_envelope::{
    Context, Draft, Error as Refused, Head, KeyRecord, Pairs,
    kms::{Kms, Wrapped},
    local::{LOCAL_ALGORITHM, LocalKek, LocalKeys},
};
use serde_json::{Value, json};

#[expect(clippy::disallowed_types, reason = "a program draws its own randomness")]
type Rng = getrandom::SysRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    // The key that both parties know: version 7 of "interop", 32 bytes of 0x4B.
    let keys = [&[1, 0, 7][..], b"interop", &[0, 1, 0, 0, 0, 7], &[0x4B; 32]].concat();
    let kek = LocalKek::new(Arc::new(LocalKeys::from_bytes(&keys)?), Rng::default());
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let answer = match command["op"].as_str() {
            Some("seal") => seal(&kek, &command)?,
            Some("open") => match open(&kek, &command)? {
                Ok(plaintext) => json!({ "plaintext": plaintext }),
                Err(Refused::Open) => json!({ "refused": true }),
                Err(other) => return Err(other.into()),
            },
            _ => return Err("usage: seal or open".into()),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn seal(kek: &LocalKek<Rng>, command: &Value) -> Result<Value, Box<dyn Error>> {
    let suite = u8::try_from(command["suite"].as_u64().ok_or("a suite")?)?;
    let context = Context::new(pairs(&command["pairs"])?)?;
    let draft = Draft::new(Suite::from_u8(suite)?, &context, &mut Rng::default())?;
    let record = ready(KeyRecord::wrap(&draft, kek, NOW)).ok_or("a local key is at hand")??;
    let body = draft.seal(&record, &bytes(&command["plaintext"])?)?;
    let slot = record.slots().first().ok_or("a slot")?;
    Ok(json!({ "body": hex::encode(body), "wrapped": hex::encode(&slot.wrapped().ciphertext) }))
}

fn open(kek: &LocalKek<Rng>, command: &Value) -> Result<Result<String, Refused>, Box<dyn Error>> {
    let required = Pairs::new(pairs(&command["required"])?)?;
    let body = bytes(&command["body"])?;
    let Ok((head, _)) = Head::split(&body) else { return Ok(Err(Refused::Open)) };
    let wrapped = Wrapped {
        key: kek.key().clone(),
        version: ready(kek.version()).ok_or("a local key is at hand")??,
        algorithm: LOCAL_ALGORITHM.to_owned(),
        ciphertext: bytes(&command["wrapped"])?,
    };
    let record = KeyRecord::new(head.header().binding(&required)?, wrapped, NOW)?;
    let unlocked = ready(record.unlock(kek, &head, &required, &()));
    let opened = unlocked.ok_or("a local key is at hand")?.and_then(|object| object.open(&body));
    Ok(opened.map(|plaintext| hex::encode(&*plaintext)))
}

fn bytes(value: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(hex::decode(value.as_str().ok_or("hex")?)?)
}

fn pairs(value: &Value) -> Result<Vec<(&str, &str)>, Box<dyn Error>> {
    let pairs = value.as_object().ok_or("pairs")?.iter();
    pairs.map(|(name, value)| Ok((name.as_str(), value.as_str().ok_or("text")?))).collect()
}

/// The result of a future that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
