//! Sealed rows, the sum over them, and the generation row, without I/O.
//!
//! ```text
//! state key ──HKDF(store id)──┬─ row key         each row: XChaCha20-Poly1305, nonce at random
//!                             ├─ sum key         Σ HMAC(row kind, key, revision, nonce), per kind
//!                             ├─ generation key  the generation row, which has the sums
//!                             └─ check value     in clear: is this the right key?
//! ```

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, Error as CoreError, aead,
    codec::{Reader, Writer},
    kdf,
    label::{Context, Label},
    rng,
    secret::{Secret, equal},
    wipe,
};
use zeroize::Zeroizing;

use super::{RowKey, Table, Value, key::StateKey};

/// Length of a store id, in bytes.
pub(super) const STORE_ID_LEN: usize = 16;

/// Names one store. Drawn when it is made.
pub(super) type StoreId = [u8; STORE_ID_LEN];

/// A nonce: 16 random bytes, then the revision or the generation that is sealed. The random part
/// alone would do; the number sees to it that a generator that repeats itself repeats no nonce,
/// and the random part that a number that a crash has taken back does not.
pub(super) type Nonce = [u8; aead::XNONCE_LEN];

/// SHA-256 of a sealed generation row, nonce included.
pub(super) type GenerationHash = [u8; kdf::HASH_LEN];

/// A revision is at most this: SQLite's integers are signed.
pub(super) const MAX_REVISION: u64 = i64::MAX.unsigned_abs();

/// The keys of one store.
pub(super) struct Keys {
    store: StoreId,
    schema: u32,
    row: Secret<32>,
    sum: Secret<32>,
    generation: Secret<32>,
    check: Secret<32>,
}

/// What tells one sealing of one row from every other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) table: Table,
    pub(super) key: &'a RowKey,
    pub(super) revision: u64,
}

/// A row as it lies on the disk.
#[derive(Debug)]
pub(super) struct SealedRow {
    pub(super) nonce: Nonce,
    pub(super) sealed: Vec<u8>,
}

impl Keys {
    // STA-9
    pub(super) fn derive(key: &StateKey, store: StoreId, schema: u32) -> Result<Self, CoreError> {
        let derive = |label: Label| {
            let info = label.context(None, &[&store])?;
            Ok::<_, CoreError>(wipe::stack(|| kdf::hkdf(&store, key.expose(), &info)))
        };
        Ok(Self {
            store,
            schema,
            row: derive(Label::STATE_ROW_KEY)?,
            sum: derive(Label::STATE_SUM_KEY)?,
            generation: derive(Label::STATE_GENERATION_KEY)?,
            check: derive(Label::STATE_KEY_CHECK)?,
        })
    }

    /// The keys of the same store under another schema.
    // STA-17
    pub(super) fn of_schema(&self, key: &StateKey, schema: u32) -> Result<Self, CoreError> {
        Self::derive(key, self.store, schema)
    }

    pub(super) const fn schema(&self) -> u32 {
        self.schema
    }

    /// A public value that another state key does not give. It is one-way: HKDF outputs under
    /// different labels say nothing of one another.
    pub(super) fn check_value(&self) -> &[u8; 32] {
        self.check.expose()
    }

    /// Whether the check value in a store is that of this key.
    pub(super) fn matches(&self, check: &[u8]) -> bool {
        equal(self.check.expose(), check)
    }

    /// Seals a value for its place.
    // STA-10
    pub(super) fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        place: Place<'_>,
        value: &Value,
        rng: &mut R,
    ) -> Result<SealedRow, CoreError> {
        let nonce = nonce(place.revision, rng)?;
        let sealed = seal(&self.row, &nonce, &self.context(Label::STATE_ROW, place, &[])?, value)?;
        Ok(SealedRow { nonce, sealed })
    }

    /// Opens what was sealed for this place.
    // STA-10
    pub(super) fn open(&self, place: Place<'_>, row: SealedRow) -> Result<Value, CoreError> {
        let mut value = Zeroizing::new(row.sealed);
        let associated = self.context(Label::STATE_ROW, place, &[])?;
        aead::xchacha_open(&self.row, &row.nonce, associated.as_bytes(), &mut value)?;
        Ok(value)
    }

    /// What a row adds to the sum of its kind.
    // STA-11
    pub(super) fn term(&self, place: Place<'_>, nonce: &Nonce) -> Result<Sum, CoreError> {
        let context = self.context(Label::STATE_SUM, place, nonce)?;
        Ok(Sum(kdf::hmac(self.sum.expose(), &[context.as_bytes()])))
    }

    /// Seals a generation row: nonce, then ciphertext.
    // STA-12
    pub(super) fn seal_generation<R: TryCryptoRng + ?Sized>(
        &self,
        generation: &Generation,
        rng: &mut R,
    ) -> Result<Vec<u8>, CoreError> {
        let nonce = nonce(generation.number, rng)?;
        let context = self.generation_context()?;
        let sealed = seal(&self.generation, &nonce, &context, &generation.to_bytes())?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens a generation row.
    // STA-12
    pub(super) fn open_generation(&self, row: &[u8]) -> Result<Generation, CoreError> {
        let (nonce, sealed) = row.split_first_chunk().ok_or(CoreError::Open)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let context = self.generation_context()?;
        aead::xchacha_open(&self.generation, nonce, context.as_bytes(), &mut bytes)?;
        Ok(Generation::from_bytes(&bytes)?)
    }

    fn generation_context(&self) -> Result<Context, CoreError> {
        Label::STATE_GENERATION.context(None, &[&self.store, &self.schema.to_be_bytes()])
    }

    fn context(&self, label: Label, place: Place<'_>, nonce: &[u8]) -> Result<Context, CoreError> {
        let Place { table, key, revision } = place;
        label.context(
            None,
            &[
                &self.store,
                &self.schema.to_be_bytes(),
                &[code(table)],
                key.as_bytes(),
                &revision.to_be_bytes(),
                nonce,
            ],
        )
    }
}

