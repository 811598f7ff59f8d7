//! What the writer works with: the database within a transaction, and what it has in mind.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sealwire_core::{Timestamp, kdf};

use super::{
    super::{
        StoreError, Usage,
        backlog::Entry,
        stock::{Answer, ClaimId, Stock},
    },
    record,
    schema::failure,
    shelf::{Mailbox, Pace, Shelf, Slot},
};
use crate::{Device, MessageId, ReceiveId, SendId};

/// What a device is looked up by: SHA-256 of its number and its agent's id.
pub(super) type Name = [u8; 32];

pub(super) fn name(of: &Device) -> Name {
    kdf::sha256(&[&of.number.to_be_bytes(), of.agent.as_str().as_bytes()])
}

/// Numbers of the whole store, one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The id given last: to messages, acknowledgements, claims and pages alike.
    pub(super) last: u64,
    /// Changes up to this id are in the rows of their slots.
    pub(super) flushed: u64,
    /// One more each time that the store is opened.
    pub(super) epoch: u64,
    /// One-time keys that were added before this epoch are void.
    // REL-32
    pub(super) void: u64,
    /// It is a copy that has not been opened.
    pub(super) copy: u64,
    /// The latest time that is known.
    pub(super) mark: u64,
    pub(super) devices: u64,
    pub(super) mailboxes: u64,
    pub(super) messages: u64,
}

impl Meta {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT last, flushed, epoch, void, copy, mark, devices, mailboxes, messages \
                   FROM meta";
        let read = |row: &Row<'_>| {
            Ok(Self {
                last: number(row, 0)?,
                flushed: number(row, 1)?,
                epoch: number(row, 2)?,
                void: number(row, 3)?,
                copy: number(row, 4)?,
                mark: number(row, 5)?,
                devices: number(row, 6)?,
                mailboxes: number(row, 7)?,
                messages: number(row, 8)?,
            })
        };
        connection.query_row(sql, [], read).map_err(|e| failure(&e))
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { last, flushed, epoch, void, copy, mark, devices, mailboxes, messages } = *self;
        let sql = "UPDATE meta SET last = ?1, flushed = ?2, epoch = ?3, void = ?4, copy = ?5, \
                   mark = ?6, devices = ?7, mailboxes = ?8, messages = ?9";
        let numbers = [last, flushed, epoch, void, copy, mark, devices, mailboxes, messages];
        connection.prepare_cached(sql)?.execute(numbers.map(sql_number)).map(drop)
    }
}

/// What is taken back when a transaction comes to nothing.
#[derive(Debug)]
pub(super) enum Undo {
    Append(ReceiveId, Option<Timestamp>),
    Ack(ReceiveId, Vec<Entry>, Vec<(MessageId, Timestamp)>),
    Claim(Name, ClaimId, Answer, Option<Answer>),
    Mailbox(ReceiveId, Option<Box<Slot<Mailbox>>>),
    Device(Name, Option<Box<Slot<Stock>>>),
    Spent([u8; 16]),
    Unspent([u8; 16], u64),
}

/// Why a job came to nothing, and with it its transaction.
#[derive(Debug)]
pub(super) enum Fault {
    Database(rusqlite::Error),
    /// A row that does not have its shape.
    Record(&'static str),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Fault {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Database(error) => failure(&error),
            Self::Record(what) => StoreError::Failed(format!("{what} is damaged")),
        }
    }
}

/// All that the writer has in mind.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pace: Pace,
    pub(super) meta: Meta,
    /// As it is in the database.
    stored: Meta,
    pub(super) mailboxes: Shelf<ReceiveId, Mailbox>,
    pub(super) devices: Shelf<Name, Stock>,
    pub(super) nonces: HashMap<[u8; 16], u64>,
    pub(super) undo: Vec<Undo>,
    /// Mailboxes whose entrance is another than before.
    pub(super) stale: Vec<SendId>,
    /// Where sweeps go on.
    pub(super) sweep: super::sweep::Cursors,
    /// The end of the round that is under way.
    round: Option<u64>,
    /// Rows of acknowledgements and claims up to this id are deleted.
    trimmed: u64,
}

