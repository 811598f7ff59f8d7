//! The rows of an agent's state, and their keys.
//!
//! A row begins with a version byte; numbers are big-endian, byte strings stand behind their
//! length as u16, and what may be absent behind 0 or 1. Keys are numbers and random names: the
//! store does not seal them, and they tell a thief of the disk neither ids nor mailboxes.

use sealwire_core::{DecodeError, DecodeReason, Timestamp, codec::Reader};
use sealwire_identity::AgentId;
use zeroize::Zeroizing;

use crate::{
    Error,
    delivery::{Address, Device, MailboxHandle, MessageId, OpenedMailbox},
    store::{Range, Row, RowKey, Store, Table, Value},
};

const VERSION: u8 = 1;

/// Writes a row.
pub(super) struct RowWriter(Value);

impl RowWriter {
    /// A row of at most about `len` bytes and some short fields.
    pub(super) fn new(len: usize) -> Self {
        // Full capacity first: growing would leave copies behind.
        let mut value = Zeroizing::new(Vec::with_capacity(len.saturating_add(2048)));
        value.push(VERSION);
        Self(value)
    }

    /// [`RowWriter::new`] for a later version of the row.
    pub(super) fn of_version(version: u8, len: usize) -> Self {
        let mut row = Self::new(len);
        row.0.fill(version);
        row
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.bytes(&[u8::from(flag)])
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn time(self, time: Timestamp) -> Self {
        self.u64(time.as_secs())
    }

    /// What is stored is bounded far below 64 KiB where it comes in.
    pub(super) fn bytes16(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let kept = bytes.get(..usize::from(len)).unwrap_or_default();
        self.bytes(&len.to_be_bytes()).bytes(kept)
    }

    pub(super) fn maybe<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.flag(false),
            Some(value) => write(self.flag(true), value),
        }
    }

    pub(super) fn device(self, device: &Device) -> Self {
        self.bytes16(device.agent.as_str().as_bytes()).u32(device.number)
    }

    pub(super) fn address(self, address: &Address) -> Self {
        self.bytes16(address.mailbox()).bytes16(address.capability())
    }

    pub(super) fn mailbox(self, mailbox: &OpenedMailbox) -> Self {
        self.bytes16(mailbox.handle.as_bytes()).address(&mailbox.address)
    }

    pub(super) fn finish(self) -> Value {
        self.0
    }
}

/// Reads a row. The store opened it, so that an error is a newer release's row, or a bug.
pub(super) struct RowReader<'a>(Reader<'a>);

impl<'a> RowReader<'a> {
    pub(super) fn new(what: &'static str, value: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(what, value);
        reader.version(VERSION)?;
        Ok(Self(reader))
    }

    /// A row that may be of a later version than the first: gives which.
    pub(super) fn of_version(
        what: &'static str,
        value: &'a [u8],
        newest: u8,
    ) -> Result<(u8, Self), Error> {
        let mut reader = Reader::new(what, value);
        match value.first() {
            Some(&found) if (VERSION..=newest).contains(&found) => {
                reader.version(found)?;
                Ok((found, Self(reader)))
            }
            _ => Err(reader
                .version(newest)
                .err()
                .map_or(Error::Unreachable("another version is refused"), Error::from)),
        }
    }

    pub(super) fn invalid(&self, rule: &'static str) -> DecodeError {
        self.0.error(DecodeReason::Invalid(rule))
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        match self.0.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid("a flag is 0 or 1").into()),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(*self.0.array()?)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.0.u32()?)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        Ok(self.0.u64()?)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, Error> {
        Ok(Timestamp::from_secs(self.0.u64()?))
    }

    pub(super) fn bytes16(&mut self) -> Result<&'a [u8], Error> {
        Ok(self.0.bytes16(usize::from(u16::MAX))?)
    }

    pub(super) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn device(&mut self) -> Result<Device, Error> {
        let invalid = self.invalid("an agent id");
        let text = core::str::from_utf8(self.bytes16()?).map_err(|_| invalid)?;
        Ok(Device { agent: AgentId::parse(text)?, number: self.u32()? })
    }

    pub(super) fn message(&mut self) -> Result<MessageId, Error> {
        self.array().map(MessageId::from_bytes)
    }

    pub(super) fn address(&mut self) -> Result<Address, Error> {
        Ok(Address::new(self.bytes16()?, self.bytes16()?)?)
    }

    pub(super) fn mailbox(&mut self) -> Result<OpenedMailbox, Error> {
        let handle = MailboxHandle::new(Zeroizing::new(self.bytes16()?.to_vec()))?;
        Ok(OpenedMailbox { handle, address: self.address()? })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.rest().is_empty()
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0.rest()
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        Ok(self.0.finish()?)
    }
}

/// All rows of a kind whose key begins with `prefix`, page by page.
pub(super) fn each_row(
    store: &dyn Store,
    table: Table,
    prefix: &[u8],
    mut look: impl FnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut last: Option<RowKey> = None;
    loop {
        let range = Range::prefix(prefix);
        let range = last.as_ref().map_or(range, |last| range.after(last));
        let page = store.scan(table, range)?;
        let Some(end) = page.last().map(|row| row.key.clone()) else { return Ok(()) };
        page.into_iter().try_for_each(&mut look)?;
        last = Some(end);
    }
}

/// The key of a row in a queue: rows come in the order of their numbers, and a number that is
/// used again after all rows were removed still names another row.
pub(super) fn queue_key(number: u64, message: &MessageId) -> Result<RowKey, Error> {
    let mut key = [0; 24];
    let (front, back) = key.split_at_mut(8);
    front.copy_from_slice(&number.to_be_bytes());
    back.copy_from_slice(message.as_bytes());
    Ok(RowKey::new(&key)?)
}

/// The message of a row in a queue.
pub(super) fn queue_message(key: &RowKey) -> Option<MessageId> {
    let (_, message) = key.as_bytes().split_first_chunk::<8>()?;
    Some(MessageId::from_bytes(message.try_into().ok()?))
}

/// The number of a row in a queue.
pub(super) fn queue_number(key: &RowKey) -> u64 {
    key.as_bytes().first_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}
