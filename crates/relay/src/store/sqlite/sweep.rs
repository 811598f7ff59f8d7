//! Removing what has expired, in small steps.

use rusqlite::{Connection, Row, params};
use sealwire_core::Timestamp;

use super::{
    desk::{Desk, Fault, Name, Undo, number, sql_number, sql_time},
    record,
};
use crate::ReceiveId;

/// Where a pass through all mailboxes, devices and nonces has come to.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    done: Done,
    mailbox: Cursor<ReceiveId>,
    device: Cursor<Name>,
    nonce: i64,
}

/// What a pass has been through.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    mailboxes: bool,
    devices: bool,
    nonces: bool,
}

/// Where a pass through slots has come to.
#[derive(Debug)]
struct Cursor<K> {
    /// What the rows do not say yet.
    changed: Vec<K>,
    /// The row before the next; `None` before all.
    row: Option<K>,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Self { changed: Vec::new(), row: None }
    }
}

impl Desk {
    /// A step of a pass. Says whether the pass goes on.
    pub(super) fn sweep(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: u32,
    ) -> Result<bool, Fault> {
        let limit = limit.max(1);
        let Done { mailboxes, devices, nonces } = self.sweep.done;
        let mailboxes = mailboxes || !self.sweep_mailboxes(connection, now, limit)?;
        let devices = devices || !self.sweep_devices(connection, now, limit)?;
        // There are always some that are too old: they go on while a long pass does.
        let nonces = !self.sweep_nonces(connection, now, limit)? || nonces;
        let is_over = mailboxes && devices && nonces;
        self.sweep.done =
            if is_over { Done::default() } else { Done { mailboxes, devices, nonces } };
        Ok(!is_over)
    }

    fn sweep_mailboxes(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: u32,
    ) -> Result<bool, Fault> {
        let mut cursor = core::mem::take(&mut self.sweep.mailbox);
        if cursor.row.is_none() {
            let due = self.mailboxes.dirty().filter(|(_, mailbox)| mailbox.backlog.due() <= now);
            cursor.changed = due.map(|(key, _)| *key).collect();
        }
        let mut removed = 0_usize;
        while let Some(key) = cursor.changed.pop() {
            removed = removed.saturating_add(self.sweep_mailbox(connection, now, &key)?);
            if removed >= limit as usize {
                self.sweep.mailbox = cursor;
                return Ok(true);
            }
        }
        let sql = "SELECT receive, due FROM backlog WHERE receive > ?1 ORDER BY receive LIMIT ?2";
        let after = cursor.row.as_ref().map_or(&[][..], |key| key.as_bytes());
        let rows = scan(connection, sql, after, limit)?;
        let more = rows.len() == limit as usize;
        for (key, due) in rows {
            let key = ReceiveId::from_bytes(key);
            cursor.row = Some(key);
            if due <= sql_time(now) {
                removed = removed.saturating_add(self.sweep_mailbox(connection, now, &key)?);
            }
            if removed >= limit as usize {
                self.sweep.mailbox = cursor;
                return Ok(true);
            }
        }
        if more {
            self.sweep.mailbox = cursor;
        }
        Ok(more)
    }

    fn sweep_mailbox(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        key: &ReceiveId,
    ) -> Result<usize, Fault> {
        let Some(slot) = self.mailbox(connection, key)? else { return Ok(0) };
        if slot.state.backlog.is_abandoned(now) {
            let messages = slot.state.backlog.live.len();
            self.close(connection, key)?;
            return Ok(messages.saturating_add(1));
        }
        if slot.state.backlog.due() > now {
            return Ok(0);
        }
        self.expire_mailbox(connection, now, key)
    }

    fn sweep_devices(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: u32,
    ) -> Result<bool, Fault> {
        let mut cursor = core::mem::take(&mut self.sweep.device);
        if cursor.row.is_none() {
            let due = self.devices.dirty().filter(|(_, stock)| stock.due() <= now);
            cursor.changed = due.map(|(key, _)| *key).collect();
        }
        for key in core::mem::take(&mut cursor.changed) {
            self.sweep_device(connection, now, &key)?;
        }
        let sql = "SELECT name, due FROM stock WHERE name > ?1 ORDER BY name LIMIT ?2";
        let after = cursor.row.as_ref().map_or(&[][..], |key| &key[..]);
        let rows = scan(connection, sql, after, limit)?;
        let more = rows.len() == limit as usize;
        for (key, due) in rows {
            cursor.row = Some(key);
            if due <= sql_time(now) {
                self.sweep_device(connection, now, &key)?;
            }
        }
        if more {
            self.sweep.device = cursor;
        }
        Ok(more)
    }

    fn sweep_device(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        key: &Name,
    ) -> Result<(), Fault> {
        let Some(slot) = self.device(connection, key)? else { return Ok(()) };
        let is_over = slot.state.until <= now;
        self.keep_device(key);
        let Some(slot) = self.devices.slot(key) else { return Ok(()) };
        let mut waste = slot.state.expire(now);
        if is_over {
            waste.pages.extend(slot.state.lots.iter().map(|lot| lot.row));
            for sql in ["DELETE FROM stock WHERE name = ?1", "DELETE FROM device WHERE name = ?1"] {
                connection.prepare_cached(sql)?.execute([key])?;
            }
            self.devices.put(*key, None);
            self.meta.devices = self.meta.devices.saturating_sub(1);
        } else {
            self.devices.touch_now(key);
        }
        let mut delete = connection.prepare_cached("DELETE FROM key WHERE id = ?1")?;
        for place in waste.keys {
            delete.execute([sql_number(record::key_row(place))])?;
        }
        let sql = "DELETE FROM key WHERE id BETWEEN ?1 AND ?2";
        let mut delete = connection.prepare_cached(sql)?;
        for page in waste.pages {
            let (first, last) = (record::first_row(page), record::header_row(page));
            delete.execute([sql_number(first), sql_number(last)])?;
        }
        Ok(())
    }

    fn sweep_nonces(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: u32,
    ) -> Result<bool, Fault> {
        let sql = "SELECT id, nonce, until FROM spent WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, number(row, 2)?));
        let rows = statement.query_map(params![self.sweep.nonce, limit], read)?;
        let rows: Vec<(i64, [u8; 16], u64)> = rows.collect::<Result<_, _>>()?;
        let more = rows.len() == limit as usize;
        let mut delete = connection.prepare_cached("DELETE FROM spent WHERE id = ?1")?;
        self.sweep.nonce = if more { rows.last().map_or(0, |(id, ..)| *id) } else { 0 };
        for (id, nonce, until) in rows {
            if until < now.as_secs() {
                delete.execute([id])?;
                self.nonces.remove(&nonce);
                self.undo.push(Undo::Unspent(nonce, until));
            }
        }
        Ok(more)
    }
}

/// The next keys of a table of slots, and when they are due.
fn scan<const N: usize>(
    connection: &Connection,
    sql: &str,
    after: &[u8],
    limit: u32,
) -> Result<Vec<([u8; N], i64)>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
