//! Opening a store: its epoch, and what a crash left to be done.

use rusqlite::{Connection, Row};
use sealwire_core::Timestamp;

use super::{
    super::{
        StoreError,
        backlog::Entry,
        stock::{Answer, ClaimId},
    },
    desk::{Desk, Fault, Meta, Name, number, sql_number},
    files::Home,
    record,
    schema::failure,
    shelf::Pace,
};
use crate::{MessageId, ReceiveId, Token};

/// Counts this opening, and voids one-time keys if the database is older than the last one.
///
/// The database is written before the file: it is never behind the file, unless it was put back.
pub(super) fn begin_epoch(home: &Home, connection: &Connection) -> Result<Meta, StoreError> {
    let mut meta = Meta::read(connection)?;
    let beside = home.epoch()?;
    let is_new = meta.epoch == 0;
    let is_behind = match beside {
        Some(epoch) => epoch > meta.epoch,
        None => !is_new,
    };
    meta.epoch = meta.epoch.max(beside.unwrap_or(0)).saturating_add(1);
    if is_behind || meta.copy != 0 {
        meta.void = meta.epoch;
    }
    meta.copy = 0;
    meta.write(connection).map_err(|e| failure(&e))?;
    home.set_epoch(meta.epoch)?;
    Ok(meta)
}

/// What the writer has in mind at first.
pub(super) fn desk(connection: &Connection, meta: Meta, pace: Pace) -> Result<Desk, StoreError> {
    let mut desk = Desk::new(meta, pace);
    desk.redo(connection).map_err(Fault::into_error)?;
    Ok(desk)
}

impl Desk {
    /// Applies the changes that are not in the rows of their slots.
    fn redo(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.redo_messages(connection)?;
        self.redo_acks(connection)?;
        self.redo_claims(connection)?;
        let sql = "SELECT nonce, until FROM spent";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.nonces.insert(row.get(0)?, number(row, 1)?);
        }
        Ok(())
    }

    fn redo_messages(&mut self, connection: &Connection) -> Result<(), Fault> {
        let sql = "SELECT id, sequence, until, length(frame), message, token, receive \
                   FROM message WHERE id > ?1 ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([sql_number(self.meta.flushed)])?;
        while let Some(row) = rows.next()? {
            let entry = Entry {
                row: number(row, 0)?,
                sequence: number(row, 1)?,
                until: Timestamp::from_secs(number(row, 2)?),
                len: number(row, 3)?,
                message: MessageId::from_bytes(row.get(4)?),
                token: Token::from_bytes(row.get(5)?),
            };
            let receive = ReceiveId::from_bytes(row.get(6)?);
            let slot = self.mailbox(connection, &receive)?;
            if let Some(slot) = slot.filter(|slot| slot.as_of < entry.row) {
                slot.state.backlog.restore(entry);
                self.mailboxes.touch(&receive);
            }
        }
        Ok(())
    }

    fn redo_acks(&mut self, connection: &Connection) -> Result<(), Fault> {
        let sql = "SELECT id, gone, receive FROM ack WHERE id > ?1 ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([sql_number(self.meta.flushed)])?;
        while let Some(row) = rows.next()? {
            let id = number(row, 0)?;
            let gone = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let gone = record::read_ack(gone).ok_or(Fault::Record("an acknowledgement"))?;
            let receive = ReceiveId::from_bytes(row.get(2)?);
            let slot = self.mailbox(connection, &receive)?;
            if let Some(slot) = slot.filter(|slot| slot.as_of < id) {
                for (sequence, message, until) in gone {
                    slot.state.backlog.redo_ack(sequence, message, until);
                }
                self.mailboxes.touch(&receive);
            }
        }
        Ok(())
    }

    fn redo_claims(&mut self, connection: &Connection) -> Result<(), Fault> {
        let sql = "SELECT id, claim, at, x25519, kem, name FROM claim WHERE id > ?1 ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([sql_number(self.meta.flushed)])?;
        while let Some(row) = rows.next()? {
            let id = number(row, 0)?;
            let (claim, answer) = claim(row)?;
            let name: Name = row.get(5)?;
            let slot = self.device(connection, &name)?;
            if let Some(slot) = slot.filter(|slot| slot.as_of < id) {
                slot.state.redo_claim(claim, answer);
                self.devices.touch(&name);
            }
        }
        Ok(())
    }
}

fn claim(row: &Row<'_>) -> rusqlite::Result<(ClaimId, Answer)> {
    let answer = Answer {
        at: Timestamp::from_secs(number(row, 2)?),
        x25519: record::place(number(row, 3)?),
        kem: record::place(number(row, 4)?),
    };
    Ok((ClaimId(row.get(1)?), answer))
}
