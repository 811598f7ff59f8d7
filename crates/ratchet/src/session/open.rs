//! Opening a message.

use core::{fmt, iter, mem};

use sealwire_core::{DecodeReason, Timestamp, aead::TAG_LEN, codec::Reader, pad, wipe};
use zeroize::Zeroizing;

use super::{Change, Prefix, ReceivingChain, Sending, Session, Step};
use crate::{
    Error,
    chain_key::ReceivingChainKey,
    header::{FieldKind, Header, HeaderKey, TYPE_MESSAGE, VERSION},
    kem_ratchet::{FIELD_LEN, KemRatchet, is_well_formed},
    limits::{MAX_COUNTER, MAX_SKIP},
    message_key::MessageKey,
    root_key::RootKey,
    skipped::{Batch, OldChain},
};

/// An opened message.
#[non_exhaustive]
#[must_use = "the plaintext must not be used before the step is applied and stored"]
pub struct Opened {
    /// What the peer sealed.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// What opening changed.
    pub step: Step,
}

/// What an opened message changes.
pub(super) struct Received {
    position: Position,
    kem: Option<KemRatchet>,
}

/// Where an opened message was.
enum Position {
    /// Its key was stored.
    Stored { chain: u32, n: u32 },
    /// In the newest chain, behind `skipped`.
    Newest { key: ReceivingChainKey, n: u32, skipped: Keys },
    /// In a new chain.
    New(NewChain),
}

/// Keys of skipped messages of one chain.
type Keys = Vec<(u32, MessageKey)>;

/// A receiving step and the chain that it began.
struct NewChain {
    number: u32,
    header: Header,
    key: ReceivingChainKey,
    root: RootKey,
    next_header: HeaderKey,
    mixed: bool,
    /// Of the chain before.
    skipped_before: Keys,
    skipped: Keys,
}

/// The parts of a message.
struct Parts<'a> {
    header: &'a [u8],
    body: &'a [u8],
}

/// The chain that a header is of.
enum Chain<'a> {
    Newest(&'a ReceivingChain),
    New,
    Old(&'a OldChain),
}

/// A header that fits the session, and what it moves.
struct Found<'a> {
    position: Position,
    message: Key<'a>,
    /// The KEM ratchet behind a receiving step that mixed a secret.
    kem: Option<KemRatchet>,
}

enum Key<'a> {
    Stored(&'a MessageKey),
    Derived(MessageKey),
}

impl Session {
    /// Opens a message, without the prefix. Nothing is changed: apply the step and store the
    /// session before the plaintext is used.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are no message of this version; [`Error::Duplicate`] and
    /// [`Error::SkipLimit`], which are for local eyes; else [`Error::Open`], without a reason.
    pub fn open(&self, now: Timestamp, message: &[u8]) -> Result<Opened, Error> {
        let parts = self.split(message)?;
        wipe::stack(|| self.open_parts(self.clock(now), &parts))
    }

    // RAT-21
    fn open_parts(&self, now: Timestamp, parts: &Parts<'_>) -> Result<Opened, Error> {
        let (chain, header) = self.identify(parts.header)?;
        let Found { position, message, kem } = match chain {
            Chain::Newest(chain) => self.in_newest(chain, &header, now),
            Chain::Old(chain) => self.in_old(chain, &header, now),
            Chain::New => self.in_new(&header),
        }?;
        let message = match &message {
            Key::Stored(key) => key,
            Key::Derived(key) => key,
        };
        let mut content = self.open_body(parts, &header, message)?;
        let received = match content.first_chunk::<FIELD_LEN>() {
            Some(field) if self.profile.pq => {
                let state = kem.as_ref().unwrap_or(&self.kem);
                state.receive(self.suite, header.epoch, header.kind, field)?
            }
            _ => None,
        };
        content.drain(..self.profile.field_len());
        let received = Received { position, kem: received.or(kem) };
        let step = self.step(now, Change::Received(Box::new(received)));
        Ok(Opened { plaintext: content, step })
    }

