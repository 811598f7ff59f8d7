//! Where an agent's state lives between two steps: in SQLite, or in memory.
//!
//! [`Store::commit`] is the one way to change it. It makes all changes of an [`Effects`] durable
//! or none of them, and gives a [`Committed`] for them; what is to be sent or released comes
//! from that. Specified in `docs/spec/state.md`.
//!
//! ```text
//!   step of an agent ─▶ Effects ─▶ Store::commit ─▶ Committed ─▶ bytes to send, plaintext
//!                                   │ 1. one transaction, on the disk
//!                                   │ 2. the anchor, outside the state directory
//! ```
//!
//! # Security
//!
//! - Values are sealed; kinds, keys and lengths of rows are not.
//! - A row that was changed, moved, added, removed or put back is seen when the state is opened
//!   or the row is read.
//! - Putting back the *whole* state, and running two copies of it, is seen only with an
//!   [`Anchor`]. None is there unless it is configured, and [`Store::status`] says so. An agent
//!   that goes on from an older state uses message keys a second time.

mod anchor;
mod error;
mod key;
mod memory;
#[cfg(feature = "sqlite")]
mod seal;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "envelope")]
mod wrapped;

use core::fmt;

use zeroize::Zeroizing;

#[cfg(feature = "vault")]
pub use self::anchor::VaultAnchor;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Options, SqliteStore};
#[cfg(feature = "envelope")]
pub use self::wrapped::WrappedStateKey;
pub use self::{
    anchor::{Anchor, AnchorState, FileAnchor, MemoryAnchor},
    error::{Damage, Error},
    key::{StateKey, StateKeyError},
    memory::MemoryStore,
};
pub use crate::effects::Change;
use crate::{Committed, Effects};

/// The longest value, in bytes. A session with as many skipped keys as are kept stays well below
/// it, and a message has at most 64 KiB; the bound is for the memory that one row costs.
// STA-4
pub const MAX_VALUE_LEN: usize = 1024 * 1024;

/// The most changes of one commit. The largest step replaces a page of prekeys.
// STA-4
pub const MAX_CHANGES: usize = 4096;

/// The most rows of one page of a scan.
// STA-5
pub const MAX_PAGE_ROWS: usize = 256;

/// The values of a page have at most so many bytes together, in so far as they are more than
/// one: 256 rows of the longest value would be a quarter of a gigabyte.
// STA-5
pub const MAX_PAGE_LEN: usize = 4 * 1024 * 1024;

/// What a row holds. Wiped on drop; it should be allocated at its full length before it is
/// filled, for growing leaves copies behind.
pub type Value = Zeroizing<Vec<u8>>;

/// The kinds of rows. The names are those that errors show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new kind is a new schema for every store")]
pub enum Table {
    /// The state of a session with a peer.
    Session,
    /// The private half of a prekey.
    Prekey,
    /// What is known of a peer.
    Peer,
    /// Plaintext that the application has not yet acknowledged.
    Inbox,
    /// Ciphertext that the other side has not yet acknowledged.
    Outbox,
    /// What must not be accepted a second time.
    Replay,
    /// What belongs to no other kind: what there is one of, and large messages under way.
    Meta,
}

impl Table {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Session,
        Self::Prekey,
        Self::Peer,
        Self::Inbox,
        Self::Outbox,
        Self::Replay,
        Self::Meta,
    ];

    /// Its name, as errors show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Prekey => "prekey",
            Self::Peer => "peer",
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
            Self::Replay => "replay",
            Self::Meta => "meta",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key of a row, unique within its kind.
///
/// Keys are compared as unsigned bytes. They are not sealed: what must not be read by a thief of
/// the disk belongs into the value, or into a key as a digest under a secret.
///
/// ```
/// use sealwire::store::RowKey;
/// let key = RowKey::new(b"peer 7")?;
/// assert_eq!(key.as_bytes(), b"peer 7");
/// assert!(RowKey::new(b"").is_err());
/// # Ok::<(), sealwire::store::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Box<[u8]>);

impl RowKey {
    /// The longest key, in bytes: two digests, a counter and what names them.
    // STA-4
    pub const MAX_LEN: usize = 128;

    /// A key of these bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an empty one, [`Error::TooLarge`] over [`RowKey::MAX_LEN`].
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        match bytes.len() {
            0 => Err(Error::Misuse("a row key is not empty")),
            1..=Self::MAX_LEN => Ok(Self(bytes.into())),
            _ => Err(Error::TooLarge { what: "a row key", max: Self::MAX_LEN }),
        }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs show no ids.
        f.write_str("RowKey(..)")
    }
}

/// A row that a scan found.
pub struct Row {
    /// Its key.
    pub key: RowKey,
    /// Its value.
    pub value: Value,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Row(..)")
    }
}

/// Which rows of a kind a scan wants.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    prefix: &'a [u8],
    after: Option<&'a RowKey>,
    limit: usize,
}

impl<'a> Range<'a> {
    /// All rows, as many as a page holds.
    pub const fn all() -> Self {
        Self::prefix(&[])
    }

