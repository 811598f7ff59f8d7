//! What a wrapped data key is bound to.

use core::fmt;

use sealwire_core::{
    Error,
    kdf::{hmac, sha256},
    label::{Context, Label},
};

/// The name of a sealed object: 16 random bytes, drawn when it was sealed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; Self::LEN]);

impl ObjectId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// An id that was read.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id of 32 lowercase hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        crate::hex::decode(digits).map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// 32 lowercase hexadecimal digits.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::encode(&self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// W: what the wrap of a data key is bound to, so that the key of one object, of one tenant, of
/// one header opens nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapBinding {
    object: ObjectId,
    tenant: [u8; 32],
    header: [u8; 32],
}

impl WrapBinding {
    /// The binding of an object: `header` is all of the body before the salt.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a tenant over 65,535 bytes.
    pub fn new(object: ObjectId, tenant: &str, header: &[u8]) -> Result<Self, Error> {
        let mut key = [0; 32]; // HMAC fills a short key with zeros itself: this is the 16-byte key.
        let (id, _zeros) = key.split_at_mut(ObjectId::LEN);
        id.copy_from_slice(object.as_bytes());
        let context = Label::ENVELOPE_TENANT.context(None, &[tenant.as_bytes()])?;
        let tenant = hmac(&key, &[context.as_bytes()]);
        Ok(Self { object, tenant, header: sha256(&[header]) })
    }

    /// The fields of a binding that a key record keeps.
    pub(crate) const fn from_parts(object: ObjectId, tenant: [u8; 32], header: [u8; 32]) -> Self {
        Self { object, tenant, header }
    }

    /// The object.
    pub const fn object(&self) -> ObjectId {
        self.object
    }

    /// `HMAC-SHA256(object id, label || tenant)`: equal tenants of two objects do not look
    /// equal. It does not hide a tenant that can be guessed.
    pub const fn tenant_digest(&self) -> &[u8; 32] {
        &self.tenant
    }

    /// SHA-256 of the header.
    pub const fn header_digest(&self) -> &[u8; 32] {
        &self.header
    }

    /// `label || object id || tenant digest || header digest`: for a service that takes
    /// associated data.
    ///
    /// # Errors
    /// None: the fields are short.
    pub fn to_context(&self) -> Result<Context, Error> {
        Label::ENVELOPE_WRAP.context(None, &[self.object.as_bytes(), &self.tenant, &self.header])
    }

    /// The same as three names with values in lowercase hexadecimal: for a service that takes
    /// pairs of text.
    pub fn to_pairs(&self) -> [(&'static str, String); 3] {
        let hex = crate::hex::encode;
        [
            ("sealwire:header", hex(&self.header)),
            ("sealwire:object", hex(self.object.as_bytes())),
            ("sealwire:tenant", hex(&self.tenant)),
        ]
    }
}
