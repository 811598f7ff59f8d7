//! The one that writes: a transaction for each batch, a generation for each transaction, and the
//! anchor behind it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rusqlite::{OptionalExtension, Statement, Transaction, TransactionBehavior, params};
use sealwire_custody::system_rng;

use super::{database::Database, verify::Verified};
use crate::store::{
    Anchor, AnchorState, Damage, Error, Protection, RowKey, Table,
    seal::{
        Generation, GenerationHash, Keys, MAX_REVISION, Nonce, Place, SealedRow, Sum, code,
        generation_hash,
    },
};

/// A change that is sealed and waits for its transaction.
#[derive(Debug)]
pub(super) enum Prepared {
    Put { table: Table, key: RowKey, revision: u64, row: SealedRow, term: Sum },
    Delete { table: Table, key: RowKey },
}

/// Gives each sealing its number.
// STA-10
pub(super) struct Revisions(AtomicU64);

impl Revisions {
    /// The next one. None is given twice.
    pub(super) fn next(&self) -> Result<u64, Error> {
        let step = |revision| (revision < MAX_REVISION).then(|| revision + 1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map_err(|_| Error::Exhausted("the revision of rows"))
    }
}

/// The database and what is known of its newest generation.
pub(super) struct Writer {
    database: Database,
    generation: Generation,
    sealed: Vec<u8>,
    anchor: Option<Arc<dyn Anchor>>,
    /// Why nothing more is done.
    ended: Option<Error>,
}

impl Writer {
    pub(super) fn new(verified: Verified, anchor: Option<Arc<dyn Anchor>>) -> (Keys, Self) {
        let Verified { database, keys, generation, sealed } = verified;
        (keys, Self { database, generation, sealed, anchor, ended: None })
    }

    /// Holds the state against its anchor. Only then is anything changed.
    // STA-16
    pub(super) fn settle(&mut self, keys: &Keys, change_anchor: bool) -> Result<(), Error> {
        let path = || self.database.directory().to_owned();
        let anchor = self.anchor.clone();
        match (&anchor, self.generation.anchored) {
            (_, _) if change_anchor => return self.change_anchor(keys),
            (None, false) => {}
            (None, true) => return Err(Error::AnchorMissing { path: path() }),
            (Some(_), false) => return Err(Error::AnchorNew { path: path() }),
            (Some(anchor), true) => {
                let (found, seen) = (self.state(), anchor.read()?);
                let before = (self.generation.number > 1).then_some(());
                let before = before.map(|()| self.predecessor());
                if seen != Some(found) {
                    if seen != before {
                        return Err(Error::RolledBack {
                            path: path(),
                            found: found.generation(),
                            expected: seen.map_or(0, |seen| seen.generation()),
                        });
                    }
                    anchor.advance(seen, found)?;
                }
            }
        }
        self.database.release()
    }

    /// Takes the state for the newest, and leaves a generation that says which anchor it has.
    // STA-16
    fn change_anchor(&mut self, keys: &Keys) -> Result<(), Error> {
        let mut next = self.next()?;
        next.anchored = self.anchor.is_some();
        let from = self.anchor.as_ref().map(|anchor| anchor.read()).transpose()?.flatten();
        self.store(keys, next, |_, _| Ok(()))?;
        if let Some(anchor) = &self.anchor {
            anchor.advance(from, self.state())?;
        }
        self.database.release()
    }

    /// Makes the changes of all jobs in one transaction, in their order.
    pub(super) fn commit(
        &mut self,
        keys: &Keys,
        revisions: &Revisions,
        batch: &[Vec<Prepared>],
    ) -> Result<u64, Error> {
        let next_revision = revisions.0.load(Ordering::Relaxed);
        self.advance(keys, |transaction, next| {
            next.next_revision = next_revision;
            apply(transaction, keys, next, batch)
        })?;
        Ok(self.generation.number)
    }

