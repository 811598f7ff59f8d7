//! Every string that separates one use of a key from another stands here.
//!
//! The rule: what is signed, MACed or fed to a KDF as info is
//! `label || 0x00 || suite || fields`, each field behind its length as u16. The suite is 0x00
//! where none applies. A salt is the bare label.
//!
//! Outside the rule: Noise's own key schedule, X-Wing's combiner and HPKE's labelled KDF,
//! which outside specifications fix, signature bases of HTTP messages (RFC 9421), and AEAD
//! associated data.

use crate::{Error, Suite};

/// A domain-separation string. The only instances are the constants here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(&'static str);

impl Label {
    /// Signature over an identity card.
    pub const CARD: Self = Self("sealwire/v1/card");
    /// Signature over a score that one agent gives another.
    pub const SCORE: Self = Self("sealwire/v1/score");
    /// Noise prologue, over the preamble.
    pub const NOISE_PROLOGUE: Self = Self("sealwire/v1/noise/prologue");
    /// Key of the gate that stands before any public-key work.
    pub const NOISE_GATE: Self = Self("sealwire/v1/noise/gate");
    /// psk0 of the IK handshake, from the static ML-KEM secret.
    pub const NOISE_PSK0: Self = Self("sealwire/v1/noise/psk0");
    /// Signature that proves possession of the identity key within a handshake.
    pub const NOISE_PROOF: Self = Self("sealwire/v1/noise/proof");
    /// Record key of one direction.
    pub const RECORD_KEY: Self = Self("sealwire/v1/record/key");
    /// The next record key of the same direction.
    pub const RECORD_REKEY: Self = Self("sealwire/v1/record/rekey");
    /// The value that names a channel to protocols above it.
    pub const CHANNEL_BINDING: Self = Self("sealwire/v1/channel-binding");
    /// Signature over a prekey bundle.
    pub const PREKEY_BUNDLE: Self = Self("sealwire/v1/prekey/bundle");
    /// Signature over the root of a page of one-time prekeys.
    pub const PREKEY_PAGE: Self = Self("sealwire/v1/prekey/page");
    /// The secret of an agreement, SK.
    pub const AGREEMENT_SK: Self = Self("sealwire/v1/agreement/sk");
    /// What both sides of an agreement must see alike, AD.
    pub const AGREEMENT_AD: Self = Self("sealwire/v1/agreement/ad");
    /// Key and nonce under which a first message names its sender.
    pub const AGREEMENT_IDENTITY: Self = Self("sealwire/v1/agreement/identity");
    /// Signature of the sender of a first message.
    pub const AGREEMENT_PROOF: Self = Self("sealwire/v1/agreement/proof");
    /// Names a first message that could be replayed.
    pub const AGREEMENT_REPLAY: Self = Self("sealwire/v1/agreement/replay");
    /// First root key and header keys of a ratchet.
    pub const RATCHET_START: Self = Self("sealwire/v1/ratchet/start");
    /// A root step from X25519 alone.
    pub const RATCHET_ROOT: Self = Self("sealwire/v1/ratchet/root");
    /// A root step from X25519 and a KEM secret.
    pub const RATCHET_ROOT_PQ: Self = Self("sealwire/v1/ratchet/root-pq");
    /// Key and nonce of one message.
    pub const RATCHET_MESSAGE: Self = Self("sealwire/v1/ratchet/message");
    /// The secret of one round of the KEM ratchet, k_e.
    pub const RATCHET_KEM: Self = Self("sealwire/v1/ratchet/kem");
    /// The name of a session, by which two sides settle on one.
    pub const RATCHET_SESSION_ID: Self = Self("sealwire/v1/ratchet/session-id");

