//! The least that SQLite does to store frames for good: rows at the end of one table, so many in
//! a transaction, with what a relay's store sets.

use std::{sync::mpsc, thread, time::Duration};

use rusqlite::Connection;
use sealwire_bench::{Failure, now};

use crate::{people::FRAME_LEN, server};

/// Bytes after which the log is moved into the database, by a thread of its own.
const CHECKPOINT_EVERY: usize = 8 * 1024 * 1024;

/// Rows a second, `batch` in each transaction.
pub(crate) fn measure(batch: u32, time: Duration) -> Result<f64, Failure> {
    let folder = server::folder()?;
    let path = folder.path().join("bare.db");
    let connect = || -> Result<Connection, Failure> {
        let connection = Connection::open(&path)?;
        connection.execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768;",
        )?;
        Ok(connection)
    };
    let connection = connect()?;
    connection.execute_batch(
        "CREATE TABLE message (id INTEGER PRIMARY KEY, name BLOB NOT NULL, frame BLOB NOT NULL);",
    )?;
    let checkpointer = connect()?;
    let (wanted, checkpoints) = mpsc::channel();
    thread::scope(move |scope| {
        scope.spawn(move || {
            while let Ok(()) = checkpoints.recv() {
                // One that fails is made up for by the next.
                let _ = checkpointer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
        });
        let inserted = insert(&connection, batch, time, &wanted);
        drop(wanted);
        inserted
    })
}

fn insert(
    connection: &Connection,
    batch: u32,
    time: Duration,
    checkpoint: &mpsc::Sender<()>,
) -> Result<f64, Failure> {
    let mut statement = connection.prepare("INSERT INTO message (name, frame) VALUES (?1, ?2)")?;
    let frame = vec![0xA5; FRAME_LEN];
    let (mut rows, mut since) = (0_u32, 0_usize);
    let start = now();
    while start.elapsed() < time {
        let transaction = connection.unchecked_transaction()?;
        for _ in 0..batch {
            statement.execute((rows.to_be_bytes(), &frame))?;
            rows = rows.saturating_add(1);
        }
        transaction.commit()?;
        since = since.saturating_add(usize::try_from(batch)?.saturating_mul(FRAME_LEN));
        if since >= CHECKPOINT_EVERY {
            since = 0;
            checkpoint.send(())?;
        }
    }
    Ok(f64::from(rows) / start.elapsed().as_secs_f64())
}
