//! Large messages that come in: which parts of them are here, and what may still come.
//!
//! A row for the large message, and one for each piece of it that has come and that the
//! application has not taken:
//!
//! ```text
//! "large " | contact 16 | message id 16                    what is known of it
//! "part "  | contact 16 | message id 16 | offset u64       bytes
//! ```

use core::ops::Range;
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use sealwire_core::{
    Timestamp,
    kdf::{HASH_LEN, HASH_STATE_LEN, Sha256},
};

use super::{
    Event, Offline,
    contact::ContactKey,
    content::Part,
    rows::{RowReader, RowWriter, each_row},
    spans::{MAX_SPANS, Spans},
};
use crate::{
    Effects, Error,
    agent::Inner,
    delivery::{Device, MessageId},
    store::{Range as Rows, RowKey, Store, Table, Value},
};

/// Prefix of the rows of large messages.
const LARGE: &[u8] = b"large ";

/// Prefix of the rows of their pieces.
const PIECE: &[u8] = b"part ";

/// Large messages of one peer that may be under way, and those of all. Each costs a row, and
/// as long as nothing is read of it no more than that.
// CON-13
const MAX_OPEN_PER_PEER: usize = 16;
const MAX_OPEN: usize = 1024;

/// Ended ones that are remembered of a peer, so that a part which is sent again begins nothing.
// CON-13
const MAX_ENDED_PER_PEER: usize = 64;

/// What a piece costs beside its bytes, so that tiny ones do not cost more than they count for.
// CON-13
const PIECE_COST: u64 = 512;

/// How long nothing may come of a large message before it is given up, in seconds: 30 days, as
/// long as a session that is set aside may still receive. Ended ones are remembered as long.
// CON-14
pub(super) const LIFETIME: u64 = 30 * 24 * 60 * 60;

/// Names a large message: peers choose the ids of their own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LargeKey {
    contact: [u8; 16],
    pub(super) message: MessageId,
}

/// What is known of a large message.
#[derive(Clone)]
pub(super) struct Large {
    pub(super) from: Device,
    pub(super) began: Timestamp,
    /// When something came of it, or was taken, last.
    touched: Timestamp,
    /// Nothing more is wanted of it: it was taken whole, refused, or broken.
    ended: bool,
    pub(super) length: Option<u64>,
    /// Where it ends and SHA-256 of it, once the last part is here.
    pub(super) end: Option<(u64, [u8; HASH_LEN])>,
    /// How much the application has taken, and the hash of that.
    pub(super) taken: u64,
    pub(super) hash: Sha256,
    /// What is here beyond that.
    spans: Spans,
    /// Rows of pieces, and the bytes in them.
    rows: u64,
    bytes: u64,
    /// Whether the sender knows where the rest of it goes, as far as is known. Not stored.
    answered: bool,
}

/// Every large message that there is a row of.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<LargeKey, Large>);

/// What a part changed, once it is stored.
pub(super) struct Taken<'a> {
    ledger: MutexGuard<'a, Ledger>,
    key: LargeKey,
    large: Large,
    /// One that is forgotten for it.
    surplus: Option<LargeKey>,
    event: Option<Event>,
}

/// What a part is not to be: its reason.
type Contradiction = &'static str;

impl LargeKey {
    pub(super) fn new(contact: ContactKey, message: MessageId) -> Self {
        Self { contact: *contact.as_bytes(), message }
    }

    fn row(&self) -> Result<RowKey, Error> {
        Ok(RowKey::new(&[LARGE, &self.contact, self.message.as_bytes()].concat())?)
    }

    fn from_row(key: &RowKey) -> Option<Self> {
        let (contact, message) = key.as_bytes().strip_prefix(LARGE)?.split_first_chunk()?;
        let message = MessageId::from_bytes(message.try_into().ok()?);
        Some(Self { contact: *contact, message })
    }

    fn pieces(&self) -> Vec<u8> {
        [PIECE, &self.contact, self.message.as_bytes()].concat()
    }

    fn piece(&self, offset: u64) -> Result<RowKey, Error> {
        Ok(RowKey::new(&[self.pieces(), offset.to_be_bytes().to_vec()].concat())?)
    }
}

/// Bytes of a large message, from a row.
pub(super) struct Piece {
    pub(super) key: RowKey,
    pub(super) offset: u64,
    pub(super) value: Value,
}

impl Piece {
    const WHAT: &'static str = "row of a part";

