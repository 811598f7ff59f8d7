//! What the writer does to devices, and to nonces.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sealwire_core::{Timestamp, kdf};

use super::{
    super::{
        Outcome,
        stock::{Answer, ClaimId, Place, Stock},
    },
    desk::{Desk, Fault, Name, Undo, number, sql_number, sql_time},
    record,
    shelf::Slot,
};
use crate::{
    Caller, Nonce, SendId, limits,
    wire::{Check, Claimed, ClaimedKey, Kind, Page, Publish, Published, Remaining},
};

/// A claim as the writer made it: the keys are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) answer: Answer,
    pub(super) remaining: Remaining,
    pub(super) contact: Option<SendId>,
}

/// The card and bundle of a device.
pub(super) fn published(
    connection: &Connection,
    name: &Name,
) -> rusqlite::Result<Option<Published>> {
    let sql = "SELECT card, bundle FROM device WHERE name = ?1";
    let read = |row: &Row<'_>| Ok(Published { card: row.get(0)?, bundle: row.get(1)? });
    connection.prepare_cached(sql)?.query_row([name], read).optional()
}

/// What is published of a device, short, and its row.
fn find(connection: &Connection, name: &Name) -> rusqlite::Result<Option<(i64, Check)>> {
    let sql = "SELECT id, sequence, card_hash, bundle_hash FROM device WHERE name = ?1";
    let read = |row: &Row<'_>| {
        let (sequence, card, bundle) = (number(row, 1)?, row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, Check { card, bundle, sequence }))
    };
    connection.prepare_cached(sql)?.query_row([name], read).optional()
}

/// What is published of a device, short.
pub(super) fn check(connection: &Connection, name: &Name) -> rusqlite::Result<Option<Check>> {
    Ok(find(connection, name)?.map(|(_, check)| check))
}

/// The keys that a claim took.
pub(super) fn claimed(connection: &Connection, answer: &Answer) -> rusqlite::Result<Claimed> {
    Ok(Claimed { x25519: key(connection, answer.x25519)?, kem: key(connection, answer.kem)? })
}

fn key(connection: &Connection, place: Option<Place>) -> rusqlite::Result<Option<ClaimedKey>> {
    let Some(place) = place else { return Ok(None) };
    let mut content = connection.prepare_cached("SELECT content FROM key WHERE id = ?1")?;
    let mut read = |row: u64| content.query_row([sql_number(row)], |row| row.get(0)).optional();
    let header = read(record::header_row(place.row))?;
    let key = read(record::key_row(place))?;
    Ok(header.zip(key).map(|(header, key)| ClaimedKey { header, key }))
}

