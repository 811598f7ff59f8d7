//! Those that read, each with a connection of its own, beside the one that writes.

use std::sync::{
    Mutex, PoisonError,
    mpsc::{Receiver, Sender},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{super::StoreError, schema::failure};

/// Connections that read.
pub(super) const READERS: usize = 2;

/// Queries of one transaction. SQLite forgets every page between two transactions when something
/// was written meanwhile, which under load is always: queries that wait share what they read. A
/// few, so that the others are left for another connection.
const MAX_QUERIES: usize = 16;

type Query = Box<dyn FnOnce(Result<&Connection, &rusqlite::Error>) + Send>;

/// Where queries are asked.
#[derive(Debug)]
pub(super) struct Readers(pub(super) Sender<Query>);

impl Readers {
    /// Has a query answered.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            let read = match connection {
                Ok(connection) => query(connection).map_err(|error| failure(&error)),
                Err(error) => Err(failure(error)),
            };
            // Whoever asked may have gone.
            let _ = reply.send(read);
        });
        self.0.send(query).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Answers queries until nobody can ask any more.
pub(super) fn read(connection: &Connection, queries: &Mutex<Receiver<Query>>) {
    loop {
        let batch = next(queries);
        if batch.is_empty() {
            return;
        }
        // What a query reads is of one time, after it was asked for.
        let reading = connection.unchecked_transaction();
        for query in batch {
            query(reading.as_deref());
        }
    }
}

/// What waits, at least one; none at the end.
fn next(queries: &Mutex<Receiver<Query>>) -> Vec<Query> {
    let queries = queries.lock().unwrap_or_else(PoisonError::into_inner);
    let first = queries.recv().into_iter();
    first.chain(queries.try_iter()).take(MAX_QUERIES).collect()
}

/// What is said when the threads are gone.
pub(super) fn ended() -> StoreError {
    StoreError::Failed("the store has ended".into())
}