    /// Sealing of the state key to the agent's own X-Wing key.
    pub const STATE_KEY_SEAL: Self = Self("sealwire/v1/state/key/seal");
    /// Signature over the sealed state key.
    pub const STATE_KEY_SIGN: Self = Self("sealwire/v1/state/key/sign");
    /// Sealing of the agent's share of a state key that a key service guards too.
    pub const STATE_WRAPPED_SEAL: Self = Self("sealwire/v1/state/wrapped/seal");
    /// Signature over the file of such a state key.
    pub const STATE_WRAPPED_SIGN: Self = Self("sealwire/v1/state/wrapped/sign");
    /// Such a state key, from its two shares.
    pub const STATE_WRAPPED_KEY: Self = Self("sealwire/v1/state/wrapped/key");
    /// Key under which the rows of stored state are sealed.
    pub const STATE_ROW_KEY: Self = Self("sealwire/v1/state/row/key");
    /// Associated data of a row.
    pub const STATE_ROW: Self = Self("sealwire/v1/state/row");
    /// Key under which the generation row is sealed.
    pub const STATE_GENERATION_KEY: Self = Self("sealwire/v1/state/generation/key");
    /// Associated data of the generation row.
    pub const STATE_GENERATION: Self = Self("sealwire/v1/state/generation");
    /// Key of the sum over the revisions of all rows.
    pub const STATE_SUM_KEY: Self = Self("sealwire/v1/state/sum/key");
    /// One row's part of that sum.
    pub const STATE_SUM: Self = Self("sealwire/v1/state/sum");
    /// The value by which a wrong state key is told from damage.
    pub const STATE_KEY_CHECK: Self = Self("sealwire/v1/state/key/check");
    /// The MAC of a deposit capability.
    pub const RELAY_DEPOSIT: Self = Self("sealwire/v1/relay/deposit");
    /// The commitment of one side of a pairing.
    pub const PAIRING_COMMITMENT: Self = Self("sealwire/v1/pairing/commitment");
    /// Sealing of what one side of a pairing reveals, to the key that the other side drew for it.
    pub const PAIRING_REVEAL: Self = Self("sealwire/v1/pairing/reveal");
    /// Signature that proves possession of the identity key within a pairing.
    pub const PAIRING_PROOF: Self = Self("sealwire/v1/pairing/proof");
    /// What both sides of a pairing show on their screens.
    pub const PAIRING_PHRASE: Self = Self("sealwire/v1/pairing/phrase");
    /// Keys and ids of the mailboxes in which two sides of a pairing meet.
    pub const PAIRING_RENDEZVOUS: Self = Self("sealwire/v1/pairing/rendezvous");

    /// What the stream of a sealed object is bound to.
    pub const ENVELOPE_BODY: Self = Self("sealwire/v1/envelope/body");
    /// What the wrap of an object's data key is bound to.
    pub const ENVELOPE_WRAP: Self = Self("sealwire/v1/envelope/wrap");
    /// The tenant of an object, digested.
    pub const ENVELOPE_TENANT: Self = Self("sealwire/v1/envelope/tenant");
    /// Wrapping of a data key by a key of our own.
    pub const ENVELOPE_LOCAL: Self = Self("sealwire/v1/envelope/local");
    /// Sealing of a data key to an agent.
    pub const ENVELOPE_RECIPIENT: Self = Self("sealwire/v1/envelope/recipient");
    /// Signature of whoever sealed an object.
    pub const ENVELOPE_SEALER: Self = Self("sealwire/v1/envelope/sealer");
    /// A link of the chain of audit events.
    pub const ENVELOPE_AUDIT: Self = Self("sealwire/v1/envelope/audit");
    /// Signature over the head of that chain.
    pub const ENVELOPE_CHECKPOINT: Self = Self("sealwire/v1/envelope/checkpoint");

