//! How the bodies stand in CBOR: each an array, whose length is fixed, of the fields in the
//! order in which the type has them.
// REL-4

use minicbor::encode::{Encoder, Error, Write};
use sealwire_core::{DecodeError, Timestamp, pad::FRAME_CLASSES};

use super::{
    Acked, Acks, Body, Check, Claim, Claimed, ClaimedKey, MailboxKind, Message, Messages,
    NewMailbox, Page, Publish, Published, Remaining, Revoke,
    cbor::{self, Input, Item},
};
use crate::{MessageId, Nonce, SendId, Token, limits};

/// The longest encoding of an id, a hash or secret, a number of four and of eight bytes.
const ID: usize = 17;
const HASH: usize = 34;
const SMALL: usize = 5;
const NUMBER: usize = 9;

/// The longest head of an array or of a string, in bytes.
const HEAD: usize = 5;

/// The longest frame, in bytes.
const MAX_FRAME_LEN: usize = {
    let [.., longest] = FRAME_CLASSES;
    longest
};

macro_rules! bodies {
    ($($name:ident, $what:literal, $max:expr;)*) => {$(
        impl Body for $name {
            const WHAT: &'static str = $what;
            const MAX_LEN: usize = $max;

            fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                cbor::decode($what, bytes, Self::MAX_LEN)
            }

            fn to_bytes(&self) -> Vec<u8> {
                cbor::encode(self)
            }
        }
    )*};
}

bodies! {
    Publish, "publication", Published::MAX_LEN + HEAD + ID;
    Published, "card and bundle", 3 * HEAD + limits::MAX_CARD_LEN + limits::MAX_BUNDLE_LEN;
    Page, "page", limits::MAX_PAGE_LEN;
    Remaining, "count of prekeys", HEAD + 2 * SMALL;
    Claim, "claim", HEAD + ID;
    Claimed, "claimed keys",
        HEAD + 2 * (3 * HEAD + limits::MAX_PAGE_HEADER_LEN + limits::MAX_PAGE_KEY_LEN);
    Check, "check", HEAD + 2 * HASH + NUMBER;
    NewMailbox, "mailbox", HEAD + ID + SMALL + HASH + NUMBER + SMALL;
    Revoke, "revocation", 2 * HEAD + limits::MAX_REVOKED * ID + HASH;
    Messages, "messages", 2 * HEAD + MAX_MESSAGES_LEN + 2;
    Acks, "acknowledgement", 2 * HEAD + limits::MAX_ACKS * NUMBER;
    Acked, "count of messages", HEAD + SMALL;
}

/// The longest list of messages of one answer, in bytes.
pub(super) const MAX_MESSAGES_LEN: usize =
    limits::MAX_FETCH_LEN + limits::MAX_FETCH as usize * (2 * HEAD + NUMBER + ID);

macro_rules! ids {
    ($($name:ident, $rule:literal;)*) => {$(
        impl Item for $name {
            fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                input.fixed($rule).copied().map(Self::from_bytes)
            }

            fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
                out.bytes(self.as_bytes()).map(drop)
            }
        }
    )*};
}

ids! {
    SendId, "a mailbox id has 16 bytes";
    MessageId, "a message id has 16 bytes";
    Token, "a token has 16 bytes";
    Nonce, "a nonce has 16 bytes";
}

/// A time or a sequence: stores keep both in eight bytes with a sign.
fn number(input: &mut Input<'_>, rule: &'static str) -> Result<u64, DecodeError> {
    input.number(0..=limits::MAX_NUMBER, rule)
}

impl Item for Publish {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(3)?;
        Ok(Self { published: Published::parts(input)?, contact: Item::read(input)? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { published: Published { card, bundle }, contact } = self;
        contact.write(out.array(3)?.bytes(card)?.bytes(bundle)?)
    }
}

impl Published {
    fn parts(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let card = input.bytes(1..=limits::MAX_CARD_LEN, "a card has at most 8 KiB")?;
        let bundle = input.bytes(1..=limits::MAX_BUNDLE_LEN, "a bundle has at most 2 KiB")?;
        Ok(Self { card: card.to_vec(), bundle: bundle.to_vec() })
    }
}

impl Item for Published {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(2)?;
        Self::parts(input)
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { card, bundle } = self;
        out.array(2)?.bytes(card)?.bytes(bundle).map(drop)
    }
}

fn page_header<'a>(input: &mut Input<'a>) -> Result<&'a [u8], DecodeError> {
    input.bytes(1..=limits::MAX_PAGE_HEADER_LEN, "the header of a page has at most 256 bytes")
}

fn page_key<'a>(input: &mut Input<'a>) -> Result<&'a [u8], DecodeError> {
    input.bytes(1..=limits::MAX_PAGE_KEY_LEN, "a key of a page has at most 2 KiB")
}

/// A key of a page that is uploaded.
struct PageKey(Vec<u8>);

impl Item for PageKey {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        page_key(input).map(|key| Self(key.to_vec()))
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        out.bytes(&self.0).map(drop)
    }
}

