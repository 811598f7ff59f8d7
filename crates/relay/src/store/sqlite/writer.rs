//! The one that writes: jobs that wait share a transaction, and are answered when it is stored.

use std::sync::{
    Arc,
    mpsc::{Receiver, Sender},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::{
    super::StoreError,
    desk::{Desk, Fault},
    entrances::Entrances,
    files::Home,
    schema::{LOG_LEN, MAX_LOG_LEN},
};

/// Jobs of one transaction.
const MAX_JOBS: usize = 1024;

/// Bytes of one transaction, about.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Written bytes after which the log is moved into the database.
const CHECKPOINT_EVERY: usize = 8 * 1024 * 1024;

/// What is done within a transaction.
pub(super) trait Job: Send {
    fn run(&mut self, desk: &mut Desk, connection: &Connection) -> Result<(), Fault>;

    /// After its transaction.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);

    /// Bytes that it adds to the log, about.
    fn len(&self) -> usize;

    /// Whether it makes room or needs none: such a job is tried on a full disk by itself.
    fn is_spare(&self) -> bool;
}

/// A job of a function.
pub(super) struct Task<F, T> {
    pub(super) work: F,
    pub(super) done: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
    pub(super) len: usize,
    pub(super) spare: bool,
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&mut Desk, &Connection) -> Result<T, Fault> + Send,
    T: Send,
{
    fn run(&mut self, desk: &mut Desk, connection: &Connection) -> Result<(), Fault> {
        self.done = Some((self.work)(desk, connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        let answer = match (outcome, done) {
            (Ok(()), Some(done)) => Ok(done),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Failed("a job was not done".into())),
        };
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }

    fn len(&self) -> usize {
        self.len
    }

    fn is_spare(&self) -> bool {
        self.spare
    }
}

pub(super) struct Writer {
    connection: Connection,
    desk: Desk,
    home: Arc<Home>,
    entrances: Arc<Entrances>,
    /// Wakes the one that moves the log into the database.
    checkpoints: Sender<()>,
    /// Bytes written since then, and since the log was begun anew.
    since_checkpoint: usize,
    since_restart: u64,
    /// Why nothing more is written.
    ended: Option<String>,
    /// Whether the disk is full once, at the end of the next transaction.
    #[cfg(test)]
    pub(super) fault: Arc<core::sync::atomic::AtomicBool>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        desk: Desk,
        home: Arc<Home>,
        entrances: Arc<Entrances>,
        checkpoints: Sender<()>,
    ) -> Self {
        Self {
            connection,
            desk,
            home,
            entrances,
            checkpoints,
            since_checkpoint: 0,
            since_restart: 0,
            ended: None,
            #[cfg(test)]
            fault: Arc::default(),
        }
    }

    /// Works until nobody can ask any more, and then leaves nothing for the next start to do.
    pub(super) fn work(mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut len = first.len();
            let mut batch = vec![first];
            while batch.len() < MAX_JOBS && len < MAX_BYTES {
                let Ok(next) = jobs.try_recv() else { break };
                len = len.saturating_add(next.len());
                batch.push(next);
            }
            self.run(batch, len);
        }
        self.close();
    }

    fn run(&mut self, mut batch: Vec<Box<dyn Job>>, len: usize) {
        match self.attempt(&mut batch) {
            Ok(()) => {
                for job in batch {
                    job.answer(Ok(()));
                }
            }
            Err(StoreError::Full) => self.run_in_want(batch),
            // One of them is to blame, and fails by itself then.
            Err(_) if batch.len() > 1 && self.ended.is_none() => {
                for mut job in batch {
                    let outcome = self.attempt(core::slice::from_mut(&mut job));
                    job.answer(outcome);
                }
            }
            Err(error) => {
                for job in batch {
                    job.answer(Err(again(&error)));
                }
            }
        }
        self.checkpoint(len);
    }

    /// On a full disk: what makes room or needs none is tried by itself.
    fn run_in_want(&mut self, batch: Vec<Box<dyn Job>>) {
        // What the log holds can be written over when it has been moved.
        self.restart_log();
        for mut job in batch {
            let outcome = if job.is_spare() {
                self.attempt(core::slice::from_mut(&mut job))
            } else {
                Err(StoreError::Full)
            };
            job.answer(outcome);
        }
    }

    /// One transaction. If it fails, nothing has changed.
    fn attempt(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        if let Some(reason) = &self.ended {
            return Err(StoreError::Failed(reason.clone()));
        }
        let Self { connection, desk, .. } = self;
        let before_commit = || {
            #[cfg(test)]
            if self.fault.swap(false, core::sync::atomic::Ordering::Relaxed) {
                let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
                return Err(rusqlite::Error::SqliteFailure(full, None));
            }
            Ok(())
        };
        match transact(connection, desk, batch, before_commit) {
            Ok(()) => {
                desk.stored();
                self.entrances.forget(self.desk.stale.drain(..));
                Ok(())
            }
            Err(failed) => {
                desk.undo();
                Err(self.judge(failed))
            }
        }
    }

    /// What a failure says, and whether anything can be written after it.
    fn judge(&mut self, failed: Failed) -> StoreError {
        let is_io = matches!(
            &failed.fault,
            Fault::Database(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
        );
        let mut error = failed.fault.into_error();
        if is_io && self.home.is_full() {
            error = StoreError::Full;
        }
        if failed.in_commit && !matches!(error, StoreError::Full) {
            // Whether it is stored only a start can tell.
            self.ended = Some(format!("a write failed, and the relay must be restarted: {error}"));
        }
        error
    }

    /// Keeps the log short.
    fn checkpoint(&mut self, len: usize) {
        self.since_checkpoint = self.since_checkpoint.saturating_add(len);
        self.since_restart = self.since_restart.saturating_add(len as u64);
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            self.since_checkpoint = 0;
            let _ = self.checkpoints.send(());
        }
        if self.since_restart >= LOG_LEN || self.home.log_len() > MAX_LOG_LEN {
            self.restart_log();
        }
    }

    /// Moves what is left of the log into the database, and begins it anew, unless somebody is
    /// reading from it: then the next time.
    fn restart_log(&mut self) {
        let sql = "PRAGMA wal_checkpoint(RESTART)";
        let busy = self.connection.query_row(sql, [], |row| row.get::<_, bool>(0));
        if busy.is_ok_and(|busy| !busy) {
            self.since_restart = 0;
        }
    }

    fn close(&mut self) {
        // What is written now needs no redoing at the next start; what is not, is redone.
        self.desk.begin_round();
        while self.desk.is_in_round() && self.attempt(&mut []).is_ok() {}
    }
}

