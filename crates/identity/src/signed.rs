//! The frame of every signed object: `version 1 | CBOR [body, signature]`.

use sealwire_core::{
    DecodeReason, KeyStore,
    codec::{Reader, from_cbor, to_cbor},
    keys::{Signature, VerifyingKey},
    label::Label,
};

use crate::Error;

const VERSION: u8 = 1;

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Frame<'b> {
    #[cbor(b(0), with = "minicbor::bytes")]
    body: &'b [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    signature: &'b [u8],
}

/// The signed body as received, and the signature over it.
pub(crate) struct Signed<'b> {
    what: &'static str,
    pub(crate) body: &'b [u8],
    signature: Signature,
}

impl<'b> Signed<'b> {
    /// Reads a `what` of at most `max` bytes.
    pub(crate) fn from_bytes(
        what: &'static str,
        bytes: &'b [u8],
        max: usize,
    ) -> Result<Self, Error> {
        let mut reader = Reader::new(what, bytes);
        // CARD-1, EV-5: bounded before anything else.
        if bytes.len() > max {
            return Err(reader.error(DecodeReason::TooLong(max)).into());
        }
        reader.version(VERSION)?;
        // CARD-2
        let Frame { body, signature } = from_cbor(what, reader.rest(), max)?;
        Ok(Self { what, body, signature: Signature::from_bytes(signature)? })
    }

    /// Verifies strictly over the received body.
    pub(crate) fn verify(&self, label: Label, key: &VerifyingKey) -> Result<(), Error> {
        let message = label
            .context(None, &[self.body])
            .map_err(|_| Error::Unreachable("a signed object is shorter than 64 KiB"))?;
        // CARD-11, EV-7
        key.verify(&message, &self.signature).map_err(|_| Error::Signature(self.what))
    }
}

/// Signs `body` with the identity key and frames it.
pub(crate) fn sign(keys: &dyn KeyStore, label: Label, body: &[u8]) -> Result<Vec<u8>, Error> {
    let message = label.context(None, &[body]).map_err(Error::KeyStore)?;
    let signature = keys.sign(&message).map_err(Error::KeyStore)?;
    let mut bytes = vec![VERSION];
    bytes.extend(to_cbor(&Frame { body, signature: signature.as_bytes() }));
    Ok(bytes)
}
