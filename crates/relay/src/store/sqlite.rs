//! A store in SQLite: one that writes, with a transaction for all that wait, and some that read.
//!
//! ```text
//!   calls ──▶ jobs ──▶ writer ── a transaction for each batch ──▶ relay.db-wal ──▶ relay.db
//!     │                  └ what it has in mind (shelf)                  checkpointer
//!     └─────▶ queries ──▶ readers
//! ```

mod backup;
mod desk;
mod directory;
mod driver;
mod entrances;
mod files;
mod mailboxes;
mod open;
mod readers;
mod record;
mod redo;
mod schema;
mod shelf;
mod sweep;
mod writer;

use core::fmt;
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OptionalExtension};
use sealwire_core::{Timestamp, secret::Secret};
use tokio::sync::oneshot;

use self::{
    desk::{Desk, Fault, name, sql_number},
    entrances::Entrances,
    files::Home,
    mailboxes::Plan,
    readers::{READERS, Readers, ended},
    schema::{LADDER, Role, connect},
    shelf::Pace,
    writer::{Job, Task, Writer},
};
use super::{
    Appended, Deposit, Directory, Entrance, Mailboxes, Nonces, Outcome, Pending, Store, StoreError,
    Taken, Usage, backlog::Entry, stock::ClaimId,
};
use crate::{
    Caller, Device, Nonce, ReceiveId, SendId,
    wire::{Check, Kind, Message, NewMailbox, Page, Publish, Published, Remaining, Revoke},
};

/// All that a relay keeps, in SQLite, in a directory of its own.
///
/// One process has it open at a time. A call is answered when what it did is flushed to the disk;
/// calls that wait at a time share a transaction.
///
/// ```
/// use sealwire_relay::store::{SqliteStore, Store};
/// # let home = tempfile::tempdir()?;
/// # let directory = home.path().join("relay");
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = SqliteStore::open(&directory)?;
/// assert_eq!(store.usage().await?.mailboxes, 0);
///
/// let second = SqliteStore::open(&directory).expect_err("in use");
/// assert!(second.to_string().contains("another process uses the store"));
/// # Ok::<(), sealwire_relay::store::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    jobs: Option<Sender<Box<dyn Job>>>,
    readers: Option<Readers>,
    entrances: Arc<Entrances>,
    threads: Vec<JoinHandle<()>>,
    /// Released last, after the database is closed.
    home: Arc<Home>,
    /// Whether the disk is full once.
    #[cfg(test)]
    pub(super) fault: Arc<core::sync::atomic::AtomicBool>,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
struct Start {
    max_len: Option<u64>,
    ladder: &'static [&'static str],
    pace: Pace,
}

impl Default for Start {
    fn default() -> Self {
        Self { max_len: None, ladder: LADDER, pace: Pace::default() }
    }
}

impl SqliteStore {
    /// Opens the store in `directory`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: another process has it, it is of a later release, it cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::start(directory.as_ref(), Start::default())
    }

    /// As [`SqliteStore::open`], for a database of at most about `max_len` bytes: what would make
    /// it longer is [`StoreError::Full`].
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_limited(directory: impl AsRef<Path>, max_len: u64) -> Result<Self, StoreError> {
        Self::start(directory.as_ref(), Start { max_len: Some(max_len), ..Start::default() })
    }

    /// As [`SqliteStore::open`], for tests of what else happens with many changes only.
    #[cfg(test)]
    pub(super) fn open_hurried(directory: &Path) -> Result<Self, StoreError> {
        let pace = Pace { round: 3, step: 1, weight: 20 };
        Self::start(directory, Start { pace, ..Start::default() })
    }

    fn start(directory: &Path, start: Start) -> Result<Self, StoreError> {
        let Start { max_len, ladder, pace } = start;
        let home = Arc::new(Home::take(directory)?);
        home.create(ladder)?;
        let path = home.database();
        let mut connection = connect(&path, Role::Writer)?;
        schema::migrate(&mut connection, ladder)?;
        if let Some(max_len) = max_len {
            schema::limit(&connection, max_len)?;
        }
        let meta = open::begin_epoch(&home, &connection)?;
        let desk = open::desk(&connection, meta, pace)?;
        let entrances = Arc::new(Entrances::default());
        let (checkpoints, wanted) = channel();
        let (jobs, work) = channel();
        let writer =
            Writer::new(connection, desk, Arc::clone(&home), Arc::clone(&entrances), checkpoints);
        #[cfg(test)]
        let fault = Arc::clone(&writer.fault);
        let checkpointer = connect(&path, Role::Checkpointer)?;
        let (ask, queries) = channel();
        let queries = Arc::new(Mutex::new(queries));
        let readers = [(); READERS].map(|()| connect(&path, Role::Reader));
        let readers = readers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut threads = vec![
            driver::start(move || writer.work(&work)),
            driver::start(move || writer::checkpoint(&checkpointer, &wanted)),
        ];
        for connection in readers {
            let queries = Arc::clone(&queries);
            threads.push(driver::start(move || readers::read(&connection, &queries)));
        }
        Ok(Self {
            jobs: Some(jobs),
            readers: Some(Readers(ask)),
            entrances,
            threads,
            home,
            #[cfg(test)]
            fault,
        })
    }

    /// Has the writer do something, and waits until it is stored.
    async fn write<T: Send + 'static>(
        &self,
        len: usize,
        work: impl FnMut(&mut Desk, &Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.job(len, false, work).await
    }

    /// The same for what makes room or needs none, which is tried on a full disk too.
    async fn spare<T: Send + 'static>(
        &self,
        len: usize,
        work: impl FnMut(&mut Desk, &Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.job(len, true, work).await
    }

    async fn job<T: Send + 'static>(
        &self,
        len: usize,
        spare: bool,
        work: impl FnMut(&mut Desk, &Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = Task { work, done: None, reply, len, spare };
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(task)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.as_ref().ok_or_else(ended)?.ask(query).await
    }

    async fn find_entrance(&self, id: SendId) -> Result<Option<Entrance>, StoreError> {
        let version = match self.entrances.get(&id) {
            Ok(known) => return Ok(Some(known)),
            Err(version) => version,
        };
        let found = self.read(move |connection| mailboxes::entrance(connection, &id)).await?;
        if let Some(entrance) = &found {
            self.entrances.keep(version, id, entrance);
        }
        Ok(found)
    }
}

