//! What a ratchet message of an agent holds: an application's bytes, and where to answer.
//!
//! `content = version u8 = 1 | CBOR [ message id bytes(16), reply mailbox bytes(0 to 64) or null,
//! capability bytes(0 to 256) or null, payload bytes ]`

use core::fmt;

use sealwire_core::{DecodeError, DecodeReason, codec::from_cbor, pad::FRAME_CLASSES};
use zeroize::Zeroizing;

use crate::delivery::{Address, MessageId};

const WHAT: &str = "message content";
const VERSION: u8 = 1;

/// The longest content, in bytes: no frame holds more.
const MAX_LEN: usize = FRAME_CLASSES[3];

/// The longest message that [`Agent::send`](crate::Agent::send) takes, in bytes.
///
/// A frame has at most 64 KiB. The first ones to a peer also hold what introduces this agent, at
/// most 33,909 bytes, and a limit that goes away after the first answer would surprise.
pub const MAX_PAYLOAD_LEN: usize = 29 * 1024;

/// What a ratchet message of an agent holds. [`Agent::send`](crate::Agent::send) seals it and
/// [`Agent::sync`](crate::Agent::sync) opens it; it is public for tools that do without them.
///
/// ```
/// use sealwire::{Content, delivery::MessageId};
/// let content = Content {
///     message: MessageId::from_bytes([7; 16]),
///     reply: None,
///     payload: b"how far is the moon?".to_vec().into(),
/// };
/// assert_eq!(Content::from_bytes(&content.to_bytes()), Ok(content));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Content {
    /// Names the message at both ends.
    pub message: MessageId,
    /// Where the sender takes answers, while it does not know that the receiver knows.
    pub reply: Option<Address>,
    /// What the application sent.
    pub payload: Zeroizing<Vec<u8>>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Wire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    message: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    mailbox: Option<&'a [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    capability: Option<&'a [u8]>,
    #[cbor(b(3), with = "minicbor::bytes")]
    payload: &'a [u8],
}

impl Content {
    /// Decodes a content.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        let wire: Wire<'_> = match bytes.split_first() {
            None => Err(DecodeError::new(WHAT, DecodeReason::Truncated)),
            Some((&VERSION, cbor)) => from_cbor(WHAT, cbor, MAX_LEN),
            Some((&found, _)) => Err(DecodeError::new(WHAT, DecodeReason::UnknownVersion(found))),
        }?;
        let message = wire.message.try_into().map_err(|_| invalid("a message id has 16 bytes"))?;
        let reply = match (wire.mailbox, wire.capability) {
            (None, None) => None,
            (Some(mailbox), Some(capability)) => {
                let address = Address::new(mailbox, capability);
                Some(address.map_err(|_| invalid("an address has 64 and 256 bytes at most"))?)
            }
            _ => return Err(invalid("a mailbox and its capability stand together")),
        };
        let payload = Zeroizing::new(wire.payload.to_vec());
        Ok(Self { message: MessageId::from_bytes(message), reply, payload })
    }

    /// The bytes inside the ratchet message.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { message, reply, payload } = self;
        let rest = 32 + Address::MAX_MAILBOX_LEN + Address::MAX_CAPABILITY_LEN;
        // Full capacity first: growing would leave copies of the payload behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(payload.len().saturating_add(rest)));
        bytes.push(VERSION);
        let wire = Wire {
            message: message.as_bytes(),
            mailbox: reply.as_ref().map(Address::mailbox),
            capability: reply.as_ref().map(Address::capability),
            payload,
        };
        // Writing to a Vec cannot fail, and the derived encoders raise no error of their own.
        let _: Result<(), _> = minicbor::encode(wire, &mut *bytes);
        bytes
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, reply: _, payload: _ } = self;
        f.debug_struct("Content").field("message", message).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(reply: Option<(&[u8], &[u8])>, payload: &[u8]) -> Content {
        let reply =
            reply.map(|(mailbox, capability)| Address::new(mailbox, capability).expect("short"));
        let payload = Zeroizing::new(payload.to_vec());
        Content { message: MessageId::from_bytes([7; 16]), reply, payload }
    }

    proptest! {
        #[test]
        fn contents_round_trip_and_every_cut_is_refused(
            mailbox in proptest::collection::vec(any::<u8>(), 0..=64),
            capability in proptest::collection::vec(any::<u8>(), 0..=256),
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            with_reply: bool,
        ) {
            let reply = with_reply.then_some((&mailbox[..], &capability[..]));
            let content = content(reply, &payload);
            let bytes = content.to_bytes();
            prop_assert_eq!(Content::from_bytes(&bytes), Ok(content));
            for cut in 0..bytes.len() {
                prop_assert!(Content::from_bytes(&bytes[..cut]).is_err());
            }
        }
    }

    // attack T32, T38
    #[test]
    fn bad_contents_are_refused_by_name() {
        let sentence = |hex: &str| {
            Content::from_bytes(&hex::decode(hex).expect("hex")).expect_err(hex).to_string()
        };
        let id = "5007070707070707070707070707070707";
        let canonical = format!("0184{id}f6f64101");
        assert!(Content::from_bytes(&hex::decode(canonical).expect("hex")).is_ok());
        let long = |len: usize| format!("59{len:04x}{}", "00".repeat(len));
        for (input, said) in [
            (String::new(), "message content: the input ends too early"),
            (
                format!("0284{id}f6f64101"),
                "message content: unknown version 2; a newer release may read it",
            ),
            ("01844107f6f64101".to_owned(), "message content: a message id has 16 bytes"),
            (
                format!("0184{id}4101f64101"),
                "message content: a mailbox and its capability stand together",
            ),
            (
                format!("0184{id}{}40{}", "5841".to_owned() + &"00".repeat(65), "4101"),
                "message content: an address has 64 and 256 bytes at most",
            ),
            (
                format!("0184{id}40{}4101", long(257)),
                "message content: an address has 64 and 256 bytes at most",
            ),
            (format!("0184{id}f6f6410100"), "message content: bytes follow the end"),
            (format!("0184{id}f6f6580101"), "message content: not the canonical encoding"),
            (format!("0184{id}f6f65f4101ff"), "message content: not the expected CBOR"),
            (format!("0184{id}f6f66101"), "message content: not the expected CBOR"),
        ] {
            assert_eq!(sentence(&input), said, "{input}");
        }
        let over = vec![1; MAX_LEN + 2];
        assert!(Content::from_bytes(&over).is_err());
    }

    // attack T34
    #[test]
    fn debug_shows_no_payload_and_no_mailbox() {
        let secret: Vec<u8> = (40..72).collect();
        let text = format!("{:?}", content(Some((&secret, &secret)), &secret));
        assert!(!sealwire_testkit::leak::shows(&text, &secret), "{text}");
    }
}