impl Desk {
    /// As the database says, without what a crash left to be done.
    pub(super) fn new(meta: Meta, pace: Pace) -> Self {
        Self { pace, meta, stored: meta, trimmed: meta.flushed, ..Self::default() }
    }

    /// The next id.
    pub(super) fn next(&mut self) -> u64 {
        self.meta.last = self.meta.last.saturating_add(1);
        self.meta.last
    }

    /// Has the slot of a mailbox in mind, if there is such a mailbox.
    pub(super) fn mailbox(
        &mut self,
        connection: &Connection,
        id: &ReceiveId,
    ) -> Result<Option<&mut Slot<Mailbox>>, Fault> {
        if !self.mailboxes.has(id) {
            let sql = "SELECT as_of, record FROM backlog WHERE receive = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([id.as_bytes()], |row| Ok(mailbox_slot(row)));
            let Some(found) = found.optional()? else { return Ok(None) };
            self.mailboxes.put(*id, Some(found?));
        }
        Ok(self.mailboxes.slot(id))
    }

    /// Has the slot of a device in mind, if something is published of it.
    pub(super) fn device(
        &mut self,
        connection: &Connection,
        name: &Name,
    ) -> Result<Option<&mut Slot<Stock>>, Fault> {
        if !self.devices.has(name) {
            let sql = "SELECT as_of, record FROM stock WHERE name = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let void = self.meta.void;
            let found = statement.query_row([name], |row| Ok(device_slot(row, void)));
            let Some(found) = found.optional()? else { return Ok(None) };
            self.devices.put(*name, Some(found?));
        }
        Ok(self.devices.slot(name))
    }

    /// Keeps a mailbox as it is now, for the case that the transaction comes to nothing.
    pub(super) fn keep_mailbox(&mut self, id: &ReceiveId) {
        let slot = self.mailboxes.slot(id).map(|slot| Box::new(slot.clone()));
        self.undo.push(Undo::Mailbox(*id, slot));
    }

    /// Keeps a device as it is now.
    pub(super) fn keep_device(&mut self, name: &Name) {
        let slot = self.devices.slot(name).map(|slot| Box::new(slot.clone()));
        self.undo.push(Undo::Device(*name, slot));
    }

    /// The end of a transaction: what has to be in it beside what its jobs did.
    pub(super) fn finish(&mut self, connection: &Connection) -> Result<(), Fault> {
        let last = self.meta.last;
        if self.round.is_none() && last.saturating_sub(self.meta.flushed) >= self.pace.round {
            self.begin_round();
        }
        self.write_slots(connection)?;
        if let Some(mark) = self.round {
            // This transaction writes the last of them.
            if self.mailboxes.rest().max(self.devices.rest()) <= self.pace.step {
                self.meta.flushed = mark;
            }
        }
        self.trim(connection)?;
        if self.meta != self.stored {
            self.meta.write(connection)?;
        }
        Ok(())
    }

    /// From now on slots are written until all changes so far are in their rows.
    pub(super) fn begin_round(&mut self) {
        if self.round.is_none() {
            self.mailboxes.begin();
            self.devices.begin();
            // What this transaction does may come to nothing.
            self.round = Some(self.stored.last);
        }
    }

    /// Whether there are slots that the round has to write.
    pub(super) const fn is_in_round(&self) -> bool {
        self.round.is_some()
    }

