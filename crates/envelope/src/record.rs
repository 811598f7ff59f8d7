//! Key records: the data key of one object, wrapped for everyone who may open it.

mod encoding;
mod sealer;

use rand_core::TryCryptoRng;
use sealwire_core::{Timestamp, kdf, keystore::KxId, label::Label};
use sealwire_hybrid::{StoredKey, XWingPublic, open_from, seal_to};

use crate::{
    Dek, Draft, Error, Head, ObjectId, Pairs, Unlocked, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, Provider, Wrapped},
};

pub use sealer::{SealerStatement, Sealers};

/// How a data key is wrapped to an agent: HPKE in base mode, KEM 0x647a, HKDF-SHA256,
/// ChaCha20-Poly1305.
pub const AGENT_ALGORITHM: &str = "HPKE-X-Wing-SHA256-ChaCha20Poly1305";

/// The key record of one object.
///
/// It stands beside the object, under [`KeyRecord::name`], and is all that rotation changes.
/// Deleting it is what makes an object unreadable for good.
///
/// # Security
/// Whoever can write records can take slots away or put older ones back. It cannot make an
/// object open under another key: the body commits to its key, and every slot is bound to the
/// object, its tenant and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    binding: WrapBinding,
    slots: Vec<Slot>,
    sealer: Option<SealerStatement>,
}

/// The data key, wrapped once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    wrapped: Wrapped,
    created: Timestamp,
    rewrapped: Timestamp,
}

impl KeyRecord {
    /// The most slots of a record: readers try and report on each of them.
    pub const MAX_SLOTS: usize = 32;
    /// Length of the longest record, in bytes: 32 slots of the longest kind, and a sealer.
    pub const MAX_LEN: usize = 256 * 1024;

    /// A record of an object with one slot.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a wrapped key that is empty or too long.
    pub fn new(binding: WrapBinding, wrapped: Wrapped, now: Timestamp) -> Result<Self, Error> {
        let mut record = Self { binding, slots: Vec::with_capacity(1), sealer: None };
        record.add(wrapped, now)?;
        Ok(record)
    }

    /// Wraps the key of a draft with `kms`.
    ///
    /// # Errors
    /// [`Error::Kms`].
    pub async fn wrap(draft: &Draft, kms: &dyn Kms, now: Timestamp) -> Result<Self, Error> {
        let wrapped = kms.wrap(draft.dek(), draft.binding()).await?;
        Self::new(*draft.binding(), wrapped, now)
    }

    /// Adds a slot.
    ///
    /// # Errors
    /// [`Error::Misuse`] where there are [`KeyRecord::MAX_SLOTS`], where the key has a slot, and
    /// where a slot for an agent would stand beside one of a classical public key.
    pub fn add(&mut self, wrapped: Wrapped, now: Timestamp) -> Result<(), Error> {
        let slot = Slot { wrapped, created: now, rewrapped: now };
        self.slots.push(slot);
        encoding::check(&self.slots).map_err(|rule| {
            self.slots.pop();
            Error::Misuse(rule)
        })
    }

    /// The name under which the record of an object stands: `.keys/ab/abcd…`, the object's id in
    /// hexadecimal behind its first byte.
    // ENV-18
    pub fn name(object: ObjectId) -> String {
        let [first, ..] = object.as_bytes();
        format!("{}{first:02x}/{object}", Self::FOLDER)
    }

    /// Where key records stand.
    pub const FOLDER: &str = ".keys/";

    /// The object whose record has this name.
    pub fn object_of(name: &str) -> Option<ObjectId> {
        let (_, digits) = name.strip_prefix(Self::FOLDER)?.split_once('/')?;
        let object = ObjectId::from_hex(digits)?;
        (Self::name(object) == name).then_some(object)
    }

    /// W, as the record keeps it for whoever rewraps. Whoever opens builds it anew from the
    /// object and the context that it was given.
    pub const fn binding(&self) -> &WrapBinding {
        &self.binding
    }

    /// The slots.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of a key.
    pub fn slot(&self, key: &KeyRef) -> Option<&Slot> {
        self.slots.iter().find(|slot| &slot.wrapped.key == key)
    }

    /// Who sealed the object, if that was signed.
    pub const fn sealer(&self) -> Option<&SealerStatement> {
        self.sealer.as_ref()
    }

    /// Puts another wrap in the place of the slot of `key`, which may be one of another key. The
    /// others stay as they are.
    ///
    /// # Errors
    /// [`Error::NoSlot`]; as [`KeyRecord::add`].
    // ENV-26
    pub fn replace(&mut self, key: &KeyRef, wrapped: Wrapped, now: Timestamp) -> Result<(), Error> {
        let mut slots = self.slots.clone();
        let slot = slots.iter_mut().find(|slot| &slot.wrapped.key == key).ok_or(Error::NoSlot)?;
        let created = if slot.wrapped.key == wrapped.key { slot.created } else { now };
        *slot = Slot { wrapped, created, rewrapped: now.max(created) };
        encoding::check(&slots).map_err(Error::Misuse)?;
        self.slots = slots;
        Ok(())
    }

