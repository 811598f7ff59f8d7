//! What is checked of a state before anything of it is used or changed.

use super::{database::Database, migration::Ladder};
use crate::store::{
    Damage, Error, RowKey, StateKey, Table,
    seal::{self, Generation, Keys, Nonce, Place, STORE_ID_LEN, StoreId, Sums},
};

/// A state that is whole: every row is the one that was stored last. Whether it is the newest
/// state, an anchor knows.
pub(super) struct Verified {
    pub(super) database: Database,
    pub(super) keys: Keys,
    pub(super) generation: Generation,
    /// The generation row as it is stored.
    pub(super) sealed: Vec<u8>,
}

/// Checks, in this order: schema, definitions, state key, generation row, and the revision of
/// each row against the sums in the generation row. Nothing is written.
// STA-15
pub(super) fn verify(
    database: Database,
    key: &StateKey,
    ladder: &Ladder,
) -> Result<Verified, Error> {
    let found: i64 = database.description("schema")?;
    let (newest, _) = ladder.newest();
    // STA-17
    if found > i64::from(newest) {
        let path = database.directory().to_owned();
        return Err(Error::UnknownSchema { path, found, newest });
    }
    let known = u32::try_from(found).ok().and_then(|schema| Some((schema, ladder.tables(schema)?)));
    let (schema, tables) = known.ok_or_else(|| database.damaged(Damage::Description))?;
    let definitions = database.definitions()?;
    let same = |(name, sql): (&(String, Option<String>), &(&str, &str))| {
        (name.0.as_str(), name.1.as_deref()) == (sql.0, Some(sql.1))
    };
    let whole = definitions.len() == tables.len() && definitions.iter().zip(tables).all(same);
    if !whole {
        return Err(database.damaged(Damage::Description));
    }
    let store: StoreId = database.description::<[u8; STORE_ID_LEN]>("store")?;
    let check: Vec<u8> = database.description("check")?;
    let keys = Keys::derive(key, store, schema)?;
    let sealed = database.generation()?;
    let generation = match (keys.matches(&check), keys.open_generation(&sealed)) {
        (true, Ok(generation)) => generation,
        (true, Err(_)) => return Err(database.damaged(Damage::Generation)),
        (false, Ok(_)) => return Err(database.damaged(Damage::Description)),
        (false, Err(_)) => {
            return Err(Error::OtherKey { path: database.directory().to_owned() });
        }
    };
    let sums = sums(&database, &keys, generation.next_revision)?;
    let differs = Table::ALL
        .into_iter()
        .zip(sums.iter().zip(&generation.sums))
        .find_map(|(table, (found, stored))| (found != stored).then_some(table));
    match differs {
        Some(table) => Err(database.damaged(Damage::Rows(table))),
        None => Ok(Verified { database, keys, generation, sealed }),
    }
}

/// Whether a state is sealed under this key, by its check value alone.
// STA-9
pub(super) fn belongs(database: &Database, key: &StateKey) -> Result<bool, Error> {
    let store: StoreId = database.description::<[u8; STORE_ID_LEN]>("store")?;
    let check: Vec<u8> = database.description("check")?;
    // The check value is the same under every schema.
    Ok(Keys::derive(key, store, 0)?.matches(&check))
}

/// The sums over all rows, read in the order of the index, so that an index that leads past a
/// row is seen too.
// STA-11
fn sums(database: &Database, keys: &Keys, next_revision: u64) -> Result<Sums, Error> {
    let sql = "SELECT kind, key, revision, nonce FROM row INDEXED BY row_place ORDER BY kind, key";
    let failed = |error: rusqlite::Error, kind: Option<Table>| {
        let what = kind.map_or_else(|| Damage::Database(error.to_string()), Damage::Rows);
        database.reading(&error, what)
    };
    let mut found = Generation::first(false);
    let mut before: Option<(Table, RowKey)> = None;
    let mut statement = database.connection.prepare(sql).map_err(|e| failed(e, None))?;
    let mut rows = statement.query([]).map_err(|e| failed(e, None))?;
    loop {
        let last = before.as_ref().map(|(table, _)| *table);
        let Some(row) = rows.next().map_err(|e| failed(e, last))? else { break };
        let kind: i64 = row.get(0).map_err(|e| failed(e, last))?;
        let table = seal::table(kind).ok_or_else(|| database.damaged(Damage::UnknownKind(kind)))?;
        let damaged = || database.damaged(Damage::Rows(table));
        let key: Vec<u8> = row.get(1).map_err(|_| damaged())?;
        let key = RowKey::new(&key).map_err(|_| damaged())?;
        let revision: i64 = row.get(2).map_err(|_| damaged())?;
        let revision = u64::try_from(revision).map_err(|_| damaged())?;
        let nonce: Nonce = row.get(3).map_err(|_| damaged())?;
        let place = Some((table, key));
        if revision >= next_revision || place <= before {
            return Err(damaged());
        }
        before = place;
        let Some((_, key)) = &before else { continue };
        let term = keys.term(Place { table, key, revision }, &nonce)?;
        found.sum_mut(table).ok_or(Error::Unreachable("a sum for each kind"))?.add(term);
    }
    Ok(found.sums)
}
