//! What the writer does to mailboxes.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sealwire_core::{Timestamp, secret::Secret};

use super::{
    super::{
        Appended, Deposit, Entrance, Outcome,
        backlog::{Arrival, Backlog, Entry},
    },
    desk::{Desk, Fault, Undo, sql_number, sql_time},
    record,
    shelf::{Mailbox, Slot},
};
use crate::{
    ReceiveId, SendId, Token,
    wire::{MailboxKind, NewMailbox, Revoke},
};

/// How exactly it is known when a mailbox was read, in seconds: an hour.
const READ_STEP: u64 = 60 * 60;

/// Which messages an answer has.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) entries: Vec<Entry>,
    /// There are more.
    pub(super) more: bool,
    /// It is known that the mailbox is read at this time.
    pub(super) is_noted: bool,
}

/// A mailbox's row.
struct Stored {
    receive: ReceiveId,
    send: SendId,
    kind: MailboxKind,
    secret: Secret<32>,
    revoked: Vec<Token>,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: u8 = row.get(2)?;
        let secret = row.get_ref(3)?.as_blob()?;
        let revoked = row.get_ref(4)?.as_blob()?;
        let (tokens, _) = revoked.as_chunks();
        Ok(Self {
            receive: ReceiveId::from_bytes(row.get(0)?),
            send: SendId::from_bytes(row.get(1)?),
            kind: if kind == 1 { MailboxKind::Contact } else { MailboxKind::Pairwise },
            secret: Secret::from_slice(secret).map_err(|_| rusqlite::Error::InvalidQuery)?,
            revoked: tokens.iter().copied().map(Token::from_bytes).collect(),
        })
    }
}

