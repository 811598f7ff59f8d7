//! State of earlier schemas, brought to the newest.
//!
//! Everything that is sealed is bound to its schema, so all of it is opened and sealed again: in
//! one transaction, which makes one generation, like any other commit.

use rusqlite::{OptionalExtension, Transaction, params};
use sealwire_custody::system_rng;

use super::{
    database::{SCHEMA_1, Tables},
    writer::{Fault, Writer},
};
use crate::store::{
    Error, RowKey, StateKey, Table, Value,
    seal::{self, Generation, Keys, MAX_REVISION, Nonce, Place, SealedRow},
};

/// The schemas that this release opens, and how each becomes the next. It writes the newest.
// STA-17
pub(super) const LADDER: Ladder = Ladder { oldest: SCHEMA_1, steps: &[] };

/// Schema 1, and the steps from there. One that was released is never changed.
pub(super) struct Ladder {
    pub(super) oldest: Tables,
    pub(super) steps: &'static [Step],
}

/// The step from one schema to the next.
pub(super) struct Step {
    /// What changes the tables.
    pub(super) statements: &'static str,
    /// The tables as they are then.
    pub(super) tables: Tables,
    /// The value that a row has then.
    pub(super) value: fn(Table, &RowKey, Value) -> Result<Value, Error>,
}

impl Ladder {
    /// The newest schema and its tables.
    pub(super) fn newest(&self) -> (u32, Tables) {
        let mut newest = (1_u32, self.oldest);
        for step in self.steps {
            newest = (newest.0.saturating_add(1), step.tables);
        }
        newest
    }

    /// The tables of a schema; `None` when it is not known.
    pub(super) fn tables(&self, schema: u32) -> Option<Tables> {
        match usize::try_from(schema).ok()?.checked_sub(1)? {
            0 => Some(self.oldest),
            above => self.steps.get(above.checked_sub(1)?).map(|step| step.tables),
        }
    }

    /// The steps that a state of this schema has before it.
    fn above(&self, schema: u32) -> &'static [Step] {
        let below = usize::try_from(schema.saturating_sub(1)).unwrap_or(usize::MAX);
        self.steps.get(below..).unwrap_or_default()
    }
}

/// Brings a state that is verified, and the newest by its anchor, to the newest schema. Gives the
/// keys of that.
// STA-18
pub(super) fn migrate(
    writer: &mut Writer,
    keys: Keys,
    key: &StateKey,
    ladder: &Ladder,
) -> Result<Keys, Error> {
    let steps = ladder.above(keys.schema());
    if steps.is_empty() {
        return Ok(keys);
    }
    let (schema, _) = ladder.newest();
    let newest = keys.of_schema(key, schema)?;
    writer.advance(&newest, |transaction, next| {
        for step in steps {
            transaction.execute_batch(step.statements)?;
        }
        let describe = "UPDATE description SET value = ?1 WHERE name = 'schema'";
        transaction.execute(describe, [schema])?;
        reseal(transaction, [&keys, &newest], next, steps)
    })?;
    Ok(newest)
}

/// Seals a state under another key. Gives the keys of that.
// STA-23
#[cfg(feature = "envelope")]
pub(super) fn rekey(writer: &mut Writer, keys: &Keys, key: &StateKey) -> Result<Keys, Error> {
    let after = keys.of_schema(key, keys.schema())?;
    writer.advance(&after, |transaction, next| {
        let describe = "UPDATE description SET value = ?1 WHERE name = 'check'";
        transaction.execute(describe, [after.check_value()])?;
        reseal(transaction, [keys, &after], next, &[])
    })?;
    Ok(after)
}

/// Opens and seals each row, one after the other: a state is larger than memory may be.
fn reseal(
    transaction: &Transaction<'_>,
    [before, after]: [&Keys; 2],
    next: &mut Generation,
    steps: &[Step],
) -> Result<(), Fault> {
    next.sums = seal::Sums::default();
    let mut find = transaction.prepare(
        "SELECT rowid, kind, key, revision, nonce, sealed FROM row WHERE rowid > ?1 \
         ORDER BY rowid LIMIT 1",
    )?;
    let mut update = transaction
        .prepare("UPDATE row SET revision = ?2, nonce = ?3, sealed = ?4 WHERE rowid = ?1")?;
    let mut last = i64::MIN;
    while let Some(Stored { id, table, key, revision, row }) =
        find.query_row([last], |row| Ok(Stored::read(row))).optional()?.transpose()?
    {
        last = id;
        let opened = before.open(Place { table, key: &key, revision }, row);
        let mut value = opened.map_err(|_| Fault::Rows(table))?;
        for step in steps {
            value = (step.value)(table, &key, value).map_err(Fault::Other)?;
        }
        let revision = next.next_revision;
        if revision >= MAX_REVISION {
            return Err(Fault::Other(Error::Exhausted("the revision of rows")));
        }
        next.next_revision = revision.saturating_add(1);
        let place = Place { table, key: &key, revision };
        let SealedRow { nonce, sealed } = after.seal(place, &value, &mut system_rng())?;
        let sum = next.sum_mut(table).ok_or(Error::Unreachable("a sum for each kind"));
        sum.map_err(Fault::Other)?.add(after.term(place, &nonce)?);
        let revision = i64::try_from(revision).map_err(|_| Fault::Rows(table))?;
        update.execute(params![id, revision, nonce, sealed])?;
    }
    Ok(())
}

/// A row as the migration finds it.
struct Stored {
    id: i64,
    table: Table,
    key: RowKey,
    revision: u64,
    row: SealedRow,
}

impl Stored {
    /// Its shape was verified with the state; what does not have it is said to be damaged.
    fn read(row: &rusqlite::Row<'_>) -> Result<Self, Fault> {
        let table = seal::table(row.get(1)?);
        let table = table.ok_or(Fault::Other(Error::Unreachable("a kind that was verified")))?;
        let damaged = |_| Fault::Rows(table);
        let key: Vec<u8> = row.get(2)?;
        let key = RowKey::new(&key).map_err(|_| Fault::Rows(table))?;
        let revision: i64 = row.get(3)?;
        let revision = u64::try_from(revision).map_err(|_| Fault::Rows(table))?;
        let nonce: Nonce = row.get(4).map_err(damaged)?;
        let sealed = row.get(5).map_err(damaged)?;
        Ok(Self { id: row.get(0)?, table, key, revision, row: SealedRow { nonce, sealed } })
    }
}

#[cfg(test)]
mod tests;
