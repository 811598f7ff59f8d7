//! What a handshake message carries about its sender, and the proof that binds it.

use sealwire_core::{
    DecodeError, DecodeReason, Suite,
    codec::{from_cbor, to_cbor},
    keys::{Signature, StaticPublic, VerifyingKey},
    label::{Context, Label},
};

use crate::{Error, Pattern, Role};

/// The largest payload, in bytes: a card, evidence and an in-band log of at most 16 KiB fit,
/// and a peer cannot make a handshake cost more memory than this.
pub const MAX_PAYLOAD: usize = 32 * 1024;

/// The payload of XX 2, XX 3, IK 1 and IK 2. Card, log and evidence are opaque here; the
/// facade judges them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    card: Vec<u8>,
    log: Option<Vec<u8>>,
    evidence: Vec<u8>,
    responder_card: Option<[u8; 32]>,
    proof: Signature,
}

/// What this side says of itself in a handshake.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// The agent id, as bytes. It goes into the proof.
    pub id: Vec<u8>,
    /// The signed card.
    pub card: Vec<u8>,
    /// The identity log or its head, where the id has one.
    pub log: Option<Vec<u8>>,
    /// The evidence list.
    pub evidence: Vec<u8>,
}

impl Introduction {
    /// The payload that says it, from where it stands.
    pub(crate) fn to_payload(
        &self,
        responder_card: Option<[u8; 32]>,
        proof: &Signature,
    ) -> Vec<u8> {
        let Self { id: _, card, log, evidence } = self;
        to_cbor(&Wire {
            card,
            log: log.as_deref(),
            evidence,
            responder_card: responder_card.as_ref().map(<[u8; 32]>::as_slice),
            proof: proof.as_bytes(),
        })
    }
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Wire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    card: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    log: Option<&'a [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    evidence: &'a [u8],
    #[cbor(b(3), with = "minicbor::bytes")]
    responder_card: Option<&'a [u8]>,
    #[cbor(b(4), with = "minicbor::bytes")]
    proof: &'a [u8],
}

impl Payload {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        // HS-7
        let wire: Wire<'_> = from_cbor("handshake payload", bytes, MAX_PAYLOAD)?;
        let responder_card = wire.responder_card.map(<[u8; 32]>::try_from).transpose();
        Ok(Self {
            card: wire.card.to_vec(),
            log: wire.log.map(<[u8]>::to_vec),
            evidence: wire.evidence.to_vec(),
            responder_card: responder_card.map_err(|_| {
                DecodeError::new(
                    "handshake payload",
                    DecodeReason::Invalid("a card hash is 32 bytes long"),
                )
            })?,
            proof: Signature::from_bytes(wire.proof)?,
        })
    }

    /// Whether it may stand in this message: IK 1 names the card that the initiator used, and
    /// no other message does.
    pub(crate) fn check_place(&self, pattern: Pattern, sender: Role) -> Result<(), DecodeError> {
        // HS-7
        let names_card = (pattern, sender) == (Pattern::Ik, Role::Initiator);
        if self.responder_card.is_some() != names_card {
            let rule = "the responder's card hash stands in message 1 of IK only";
            return Err(DecodeError::new("handshake payload", DecodeReason::Invalid(rule)));
        }
        Ok(())
    }

    /// The bytes inside the handshake message.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_cbor(&Wire {
            card: &self.card,
            log: self.log.as_deref(),
            evidence: &self.evidence,
            responder_card: self.responder_card.as_ref().map(<[u8; 32]>::as_slice),
            proof: self.proof.as_bytes(),
        })
    }

    /// The sender's signed card.
    pub fn card(&self) -> &[u8] {
        &self.card
    }

    /// The sender's identity log or its head.
    pub fn log(&self) -> Option<&[u8]> {
        self.log.as_deref()
    }

    /// The sender's evidence list.
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// The hash of the responder's card that the initiator used, in IK 1.
    pub fn responder_card(&self) -> Option<&[u8; 32]> {
        self.responder_card.as_ref()
    }
}

/// The transcript that a proof signs.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    pub(crate) suite: Suite,
    pub(crate) pattern: Pattern,
    /// The signer's role.
    pub(crate) role: Role,
    /// The handshake hash immediately before the message.
    pub(crate) hash: [u8; 32],
    /// The ephemeral key that this very message carries; none in XX 3.
    pub(crate) ephemeral: Option<[u8; 32]>,
    /// The signer's static key.
    pub(crate) static_key: StaticPublic,
}

impl Transcript {
    /// The signed bytes: `own_id` is the signer's, `peer_id` is empty in XX 2 only.
    pub(crate) fn context(&self, own_id: &[u8], peer_id: &[u8]) -> Result<Context, Error> {
        // HS-8
        let fields: [&[u8]; 7] = [
            &[self.pattern.id()],
            &[self.role.id()],
            &self.hash,
            self.ephemeral.as_ref().map_or(&[], <[u8; 32]>::as_slice),
            self.static_key.as_bytes(),
            own_id,
            peer_id,
        ];
        Ok(Label::NOISE_PROOF.context(Some(self.suite), &fields)?)
    }
}

/// The identity that a card gives to the sender of a handshake message.
#[derive(Clone, Copy, Debug)]
pub struct PeerIdentity<'a> {
    /// The agent id, as bytes.
    pub id: &'a [u8],
    /// The identity key of the verified card.
    pub key: &'a VerifyingKey,
    /// The X25519 exchange key of the verified card.
    pub static_key: &'a StaticPublic,
}

/// A message whose sender has not proven who it is. Nothing follows from it until
/// [`Claim::prove`] has given the next state.
#[must_use = "a claim proves nothing yet"]
pub struct Claim<S> {
    pub(crate) payload: Payload,
    pub(crate) transcript: Transcript,
    /// The id of this side, which the proof names; empty in XX 2.
    pub(crate) own_id: Vec<u8>,
    pub(crate) next: S,
}

impl<S> Claim<S> {
    /// What the sender says of itself.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The static key whose holder took part in the handshake. Whose key it is, only
    /// [`Claim::prove`] tells.
    pub fn static_key(&self) -> &StaticPublic {
        &self.transcript.static_key
    }

    /// Checks that the sender's card is for the static key of this handshake and that the
    /// holder of its identity key signed this very message.
    ///
    /// # Errors
    /// [`Error::Proof`]; the handshake is over.
    pub fn prove(self, peer: PeerIdentity<'_>) -> Result<S, Error> {
        // HS-9
        if peer.static_key != &self.transcript.static_key {
            return Err(Error::Proof);
        }
        let context = self.transcript.context(peer.id, &self.own_id)?;
        peer.key.verify(&context, &self.payload.proof).map_err(|_| Error::Proof)?;
        Ok(self.next)
    }
}

// Cards, logs and ids say who talks to whom: only their sizes are printed.
impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { card, log, evidence, responder_card: _, proof: _ } = self;
        f.debug_struct("Payload")
            .field("card", &card.len())
            .field("log", &log.as_ref().map(Vec::len))
            .field("evidence", &evidence.len())
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Introduction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { id, card, log, evidence } = self;
        f.debug_struct("Introduction")
            .field("id", &id.len())
            .field("card", &card.len())
            .field("log", &log.as_ref().map(Vec::len))
            .field("evidence", &evidence.len())
            .finish()
    }
}

impl<S> core::fmt::Debug for Claim<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Claim").field("payload", &self.payload).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