/// Which column a mailbox is looked up by.
#[derive(Clone, Copy)]
enum By<'a> {
    Receive(&'a ReceiveId),
    Send(&'a SendId),
}

const BY_RECEIVE: &str = "SELECT receive, send, kind, secret, revoked FROM mailbox \
                          WHERE receive = ?1";
const BY_SEND: &str = "SELECT receive, send, kind, secret, revoked FROM mailbox WHERE send = ?1";

fn find(connection: &Connection, by: By<'_>) -> rusqlite::Result<Option<Stored>> {
    let (sql, id) = match by {
        By::Receive(id) => (BY_RECEIVE, id.as_bytes()),
        By::Send(id) => (BY_SEND, id.as_bytes()),
    };
    connection.prepare_cached(sql)?.query_row([id], Stored::read).optional()
}

/// What a deposit is judged by.
pub(super) fn entrance(connection: &Connection, id: &SendId) -> rusqlite::Result<Option<Entrance>> {
    let stored = find(connection, By::Send(id))?;
    Ok(stored.map(|Stored { receive, kind, secret, revoked, .. }| Entrance {
        mailbox: receive,
        kind,
        secret,
        revoked,
    }))
}

impl Desk {
    pub(super) fn create(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
        new: &NewMailbox,
    ) -> Result<Outcome, Fault> {
        let NewMailbox { send, kind, secret, lifetime, per_token } = new;
        let found = find(connection, By::Receive(receive))?;
        if let Some(stored) = found.or(find(connection, By::Send(send))?) {
            let same = (stored.receive, stored.send, stored.kind) == (*receive, *send, *kind)
                && stored.secret == *secret
                && self.mailbox(connection, receive)?.is_some_and(|slot| {
                    (slot.state.lifetime, slot.state.per_token) == (*lifetime, *per_token)
                });
            return Ok(if same { Outcome::Known } else { Outcome::Conflict });
        }
        let kind = if *kind == MailboxKind::Contact { 1 } else { 2 };
        let sql = "INSERT INTO mailbox (receive, send, kind, secret, revoked) \
                   VALUES (?1, ?2, ?3, ?4, x'')";
        connection.prepare_cached(sql)?.execute(params![
            receive.as_bytes(),
            send.as_bytes(),
            kind,
            secret.expose()
        ])?;
        let (lifetime, per_token) = (*lifetime, *per_token);
        let mailbox = Mailbox { lifetime, per_token, backlog: Backlog::new(now) };
        let sql = "INSERT INTO backlog (receive, as_of, due, record) VALUES (?1, ?2, ?3, ?4)";
        connection.prepare_cached(sql)?.execute(params![
            receive.as_bytes(),
            sql_number(self.meta.last),
            sql_time(mailbox.backlog.due()),
            record::write_mailbox(&mailbox)
        ])?;
        self.keep_mailbox(receive);
        self.mailboxes.put(*receive, Some(Slot::new(self.meta.last, mailbox)));
        self.meta.mailboxes = self.meta.mailboxes.saturating_add(1);
        Ok(Outcome::Done)
    }

    pub(super) fn close(
        &mut self,
        connection: &Connection,
        receive: &ReceiveId,
    ) -> Result<bool, Fault> {
        let Some(stored) = find(connection, By::Receive(receive))? else { return Ok(false) };
        let Some(slot) = self.mailbox(connection, receive)? else { return Ok(false) };
        let rows: Vec<u64> = slot.state.backlog.live.iter().map(|entry| entry.row).collect();
        self.keep_mailbox(receive);
        self.delete_messages(connection, &rows)?;
        for sql in
            ["DELETE FROM backlog WHERE receive = ?1", "DELETE FROM mailbox WHERE receive = ?1"]
        {
            connection.prepare_cached(sql)?.execute([receive.as_bytes()])?;
        }
        self.mailboxes.put(*receive, None);
        self.meta.mailboxes = self.meta.mailboxes.saturating_sub(1);
        self.stale.push(stored.send);
        Ok(true)
    }

    pub(super) fn revoke(
        &mut self,
        connection: &Connection,
        receive: &ReceiveId,
        revoke: &Revoke,
    ) -> Result<Outcome, Fault> {
        let Some(stored) = find(connection, By::Receive(receive))? else {
            return Ok(Outcome::Absent);
        };
        let revoked = match super::super::revoked(&stored.revoked, revoke) {
            Ok(revoked) => revoked,
            Err(outcome) => return Ok(outcome),
        };
        let revoked: Vec<u8> = revoked.iter().flat_map(|token| *token.as_bytes()).collect();
        let secret = revoke.secret.as_ref().unwrap_or(&stored.secret);
        let sql = "UPDATE mailbox SET secret = ?2, revoked = ?3 WHERE receive = ?1";
        let receive = receive.as_bytes();
        connection.prepare_cached(sql)?.execute(params![receive, secret.expose(), revoked])?;
        self.stale.push(stored.send);
        Ok(Outcome::Done)
    }

    pub(super) fn append(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        deposit: &Deposit,
    ) -> Result<Appended, Fault> {
        let Deposit { mailbox: receive, token, message, frame } = deposit;
        if self.mailbox_at(connection, now, receive)?.is_none() {
            return Ok(Appended::Gone);
        }
        let row = self.meta.last.saturating_add(1);
        let Some(slot) = self.mailboxes.slot(receive) else { return Ok(Appended::Gone) };
        let until = now.plus(slot.state.lifetime);
        let arrival = Arrival {
            row,
            until,
            len: frame.len() as u64,
            message: *message,
            token: *token,
            per_token: slot.state.per_token,
        };
        let before = slot.state.backlog.ids.get(message).copied();
        let sequence = match slot.state.backlog.append(now, arrival) {
            Ok(sequence) => sequence,
            Err(refused) => return Ok(refused),
        };
        self.undo.push(Undo::Append(*receive, before));
        self.mailboxes.touch(receive);
        self.meta.last = row;
        self.meta.messages = self.meta.messages.saturating_add(1);
        let sql = "INSERT INTO message (id, receive, sequence, message, token, until, frame) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        connection.prepare_cached(sql)?.execute(params![
            sql_number(row),
            receive.as_bytes(),
            sql_number(sequence),
            message.as_bytes(),
            token.as_bytes(),
            sql_time(until),
            frame
        ])?;
        Ok(Appended::Taken(sequence))
    }

    /// What is to be read for an answer.
    pub(super) fn plan(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
        after: u64,
        limit: u32,
    ) -> Result<Option<Plan>, Fault> {
        let slot = self.mailbox(connection, receive)?;
        Ok(slot.map(|slot| {
            let backlog = &slot.state.backlog;
            let (entries, more) = backlog.plan(now, after, limit);
            Plan { entries, more, is_noted: now.since(backlog.read) < READ_STEP }
        }))
    }

    /// Notes that a mailbox was read.
    pub(super) fn note_read(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
    ) -> Result<(), Fault> {
        if self.mailbox(connection, receive)?.is_none() {
            return Ok(());
        }
        self.keep_mailbox(receive);
        if let Some(slot) = self.mailboxes.slot(receive) {
            slot.state.backlog.read = slot.state.backlog.read.max(now);
        }
        self.mailboxes.touch_now(receive);
        Ok(())
    }

    pub(super) fn ack(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
        sequences: &[u64],
    ) -> Result<Option<u32>, Fault> {
        let Some(slot) = self.mailbox_at(connection, now, receive)? else { return Ok(None) };
        let removed = slot.state.backlog.ack(sequences);
        let forgotten = slot.state.backlog.forget();
        if removed.is_empty() {
            return Ok(Some(0));
        }
        let gone = record::write_ack(&removed);
        let rows: Vec<u64> = removed.iter().map(|entry| entry.row).collect();
        self.undo.push(Undo::Ack(*receive, removed, forgotten));
        self.mailboxes.touch(receive);
        self.delete_messages(connection, &rows)?;
        let sql = "INSERT INTO ack (id, receive, gone) VALUES (?1, ?2, ?3)";
        let id = sql_number(self.next());
        connection.prepare_cached(sql)?.execute(params![id, receive.as_bytes(), gone])?;
        Ok(Some(u32::try_from(rows.len()).unwrap_or(u32::MAX)))
    }

    /// A mailbox without what has expired.
    fn mailbox_at(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
    ) -> Result<Option<&mut Slot<Mailbox>>, Fault> {
        let Some(slot) = self.mailbox(connection, receive)? else { return Ok(None) };
        if slot.state.backlog.has_expired(now) {
            self.expire_mailbox(connection, now, receive)?;
        }
        Ok(self.mailboxes.slot(receive))
    }

    /// Removes what has expired. Gives how many messages that were.
    pub(super) fn expire_mailbox(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        receive: &ReceiveId,
    ) -> Result<usize, Fault> {
        self.keep_mailbox(receive);
        let Some(slot) = self.mailboxes.slot(receive) else { return Ok(0) };
        let rows = slot.state.backlog.expire(now);
        // Nothing else says that their sequences were given.
        self.mailboxes.touch_now(receive);
        self.delete_messages(connection, &rows)?;
        Ok(rows.len())
    }

    fn delete_messages(&mut self, connection: &Connection, rows: &[u64]) -> Result<(), Fault> {
        let mut delete = connection.prepare_cached("DELETE FROM message WHERE id = ?1")?;
        for row in rows {
            delete.execute([sql_number(*row)])?;
        }
        self.meta.messages = self.meta.messages.saturating_sub(rows.len() as u64);
        Ok(())
    }
}