    pub(super) fn to_value(bytes: &[u8]) -> Value {
        RowWriter::new(bytes.len()).bytes(bytes).finish()
    }

    pub(super) fn bytes(&self) -> Result<&[u8], Error> {
        Ok(RowReader::new(Self::WHAT, &self.value)?.rest())
    }
}

impl Large {
    const WHAT: &'static str = "row of a large message";

    fn new(from: &Device, part: &Part, now: Timestamp) -> Self {
        Self {
            from: from.clone(),
            began: now,
            touched: now,
            ended: false,
            length: part.length,
            end: None,
            taken: 0,
            hash: Sha256::new(),
            spans: Spans::default(),
            rows: 0,
            bytes: 0,
            answered: false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let Self { from, began, touched, ended, length, end, taken, hash, spans, .. } = self;
        let row = RowWriter::new(spans.len().saturating_mul(16))
            .device(from)
            .time(*began)
            .time(*touched)
            .flag(*ended)
            .maybe(*length, RowWriter::u64)
            .maybe(end.as_ref(), |row, (end, digest)| row.u64(*end).bytes(digest))
            .u64(*taken)
            .bytes(hash.to_state().expose())
            .u64(self.rows)
            .u64(self.bytes);
        spans.iter().fold(row, |row, span| row.u64(span.start).u64(span.end)).finish()
    }

    pub(super) fn from_value(value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let mut large = Self {
            from: row.device()?,
            began: row.time()?,
            touched: row.time()?,
            ended: row.flag()?,
            length: row.maybe(RowReader::u64)?,
            end: row.maybe(|row| Ok((row.u64()?, row.array()?)))?,
            taken: row.u64()?,
            hash: Sha256::from_state(&row.array::<HASH_STATE_LEN>()?)?,
            rows: row.u64()?,
            bytes: row.u64()?,
            spans: Spans::default(),
            answered: false,
        };
        let invalid = row.invalid("stretches of bytes in order");
        let mut spans = Vec::new();
        while !row.is_at_end() {
            spans.push(row.u64()?..row.u64()?);
        }
        large.spans = Spans::from_ranges(spans).ok_or(invalid)?;
        Ok(large)
    }

    /// Takes in where a part belongs, and says what of it is new.
    // CON-8, CON-9
    fn take(&mut self, part: &Part) -> Result<Vec<Range<u64>>, Contradiction> {
        let end = part.end().ok_or("a part ends nowhere")?;
        if part.length != self.length {
            return Err("its parts disagree on the length");
        }
        match (part.digest, self.end) {
            (Some(digest), Some(known)) if known != (end, digest) => {
                return Err("its parts disagree on the end");
            }
            (Some(digest), None) => self.end = Some((end, digest)),
            (None, Some((known, _))) if end >= known => return Err("a part goes beyond its end"),
            _ => {}
        }
        let here = self.spans.end().unwrap_or_default().max(self.taken);
        if self.end.is_some_and(|(known, _)| here > known) {
            return Err("a part goes beyond its end");
        }
        let beyond = part.offset.max(self.taken)..end.max(self.taken);
        let missing = self.spans.missing(beyond);
        missing.iter().for_each(|range| self.spans.add(range.clone()));
        if self.spans.len() > MAX_SPANS {
            return Err("too much of it is missing");
        }
        Ok(missing)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether all that the application has not taken is here.
    pub(super) fn is_complete(&self) -> bool {
        let Some((end, _)) = self.end else { return false };
        let mut spans = self.spans.iter();
        let here = spans.next().cloned().unwrap_or(self.taken..self.taken);
        here == (self.taken..end)
    }

    /// Whether the application finds something to take.
    fn is_readable(&self) -> bool {
        self.spans.start() == Some(self.taken) || self.is_complete()
    }

    fn cost(&self) -> u64 {
        self.rows.saturating_mul(PIECE_COST).saturating_add(self.bytes)
    }

    fn count(&mut self, len: u64) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(len);
    }

    fn uncount(&mut self, rows: u64, len: u64) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(len);
    }

    /// Nothing more is wanted of it.
    fn finish(&mut self, now: Timestamp) {
        self.ended = true;
        self.touched = now;
        self.spans = Spans::default();
        self.hash = Sha256::new();
    }
}

