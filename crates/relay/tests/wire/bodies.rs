use core::fmt::Debug;

use proptest::{collection::vec, option, prelude::*};
use sealwire_core::{
    DecodeReason::{self, Invalid, NonCanonical, TooLong, Trailing, Truncated},
    Timestamp,
    secret::Secret,
};
use sealwire_relay::{
    MessageId, Nonce, SendId, Token, limits,
    wire::{
        Acked, Acks, Body, Check, Claim, Claimed, ClaimedKey, Kind, MailboxKind, Message, Messages,
        NewMailbox, Page, Publish, Published, Remaining, Revoke,
    },
};
use sealwire_testkit::leak::shows;

/// What holds for each body: it comes back as it was, within its bound, and no cut of it is one.
fn travels<T: Body + Debug>(body: &T) -> Result<T, TestCaseError> {
    let bytes = body.to_bytes();
    prop_assert!(bytes.len() <= T::MAX_LEN, "{} of {}", bytes.len(), T::MAX_LEN);
    prop_assert_eq!(bytes.capacity(), bytes.len(), "a buffer that grew left copies behind");
    for cut in 0..bytes.len().min(300) {
        let reason = T::from_bytes(&bytes[..cut]).expect_err("cut").reason();
        prop_assert_eq!(reason, Truncated, "{} bytes of {}", cut, bytes.len());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let reason = T::from_bytes(&longer).expect_err("longer").reason();
    prop_assert!(matches!(reason, Trailing | TooLong(_)));
    let back = T::from_bytes(&bytes).expect("own encoding");
    prop_assert_eq!(back.to_bytes(), bytes);
    Ok(back)
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 1..64), Just(vec![7; max]), Just(vec![7])]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 0..=limits::MAX_NUMBER, Just(limits::MAX_NUMBER)]
}

fn sequence() -> impl Strategy<Value = u64> {
    number().prop_map(|number| number.max(1))
}

fn published() -> impl Strategy<Value = Published> {
    (bytes(limits::MAX_CARD_LEN), bytes(limits::MAX_BUNDLE_LEN))
        .prop_map(|(card, bundle)| Published { card, bundle })
}