    fn write_slots(&self, connection: &Connection) -> Result<(), Fault> {
        let as_of = sql_number(self.meta.last);
        let sql = "UPDATE backlog SET as_of = ?2, due = ?3, record = ?4 WHERE receive = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        for (receive, mailbox) in self.mailboxes.due(self.pace) {
            let (due, record) = (sql_time(mailbox.backlog.due()), record::write_mailbox(mailbox));
            statement.execute(params![receive.as_bytes(), as_of, due, record])?;
        }
        let sql = "UPDATE stock SET as_of = ?2, due = ?3, record = ?4 WHERE name = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        for (name, stock) in self.devices.due(self.pace) {
            let (due, record) = (sql_time(stock.due()), record::write_stock(stock, self.meta.void));
            statement.execute(params![name, as_of, due, record])?;
        }
        Ok(())
    }

    /// Deletes some of the rows that only say what is in the rows of slots by now.
    fn trim(&self, connection: &Connection) -> Result<(), Fault> {
        let to = self.trim_to();
        if to > self.trimmed {
            for sql in ["DELETE FROM ack WHERE id <= ?1", "DELETE FROM claim WHERE id <= ?1"] {
                connection.prepare_cached(sql)?.execute([sql_number(to)])?;
            }
        }
        Ok(())
    }

    fn trim_to(&self) -> u64 {
        self.stored.flushed.min(self.trimmed.saturating_add(4 * self.pace.step as u64))
    }

    /// After the transaction was stored.
    pub(super) fn stored(&mut self) {
        self.trimmed = self.trim_to().max(self.trimmed);
        self.stored = self.meta;
        self.undo.clear();
        self.mailboxes.written(self.meta.last, self.pace);
        self.devices.written(self.meta.last, self.pace);
        if self.mailboxes.rest().max(self.devices.rest()) == 0 {
            self.round = None;
        }
    }

    /// After the transaction came to nothing: everything is as before.
    pub(super) fn undo(&mut self) {
        // A sweep that was undone begins anew: it may have passed over what is there again.
        self.sweep = super::sweep::Cursors::default();
        self.meta = self.stored;
        self.stale.clear();
        self.mailboxes.unwritten();
        self.devices.unwritten();
        while let Some(undo) = self.undo.pop() {
            self.undo_one(undo);
        }
    }

    fn undo_one(&mut self, undo: Undo) {
        match undo {
            Undo::Append(id, before) => {
                if let Some(slot) = self.mailboxes.slot(&id) {
                    slot.state.backlog.undo_append(before);
                }
            }
            Undo::Ack(id, removed, forgotten) => {
                if let Some(slot) = self.mailboxes.slot(&id) {
                    slot.state.backlog.undo_ack(removed, forgotten);
                }
            }
            Undo::Claim(name, id, answer, before) => {
                if let Some(slot) = self.devices.slot(&name) {
                    slot.state.undo_claim(id, answer, before);
                }
            }
            Undo::Mailbox(id, slot) => self.mailboxes.put(id, slot.map(|slot| *slot)),
            Undo::Device(name, slot) => self.devices.put(name, slot.map(|slot| *slot)),
            Undo::Spent(nonce) => {
                self.nonces.remove(&nonce);
            }
            Undo::Unspent(nonce, until) => {
                self.nonces.insert(nonce, until);
            }
        }
    }

    /// How much there is; the bytes are to be added.
    pub(super) const fn usage(&self) -> Usage {
        let Meta { devices, mailboxes, messages, .. } = self.meta;
        Usage { devices, mailboxes, messages, bytes: 0 }
    }
}

/// Of the columns as_of, record.
fn mailbox_slot(row: &Row<'_>) -> Result<Slot<Mailbox>, Fault> {
    let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let mailbox = record::read_mailbox(record).ok_or(Fault::Record("the record of a mailbox"))?;
    Ok(Slot::new(number(row, 0)?, mailbox))
}

/// Of the columns as_of, record.
fn device_slot(row: &Row<'_>, void: u64) -> Result<Slot<Stock>, Fault> {
    let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let stock = record::read_stock(record, void).ok_or(Fault::Record("the record of a device"))?;
    Ok(Slot::new(number(row, 0)?, stock))
}

/// SQLite's integers are signed; no number of ours comes near the end of them.
pub(super) fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn sql_time(time: Timestamp) -> i64 {
    sql_number(time.as_secs())
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