impl Ledger {
    /// Reads what is stored.
    pub(super) fn load(store: &dyn Store) -> Result<Self, Error> {
        let mut ledger = Self::default();
        each_row(store, Table::Meta, LARGE, |row| {
            let key = LargeKey::from_row(&row.key);
            let key = key.ok_or(Error::Unreachable("the key of a large message has two ids"))?;
            ledger.0.insert(key, Large::from_value(&row.value)?);
            Ok(())
        })?;
        Ok(ledger)
    }

    pub(super) fn get(&self, key: &LargeKey) -> Option<&Large> {
        self.0.get(key)
    }

    /// Those under way, oldest first.
    pub(super) fn open(&self) -> Vec<(LargeKey, Large)> {
        let open = self.0.iter().filter(|(_, large)| !large.ended);
        let mut open: Vec<_> = open.map(|(key, large)| (*key, large.clone())).collect();
        open.sort_by_key(|(key, large)| (large.began, *key));
        open
    }

    /// Those of which it is not known whether their sender knows where they go.
    pub(super) fn unanswered(&self) -> Vec<(LargeKey, Device)> {
        let open = self.0.iter().filter(|(_, large)| !large.ended && !large.answered);
        open.map(|(key, large)| (*key, large.from.clone())).collect()
    }

    pub(super) fn set_answered(&mut self, key: &LargeKey) {
        if let Some(large) = self.0.get_mut(key) {
            large.answered = true;
        }
    }

    fn of(&self, key: &LargeKey) -> impl Iterator<Item = (&LargeKey, &Large)> {
        let contact = key.contact;
        let of_contact = |message| LargeKey { contact, message: MessageId::from_bytes(message) };
        self.0.range(of_contact([0; 16])..=of_contact([0xff; 16]))
    }

    fn cost(&self) -> u64 {
        self.0.values().map(Large::cost).fold(0, u64::saturating_add)
    }

    /// Whether there is no room for one more of this peer's, and for one more at all.
    fn is_full_for(&self, key: &LargeKey) -> (bool, bool) {
        let open = |large: &Large| !large.ended;
        (
            self.of(key).filter(|(_, large)| open(large)).count() >= MAX_OPEN_PER_PEER,
            self.0.values().filter(|large| open(large)).count() >= MAX_OPEN,
        )
    }

    /// Puts what becomes of one into the effects, and gives another that is forgotten for it.
    fn put(
        &self,
        key: &LargeKey,
        large: &Large,
        effects: &mut Effects,
    ) -> Result<Option<LargeKey>, Error> {
        effects.put(Table::Meta, key.row()?, large.to_value())?;
        let surplus = self.surplus(key).filter(|_| large.ended);
        if let Some(surplus) = &surplus {
            effects.delete(Table::Meta, surplus.row()?)?;
        }
        Ok(surplus)
    }

    /// What [`Ledger::put`] put there is stored.
    fn set(&mut self, key: LargeKey, large: Large, surplus: Option<LargeKey>) {
        self.0.insert(key, large);
        surplus.map(|surplus| self.0.remove(&surplus));
    }

    /// The oldest ended one of this peer, where there is no room for another.
    fn surplus(&self, key: &LargeKey) -> Option<LargeKey> {
        let ended = self.of(key).filter(|(_, large)| large.ended && large.rows == 0);
        let mut ended: Vec<_> = ended.map(|(key, large)| (large.touched, *key)).collect();
        ended.sort();
        let full = ended.len() >= MAX_ENDED_PER_PEER;
        ended.first().filter(|_| full).map(|(_, key)| *key)
    }
}

/// Why a part is not taken now.
pub(super) enum NotTaken {
    /// The peer has as much here as it may have.
    Peer,
    /// There is no room for more of anybody.
    All,
}

/// Whether a part of this large message is of any use.
pub(super) fn is_ended(offline: &Offline, key: &LargeKey) -> bool {
    offline.ledger().get(key).is_some_and(Large::is_ended)
}