    /// Every label, for the test that they are distinct.
    pub const ALL: [Self; 48] = [
        Self::CARD,
        Self::SCORE,
        Self::NOISE_PROLOGUE,
        Self::NOISE_GATE,
        Self::NOISE_PSK0,
        Self::NOISE_PROOF,
        Self::RECORD_KEY,
        Self::RECORD_REKEY,
        Self::CHANNEL_BINDING,
        Self::PREKEY_BUNDLE,
        Self::PREKEY_PAGE,
        Self::AGREEMENT_SK,
        Self::AGREEMENT_AD,
        Self::AGREEMENT_IDENTITY,
        Self::AGREEMENT_PROOF,
        Self::AGREEMENT_REPLAY,
        Self::RATCHET_START,
        Self::RATCHET_ROOT,
        Self::RATCHET_ROOT_PQ,
        Self::RATCHET_MESSAGE,
        Self::RATCHET_KEM,
        Self::RATCHET_SESSION_ID,
        Self::STATE_KEY_SEAL,
        Self::STATE_KEY_SIGN,
        Self::STATE_WRAPPED_SEAL,
        Self::STATE_WRAPPED_SIGN,
        Self::STATE_WRAPPED_KEY,
        Self::STATE_ROW_KEY,
        Self::STATE_ROW,
        Self::STATE_GENERATION_KEY,
        Self::STATE_GENERATION,
        Self::STATE_SUM_KEY,
        Self::STATE_SUM,
        Self::STATE_KEY_CHECK,
        Self::RELAY_DEPOSIT,
        Self::PAIRING_COMMITMENT,
        Self::PAIRING_REVEAL,
        Self::PAIRING_PROOF,
        Self::PAIRING_PHRASE,
        Self::PAIRING_RENDEZVOUS,
        Self::ENVELOPE_BODY,
        Self::ENVELOPE_WRAP,
        Self::ENVELOPE_TENANT,
        Self::ENVELOPE_LOCAL,
        Self::ENVELOPE_RECIPIENT,
        Self::ENVELOPE_SEALER,
        Self::ENVELOPE_AUDIT,
        Self::ENVELOPE_CHECKPOINT,
    ];

    /// The bare label, as a salt.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// `label || 0x00 || suite || len16(field) || field …`
    ///
    /// ```
    /// use sealwire_core::{Suite, label::Label};
    /// let context = Label::CARD.context(None, &[b"ab"]).expect("short fields");
    /// assert_eq!(context.as_bytes(), b"sealwire/v1/card\x00\x00\x00\x02ab");
    /// ```
    ///
    /// # Errors
    /// [`Error::Misuse`] for a field over 65,535 bytes.
    pub fn context(self, suite: Option<Suite>, fields: &[&[u8]]) -> Result<Context, Error> {
        let len = fields.iter().fold(self.0.len().saturating_add(2), |len, field| {
            len.saturating_add(field.len()).saturating_add(2)
        });
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(self.as_bytes());
        bytes.push(0);
        bytes.push(suite.map_or(0, Suite::id));
        for field in fields {
            let len =
                u16::try_from(field.len()).map_err(|_| Error::Misuse("a field over 64 KiB"))?;
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Ok(Context(bytes))
    }
}

/// Labelled input to a KDF, a MAC or a signature. It holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// The signature base of an HTTP message (RFC 9421, section 2.5), which that specification
    /// fixes. It begins with `"@method": ` and so with no label.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a text that begins otherwise.
    pub fn http_signature_base(base: &str) -> Result<Self, Error> {
        if !base.starts_with("\"@method\": ") {
            return Err(Error::Misuse("a signature base that begins with the method"));
        }
        Ok(Self(base.as_bytes().to_vec()))
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_versioned() {
        for (index, label) in Label::ALL.iter().enumerate() {
            assert!(label.0.starts_with("sealwire/v1/"));
            assert!(!label.0.contains('\0'));
            assert!(!Label::ALL[..index].contains(label), "{}", label.0);
        }
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_context() {
        let a = Label::CARD.context(None, &[b"ab", b"c"]);
        assert_ne!(a, Label::CARD.context(None, &[b"a", b"bc"]));
        assert_ne!(a, Label::CARD.context(None, &[b"abc"]));
        assert_ne!(a, Label::CARD.context(Some(Suite::AesGcm), &[b"ab", b"c"]));
    }

    #[test]
    fn a_signature_base_is_taken_for_no_labelled_context() {
        let base = "\"@method\": GET\n\"@authority\": relay.example";
        let context = Context::http_signature_base(base).expect("a base");
        assert_eq!(context.as_bytes(), base.as_bytes());
        for other in ["", "\"@path\": /", "sealwire/v1/card\0\0"] {
            assert!(
                matches!(Context::http_signature_base(other), Err(Error::Misuse(_))),
                "{other}"
            );
        }
    }

    #[test]
    fn a_field_over_64_kib_is_misuse() {
        assert!(Label::CARD.context(None, &[&[0; 65_535]]).is_ok());
        assert!(matches!(Label::CARD.context(None, &[&[0; 65_536]]), Err(Error::Misuse(_))));
    }
}
