//! What a step wants to happen, and the proof that it was stored first.
//!
//! A step of an agent changes nothing by itself: it returns [`Effects`]. A
//! [`Store`](crate::store::Store) takes them, makes the changes durable, and gives a
//! [`Committed`] for them; only that has the bytes to send and the plaintext to show.

use core::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::store::{Error, MAX_CHANGES, MAX_VALUE_LEN, RowKey, Table, Value};

/// What one step wants to happen: rows to change, ciphertext to send, plaintext to release.
///
/// Whatever is to be sent is put into the outbox by the same transaction, and whatever is to be
/// released into the inbox, so that a crash between loses neither. The bytes themselves are had
/// from [`Committed`] and from nothing else:
///
/// ```compile_fail,E0599
/// use sealwire::{Effects, store::{RowKey, Value}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut effects = Effects::new();
/// effects.send(RowKey::new(b"1")?, Value::new(b"ciphertext".to_vec()))?;
/// // attack T37: what was not stored cannot be sent.
/// let (outgoing, delivered) = effects.into_parts();
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0451
/// use sealwire::Committed;
/// // attack T37: the proof cannot be made up.
/// let committed = Committed { generation: 1, outgoing: Vec::new(), delivered: Vec::new() };
/// ```
///
/// ```compile_fail,E0382
/// use sealwire::{Effects, store::{MemoryStore, Store}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, effects) = (MemoryStore::new(), Effects::new());
/// store.commit(effects)?;
/// // attack T37: what was stored cannot be stored again.
/// store.commit(effects)?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use = "effects do nothing until a store commits them"]
pub struct Effects {
    persist: Vec<Change>,
    send: Vec<(RowKey, Arc<Value>)>,
    release: Vec<(RowKey, Arc<Value>)>,
}

/// One row that is written or goes.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "a store that knows not every change is wrong")]
pub enum Change {
    /// The row has this value from now on, whatever it had before.
    Put {
        /// Its kind.
        table: Table,
        /// Its key.
        key: RowKey,
        /// Its value.
        value: Arc<Value>,
    },
    /// The row is no more. One that is not there is no error.
    Delete {
        /// Its kind.
        table: Table,
        /// Its key.
        key: RowKey,
    },
}

/// Ciphertext that may leave: the state behind it is stored.
pub struct Outgoing {
    key: RowKey,
    bytes: Arc<Value>,
}

/// Plaintext that may be shown: the state behind it is stored.
pub struct Delivered {
    key: RowKey,
    bytes: Arc<Value>,
}

/// The proof that effects were stored, and what they held.
#[must_use = "what was stored is to be sent and released"]
pub struct Committed {
    generation: u64,
    outgoing: Vec<Outgoing>,
    delivered: Vec<Delivered>,
}

impl Effects {
    /// No effects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a value over [`MAX_VALUE_LEN`], or more than [`MAX_CHANGES`]
    /// changes.
    pub fn put(&mut self, table: Table, key: RowKey, value: Value) -> Result<&mut Self, Error> {
        self.write(table, key, Arc::new(value))
    }

    /// Removes a row.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more than [`MAX_CHANGES`] changes.
    pub fn delete(&mut self, table: Table, key: RowKey) -> Result<&mut Self, Error> {
        self.change(Change::Delete { table, key })
    }

    /// Puts `bytes` into the outbox under `key`, and sends them once they are stored.
    ///
    /// # Errors
    /// As [`Effects::put`].
    // STA-2
    pub fn send(&mut self, key: RowKey, bytes: Value) -> Result<&mut Self, Error> {
        let bytes = Arc::new(bytes);
        self.write(Table::Outbox, key.clone(), Arc::clone(&bytes))?;
        self.send.push((key, bytes));
        Ok(self)
    }

    /// Puts `bytes` into the inbox under `key`, and releases them once they are stored.
    ///
    /// # Errors
    /// As [`Effects::put`].
    // STA-2
    pub fn release(&mut self, key: RowKey, bytes: Value) -> Result<&mut Self, Error> {
        let bytes = Arc::new(bytes);
        self.write(Table::Inbox, key.clone(), Arc::clone(&bytes))?;
        self.release.push((key, bytes));
        Ok(self)
    }

    /// Whether nothing would happen.
    pub const fn is_empty(&self) -> bool {
        // Whatever is sent or released is a change too.
        self.persist.is_empty()
    }

    /// For stores: has `store` make the changes, in their order and all or none of them, and
    /// turns its word that they are durable into the token.
    ///
    /// `store` gives the generation of the state that it stored. It returns only when a crash,
    /// of the process or of the machine, can no longer undo them.
    ///
    /// # Errors
    /// Whatever `store` returns; what was to be sent or released is then wiped.
    // STA-1
    pub fn commit_with(
        self,
        store: impl FnOnce(&[Change]) -> Result<u64, Error>,
    ) -> Result<Committed, Error> {
        let Self { persist, send, release } = self;
        let generation = store(&persist)?;
        let outgoing = send.into_iter().map(|(key, bytes)| Outgoing { key, bytes }).collect();
        let delivered = release.into_iter().map(|(key, bytes)| Delivered { key, bytes }).collect();
        Ok(Committed { generation, outgoing, delivered })
    }

