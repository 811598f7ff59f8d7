//! Who sealed an object.

use sealwire_core::{
    KeyStore,
    keys::{Signature, VerifyingKey},
    label::{Context, Label},
};

use super::KeyRecord;
use crate::{Draft, Error, Head, WrapBinding};

/// A sealer's word that it sealed an object: its id and card, and a signature.
///
/// # Security
/// Id and card hash are not signed: they say which key to verify with. The signature covers what
/// names the object and its data key, not the content. Whoever has the data key can write other
/// content under it, so it tells a reader that the key came from the sealer and not what the
/// other readers did with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealerStatement {
    pub(super) id: Vec<u8>,
    pub(super) card: [u8; 32],
    pub(super) signature: Signature,
}

/// The sealers that are accepted.
pub trait Sealers: Send + Sync {
    /// The identity key of the sealer with this id and card, if objects of it are accepted.
    fn key(&self, id: &[u8], card: &[u8; 32]) -> Option<VerifyingKey>;
}

/// Nobody: opens through keys of a key service only.
impl Sealers for () {
    fn key(&self, _id: &[u8], _card: &[u8; 32]) -> Option<VerifyingKey> {
        None
    }
}

impl SealerStatement {
    /// Most bytes of an id.
    pub const MAX_ID_LEN: usize = 512;

    /// The sealer's id, as it names itself.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// SHA-256 of the card under which it sealed.
    pub const fn card(&self) -> &[u8; 32] {
        &self.card
    }
}

impl KeyRecord {
    /// Signs that the holder of `keys`, by the id and the card that it gives, sealed the object of
    /// a draft.
    ///
    /// # Errors
    /// [`Error::Misuse`] for the draft of another object, and for an id that is empty or over
    /// [`SealerStatement::MAX_ID_LEN`]; [`Error::KeyStore`].
    pub fn sign(
        &mut self,
        draft: &Draft,
        keys: &dyn KeyStore,
        id: &[u8],
        card: &[u8; 32],
    ) -> Result<(), Error> {
        if draft.binding() != self.binding() {
            return Err(Error::Misuse("the key record of this object"));
        }
        if id.is_empty() || id.len() > SealerStatement::MAX_ID_LEN {
            return Err(Error::Misuse("an id of 1 to 512 bytes"));
        }
        let signature = keys.sign(&signed(draft.head(), draft.binding())?)?;
        self.sealer = Some(SealerStatement { id: id.to_vec(), card: *card, signature });
        Ok(())
    }

    // ENV-24
    pub(super) fn verify_sealer(
        &self,
        head: &Head,
        binding: &WrapBinding,
        sealers: &dyn Sealers,
    ) -> Result<(), Error> {
        let statement = self.sealer().ok_or(Error::Sealer)?;
        let key = sealers.key(statement.id(), statement.card()).ok_or(Error::Sealer)?;
        key.verify(&signed(head, binding)?, &statement.signature).map_err(|_| Error::Sealer)
    }
}

/// `label || W || header || salt || commitment`
// ENV-23
fn signed(head: &Head, binding: &WrapBinding) -> Result<Context, Error> {
    let w = binding.to_context()?;
    let header = head.header();
    let fields = [w.as_bytes(), header.as_bytes(), head.salt(), head.commitment()];
    Ok(Label::ENVELOPE_SEALER.context(Some(header.suite()), &fields)?)
}