/// Puts a part into the effects. `to_stranger` says that its sender has not heard from us.
pub(super) fn take<'a>(
    agent: &'a Inner,
    key: LargeKey,
    from: &Device,
    part: &Part,
    to_stranger: bool,
    effects: &mut Effects,
) -> Result<Result<Taken<'a>, NotTaken>, Error> {
    let offline = agent.offline()?;
    let ledger = offline.ledger();
    // Whoever makes room, which nobody does meanwhile, wakes those who listen.
    let later = |full| {
        offline.wake.full();
        full
    };
    let now = agent.time().mark;
    let mut large = match ledger.get(&key) {
        Some(large) => large.clone(),
        None => {
            let (peer, all) = ledger.is_full_for(&key);
            if peer || all {
                let full = if peer { NotTaken::Peer } else { NotTaken::All };
                return Ok(Err(later(full)));
            }
            Large::new(from, part, now)
        }
    };
    let next = part.offset <= large.taken;
    let failed = match large.take(part) {
        Ok(pieces) => match room(agent, &ledger, &key, &pieces, next) {
            Room::Enough => {
                store_pieces(key, &mut large, part, pieces, effects)?;
                None
            }
            Room::None(full) => return Ok(Err(later(full))),
            Room::Never => Some("there is no room for what came before it"),
        },
        Err(contradiction) => Some(contradiction),
    };
    large.touched = now;
    large.answered = !to_stranger;
    if failed.is_some() {
        large.finish(now);
    }
    let (peer, message) = (from.clone(), key.message);
    let event = failed.map(|reason| Event::LargeFailed { peer, message, reason });
    let surplus = ledger.put(&key, &large, effects)?;
    Ok(Ok(Taken { ledger, key, large, surplus, event }))
}

enum Room {
    Enough,
    None(NotTaken),
    /// Even an application that takes all that it finds makes no room.
    Never,
}

/// Whether there is room for these pieces. What comes next is always taken: only it makes room.
// CON-13
fn room(agent: &Inner, ledger: &Ledger, key: &LargeKey, pieces: &[Range<u64>], next: bool) -> Room {
    if next || pieces.is_empty() {
        return Room::Enough;
    }
    let len = pieces.iter().map(|range| range.end.saturating_sub(range.start));
    let cost = len.fold(0_u64, |cost, len| cost.saturating_add(len).saturating_add(PIECE_COST));
    let limits = agent.admission.limits();
    let of_peer = ledger.of(key).map(|(_, large)| large.cost()).fold(cost, u64::saturating_add);
    let over = |cost: u64, kib: usize| cost > u64::try_from(kib).map_or(u64::MAX, |kib| kib << 10);
    let full = if over(of_peer, limits.large_kib_per_peer) {
        NotTaken::Peer
    } else if over(ledger.cost().saturating_add(cost), limits.large_kib) {
        NotTaken::All
    } else {
        return Room::Enough;
    };
    let readable = ledger.of(key).any(|(_, large)| !large.ended && large.is_readable());
    if readable { Room::None(full) } else { Room::Never }
}

fn store_pieces(
    key: LargeKey,
    large: &mut Large,
    part: &Part,
    pieces: Vec<Range<u64>>,
    effects: &mut Effects,
) -> Result<(), Error> {
    for piece in pieces {
        let within = |at: u64| usize::try_from(at.saturating_sub(part.offset)).ok();
        let bytes = within(piece.start).zip(within(piece.end));
        let bytes = bytes.and_then(|(start, end)| part.bytes.get(start..end));
        let bytes = bytes.ok_or(Error::Unreachable("a piece is within its part"))?;
        large.count(piece.end.saturating_sub(piece.start));
        effects.put(Table::Meta, key.piece(piece.start)?, Piece::to_value(bytes))?;
    }
    Ok(())
}

/// Has nothing more of a large message taken.
pub(super) fn refuse<'a>(
    agent: &'a Inner,
    key: LargeKey,
    from: &Device,
    part: &Part,
    effects: &mut Effects,
) -> Result<Taken<'a>, Error> {
    let ledger = agent.offline()?.ledger();
    let now = agent.time().mark;
    let mut large = ledger.get(&key).cloned().unwrap_or_else(|| Large::new(from, part, now));
    large.finish(now);
    let surplus = ledger.put(&key, &large, effects)?;
    Ok(Taken { ledger, key, large, surplus, event: None })
}

impl Taken<'_> {
    /// The effects are stored.
    pub(super) fn committed(mut self, agent: &Inner) {
        self.ledger.set(self.key, self.large, self.surplus);
        self.event.into_iter().for_each(|event| agent.tell(event));
    }
}