/// What a row at the end of a table adds to the log beside its content, about.
const SMALL: usize = 128;

/// What a row elsewhere adds to it: the page where it is.
const PAGE: usize = 8192;

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Nobody can ask any more: the threads end when they have done what was asked before.
        (self.jobs, self.readers) = (None, None);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Directory for SqliteStore {
    fn publish<'a>(
        &'a self,
        of: &'a Device,
        publish: &'a Publish,
        check: &'a Check,
        until: Timestamp,
    ) -> Pending<'a, Outcome> {
        let (name, publish, check) = (name(of), publish.clone(), *check);
        let Published { card, bundle } = &publish.published;
        let len = card.len().saturating_add(bundle.len()).saturating_add(4 * PAGE);
        Box::pin(self.write(len, move |desk, connection| {
            desk.publish(connection, &name, &publish, &check, until)
        }))
    }

    fn published<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        let name = name(of);
        Box::pin(self.read(move |connection| directory::published(connection, &name)))
    }

    fn check<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Check>> {
        let name = name(of);
        Box::pin(self.read(move |connection| directory::check(connection, &name)))
    }

    fn add_page<'a>(
        &'a self,
        now: Timestamp,
        of: &'a Device,
        kind: Kind,
        base: u32,
        page: &'a Page,
    ) -> Pending<'a, Outcome> {
        let (name, page) = (name(of), page.clone());
        let len = page.keys.iter().map(Vec::len).sum::<usize>().saturating_add(2 * PAGE);
        Box::pin(self.write(len, move |desk, connection| {
            desk.add_page(connection, now, &name, (kind, base), &page)
        }))
    }

    fn remaining<'a>(&'a self, now: Timestamp, of: &'a Device) -> Pending<'a, Remaining> {
        let name = name(of);
        Box::pin(self.spare(0, move |desk, connection| {
            let slot = desk.device(connection, &name)?;
            Ok(slot.map(|slot| slot.state.remaining(now)).unwrap_or_default())
        }))
    }

    fn claim<'a>(
        &'a self,
        now: Timestamp,
        caller: &'a Caller,
        of: &'a Device,
        nonce: &'a Nonce,
    ) -> Pending<'a, Option<Taken>> {
        let (name, id) = (name(of), ClaimId::of(caller, nonce));
        Box::pin(async move {
            let claim =
                self.write(SMALL, move |desk, connection| desk.claim(connection, now, &name, id));
            let Some(claim) = claim.await? else { return Ok(None) };
            let directory::Claim { answer, remaining, contact } = claim;
            let claimed = self.read(move |connection| directory::claimed(connection, &answer));
            Ok(Some(Taken { claimed: claimed.await?, remaining, contact }))
        })
    }
}