    /// Takes a message apart.
    // RAT-1, RAT-4
    fn split<'a>(&self, message: &'a [u8]) -> Result<Parts<'a>, Error> {
        let mut reader = Reader::new("ratchet message", message);
        reader.version(VERSION)?;
        if reader.u8()? != TYPE_MESSAGE {
            return Err(reader.error(DecodeReason::Invalid("type is 2")).into());
        }
        let header = reader.take(self.profile.header_len())?;
        let prefix_len = match &self.prefix {
            Prefix::Known(prefix) => usize::from(prefix.len),
            Prefix::Gone | Prefix::Due(_) => 0,
        };
        let is_frame = |len| pad::FRAME_CLASSES.contains(&len);
        if !is_frame(message.len()) && !is_frame(message.len().saturating_add(prefix_len)) {
            return Err(reader.error(DecodeReason::Invalid("frames have four lengths")).into());
        }
        Ok(Parts { header, body: reader.rest() })
    }

    /// The chain under whose header key the header opens.
    // RAT-18
    fn identify(&self, header: &[u8]) -> Result<(Chain<'_>, Header), Error> {
        if !self.profile.header_encryption {
            return self.identify_clear(header);
        }
        let sealed = header.try_into().map_err(|_| Error::Open)?;
        let newest = self.receiving.iter().map(|chain| (&chain.header, Chain::Newest(chain)));
        let new = iter::once((&self.next_receiving, Chain::New));
        let old = self.skipped.chains.iter().rev();
        let old = old.map(|chain| (&chain.header, Chain::Old(chain)));
        let mut buffer = Vec::with_capacity(header.len());
        let chain = newest
            .chain(new)
            .chain(old)
            .find_map(|(key, chain)| key.open(sealed, &mut buffer).then_some(chain))
            .ok_or(Error::Open)?;
        let header = Header::decode(&buffer).ok_or(Error::Open)?;
        Ok((chain, header))
    }

    /// A header in clear is of the chain with its public key.
    fn identify_clear(&self, header: &[u8]) -> Result<(Chain<'_>, Header), Error> {
        let header = Header::decode(header).ok_or(Error::Open)?;
        let newest = self.receiving.iter().find(|chain| chain.dh == header.dh);
        let old = || self.skipped.chains.iter().find(|chain| chain.dh == header.dh);
        let chain = newest.map(Chain::Newest).or_else(|| old().map(Chain::Old));
        Ok((chain.unwrap_or(Chain::New), header))
    }

    // RAT-16, RAT-19
    fn in_newest<'a>(
        &'a self,
        chain: &'a ReceivingChain,
        header: &Header,
        now: Timestamp,
    ) -> Result<Found<'a>, Error> {
        if header.dh != chain.dh || header.epoch != chain.epoch {
            return Err(Error::Open);
        }
        let Some(ahead) = header.n.checked_sub(chain.n) else {
            return self.stored(chain.number, header.n, now);
        };
        if ahead > MAX_SKIP {
            return Err(Error::SkipLimit);
        }
        let (key, skipped) = skip(&chain.key, chain.n, header.n);
        let (key, message) = key.as_ref().unwrap_or(&chain.key).step();
        Ok(Found {
            position: Position::Newest { key, n: header.n.saturating_add(1), skipped },
            message: Key::Derived(message),
            kem: None,
        })
    }

    fn in_old<'a>(
        &'a self,
        chain: &'a OldChain,
        header: &Header,
        now: Timestamp,
    ) -> Result<Found<'a>, Error> {
        if header.dh != chain.dh || header.epoch != chain.epoch {
            return Err(Error::Open);
        }
        self.stored(chain.number, header.n, now)
    }

    fn stored(&self, chain: u32, n: u32, now: Timestamp) -> Result<Found<'_>, Error> {
        let key = self.skipped.find(chain, n, now, self.received).ok_or(Error::Duplicate)?;
        Ok(Found { position: Position::Stored { chain, n }, message: Key::Stored(key), kem: None })
    }

    // RAT-9, RAT-19
    fn in_new(&self, header: &Header) -> Result<Found<'_>, Error> {
        // An honest peer begins a chain only after it has heard from our last one.
        let pair = match &self.sending {
            Sending::Waiting { prekey } => prekey,
            Sending::Chain(chain) => &chain.pair,
            Sending::Due { .. } => return Err(Error::Open),
        };
        let (number, derived) = match &self.receiving {
            Some(chain) => (chain.number.saturating_add(1), chain.n),
            None => (0, 0),
        };
        let missing = header.pn.checked_sub(derived).ok_or(Error::Open)?;
        if number >= MAX_COUNTER || (self.receiving.is_none() && missing > 0) {
            return Err(Error::Open);
        }
        let (mixed, kem) = self.kem.receiving_step(header.epoch)?.unzip();
        if missing.saturating_add(header.n) > MAX_SKIP {
            return Err(Error::SkipLimit);
        }

        let turned = self.root.step(self.suite, &pair.agree(&header.dh)?, mixed)?;
        let skipped_before = match &self.receiving {
            Some(chain) => skip(&chain.key, chain.n, header.pn).1,
            None => Keys::new(),
        };
        let first = turned.chain.into_receiving();
        let (key, skipped) = skip(&first, 0, header.n);
        let (key, message) = key.as_ref().unwrap_or(&first).step();
        let new = NewChain {
            number,
            header: header.clone(),
            key,
            root: turned.root,
            next_header: turned.next_header,
            mixed: mixed.is_some(),
            skipped_before,
            skipped,
        };
        Ok(Found { position: Position::New(new), message: Key::Derived(message), kem })
    }

    /// The field, if there is one, and the plaintext.
    // RAT-3, RAT-4, RAT-13
    fn open_body(
        &self,
        parts: &Parts<'_>,
        header: &Header,
        message: &MessageKey,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let cipher = message.cipher(self.suite, parts.header)?;
        let associated = self.associated(parts.header);
        let (body, tag) = parts.body.split_last_chunk::<TAG_LEN>().ok_or(Error::Open)?;
        let mut content = Zeroizing::new(body.to_vec());
        cipher.key.open_detached(&cipher.nonce, &associated, &mut content, tag)?;

        let len = pad::unpad(&content).map_err(|_| Error::Open)?.len();
        content.truncate(len);
        let sound = match content.first_chunk() {
            Some(field) if self.profile.pq => is_well_formed(header.kind, self.role.other(), field),
            Some(_) | None => !self.profile.pq && header.kind == FieldKind::Nothing,
        };
        if sound { Ok(content) } else { Err(Error::Open) }
    }

    pub(super) fn apply_received(&mut self, received: Received, now: Timestamp) {
        let Received { position, kem } = received;
        self.received = self.received.saturating_add(1);
        if let Some(kem) = kem {
            self.kem = kem;
        }
        match position {
            Position::Stored { chain, n } => self.skipped.remove(chain, n),
            Position::Newest { key, n, skipped } => {
                if let Some(chain) = &mut self.receiving {
                    chain.key = key;
                    chain.n = n;
                    let number = chain.number;
                    self.keep(number, skipped, now);
                }
            }
            Position::New(new) => self.apply_new(new, now),
        }
    }

    // RAT-9
    fn apply_new(&mut self, new: NewChain, now: Timestamp) {
        let NewChain { number, header, key, root, next_header, mixed, skipped_before, skipped } =
            new;
        self.steps = self.steps_after(mixed);
        self.root = root;
        let pn = match &self.sending {
            Sending::Chain(chain) => chain.n,
            Sending::Waiting { .. } | Sending::Due { .. } => 0,
        };
        self.sending = Sending::Due { pn };
        let chain = ReceivingChain {
            number,
            dh: header.dh,
            header: mem::replace(&mut self.next_receiving, next_header),
            key,
            n: header.n.saturating_add(1),
            epoch: header.epoch,
        };
        if let Some(before) = self.receiving.replace(chain) {
            self.keep(before.number, skipped_before, now);
            self.skipped.retire(before);
        }
        self.keep(number, skipped, now);
    }

    fn keep(&mut self, chain: u32, keys: Keys, now: Timestamp) {
        if !keys.is_empty() {
            self.skipped.add(Batch { chain, stored: now, received: self.received, keys });
        }
    }
}

/// The keys of messages `from` to `to - 1`, and the chain key of `to` where that is another.
// RAT-20
fn skip(key: &ReceivingChainKey, from: u32, to: u32) -> (Option<ReceivingChainKey>, Keys) {
    let count = usize::try_from(to.saturating_sub(from)).unwrap_or_default();
    let mut keys = Keys::with_capacity(count);
    let mut current = None;
    for n in from..to {
        let (next, message) = current.as_ref().unwrap_or(key).step();
        keys.push((n, message));
        current = Some(next);
    }
    (current, keys)
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plaintext: _, step } = self;
        f.debug_struct("Opened").field("step", step).finish_non_exhaustive()
    }
}