    fn write(&mut self, table: Table, key: RowKey, value: Arc<Value>) -> Result<&mut Self, Error> {
        // STA-4
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::TooLarge { what: "a value", max: MAX_VALUE_LEN });
        }
        self.change(Change::Put { table, key, value })
    }

    fn change(&mut self, change: Change) -> Result<&mut Self, Error> {
        // STA-4
        if self.persist.len() >= MAX_CHANGES {
            return Err(Error::TooLarge { what: "the number of changes", max: MAX_CHANGES });
        }
        self.persist.push(change);
        Ok(self)
    }
}

impl Change {
    /// The kind of the row.
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }

    /// The key of the row.
    pub const fn key(&self) -> &RowKey {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

impl Outgoing {
    /// The row of the outbox, which goes when the other side has the bytes.
    pub const fn key(&self) -> &RowKey {
        &self.key
    }

    /// What the outbox has: sending it again sends the same bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Delivered {
    /// The row of the inbox, which goes when the application has acknowledged it.
    pub const fn key(&self) -> &RowKey {
        &self.key
    }

    /// What the inbox has.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the inbox has, taken over. Wiped on drop.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        Arc::try_unwrap(self.bytes).unwrap_or_else(|shared| Value::clone(&shared))
    }
}

impl Committed {
    /// The generation of the state that has the changes.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What may be sent and what may be released, each in the order in which it was added.
    pub fn into_parts(self) -> (Vec<Outgoing>, Vec<Delivered>) {
        (self.outgoing, self.delivered)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { persist, send, release } = self;
        f.debug_struct("Effects")
            .field("persist", persist)
            .field("send", &send.len())
            .field("release", &release.len())
            .finish()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { table, key: _, value: _ } => write!(f, "Put({table})"),
            Self::Delete { table, key: _ } => write!(f, "Delete({table})"),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing(..)")
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivered(..)")
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, outgoing, delivered } = self;
        f.debug_struct("Committed")
            .field("generation", generation)
            .field("outgoing", &outgoing.len())
            .field("delivered", &delivered.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_testkit::leak;

    fn key(name: &[u8]) -> RowKey {
        RowKey::new(name).expect("a key")
    }

    fn value(bytes: &[u8]) -> Value {
        Value::new(bytes.to_vec())
    }

    // STA-2
    #[test]
    fn what_is_sent_or_released_is_also_stored() {
        let mut effects = Effects::new();
        effects.send(key(b"out"), value(b"ciphertext")).expect("short");
        effects.release(key(b"in"), value(b"plaintext")).expect("short");
        let mut stored = Vec::new();
        let committed = effects.commit_with(|changes| {
            stored = changes.to_vec();
            Ok(7)
        });
        let committed = committed.expect("stored");
        assert_eq!(committed.generation(), 7);
        let found: Vec<_> = stored.iter().map(|change| (change.table(), change.key())).collect();
        assert_eq!(found, [(Table::Outbox, &key(b"out")), (Table::Inbox, &key(b"in"))]);
        let (outgoing, delivered) = committed.into_parts();
        assert_eq!(outgoing[0].bytes(), b"ciphertext");
        assert_eq!((delivered[0].key(), delivered[0].bytes()), (&key(b"in"), &b"plaintext"[..]));
        assert_eq!(*delivered.into_iter().next().expect("one").into_bytes(), b"plaintext");
    }

    // attack T2
    // STA-1
    #[test]
    fn what_was_not_stored_is_not_given_out() {
        let mut effects = Effects::new();
        effects.send(key(b"out"), value(b"ciphertext")).expect("short");
        let refused = effects.commit_with(|_| Err(Error::Poisoned)).expect_err("not stored");
        assert!(matches!(refused, Error::Poisoned));
    }

    // STA-4
    #[test]
    fn bounds_hold_before_anything_is_stored() {
        let mut effects = Effects::new();
        let longest = Value::new(vec![1; MAX_VALUE_LEN]);
        effects.put(Table::Session, key(b"a"), longest).expect("at the bound");
        let refused = effects.send(key(b"a"), Value::new(vec![1; MAX_VALUE_LEN + 1]));
        let sentence = "a value is over the limit of 1048576";
        assert_eq!(refused.expect_err("over").to_string(), sentence);
        for _ in 1..MAX_CHANGES {
            effects.delete(Table::Session, key(b"a")).expect("at the bound");
        }
        let refused = effects.release(key(b"a"), value(b"")).expect_err("over");
        assert_eq!(refused.to_string(), "the number of changes is over the limit of 4096");
        let committed = effects.commit_with(|changes| {
            assert_eq!(changes.len(), MAX_CHANGES);
            Ok(1)
        });
        let (outgoing, delivered) = committed.expect("stored").into_parts();
        assert!(outgoing.is_empty() && delivered.is_empty(), "what was refused is not in it");
    }

    // attack T34
    #[test]
    fn debug_shows_no_content() {
        let secret: Vec<u8> = (100..132).collect();
        let mut effects = Effects::new();
        effects.put(Table::Session, key(&secret), value(&secret)).expect("short");
        effects.send(key(&secret), value(&secret)).expect("short");
        effects.release(key(&secret), value(&secret)).expect("short");
        assert!(!leak::shows(&format!("{effects:?} {effects:#?}"), &secret));
        let committed = effects.commit_with(|changes| {
            assert!(!leak::shows(&format!("{changes:?}"), &secret));
            assert!(leak::shows(&format!("{:?}", changes[0].key().as_bytes()), &secret));
            Ok(1)
        });
        let committed = committed.expect("stored");
        assert!(!leak::shows(&format!("{committed:?}"), &secret));
        let parts = format!("{:?}", committed.into_parts());
        assert!(!leak::shows(&parts, &secret));
    }
}