impl Mailboxes for SqliteStore {
    fn create<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        mailbox: &'a NewMailbox,
    ) -> Pending<'a, Outcome> {
        let (id, mailbox) = (*id, copy(mailbox));
        Box::pin(
            self.write(3 * PAGE, move |desk, connection| {
                desk.create(connection, now, &id, &mailbox)
            }),
        )
    }

    fn close<'a>(&'a self, id: &'a ReceiveId) -> Pending<'a, bool> {
        let id = *id;
        Box::pin(self.spare(8 * PAGE, move |desk, connection| desk.close(connection, &id)))
    }

    fn revoke<'a>(&'a self, id: &'a ReceiveId, revoke: &'a Revoke) -> Pending<'a, Outcome> {
        let (id, secret) = (*id, revoke.secret.as_ref().map(copy_secret));
        let revoke = Revoke { tokens: revoke.tokens.clone(), secret };
        Box::pin(self.write(PAGE, move |desk, connection| desk.revoke(connection, &id, &revoke)))
    }

    fn entrance<'a>(&'a self, id: &'a SendId) -> Pending<'a, Option<Entrance>> {
        Box::pin(self.find_entrance(*id))
    }

    fn append<'a>(&'a self, now: Timestamp, batch: &'a [Deposit]) -> Pending<'a, Vec<Appended>> {
        let batch = batch.to_vec();
        let len = batch.iter().map(|deposit| deposit.frame.len().saturating_add(SMALL)).sum();
        Box::pin(self.write(len, move |desk, connection| {
            batch.iter().map(|deposit| desk.append(connection, now, deposit)).collect()
        }))
    }

    fn fetch<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        after: u64,
        limit: u32,
    ) -> Pending<'a, Option<(Vec<Message>, bool)>> {
        let id = *id;
        Box::pin(async move {
            let plan = self
                .spare(0, move |desk, connection| desk.plan(connection, now, &id, after, limit));
            let Some(Plan { entries, more, is_noted }) = plan.await? else { return Ok(None) };
            if !is_noted {
                // By itself, so that a full disk can be read: the next fetch makes up for it. And
                // before the answer, so that whoever was given one is known to have read.
                let noted =
                    self.write(PAGE, move |desk, connection| desk.note_read(connection, now, &id));
                match noted.await {
                    Ok(()) | Err(StoreError::Full) => {}
                    Err(error) => return Err(error),
                }
            }
            if entries.is_empty() {
                return Ok(Some((Vec::new(), more)));
            }
            let messages = self.read(move |connection| read_messages(connection, &entries));
            Ok(Some((messages.await?, more)))
        })
    }

    fn ack<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        sequences: &'a [u64],
    ) -> Pending<'a, Option<u32>> {
        let (id, sequences) = (*id, sequences.to_vec());
        let len = PAGE.saturating_add(sequences.len().saturating_mul(SMALL));
        Box::pin(
            self.spare(len, move |desk, connection| desk.ack(connection, now, &id, &sequences)),
        )
    }
}

impl Nonces for SqliteStore {
    fn spend<'a>(
        &'a self,
        signer: &'a Caller,
        nonce: &'a Nonce,
        until: Timestamp,
    ) -> Pending<'a, bool> {
        let (signer, nonce) = (*signer, *nonce);
        Box::pin(async move {
            let spent = self.write(SMALL, move |desk, connection| {
                desk.spend(connection, &signer, &nonce, until)
            });
            spent.await?.ok_or(StoreError::Full)
        })
    }
}

impl Store for SqliteStore {
    fn sweep(&self, now: Timestamp, limit: u32) -> Pending<'_, bool> {
        let len = PAGE.saturating_mul(limit as usize);
        Box::pin(self.spare(len, move |desk, connection| desk.sweep(connection, now, limit)))
    }

    fn mark(&self, now: Timestamp) -> Pending<'_, Timestamp> {
        Box::pin(self.write(SMALL, move |desk, _| {
            desk.meta.mark = desk.meta.mark.max(now.as_secs());
            Ok(Timestamp::from_secs(desk.meta.mark))
        }))
    }

    fn usage(&self) -> Pending<'_, Usage> {
        Box::pin(async move {
            let usage = self.spare(0, |desk, _| Ok(desk.usage())).await?;
            Ok(Usage { bytes: self.home.len(), ..usage })
        })
    }
}

/// The messages of a plan, without those that were removed meanwhile.
fn read_messages(connection: &Connection, plan: &[Entry]) -> rusqlite::Result<Vec<Message>> {
    let mut statement = connection.prepare_cached("SELECT frame FROM message WHERE id = ?1")?;
    let mut messages = Vec::with_capacity(plan.len());
    for entry in plan {
        let frame = statement.query_row([sql_number(entry.row)], |row| row.get(0)).optional()?;
        let (sequence, id) = (entry.sequence, entry.message);
        messages.extend(frame.map(|frame| Message { sequence, id, frame }));
    }
    Ok(messages)
}

fn copy(mailbox: &NewMailbox) -> NewMailbox {
    let NewMailbox { send, kind, secret, lifetime, per_token } = mailbox;
    let secret = copy_secret(secret);
    NewMailbox { send: *send, kind: *kind, secret, lifetime: *lifetime, per_token: *per_token }
}

fn copy_secret(secret: &Secret<32>) -> Secret<32> {
    Secret::init_with(|bytes| bytes.copy_from_slice(secret.expose()))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