impl Desk {
    pub(super) fn publish(
        &mut self,
        connection: &Connection,
        name: &Name,
        publish: &Publish,
        check: &Check,
        until: Timestamp,
    ) -> Result<Outcome, Fault> {
        let Publish { published: Published { card, bundle }, contact } = publish;
        let Check { card: card_hash, bundle: bundle_hash, sequence } = check;
        let sequence = sql_number(*sequence);
        let Some((id, was)) = find(connection, name)? else {
            let sql = "INSERT INTO device (name, sequence, card_hash, bundle_hash, card, bundle) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            connection.prepare_cached(sql)?.execute(params![
                name,
                sequence,
                card_hash,
                bundle_hash,
                card,
                bundle
            ])?;
            let stock = Stock { until, contact: *contact, ..Stock::default() };
            self.add_stock(connection, name, stock)?;
            return Ok(Outcome::Done);
        };
        let Some(slot) = self.device(connection, name)? else {
            return Err(Fault::Record("the row of a device"));
        };
        let outcome = super::super::judge_publish(&was, slot.state.contact, check, *contact);
        if outcome == Outcome::Done {
            let sql = "UPDATE device SET sequence = ?2, card_hash = ?3, bundle_hash = ?4, \
                       card = ?5, bundle = ?6 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![
                id,
                sequence,
                card_hash,
                bundle_hash,
                card,
                bundle
            ])?;
            self.keep_device(name);
            if let Some(slot) = self.devices.slot(name) {
                (slot.state.until, slot.state.contact) = (until, *contact);
            }
            self.devices.touch_now(name);
        }
        Ok(outcome)
    }

    fn add_stock(
        &mut self,
        connection: &Connection,
        name: &Name,
        stock: Stock,
    ) -> Result<(), Fault> {
        let sql = "INSERT INTO stock (name, as_of, due, record) VALUES (?1, ?2, ?3, ?4)";
        connection.prepare_cached(sql)?.execute(params![
            name,
            sql_number(self.meta.last),
            sql_time(stock.due()),
            record::write_stock(&stock, self.meta.void)
        ])?;
        self.keep_device(name);
        self.devices.put(*name, Some(Slot::new(self.meta.last, stock)));
        self.meta.devices = self.meta.devices.saturating_add(1);
        Ok(())
    }

    pub(super) fn add_page(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        name: &Name,
        (kind, base): (Kind, u32),
        page: &Page,
    ) -> Result<Outcome, Fault> {
        let Some(slot) = self.device(connection, name)? else { return Ok(Outcome::Absent) };
        let outcome = slot.state.judge(now, kind, base);
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
        self.keep_device(name);
        let row = self.next();
        let mut insert =
            connection.prepare_cached("INSERT INTO key (id, content) VALUES (?1, ?2)")?;
        for (key, index) in page.keys.iter().take(limits::MAX_PAGE_KEYS).zip(0..) {
            let id = record::key_row(Place { row, index });
            insert.execute(params![sql_number(id), key])?;
        }
        insert.execute(params![sql_number(record::header_row(row)), page.header])?;
        if let Some(slot) = self.devices.slot(name) {
            slot.state.add(row, kind, base, page);
        }
        self.devices.touch_now(name);
        Ok(Outcome::Done)
    }

    pub(super) fn claim(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        name: &Name,
        id: ClaimId,
    ) -> Result<Option<Claim>, Fault> {
        let Some(slot) = self.device(connection, name)? else { return Ok(None) };
        let stock = &mut slot.state;
        let before = stock.answers.get(&id).copied();
        let answer = stock.claim(now, id);
        let taken = stock.answers.get(&id).copied() != before;
        let claim = Claim { answer, remaining: stock.remaining(now), contact: stock.contact };
        if taken {
            self.undo.push(Undo::Claim(*name, id, answer, before));
            self.devices.touch(name);
            let sql = "INSERT INTO claim (id, name, claim, at, x25519, kem) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let row = sql_number(self.next());
            connection.prepare_cached(sql)?.execute(params![
                row,
                name,
                id.0,
                sql_time(answer.at),
                sql_number(record::place_row(answer.x25519)),
                sql_number(record::place_row(answer.kem))
            ])?;
        }
        Ok(Some(claim))
    }

    /// Notes a nonce; `None` when there is no room for another.
    pub(super) fn spend(
        &mut self,
        connection: &Connection,
        signer: &Caller,
        nonce: &Nonce,
        until: Timestamp,
    ) -> Result<Option<bool>, Fault> {
        let hash = kdf::sha256(&[signer.as_bytes(), nonce.as_bytes()]);
        let Some(key) = hash.first_chunk::<16>() else { return Ok(None) };
        if self.nonces.contains_key(key) {
            return Ok(Some(false));
        }
        if self.nonces.len() >= limits::MAX_NONCES {
            return Ok(None);
        }
        self.nonces.insert(*key, until.as_secs());
        self.undo.push(Undo::Spent(*key));
        let sql = "INSERT INTO spent (id, nonce, until) VALUES (?1, ?2, ?3)";
        let id = sql_number(self.next());
        connection.prepare_cached(sql)?.execute(params![id, key, sql_time(until)])?;
        Ok(Some(true))
    }
}