    /// Takes the slot of a key away. The last one stays.
    ///
    /// # Security
    /// Who could open the object may have kept its data key, or an older record. Only sealing the
    /// content anew takes the right to read it away.
    ///
    /// # Errors
    /// [`Error::NoSlot`]; [`Error::Misuse`] for the last slot.
    pub fn remove(&mut self, key: &KeyRef) -> Result<(), Error> {
        let at = self.slots.iter().position(|slot| &slot.wrapped.key == key);
        let at = at.ok_or(Error::NoSlot)?;
        if self.slots.len() == 1 {
            return Err(Error::Misuse("a record with a slot; delete it to erase the object"));
        }
        self.slots.remove(at);
        Ok(())
    }
}

impl KeyRecord {
    /// Unwraps the data key with `kms`, and checks that it is the one of this object.
    ///
    /// `required` are the pairs that the caller knows, the tenant among them. `sealers` are asked
    /// only where the slot is one that anyone can make.
    ///
    /// # Errors
    /// [`Error::Open`] for the record of another object, another tenant, and all else that does
    /// not fit; [`Error::NoSlot`]; [`Error::Sealer`]; [`Error::Kms`].
    pub async fn unlock(
        &self,
        kms: &dyn Kms,
        head: &Head,
        required: &Pairs,
        sealers: &dyn Sealers,
    ) -> Result<Unlocked, Error> {
        let slot = self.slot_for(kms, head, required, sealers)?;
        let dek = kms.unwrap(&slot.wrapped, &self.binding).await?;
        unlocked(head, required, &dek)
    }

    /// The slot of the key of `kms`, if this is the record of the object, and signed where it has
    /// to be.
    pub(crate) fn slot_for(
        &self,
        kms: &dyn Kms,
        head: &Head,
        required: &Pairs,
        sealers: &dyn Sealers,
    ) -> Result<&Slot, Error> {
        let binding = self.rebuilt(head, required)?;
        let slot = self.slot(kms.key()).ok_or(Error::NoSlot)?;
        // ENV-24: the service knows its key; what the record says of it anyone may have written.
        if kms.is_public_key() || slot.wrapped.is_public_key() {
            self.verify_sealer(head, &binding, sealers)?;
        }
        Ok(slot)
    }

    /// As [`KeyRecord::unlock`], with an agent's own key.
    ///
    /// # Errors
    /// As [`KeyRecord::unlock`]; [`Error::KeyStore`].
    pub fn unlock_as(
        &self,
        agent: &StoredKey<'_>,
        head: &Head,
        required: &Pairs,
        sealers: &dyn Sealers,
    ) -> Result<Unlocked, Error> {
        let binding = self.rebuilt(head, required)?;
        let slot = self.slot(&agent_key(agent.public())?).ok_or(Error::NoSlot)?;
        // ENV-24
        self.verify_sealer(head, &binding, sealers)?;
        // ENV-21
        let info = Label::ENVELOPE_RECIPIENT.context(None, &[])?;
        let w = binding.to_context()?;
        let dek = open_from(agent, &info, w.as_bytes(), &slot.wrapped.ciphertext)?;
        let dek = Dek::from_unwrapped(&dek).map_err(|_| Error::Open)?;
        unlocked(head, required, &dek)
    }

    /// Wraps the key of a draft to an agent, by the X-Wing key of its card and the number of the
    /// set of keys that it belongs to. [`KeyRecord::new`] or [`KeyRecord::add`] take it.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn wrap_to<R: TryCryptoRng + ?Sized>(
        draft: &Draft,
        public: &XWingPublic,
        kx: KxId,
        rng: &mut R,
    ) -> Result<Wrapped, Error> {
        // ENV-21
        let info = Label::ENVELOPE_RECIPIENT.context(None, &[])?;
        let w = draft.binding().to_context()?;
        Ok(Wrapped {
            key: agent_key(public)?,
            version: KeyVersion::new(&kx.to_string())?,
            algorithm: AGENT_ALGORITHM.to_owned(),
            ciphertext: seal_to(public, &info, w.as_bytes(), draft.dek().expose(), rng)?,
        })
    }

    /// W from the object and what the caller knows; the record's own must be no other.
    // ENV-20
    fn rebuilt(&self, head: &Head, required: &Pairs) -> Result<WrapBinding, Error> {
        let binding = head.header().binding(required)?;
        if binding == self.binding { Ok(binding) } else { Err(Error::Open) }
    }
}

fn unlocked(head: &Head, required: &Pairs, dek: &Dek) -> Result<Unlocked, Error> {
    let ctx = head.header().stream_context(required)?;
    Unlocked::new(head.clone(), dek, ctx.as_bytes())
}

/// Names an agent's key without naming the agent: SHA-256 of the X-Wing public key.
// ENV-21
pub(crate) fn agent_key(public: &XWingPublic) -> Result<KeyRef, Error> {
    let digest = kdf::sha256(&[&public.to_bytes()]);
    Ok(KeyRef::new(Provider::Agent, &crate::hex::encode(&digest))?)
}

impl Slot {
    /// The wrapped key.
    pub const fn wrapped(&self) -> &Wrapped {
        &self.wrapped
    }

    /// When this key was first wrapped into the slot.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// When it was last wrapped.
    pub const fn rewrapped(&self) -> Timestamp {
        self.rewrapped
    }
}