fn claimed_key() -> impl Strategy<Value = ClaimedKey> {
    (bytes(limits::MAX_PAGE_HEADER_LEN), bytes(limits::MAX_PAGE_KEY_LEN))
        .prop_map(|(header, key)| ClaimedKey { header, key })
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    (sequence(), any::<[u8; 16]>(), bytes(64 * 1024)).prop_map(|(sequence, id, frame)| Message {
        sequence,
        id: MessageId::from_bytes(id),
        frame,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_directory_takes_and_gives_travels(
        published in published(),
        contact: Option<[u8; 16]>,
        (header, key) in (bytes(limits::MAX_PAGE_HEADER_LEN), bytes(limits::MAX_PAGE_KEY_LEN)),
        count in 1..=limits::MAX_PAGE_KEYS,
        not_after in number(),
        counts: [u32; 2],
        hashes: [[u8; 32]; 2],
    ) {
        prop_assert_eq!(travels(&published)?, published.clone());
        let publish = Publish { published, contact: contact.map(SendId::from_bytes) };
        prop_assert_eq!(travels(&publish)?, publish);
        let page = Page {
            not_after: Timestamp::from_secs(not_after),
            header,
            keys: vec![key; count],
        };
        prop_assert_eq!(travels(&page)?, page);
        let [x25519, kem] = counts;
        let remaining = Remaining { x25519, kem };
        prop_assert_eq!(travels(&remaining)?, remaining);
        let [card, bundle] = hashes;
        let check = Check { card, bundle, sequence: not_after };
        let back = travels(&check)?;
        prop_assert_eq!((back.card, back.bundle, back.sequence), (card, bundle, not_after));
    }

    #[test]
    fn a_claim_and_what_it_brings_travel(
        nonce: [u8; 16],
        x25519 in option::of(claimed_key()),
        kem in option::of(claimed_key()),
    ) {
        let claim = Claim { nonce: Nonce::from_bytes(nonce) };
        prop_assert_eq!(travels(&claim)?, claim);
        let claimed = Claimed { x25519, kem };
        prop_assert_eq!(travels(&claimed)?, claimed);
    }

    #[test]
    fn what_a_mailbox_is_told_travels(
        (send, contact, secret) in any::<([u8; 16], bool, [u8; 32])>(),
        lifetime in 1..=limits::MAX_MESSAGE_LIFETIME,
        per_token in 1..=limits::MAX_MESSAGES,
        tokens in vec(any::<[u8; 16]>(), 0..=limits::MAX_REVOKED),
        fresh: bool,
        sequences in vec(sequence(), 0..=limits::MAX_ACKS),
        removed: u32,
    ) {
        let kind = if contact { MailboxKind::Contact } else { MailboxKind::Pairwise };
        let send = SendId::from_bytes(send);
        let secret = || Secret::from_slice(&secret).expect("32 bytes");
        let back = travels(&NewMailbox { send, kind, secret: secret(), lifetime, per_token })?;
        prop_assert_eq!((back.send, back.kind, back.secret), (send, kind, secret()));
        prop_assert_eq!((back.lifetime, back.per_token), (lifetime, per_token));

        let tokens: Vec<Token> = tokens.into_iter().map(Token::from_bytes).collect();
        let revoke = Revoke { tokens: tokens.clone(), secret: fresh.then(secret) };
        let back = travels(&revoke)?;
        prop_assert_eq!((back.tokens, back.secret), (tokens, fresh.then(secret)));

        let acks = Acks { sequences };
        prop_assert_eq!(travels(&acks)?, acks);
        prop_assert_eq!(travels(&Acked { removed })?, Acked { removed });
    }

    #[test]
    fn messages_travel(messages in vec(message(), 0..5), more: bool, prekeys_low: bool) {
        let messages = Messages { messages, more, prekeys_low };
        prop_assert_eq!(travels(&messages)?, messages);
    }
}

#[test]
fn the_longest_bodies_are_within_their_bounds() {
    let frames = |count: usize, len: usize| Messages {
        messages: vec![
            Message {
                sequence: limits::MAX_NUMBER,
                id: MessageId::from_bytes([255; 16]),
                frame: vec![255; len],
            };
            count
        ],
        more: true,
        prekeys_low: true,
    };
    for (count, len) in [(16, 64 * 1024), (64, 16 * 1024), (100, 4 * 1024), (100, 2 * 1024)] {
        travels(&frames(count, len)).expect("a fetch within its limits");
    }
    let key = || ClaimedKey {
        header: vec![255; limits::MAX_PAGE_HEADER_LEN],
        key: vec![255; limits::MAX_PAGE_KEY_LEN],
    };
    travels(&Claimed { x25519: Some(key()), kem: Some(key()) }).expect("the longest keys");
    travels(&Page {
        not_after: Timestamp::from_secs(limits::MAX_NUMBER),
        header: vec![255; limits::MAX_PAGE_HEADER_LEN],
        keys: vec![vec![255; limits::MAX_PAGE_KEY_LEN]; limits::MAX_PAGE_KEYS],
    })
    .expect("the longest page");
    travels(&Acks { sequences: vec![limits::MAX_NUMBER; limits::MAX_ACKS] }).expect("all of them");
    let secret = Secret::from_slice(&[255; 32]).expect("32 bytes");
    let tokens = vec![Token::from_bytes([255; 16]); limits::MAX_REVOKED];
    travels(&Revoke { tokens, secret: Some(secret) }).expect("as many as are revoked");
    travels(&Publish {
        published: Published {
            card: vec![255; limits::MAX_CARD_LEN],
            bundle: vec![255; limits::MAX_BUNDLE_LEN],
        },
        contact: Some(SendId::from_bytes([255; 16])),
    })
    .expect("the longest card and bundle");
}

/// Written by hand from the tables of the specification.
// REL-5
#[test]
fn bodies_stand_as_the_specification_has_them() {
    fn stands<T: Body + Debug>(hex: &str) -> T {
        let bytes = hex::decode(hex.replace(' ', "")).expect("hex");
        let body = T::from_bytes(&bytes).expect(hex);
        assert_eq!(body.to_bytes(), bytes, "{hex}");
        body
    }
    let (id, hash) = (sixteen(), thirty_two());

    let published = Published { card: vec![1, 2], bundle: vec![3] };
    assert_eq!(stands::<Published>("82 420102 4103"), published);
    let publish: Publish = stands("83 420102 4103 f6");
    assert_eq!(publish, Publish { published: published.clone(), contact: None });
    let publish: Publish = stands(&format!("83 420102 4103 50{id}"));
    assert_eq!(publish, Publish { published, contact: Some(SendId::from_bytes([7; 16])) });
    let page = Page {
        not_after: Timestamp::from_secs(1_800_000_000),
        header: vec![1],
        keys: vec![vec![2], vec![3, 4]],
    };
    assert_eq!(stands::<Page>("83 1a6b49d200 4101 82 4102 420304"), page);
    assert_eq!(stands::<Remaining>("82 1864 14"), Remaining { x25519: 100, kem: 20 });
    let claim = Claim { nonce: Nonce::from_bytes([7; 16]) };
    assert_eq!(stands::<Claim>(&format!("81 50{id}")), claim);
    let kem = Some(ClaimedKey { header: vec![1], key: vec![2] });
    assert_eq!(stands::<Claimed>("82 f6 82 4101 4102"), Claimed { x25519: None, kem });
    assert_eq!(stands::<Claimed>("82 f6 f6"), Claimed::default());
    let check: Check = stands(&format!("83 5820{hash} 5820{hash} 03"));
    assert_eq!((check.card, check.bundle, check.sequence), ([9; 32], [9; 32], 3));
    let mailbox: NewMailbox = stands(&format!("85 50{id} 02 5820{hash} 1a00093a80 1903e8"));
    assert_eq!((mailbox.send, mailbox.kind), (SendId::from_bytes([7; 16]), MailboxKind::Pairwise));
    assert_eq!((mailbox.lifetime, mailbox.per_token), (604_800, 1000));
    let revoke: Revoke = stands(&format!("82 81 50{id} f6"));
    assert_eq!((revoke.tokens, revoke.secret), (vec![Token::from_bytes([7; 16])], None));
    assert_eq!(stands::<Revoke>(&format!("82 80 5820{hash}")).tokens, []);
    let message = Message { sequence: 5, id: MessageId::from_bytes([7; 16]), frame: vec![8] };
    assert_eq!(
        stands::<Messages>(&format!("83 81 83 05 50{id} 4108 f5 f4")),
        Messages { messages: vec![message], more: true, prekeys_low: false }
    );
    assert_eq!(stands::<Acks>("81 82 01 1818"), Acks { sequences: vec![1, 24] });
    assert_eq!(stands::<Acked>("81 02"), Acked { removed: 2 });
}

const COUNT: DecodeReason = Invalid("an array of another length");

fn refused<T: Body + Debug>(name: &str, hex: &str, reason: DecodeReason) {
    let bytes = hex::decode(hex.replace(' ', "")).expect("hex");
    let error = T::from_bytes(&bytes).expect_err(name);
    assert_eq!((error.what(), error.reason()), (T::WHAT, reason), "{name}");
}

/// `head`, and zeros behind it.
fn long(head: &str, len: usize) -> String {
    format!("{head}{}", "00".repeat(len))
}

fn sixteen() -> String {
    "07".repeat(16)
}

fn thirty_two() -> String {
    "09".repeat(32)
}

// attack T32: every other spelling of a body.
#[test]
fn a_body_that_is_spelled_otherwise_is_refused() {
    refused::<Remaining>("nothing", "", Truncated);
    refused::<Remaining>("another type", "a2 01 02 03 04", Invalid("an array"));
    refused::<Remaining>("a field less", "81 01", COUNT);
    refused::<Remaining>("a field more", "83 01 02 03", COUNT);
    refused::<Remaining>("something behind", "82 01 02 00", Trailing);
    refused::<Remaining>("an open end", "9f 01 02 ff", NonCanonical);
    refused::<Remaining>("a long head", "9802 01 02", NonCanonical);
    refused::<Remaining>("a long number", "82 1801 02", NonCanonical);
    refused::<Remaining>("a tag", "c0 82 01 02", Invalid("an array"));
    refused::<Remaining>("a negative", "82 20 02", Invalid("a count is below 2^32"));
    refused::<Remaining>("2^32", "82 1b0000000100000000 02", Invalid("a count is below 2^32"));
    refused::<Remaining>("beyond all bounds", &"00".repeat(16), TooLong(Remaining::MAX_LEN));
}

// attack T32: every bound of what a directory takes and gives, one past it.
#[test]
fn what_a_directory_takes_is_refused_by_name_beyond_its_bounds() {
    let hash = thirty_two();
    let card = Invalid("a card has at most 8 KiB");
    refused::<Published>("no card", "82 40 4103", card);
    refused::<Published>("a long card", &format!("82 {} 4103", long("592001", 8193)), card);
    refused::<Published>("a text for a card", "82 6161 4103", card);
    refused::<Published>("a card in pieces", "82 5f4101ff 4103", card);
    let bundle = Invalid("a bundle has at most 2 KiB");
    refused::<Published>("no bundle", "82 4101 40", bundle);
    refused::<Published>("a long bundle", &format!("82 4101 {}", long("590801", 2049)), bundle);
    refused::<Publish>("a contact left out", "82 420102 4103", COUNT);
    let mailbox = Invalid("a mailbox id has 16 bytes");
    refused::<Publish>("a short contact", "83 4101 4103 4f000000000000000000000000000000", mailbox);
    refused::<Publish>("undefined for null", "83 4101 4103 f7", mailbox);

    let header = Invalid("the header of a page has at most 256 bytes");
    refused::<Page>("no header", "83 01 40 81 4102", header);
    refused::<Page>("a long header", &format!("83 01 {} 81 4102", long("590101", 257)), header);
    let keys = Invalid("a page has 1 to 100 keys");
    refused::<Page>("no key", "83 01 4101 80", keys);
    refused::<Page>("101 keys", &format!("83 01 4101 9865 {}", "4102".repeat(101)), keys);
    refused::<Page>("2^32 keys announced", "83 01 4101 9b0000000100000000", keys);
    refused::<Page>("2^64 - 1 keys announced", "83 01 4101 9bffffffffffffffff", keys);
    let key = Invalid("a key of a page has at most 2 KiB");
    refused::<Page>("an empty key", "83 01 4101 81 40", key);
    refused::<Page>("a long key", &format!("83 01 4101 81 {}", long("590801", 2049)), key);
    refused::<Page>("2^32 bytes announced", "83 01 4101 81 5b0000000100000000", Truncated);
    let time = Invalid("a time is below 2^63");
    refused::<Page>("a time of 2^63", "83 1b8000000000000000 4101 81 4102", time);
    let max = Page::MAX_LEN;
    refused::<Page>("a long page", &"00".repeat(max + 1), TooLong(max));

    let nonce = Invalid("a nonce has 16 bytes");
    refused::<Claim>("a short nonce", &format!("81 4f{}", "07".repeat(15)), nonce);
    refused::<Claim>("a long nonce", &format!("81 51{}", "07".repeat(17)), nonce);
    refused::<Claimed>("a bare key", "82 f6 4102", Invalid("an array"));
    refused::<Claimed>("a kind left out", "81 f6", COUNT);
    let sequence = Invalid("a sequence is below 2^63");
    let end = format!("83 5820{hash} 5820{hash} 1b8000000000000000");
    refused::<Check>("a sequence of 2^63", &end, sequence);
    let short = format!("83 581f{} 5820{hash} 01", "09".repeat(31));
    refused::<Check>("a short hash", &short, Invalid("a hash has 32 bytes"));
}

// attack T32: every bound of what a mailbox is told and gives, one past it.
#[test]
fn what_a_mailbox_is_told_is_refused_by_name_beyond_its_bounds() {
    let (id, hash) = (sixteen(), thirty_two());
    let new = |kind: &str, secret: &str, lifetime: &str, per_token: &str| {
        format!("85 50{id} {kind} {secret} {lifetime} {per_token}")
    };
    let secret = format!("5820{hash}");
    let kind = Invalid("a mailbox is of kind 1 or 2");
    refused::<NewMailbox>("kind 0", &new("00", &secret, "01", "01"), kind);
    refused::<NewMailbox>("kind 3", &new("03", &secret, "01", "01"), kind);
    refused::<NewMailbox>("kind 257", &new("190101", &secret, "01", "01"), kind);
    let short = new("01", &format!("581f{}", "09".repeat(31)), "01", "01");
    refused::<NewMailbox>("a short secret", &short, Invalid("a secret has 32 bytes"));
    refused::<NewMailbox>(
        "no secret",
        &new("01", "f6", "01", "01"),
        Invalid("a secret has 32 bytes"),
    );
    let life = Invalid("messages live 1 s to 30 days");
    refused::<NewMailbox>("no life", &new("01", &secret, "00", "01"), life);
    refused::<NewMailbox>("30 days and 1 s", &new("01", &secret, "1a00278d01", "01"), life);
    let per_token = Invalid("a token leaves 1 to 1,000 messages");
    refused::<NewMailbox>("no messages", &new("01", &secret, "01", "00"), per_token);
    refused::<NewMailbox>("1,001 messages", &new("01", &secret, "01", "1903e9"), per_token);

    let tokens = format!("82 990101 {} f6", format!("50{id}").repeat(257));
    refused::<Revoke>("257 tokens", &tokens, Invalid("at most 256 tokens are revoked"));
    let short = format!("82 81 4f{} f6", "07".repeat(15));
    refused::<Revoke>("a short token", &short, Invalid("a token has 16 bytes"));

    let message = format!("83 01 50{id} 4108");
    let messages = format!("83 9865 {} f4 f4", message.repeat(101));
    refused::<Messages>("101 messages", &messages, Invalid("an answer has at most 100 messages"));
    let unnumbered = format!("83 81 83 00 50{id} 4108 f4 f4");
    refused::<Messages>("sequence 0", &unnumbered, Invalid("messages are numbered from 1"));
    let frame = Invalid("a frame has at most 64 KiB");
    refused::<Messages>("no frame", &format!("83 81 83 01 50{id} 40 f4 f4"), frame);
    let long = format!("83 81 83 01 50{id} {} f4 f4", long("5a00010001", 65_537));
    refused::<Messages>("a long frame", &long, frame);
    refused::<Messages>("a number for a truth", "83 80 00 f4", Invalid("a truth"));
    let id = format!("83 81 83 01 51{} 4108 f4 f4", "07".repeat(17));
    refused::<Messages>("a long id", &id, Invalid("a message id has 16 bytes"));
    let max = Messages::MAX_LEN;
    refused::<Messages>("beyond all bounds", &"00".repeat(max + 1), TooLong(max));

    let acks = Invalid("at most 1,000 messages are acknowledged");
    refused::<Acks>("1,001 acks", &format!("81 9903e9 {}", "01".repeat(1001)), acks);
    refused::<Acks>("an ack of 0", "81 81 00", Invalid("messages are numbered from 1"));
    refused::<Acks>(
        "an ack of 2^63",
        "81 81 1b8000000000000000",
        Invalid("messages are numbered from 1"),
    );
    refused::<Acked>("null", "81 f6", Invalid("a count is below 2^32"));
}

// attack T34: a secret in a body does not show.
#[test]
fn no_body_shows_what_it_holds() {
    let secret = || Secret::from_slice(&[0xA7; 32]).expect("32 bytes");
    let bytes = vec![0xA7; 16];
    let id = MessageId::from_bytes([0xA7; 16]);
    let key = ClaimedKey { header: bytes.clone(), key: bytes.clone() };
    let shown = [
        format!(
            "{:?}",
            Revoke { tokens: vec![Token::from_bytes([0xA7; 16])], secret: Some(secret()) }
        ),
        format!(
            "{:?}",
            NewMailbox {
                send: SendId::from_bytes([0xA7; 16]),
                kind: MailboxKind::Contact,
                secret: secret(),
                lifetime: 1,
                per_token: 1,
            }
        ),
        format!("{:?}", Claimed { x25519: Some(key.clone()), kem: Some(key) }),
        format!("{:?}", Claim { nonce: Nonce::from_bytes([0xA7; 16]) }),
        format!("{:?}", Message { sequence: 1, id, frame: bytes }),
    ];
    for shown in shown {
        assert!(!shows(&shown, &[0xA7; 16]), "{shown}");
    }
    // The control: the same check does see a leak.
    assert!(shows(&format!("{:?}", secret().expose()), &[0xA7; 16]));
}

#[test]
fn kinds_have_the_numbers_1_and_2() {
    for number in 0..=u8::MAX {
        let known = (1..=2).contains(&number);
        assert_eq!(Kind::from_u8(number).map(Kind::id).ok(), known.then_some(number));
        assert_eq!(MailboxKind::from_u8(number).map(MailboxKind::id).ok(), known.then_some(number));
    }
    assert_eq!((Kind::X25519.id(), MailboxKind::Contact.id()), (1, 1));
}

// REL-28
#[test]
fn prekeys_are_low_when_half_of_either_kind_is_left() {
    for (x25519, kem, low) in [
        (100, 20, false),
        (51, 11, false),
        (50, 11, true),
        (51, 10, true),
        (0, 20, true),
        (100, 0, true),
        (u32::MAX, u32::MAX, false),
    ] {
        assert_eq!(Remaining { x25519, kem }.is_low(), low, "{x25519} {kem}");
    }
}
