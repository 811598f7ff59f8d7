//! Backlogs and stocks as bytes.

use sealwire_core::Timestamp;

use super::{
    super::{
        backlog::{Backlog, Entry},
        stock::{Answer, ClaimId, Lot, Place, Stock},
    },
    shelf::Mailbox,
};
use crate::{MessageId, SendId, Token, limits, wire::Kind};

/// Reads numbers from the beginning of bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.u64().map(Timestamp::from_secs)
    }

    fn place(&mut self) -> Option<Option<Place>> {
        self.u64().map(place)
    }
}

/// `lifetime 8 | per token 4 | last 8 | read 8 | messages 4 | messages`, and remembered ids to the
/// end.
pub(super) fn write_mailbox(mailbox: &Mailbox) -> Vec<u8> {
    let Mailbox { lifetime, per_token, backlog } = mailbox;
    let Backlog { last, read, live, len: _, earliest: _, gone, ids: _ } = backlog;
    let entries = live.len().saturating_mul(64).saturating_add(gone.len().saturating_mul(24));
    let mut out = Vec::with_capacity(entries.saturating_add(32));
    out.extend_from_slice(&lifetime.to_be_bytes());
    out.extend_from_slice(&per_token.to_be_bytes());
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&read.as_secs().to_be_bytes());
    out.extend_from_slice(&u32::try_from(live.len()).unwrap_or(u32::MAX).to_be_bytes());
    for Entry { row, sequence, until, len, message, token } in live {
        for number in [*row, *sequence, until.as_secs(), *len] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(message.as_bytes());
        out.extend_from_slice(token.as_bytes());
    }
    for (message, until) in gone {
        write_gone(&mut out, *message, *until);
    }
    out
}

pub(super) fn read_mailbox(record: &[u8]) -> Option<Mailbox> {
    let mut reader = Reader(record);
    let (lifetime, per_token) = (reader.u64()?, reader.u32()?);
    let (last, read) = (reader.u64()?, reader.time()?);
    let mut backlog = Backlog::new(read);
    let count = reader.u32()?;
    for _ in 0..count {
        let (row, sequence, until, len) =
            (reader.u64()?, reader.u64()?, reader.time()?, reader.u64()?);
        let message = MessageId::from_bytes(reader.take()?);
        let token = Token::from_bytes(reader.take()?);
        backlog.restore(Entry { row, sequence, until, len, message, token });
    }
    backlog.last = last;
    while !reader.0.is_empty() {
        let message = MessageId::from_bytes(reader.take()?);
        backlog.remember(message, reader.time()?);
    }
    Some(Mailbox { lifetime, per_token, backlog })
}

fn write_gone(out: &mut Vec<u8>, message: MessageId, until: Timestamp) {
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(&until.as_secs().to_be_bytes());
}

/// What an acknowledgement removed: `sequence 8 | id 16 | until 8` each.
pub(super) fn write_ack(removed: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(removed.len().saturating_mul(32));
    for entry in removed {
        out.extend_from_slice(&entry.sequence.to_be_bytes());
        write_gone(&mut out, entry.message, entry.until);
    }
    out
}

pub(super) fn read_ack(gone: &[u8]) -> Option<Vec<(u64, MessageId, Timestamp)>> {
    let mut reader = Reader(gone);
    let mut all = Vec::new();
    while !reader.0.is_empty() {
        let sequence = reader.u64()?;
        let message = MessageId::from_bytes(reader.take()?);
        all.push((sequence, message, reader.time()?));
    }
    Some(all)
}

/// Rows of a page lie behind one another: its keys, and at last its header.
const ROWS_OF_PAGE: u64 = 128;
const _: () = assert!(limits::MAX_PAGE_KEYS < 127, "a page's keys and header");

/// The row of a key.
pub(super) const fn key_row(place: Place) -> u64 {
    place.row.saturating_mul(ROWS_OF_PAGE).saturating_add(place.index as u64)
}

/// The row of a page's header.
pub(super) const fn header_row(row: u64) -> u64 {
    row.saturating_mul(ROWS_OF_PAGE).saturating_add(ROWS_OF_PAGE - 1)
}

/// The first row of a page; the header's is its last.
pub(super) const fn first_row(row: u64) -> u64 {
    row.saturating_mul(ROWS_OF_PAGE)
}

/// The place of a key's row; none for 0.
pub(super) fn place(row: u64) -> Option<Place> {
    let index = u8::try_from(row % ROWS_OF_PAGE).ok()?;
    (row != 0).then_some(Place { row: row / ROWS_OF_PAGE, index })
}

/// The row of a key, 0 for none.
pub(super) fn place_row(place: Option<Place>) -> u64 {
    place.map_or(0, key_row)
}

/// `until 8 | void 8 | contact 1 + 16 | floors 8 | pages 4 | pages`, and claims to the end.
pub(super) fn write_stock(stock: &Stock, void: u64) -> Vec<u8> {
    let Stock { until, contact, lots, floors: [x25519, kem], claims, answers } = stock;
    let mut out = Vec::with_capacity(lots.len().saturating_mul(31).saturating_add(64));
    out.extend_from_slice(&until.as_secs().to_be_bytes());
    out.extend_from_slice(&void.to_be_bytes());
    out.push(u8::from(contact.is_some()));
    out.extend_from_slice(contact.map_or([0; 16], |contact| *contact.as_bytes()).as_slice());
    let pages = u32::try_from(lots.len()).unwrap_or(u32::MAX);
    for number in [*x25519, *kem, pages] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    for Lot { row, kind, base, count, next, not_after, spent } in lots {
        out.extend_from_slice(&row.to_be_bytes());
        out.push(kind_code(*kind));
        out.extend_from_slice(&base.to_be_bytes());
        out.extend_from_slice(&[*count, *next]);
        out.extend_from_slice(&not_after.as_secs().to_be_bytes());
        out.extend_from_slice(&spent.as_secs().to_be_bytes());
    }
    for (id, answer) in claims.iter().filter_map(|id| answers.get_key_value(id)) {
        out.extend_from_slice(&id.0);
        for number in [answer.at.as_secs(), place_row(answer.x25519), place_row(answer.kem)] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
    out
}

/// Keys that were added before the epoch `void` and that nobody has claimed are void.
pub(super) fn read_stock(record: &[u8], void: u64) -> Option<Stock> {
    let mut reader = Reader(record);
    let mut stock = Stock { until: reader.time()?, ..Stock::default() };
    let is_void = reader.u64()? < void;
    let has_contact = reader.u8()? == 1;
    let contact = SendId::from_bytes(reader.take()?);
    stock.contact = has_contact.then_some(contact);
    stock.floors = [reader.u32()?, reader.u32()?];
    for _ in 0..reader.u32()? {
        let (row, kind, base) = (reader.u64()?, kind(reader.u8()?)?, reader.u32()?);
        let (count, next) = (reader.u8()?, reader.u8()?);
        let (not_after, spent) = (reader.time()?, reader.time()?);
        stock.lots.push(Lot { row, kind, base, count, next, not_after, spent });
    }
    while !reader.0.is_empty() {
        let id = ClaimId(reader.take()?);
        let (at, x25519, kem) = (reader.time()?, reader.place()?, reader.place()?);
        stock.claims.push_back(id);
        stock.answers.insert(id, Answer { at, x25519, kem });
    }
    if is_void {
        stock.void();
    }
    Some(stock)
}

const fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::X25519 => 1,
        Kind::MlKem => 2,
    }
}

const fn kind(code: u8) -> Option<Kind> {
    match code {
        1 => Some(Kind::X25519),
        2 => Some(Kind::MlKem),
        _ => None,
    }
}