/// Why a transaction came to nothing, and whether that was at its very end.
struct Failed {
    fault: Fault,
    in_commit: bool,
}

fn transact(
    connection: &Connection,
    desk: &mut Desk,
    batch: &mut [Box<dyn Job>],
    before_commit: impl Fn() -> rusqlite::Result<()>,
) -> Result<(), Failed> {
    let early = |fault| Failed { fault, in_commit: false };
    let begun = connection.unchecked_transaction();
    let transaction = begun.map_err(|error| early(error.into()))?;
    // Dropped on an error, which rolls it back.
    for job in batch {
        job.run(desk, &transaction).map_err(early)?;
    }
    desk.finish(&transaction).map_err(early)?;
    let committed = before_commit().and_then(|()| transaction.commit());
    committed.map_err(|error| Failed { fault: error.into(), in_commit: true })
}

/// The same error for another job.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Failed(what) => StoreError::Failed(what.clone()),
        StoreError::Foreign(what) => StoreError::Foreign(what.clone()),
    }
}

/// Moves what is in the log into the database whenever asked to, beside the one that writes.
pub(super) fn checkpoint(connection: &Connection, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        while wanted.try_recv().is_ok() {}
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        // One that fails is made up for by the next; the log is whole meanwhile.
        let _ = connection.query_row(sql, [], |_| Ok(()));
    }
}
