//! What was done with objects and keys: a chain of lines of JSON.
//!
//! ```text
//! {"seq":0,"time":…,"prev":"00…","event":{"kind":"started","log":"…"},"hash":"h0"}
//! {"seq":1,"time":…,"prev":"h0","event":{"kind":"sealed","object":"…"},"hash":"h1"}
//! {"seq":2,"time":…,"prev":"h1","event":{"kind":"checkpoint","key":"…","signature":"…"},"hash":"h2"}
//! ```
//!
//! Each line holds the hash of the one before it, and a checkpoint is signed: no line before it
//! can be changed, left out, added or moved unseen. Lines behind the last checkpoint can be cut
//! off; whoever keeps a [`Checkpoint`] elsewhere sees that too.

mod event;
mod verify;

use sealwire_core::{
    KeyStore, Timestamp, kdf,
    keys::VerifyingKey,
    label::{Context, Label},
};
use serde::{Deserialize, Serialize};

use crate::{Error, hex};
pub use event::{Counts, Event};
use event::{Payload, Signed};
pub use verify::{Report, Verifier, prune};

/// For so many days events are kept by default.
pub const KEEP_DAYS: u64 = 30;

/// Length of the longest line, in bytes: two names of keys, escaped, and what stands around them.
pub const MAX_LINE: usize = 16 * 1024;

const HASH_LEN: usize = kdf::HASH_LEN;

/// The writer's side of a log: where the next line goes.
///
/// A line that was made and not written breaks the chain: begin again from what was written, with
/// [`Report::resume`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    next: u64,
    head: [u8; HASH_LEN],
}

/// A signed line of a log, to be kept where whoever can cut the log cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    seq: u64,
    hash: [u8; HASH_LEN],
}

/// A line but for its hash.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    seq: u64,
    time: u64,
    prev: String,
    event: Payload,
}

impl AuditLog {
    /// Begins a log with a name of its own, and gives its first line.
    ///
    /// # Errors
    /// [`Error::Unreachable`] only.
    pub fn start(log: [u8; 16], now: Timestamp) -> Result<(Self, String), Error> {
        let mut this = Self { next: 0, head: [0; HASH_LEN] };
        let line = this.add(Payload::Started { log: hex::encode(&log) }, now)?;
        Ok((this, line))
    }

    /// The line of an event, without an end of line.
    ///
    /// # Errors
    /// [`Error::Misuse`] after 2^64 events.
    pub fn append(&mut self, event: &Event, now: Timestamp) -> Result<String, Error> {
        self.add(event.to_payload(), now)
    }

    /// A line that signs all before it.
    ///
    /// # Errors
    /// [`Error::KeyStore`].
    pub fn checkpoint(
        &mut self,
        keys: &dyn KeyStore,
        now: Timestamp,
    ) -> Result<(String, Checkpoint), Error> {
        let seq = self.next;
        let signature = keys.sign(&signed(seq, now, &self.head)?)?;
        let signed = Signed {
            key: hex::encode(keys.identity().as_bytes()),
            signature: hex::encode(signature.as_bytes()),
        };
        let line = self.add(Payload::Checkpoint(signed), now)?;
        Ok((line, Checkpoint { seq, hash: self.head }))
    }

    // ENV-33, ENV-34
    fn add(&mut self, event: Payload, now: Timestamp) -> Result<String, Error> {
        let (seq, prev) = (self.next, hex::encode(&self.head));
        let next = seq.checked_add(1).ok_or(Error::Misuse("a log under 2^64 events"))?;
        let body = text(&Body { seq, time: now.as_secs(), prev, event })?;
        let hash = chained(&self.head, &body)?;
        (self.next, self.head) = (next, hash);
        Ok(format!("{body}{HASH_FIELD}{}\"}}", hex::encode(&hash)))
    }
}

impl Checkpoint {
    /// A checkpoint that was kept: the number of its line, and the line's hash.
    pub const fn new(seq: u64, hash: [u8; HASH_LEN]) -> Self {
        Self { seq, hash }
    }

    /// The number of its line.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of its line.
    pub const fn hash(&self) -> &[u8; HASH_LEN] {
        &self.hash
    }
}

/// What stands between the body of a line, without its closing brace, and the hash.
const HASH_FIELD: &str = ",\"hash\":\"";

/// The JSON of a body without its closing brace.
fn text(body: &Body) -> Result<String, Error> {
    let mut text =
        serde_json::to_string(body).map_err(|_| Error::Unreachable("text and numbers are JSON"))?;
    text.pop();
    Ok(text)
}

/// `SHA-256(label || hash of the line before || body)`
// ENV-33
fn chained(prev: &[u8; HASH_LEN], body: &str) -> Result<[u8; HASH_LEN], Error> {
    let context = Label::ENVELOPE_AUDIT.context(None, &[prev, body.as_bytes()])?;
    Ok(kdf::sha256(&[context.as_bytes()]))
}

/// `label || seq u64 || time u64 || hash of the line before`
// ENV-34
fn signed(seq: u64, time: Timestamp, prev: &[u8; HASH_LEN]) -> Result<Context, Error> {
    let fields = [&seq.to_be_bytes()[..], &time.as_secs().to_be_bytes(), prev];
    Ok(Label::ENVELOPE_CHECKPOINT.context(None, &fields)?)
}

/// A line that was taken apart: what it says, and its hash, which is that of its bytes.
struct Parsed {
    seq: u64,
    time: Timestamp,
    prev: [u8; HASH_LEN],
    hash: [u8; HASH_LEN],
    event: Payload,
}

impl Parsed {
    /// Takes only what [`AuditLog`] writes.
    fn from_line(line: &str) -> Result<Self, &'static str> {
        // ENV-33: bounded before anything else.
        if line.len() > MAX_LINE {
            return Err("it is longer than any line of a log");
        }
        let (body, hash) = line.rsplit_once(HASH_FIELD).ok_or("it has no hash at its end")?;
        let hash = hash.strip_suffix("\"}").and_then(hex::decode).ok_or("its hash is no hash")?;
        let parsed: Body =
            serde_json::from_str(&format!("{body}}}")).map_err(|_| "it is no event")?;
        if text(&parsed).map_err(|_| "it is no event")? != body {
            return Err("it is not written as events are");
        }
        let Body { seq, time, prev, event } = parsed;
        let prev = hex::decode(&prev).ok_or("the hash of the line before is no hash")?;
        event.check()?;
        if chained(&prev, body).map_err(|_| "it is no event")? != hash {
            return Err("it was changed: its hash is another");
        }
        Ok(Self { seq, time: Timestamp::from_secs(time), prev, hash, event })
    }

    /// Whether this is a checkpoint that `signer` signed.
    fn is_signed_by(&self, signer: Option<&VerifyingKey>) -> Result<bool, &'static str> {
        let Payload::Checkpoint(Signed { key, signature }) = &self.event else {
            return Ok(false);
        };
        let signer = signer.ok_or("it is a checkpoint, and there is no key to verify it with")?;
        if key != &hex::encode(signer.as_bytes()) {
            return Err("the checkpoint is by another key");
        }
        let signature = hex::decode::<64>(signature).ok_or("the signature is no signature")?;
        let signature = sealwire_core::keys::Signature::from_bytes(&signature);
        let message = signed(self.seq, self.time, &self.prev);
        let (Ok(signature), Ok(message)) = (signature, message) else {
            return Err("the signature is no signature");
        };
        let verified = signer.verify(&message, &signature);
        verified.map(|()| true).map_err(|_| "the checkpoint's signature does not verify")
    }
}
