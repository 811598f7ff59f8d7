//! Those that read, each with a connection of its own, beside the one that writes.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, Sender},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{super::StoreError, schema::failure};

/// Connections that read.
pub(super) const READERS: usize = 2;

type Query = Box<dyn FnOnce(&Connection) + Send>;

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
            // One transaction, so that what is read is of one time.
            let read = connection.unchecked_transaction().and_then(|_reading| query(connection));
            // Whoever asked may have gone.
            let _ = reply.send(read.map_err(|error| failure(&error)));
        });
        self.0.send(query).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Answers queries until nobody can ask any more.
pub(super) fn read(connection: &Connection, queries: &Arc<Mutex<Receiver<Query>>>) {
    loop {
        let next = queries.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(query) = next else { return };
        query(connection);
    }
}

/// What is said when the threads are gone.
pub(super) fn ended() -> StoreError {
    StoreError::Failed("the store has ended".into())
}