impl Item for Page {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(3)?;
        let not_after = number(input, "a time is below 2^63")?;
        let header = page_header(input)?.to_vec();
        let keys = input.list(1..=limits::MAX_PAGE_KEYS, "a page has 1 to 100 keys")?;
        let keys = keys.into_iter().map(|PageKey(key)| key).collect();
        Ok(Self { not_after: Timestamp::from_secs(not_after), header, keys })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { not_after, header, keys } = self;
        out.array(3)?.u64(not_after.as_secs())?.bytes(header)?;
        cbor::head(keys.len(), out)?;
        keys.iter().try_for_each(|key| out.bytes(key).map(drop))
    }
}

impl Item for Remaining {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(2)?;
        let x25519 = input.small(0..=u32::MAX, "a count is below 2^32")?;
        Ok(Self { x25519, kem: input.small(0..=u32::MAX, "a count is below 2^32")? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { x25519, kem } = *self;
        out.array(2)?.u32(x25519)?.u32(kem).map(drop)
    }
}

impl Item for Claim {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(1)?;
        Ok(Self { nonce: Item::read(input)? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { nonce } = self;
        nonce.write(out.array(1)?)
    }
}

impl Item for ClaimedKey {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(2)?;
        Ok(Self { header: page_header(input)?.to_vec(), key: page_key(input)?.to_vec() })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { header, key } = self;
        out.array(2)?.bytes(header)?.bytes(key).map(drop)
    }
}

impl Item for Claimed {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(2)?;
        Ok(Self { x25519: Item::read(input)?, kem: Item::read(input)? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { x25519, kem } = self;
        x25519.write(out.array(2)?)?;
        kem.write(out)
    }
}

impl Item for Check {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(3)?;
        let card = *input.fixed("a hash has 32 bytes")?;
        let bundle = *input.fixed("a hash has 32 bytes")?;
        Ok(Self { card, bundle, sequence: number(input, "a sequence is below 2^63")? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { card, bundle, sequence } = self;
        out.array(3)?.bytes(card)?.bytes(bundle)?.u64(*sequence).map(drop)
    }
}

impl Item for MailboxKind {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let rule = "a mailbox is of kind 1 or 2";
        let id = u8::try_from(input.number(1..=2, rule)?).map_err(|_| input.refuse(rule))?;
        Self::from_u8(id)
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        out.u8(self.id()).map(drop)
    }
}

impl Item for NewMailbox {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(5)?;
        Ok(Self {
            send: Item::read(input)?,
            kind: Item::read(input)?,
            secret: Item::read(input)?,
            lifetime: input
                .number(1..=limits::MAX_MESSAGE_LIFETIME, "messages live 1 s to 30 days")?,
            per_token: input
                .small(1..=limits::MAX_MESSAGES, "a token leaves 1 to 1,000 messages")?,
        })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { send, kind, secret, lifetime, per_token } = self;
        send.write(out.array(5)?)?;
        kind.write(out)?;
        secret.write(out)?;
        out.u64(*lifetime)?.u32(*per_token).map(drop)
    }
}

impl Item for Revoke {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(2)?;
        let tokens = input.list(0..=limits::MAX_REVOKED, "at most 256 tokens are revoked")?;
        Ok(Self { tokens, secret: Item::read(input)? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { tokens, secret } = self;
        cbor::list(tokens, out.array(2)?)?;
        secret.write(out)
    }
}

impl Item for Message {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(3)?;
        let sequence = input.number(1..=limits::MAX_NUMBER, "messages are numbered from 1")?;
        let id = Item::read(input)?;
        let frame = input.bytes(1..=MAX_FRAME_LEN, "a frame has at most 64 KiB")?;
        Ok(Self { sequence, id, frame: frame.to_vec() })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { sequence, id, frame } = self;
        id.write(out.array(3)?.u64(*sequence)?)?;
        out.bytes(frame).map(drop)
    }
}

/// The messages of an answer.
pub(super) fn messages(input: &mut Input<'_>) -> Result<Vec<Message>, DecodeError> {
    input.list(0..=limits::MAX_FETCH as usize, "an answer has at most 100 messages")
}

impl Item for Messages {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(3)?;
        let messages = messages(input)?;
        Ok(Self { messages, more: input.truth()?, prekeys_low: input.truth()? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        let Self { messages, more, prekeys_low } = self;
        cbor::list(messages, out.array(3)?)?;
        out.bool(*more)?.bool(*prekeys_low).map(drop)
    }
}

/// A sequence that is acknowledged.
struct Sequence(u64);

impl Item for Sequence {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.number(1..=limits::MAX_NUMBER, "messages are numbered from 1").map(Self)
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        out.u64(self.0).map(drop)
    }
}

impl Acks {
    /// The list of sequences, which is all there is on a stream.
    pub(super) fn list(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let rule = "at most 1,000 messages are acknowledged";
        let sequences = input.list(0..=limits::MAX_ACKS, rule)?;
        Ok(Self { sequences: sequences.into_iter().map(|Sequence(number)| number).collect() })
    }

    pub(super) fn write_list<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        cbor::head(self.sequences.len(), out)?;
        self.sequences.iter().try_for_each(|number| out.u64(*number).map(drop))
    }
}

impl Item for Acks {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(1)?;
        Self::list(input)
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        self.write_list(out.array(1)?)
    }
}

impl Item for Acked {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.array(1)?;
        Ok(Self { removed: input.small(0..=u32::MAX, "a count is below 2^32")? })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        out.array(1)?.u32(self.removed).map(drop)
    }
}