    /// One transaction, which makes the next generation, and then the anchor. `keys` are those
    /// of the state as it is afterwards.
    // STA-13, STA-14
    pub(super) fn advance(
        &mut self,
        keys: &Keys,
        change: impl FnOnce(&Transaction<'_>, &mut Generation) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        self.database()?;
        let from = self.state();
        self.store(keys, self.next()?, change)?;
        if let Some(anchor) = &self.anchor {
            anchor.advance(Some(from), self.state()).inspect_err(|error| {
                self.ended = Some(error.clone());
            })?;
        }
        Ok(())
    }

    /// The generation after the newest.
    // STA-12
    fn next(&self) -> Result<Generation, Error> {
        let number = self.generation.number.checked_add(1);
        let number = number.ok_or(Error::Exhausted("the generation"))?;
        let predecessor = generation_hash(&self.sealed);
        Ok(Generation { number, predecessor, ..self.generation.clone() })
    }

    fn store(
        &mut self,
        keys: &Keys,
        mut next: Generation,
        change: impl FnOnce(&Transaction<'_>, &mut Generation) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        let directory = self.database.directory().to_owned();
        let connection = &mut self.database.connection;
        let failed = |error| database_failure(&directory, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        // Dropped on an error, which rolls it back: nothing is stored, nothing has moved here.
        change(&transaction, &mut next).map_err(|fault| fault.into_error(&directory))?;
        let sealed = keys.seal_generation(&next, &mut system_rng())?;
        transaction.execute("UPDATE generation SET sealed = ?1", [&sealed]).map_err(failed)?;
        match transaction.commit() {
            Ok(()) => {
                (self.generation, self.sealed) = (next, sealed);
                Ok(())
            }
            Err(error) => Err(self.uncertain(&error)),
        }
    }

    /// After a commit that failed. A full disk is the one reason after which it is known that
    /// nothing was stored; otherwise the state must be opened anew.
    // STA-13
    fn uncertain(&mut self, error: &rusqlite::Error) -> Error {
        let failure = self.database.failure(error);
        let as_before = self.database.connection.is_autocommit()
            && self.database.generation().is_ok_and(|stored| stored == self.sealed);
        if !(as_before && matches!(failure, Error::Full { .. })) {
            self.ended = Some(Error::Poisoned);
        }
        failure
    }

    /// The database, unless this store has ended.
    pub(super) fn database(&mut self) -> Result<&Database, Error> {
        match &self.ended {
            None => Ok(&self.database),
            Some(Error::AnchorMoved) => Err(Error::AnchorMoved),
            Some(_) => Err(Error::Poisoned),
        }
    }

    pub(super) fn revisions(&self) -> Revisions {
        Revisions(AtomicU64::new(self.generation.next_revision))
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation.number
    }

    pub(super) const fn protection(&self) -> Protection {
        match self.anchor {
            Some(_) => Protection::Anchored,
            None => Protection::Unanchored,
        }
    }

    fn state(&self) -> AnchorState {
        AnchorState::new(self.generation.number, generation_hash(&self.sealed))
    }

    fn predecessor(&self) -> AnchorState {
        let hash: GenerationHash = self.generation.predecessor;
        AnchorState::new(self.generation.number.saturating_sub(1), hash)
    }

    #[cfg(test)]
    pub(super) const fn generation_mut(&mut self) -> &mut Generation {
        &mut self.generation
    }
}

/// Why a transaction came to nothing.
pub(super) enum Fault {
    Database(rusqlite::Error),
    Other(Error),
    Rows(Table),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<sealwire_core::Error> for Fault {
    fn from(error: sealwire_core::Error) -> Self {
        Self::Other(error.into())
    }
}

impl Fault {
    fn into_error(self, directory: &std::path::Path) -> Error {
        match self {
            Self::Database(error) => database_failure(directory, &error),
            Self::Other(error) => error,
            Self::Rows(table) => {
                Error::Damaged { path: directory.to_owned(), what: Damage::Rows(table) }
            }
        }
    }
}

fn database_failure(directory: &std::path::Path, error: &rusqlite::Error) -> Error {
    super::database::failure(directory, error)
}

/// Makes the changes and moves the sums by what they change.
fn apply(
    transaction: &Transaction<'_>,
    keys: &Keys,
    next: &mut Generation,
    batch: &[Vec<Prepared>],
) -> Result<(), Fault> {
    let mut find = transaction.prepare(
        "SELECT rowid, revision, nonce FROM row INDEXED BY row_place \
         WHERE kind = ?1 AND key = ?2",
    )?;
    let mut insert = transaction.prepare(
        "INSERT INTO row (kind, key, revision, nonce, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut update = transaction
        .prepare("UPDATE row SET revision = ?2, nonce = ?3, sealed = ?4 WHERE rowid = ?1")?;
    let mut delete = transaction.prepare("DELETE FROM row WHERE rowid = ?1")?;
    for change in batch.iter().flatten() {
        let (table, key) = match change {
            Prepared::Put { table, key, .. } | Prepared::Delete { table, key } => (*table, key),
        };
        let old = old(&mut find, table, key)?;
        let sum = next.sum_mut(table);
        let sum = sum.ok_or(Fault::Other(Error::Unreachable("a sum for each kind")))?;
        if let Some((_, revision, nonce)) = &old {
            sum.subtract(keys.term(Place { table, key, revision: *revision }, nonce)?);
        }
        match (change, old) {
            (Prepared::Delete { .. }, None) => {}
            (Prepared::Delete { .. }, Some((id, _, _))) => {
                delete.execute([id])?;
            }
            (Prepared::Put { revision, row, term, .. }, old) => {
                sum.add(*term);
                let SealedRow { nonce, sealed } = row;
                let revision = i64::try_from(*revision).map_err(|_| Fault::Rows(table))?;
                match old {
                    Some((id, _, _)) => update.execute(params![id, revision, nonce, sealed])?,
                    None => insert.execute(params![
                        code(table),
                        key.as_bytes(),
                        revision,
                        nonce,
                        sealed
                    ])?,
                };
            }
        }
    }
    Ok(())
}

/// What a row is before it is changed.
fn old(
    find: &mut Statement<'_>,
    table: Table,
    key: &RowKey,
) -> Result<Option<(i64, u64, Nonce)>, Fault> {
    let found = find
        .query_row(params![code(table), key.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Nonce>(2)?))
        })
        .optional()?;
    let number = |revision| u64::try_from(revision).map_err(|_| Fault::Rows(table));
    found.map(|(id, revision, nonce)| Ok((id, number(revision)?, nonce))).transpose()
}