    /// The rows whose key begins with `prefix`.
    pub const fn prefix(prefix: &'a [u8]) -> Self {
        Self { prefix, after: None, limit: MAX_PAGE_ROWS }
    }

    /// Only those behind `key`: the last one of the page before.
    #[must_use]
    pub const fn after(self, key: &'a RowKey) -> Self {
        Self { after: Some(key), ..self }
    }

    /// At most so many, and never more than [`MAX_PAGE_ROWS`].
    #[must_use]
    pub const fn limit(self, limit: usize) -> Self {
        let limit = if limit < MAX_PAGE_ROWS { limit } else { MAX_PAGE_ROWS };
        Self { limit, ..self }
    }
}

/// How much more a page takes.
// STA-5
pub(crate) struct PageBudget {
    first: bool,
    rows: usize,
    len: usize,
}

impl PageBudget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { first: true, rows: limit, len: MAX_PAGE_LEN }
    }

    /// Whether a value of `len` bytes still belongs to the page. The first one always does.
    pub(crate) const fn takes(&mut self, len: usize) -> bool {
        if self.rows == 0 || (len > self.len && !self.first) {
            return false;
        }
        self.first = false;
        self.rows = self.rows.saturating_sub(1);
        self.len = self.len.saturating_sub(len);
        true
    }
}

/// Whether going back to an older state would be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// An anchor outside the state directory knows the newest generation.
    Anchored,
    /// Nothing outside knows: whoever restores the whole state is not noticed.
    Unanchored,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anchored => "anchored",
            Self::Unanchored => "unanchored: going back to an older state is not detected",
        })
    }
}

/// How a store stands: what a command shows its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    generation: u64,
    protection: Protection,
}

impl Status {
    /// For stores.
    pub const fn new(generation: u64, protection: Protection) -> Self {
        Self { generation, protection }
    }

    /// The newest generation: a number that grows with the commits.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether going back to an older state would be seen.
    pub const fn protection(&self) -> Protection {
        self.protection
    }
}

/// An agent's state.
///
/// The calls wait for the disk: an asynchronous caller makes them from a blocking task. Callers
/// that commit at a time share the work of one transaction.
///
/// ```
/// use sealwire::{Effects, store::{MemoryStore, Range, RowKey, Store, Table, Value}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let mut effects = Effects::new();
/// effects.put(Table::Session, RowKey::new(b"bob")?, Value::new(b"next state".to_vec()))?;
/// effects.send(RowKey::new(b"message 1")?, Value::new(b"ciphertext".to_vec()))?;
///
/// // The state is stored first; only then there is something to send.
/// let (outgoing, _) = store.commit(effects)?.into_parts();
/// assert_eq!(outgoing[0].bytes(), b"ciphertext");
///
/// // Until the other side has it, the outbox has it.
/// let page = store.scan(Table::Outbox, Range::all())?;
/// assert_eq!(*page[0].value, b"ciphertext");
/// let mut effects = Effects::new();
/// effects.delete(Table::Outbox, outgoing[0].key().clone())?;
/// store.commit(effects)?;
/// assert!(store.scan(Table::Outbox, Range::all())?.is_empty());
/// # Ok(())
/// # }
/// ```
pub trait Store: Send + Sync + fmt::Debug {
    /// Makes all changes durable, or none.
    ///
    /// # Errors
    /// Whatever kept them from being stored. After [`Error::Poisoned`] and those that say so it
    /// is not known whether they were: the state is opened anew, and has the answer.
    fn commit(&self, effects: Effects) -> Result<Committed, Error>;

    /// The value of a row.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Poisoned`], [`Error::Database`].
    fn get(&self, table: Table, key: &RowKey) -> Result<Option<Value>, Error>;

    /// A page of rows, ascending by key. It may be shorter than what was asked for; only an
    /// empty page is the end.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, table: Table, range: Range<'_>) -> Result<Vec<Row>, Error>;

    /// The newest generation, and whether going back is detected.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn status(&self) -> Result<Status, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    // STA-4
    #[test]
    fn keys_outside_the_bounds_are_refused() {
        for (len, sentence) in [
            (0, "misuse: a row key is not empty"),
            (129, "a row key is over the limit of 128"),
            (100_000, "a row key is over the limit of 128"),
        ] {
            let refused = RowKey::new(&vec![7; len]).expect_err(sentence);
            assert_eq!(refused.to_string(), sentence);
        }
        assert_eq!(RowKey::new(&[7; 128]).expect("at the bound").as_bytes(), [7; 128]);
    }

    #[test]
    fn names_of_kinds_are_distinct() {
        for (index, table) in Table::ALL.iter().enumerate() {
            assert!(Table::ALL[..index].iter().all(|other| other.name() != table.name()));
        }
    }

    #[test]
    fn debug_of_a_key_shows_nothing() {
        assert_eq!(format!("{:?}", RowKey::new(b"did:key:z6Mk").expect("a key")), "RowKey(..)");
    }
}