impl Offline {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // It changes only by whole entries.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces that come next, as far as they are here: at most `max` bytes where that is more
/// than the first.
pub(super) fn next_pieces(
    store: &dyn Store,
    key: &LargeKey,
    from: u64,
    max: usize,
) -> Result<Vec<Piece>, Error> {
    let (mut pieces, mut next, mut room) = (Vec::new(), from, max);
    for row in store.scan(Table::Meta, Rows::prefix(&key.pieces()).limit(MAX_PIECES))? {
        let offset = row.key.as_bytes().last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let piece = Piece { key: row.key, offset: offset.unwrap_or(u64::MAX), value: row.value };
        let len = piece.bytes()?.len();
        if piece.offset != next || (len > room && !pieces.is_empty()) {
            break;
        }
        room = room.saturating_sub(len);
        next = next.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        pieces.push(piece);
    }
    Ok(pieces)
}

/// Pieces that are taken at a time.
const MAX_PIECES: usize = 64;

/// The application has taken pieces up to `taken`, whose hash is `hash`.
pub(super) fn acknowledge(
    agent: &Inner,
    key: &LargeKey,
    pieces: &[Piece],
    taken: Range<u64>,
    hash: &Sha256,
) -> Result<(), Error> {
    let offline = agent.offline()?;
    let mut ledger = offline.ledger();
    let now = agent.time().mark;
    let known = ledger.get(key).filter(|large| !large.ended && large.taken == taken.start);
    let Some(mut large) = known.cloned() else { return Ok(()) };
    let mut effects = Effects::new();
    let mut rows = 0_u64;
    for piece in pieces {
        effects.delete(Table::Meta, piece.key.clone())?;
        rows = rows.saturating_add(1);
    }
    large.uncount(rows, taken.end.saturating_sub(taken.start));
    large.taken = taken.end;
    large.spans.forget_before(taken.end);
    large.hash = hash.clone();
    large.touched = now;
    if large.end.is_some_and(|(end, _)| end == taken.end) {
        large.finish(now);
    }
    let surplus = ledger.put(key, &large, &mut effects)?;
    let _ = offline.store.commit(effects)?;
    ledger.set(*key, large, surplus);
    offline.wake.room();
    Ok(())
}

/// Ends a large message, and removes what is here of it.
pub(super) fn end(agent: &Inner, key: &LargeKey) -> Result<(), Error> {
    let offline = agent.offline()?;
    let mut ledger = offline.ledger();
    let Some(mut large) = ledger.get(key).filter(|large| !large.ended).cloned() else {
        return Ok(());
    };
    large.finish(agent.time().mark);
    let mut effects = Effects::new();
    let surplus = ledger.put(key, &large, &mut effects)?;
    let _ = offline.store.commit(effects)?;
    ledger.set(*key, large, surplus);
    sweep(offline, &mut ledger, key)
}

/// Removes the pieces of a large message that has ended. Until all are gone, its row says that
/// there are some.
fn sweep(offline: &Offline, ledger: &mut Ledger, key: &LargeKey) -> Result<(), Error> {
    let Some(mut large) = ledger.get(key).cloned() else { return Ok(()) };
    loop {
        let page = offline.store.scan(Table::Meta, Rows::prefix(&key.pieces()))?;
        let mut effects = Effects::new();
        let done = page.is_empty();
        for row in page {
            effects.delete(Table::Meta, row.key)?;
        }
        if done {
            (large.rows, large.bytes) = (0, 0);
            effects.put(Table::Meta, key.row()?, large.to_value())?;
        }
        let _ = offline.store.commit(effects)?;
        if done {
            ledger.0.insert(*key, large);
            offline.wake.room();
            return Ok(());
        }
    }
}

/// Ends what nothing came of for too long, and forgets what ended long ago.
// CON-14
pub(super) fn tidy(agent: &Inner) -> Result<(), Error> {
    let offline = agent.offline()?;
    let now = agent.time().mark;
    let mut aged = Vec::new();
    {
        let ledger = offline.ledger();
        for (key, large) in &ledger.0 {
            if now.since(large.touched) > LIFETIME || (large.ended && large.rows > 0) {
                aged.push((*key, large.from.clone(), large.ended, large.rows));
            }
        }
    }
    for (key, peer, ended, rows) in aged {
        if !ended {
            end(agent, &key)?;
            agent.tell(Event::LargeExpired { peer, message: key.message });
        } else if rows > 0 {
            sweep(offline, &mut offline.ledger(), &key)?;
        } else {
            let mut ledger = offline.ledger();
            let mut effects = Effects::new();
            effects.delete(Table::Meta, key.row()?)?;
            let _ = offline.store.commit(effects)?;
            ledger.0.remove(&key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