fn nonce<R: TryCryptoRng + ?Sized>(number: u64, rng: &mut R) -> Result<Nonce, CoreError> {
    let random = rng::draw::<16>(rng)?;
    let mut nonce = [0; aead::XNONCE_LEN];
    for (byte, from) in nonce.iter_mut().zip(random.expose().iter().chain(&number.to_be_bytes())) {
        *byte = *from;
    }
    Ok(nonce)
}

fn seal(
    key: &Secret<32>,
    nonce: &Nonce,
    associated: &Context,
    plaintext: &[u8],
) -> Result<Vec<u8>, CoreError> {
    // Full capacity first: growing would leave a copy of the plaintext behind.
    let len = plaintext.len().saturating_add(aead::TAG_LEN);
    let mut message = Zeroizing::new(Vec::with_capacity(len));
    message.extend_from_slice(plaintext);
    aead::xchacha_seal(key, nonce, associated.as_bytes(), &mut message)?;
    Ok(core::mem::take(&mut *message))
}

/// The number of a kind on the disk. A number is never given to another kind.
pub(super) const fn code(table: Table) -> u8 {
    match table {
        Table::Session => 1,
        Table::Prekey => 2,
        Table::Peer => 3,
        Table::Inbox => 4,
        Table::Outbox => 5,
        Table::Replay => 6,
        Table::Meta => 7,
    }
}

/// The kind of a number.
pub(super) fn table(number: i64) -> Option<Table> {
    Table::ALL.into_iter().find(|table| i64::from(code(*table)) == number)
}

/// A sum of HMACs modulo 2^256: of a set, whatever the order, and easy to move by one row.
// STA-11
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum([u8; 32]);

impl Sum {
    pub(super) fn add(&mut self, term: Self) {
        let mut carry = 0;
        for (byte, other) in self.0.iter_mut().zip(term.0).rev() {
            let [high, low] = (u16::from(*byte) + u16::from(other) + carry).to_be_bytes();
            (*byte, carry) = (low, u16::from(high));
        }
    }

    /// Adding the complement and one is subtracting.
    pub(super) fn subtract(&mut self, term: Self) {
        let mut one = Self::default();
        if let Some(last) = one.0.last_mut() {
            *last = 1;
        }
        self.add(Self(term.0.map(|byte| !byte)));
        self.add(one);
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is known to nobody without the key, and stays so.
        f.write_str("Sum(..)")
    }
}

/// One sum for each kind of rows, so that an error can name the kind.
pub(super) type Sums = [Sum; Table::ALL.len()];

/// The state as a whole, in one row.
// STA-12
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    /// Ascends by one with each transaction, from 1.
    pub(super) number: u64,
    /// Hash of the row before this; zeros for the first.
    pub(super) predecessor: GenerationHash,
    /// Whether an anchor has it.
    pub(super) anchored: bool,
    /// Above every revision that was ever used.
    pub(super) next_revision: u64,
    /// Over the rows of each kind.
    pub(super) sums: Sums,
}

impl Generation {
    const VERSION: u8 = 1;

    /// Of a new store, without rows.
    pub(super) const fn first(anchored: bool) -> Self {
        Self {
            number: 1,
            predecessor: [0; kdf::HASH_LEN],
            anchored,
            next_revision: 1,
            sums: [Sum([0; 32]); Table::ALL.len()],
        }
    }

    /// `version 1 | number u64 | predecessor 32 | anchored u8 | next revision u64 | sums 7 x 32`
    fn to_bytes(&self) -> Vec<u8> {
        let Self { number, predecessor, anchored, next_revision, sums } = self;
        let mut writer = Writer::new();
        writer.u8(Self::VERSION).u64(*number).bytes(predecessor);
        writer.u8(u8::from(*anchored)).u64(*next_revision);
        for sum in sums {
            writer.bytes(&sum.0);
        }
        writer.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("generation row", bytes);
        reader.version(Self::VERSION)?;
        let (number, predecessor) = (reader.u64()?, *reader.array()?);
        let anchored = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.error(DecodeReason::Invalid("anchored is 0 or 1"))),
        };
        let next_revision = reader.u64()?;
        let mut sums = Sums::default();
        for sum in &mut sums {
            *sum = Sum(*reader.array()?);
        }
        reader.finish()?;
        Ok(Self { number, predecessor, anchored, next_revision, sums })
    }

    /// The sum over the rows of a kind.
    pub(super) fn sum_mut(&mut self, table: Table) -> Option<&mut Sum> {
        self.sums.get_mut(usize::from(code(table)).checked_sub(1)?)
    }
}

/// What an anchor keeps of a sealed generation row.
// STA-12
pub(super) fn generation_hash(row: &[u8]) -> GenerationHash {
    kdf::sha256(&[row])
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

#[cfg(test)]
mod tests;
