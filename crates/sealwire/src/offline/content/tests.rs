use super::*;
use proptest::prelude::*;

fn content(reply: Option<(&[u8], &[u8])>, body: Body) -> Content {
    let reply =
        reply.map(|(mailbox, capability)| Address::new(mailbox, capability).expect("short"));
    Content { message: MessageId::from_bytes([7; 16]), reply, body }
}

fn body() -> impl Strategy<Value = Body> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..100).prop_map(Zeroizing::new);
    let digest = proptest::option::of(any::<[u8; 32]>());
    let part = (bytes(), 0..1_u64 << 39, digest, any::<bool>(), 1..1000_u64);
    prop_oneof![
        bytes().prop_map(Body::Whole),
        part.prop_map(|(bytes, offset, digest, announced, rest)| {
            let mut part = Part { offset, length: None, digest, bytes };
            let end = part.end().expect("short");
            let length = if digest.is_some() { end } else { end + rest };
            part.length = announced.then_some(length);
            Body::Part(part)
        }),
        Just(Body::Answer),
    ]
}

proptest! {
    // CON-5
    #[test]
    fn contents_round_trip_and_every_cut_is_refused(
        mailbox in proptest::collection::vec(any::<u8>(), 0..=64),
        capability in proptest::collection::vec(any::<u8>(), 0..=256),
        body in body(),
        with_reply: bool,
    ) {
        let reply = with_reply.then_some((&mailbox[..], &capability[..]));
        let content = content(reply, body);
        let bytes = content.to_bytes();
        prop_assert_eq!(Content::from_bytes(&bytes), Ok(content));
        for cut in 0..bytes.len() {
            prop_assert!(Content::from_bytes(&bytes[..cut]).is_err());
        }
    }
}

const ID: &str = "5007070707070707070707070707070707";

fn decode(hex: &str) -> Result<Content, DecodeError> {
    Content::from_bytes(&hex::decode(hex).expect("hex"))
}

fn refused(table: &[(&str, String, &str)]) {
    for (name, input, said) in table {
        let sentence = decode(input).expect_err(name).to_string();
        assert_eq!(sentence, format!("message content: {said}"), "{name}");
    }
}

fn long(len: usize) -> String {
    format!("59{len:04x}{}", "00".repeat(len))
}

// attack T38
// CON-1, CON-3
#[test]
fn contents_as_they_were_written_first_open_for_ever() {
    let digest = format!("5820{}", "aa".repeat(32));
    let part = |offset, length, digest: Option<[u8; 32]>, bytes: &[u8]| {
        Body::Part(Part { offset, length, digest, bytes: Zeroizing::new(bytes.to_vec()) })
    };
    for (hex, body, reply) in [
        (format!("0184{ID}f6f64101"), Body::Whole(vec![1].into()), None),
        (format!("0184{ID}4102410340"), Body::Whole(vec![].into()), Some(())),
        (format!("0287{ID}f6f6f6f600420102"), part(0, None, None, &[1, 2]), None),
        (format!("0287{ID}41024103182af607420102"), part(7, Some(42), None, &[1, 2]), Some(())),
        (
            format!("0287{ID}f6f609{digest}07420102"),
            part(7, Some(9), Some([0xaa; 32]), &[1, 2]),
            None,
        ),
        (format!("0287{ID}f6f6f6{digest}0040"), part(0, None, Some([0xaa; 32]), &[]), None),
        (format!("0383f6f6{ID}"), Body::Answer, None),
        (format!("038341024103{ID}"), Body::Answer, Some(())),
    ] {
        let reply = reply.map(|()| (&[2][..], &[3][..]));
        let content = content(reply, body);
        assert_eq!(hex::encode(content.to_bytes()), hex);
        assert_eq!(decode(&hex), Ok(content), "{hex}");
    }
}

// attack T32, T38
// CON-1, CON-2, CON-3, CON-4, CON-5
#[test]
fn bad_contents_are_refused_by_name() {
    refused(&[
        ("nothing", String::new(), "the input ends too early"),
        (
            "a newer kind",
            format!("0484{ID}f6f64101"),
            "unknown version 4; a newer release may read it",
        ),
        ("a short id", "01844107f6f64101".to_owned(), "a message id has 16 bytes"),
        (
            "half an address",
            format!("0184{ID}4101f64101"),
            "a mailbox and its capability stand together",
        ),
        (
            "a long mailbox",
            format!("0184{ID}5841{}404101", "00".repeat(65)),
            "an address has 64 and 256 bytes at most",
        ),
        (
            "a long capability",
            format!("0184{ID}40{}4101", long(257)),
            "an address has 64 and 256 bytes at most",
        ),
        ("more behind it", format!("0184{ID}f6f6410100"), "bytes follow the end"),
        ("a long form", format!("0184{ID}f6f6580101"), "not the canonical encoding"),
        ("pieces", format!("0184{ID}f6f65f4101ff"), "not the expected CBOR"),
        ("text", format!("0184{ID}f6f66101"), "not the expected CBOR"),
        ("an answer with a short id", "0383f6f64107".to_owned(), "a message id has 16 bytes"),
        ("an answer with a payload", format!("0384f6f6{ID}40"), "not the canonical encoding"),
        (
            "half an address in an answer",
            format!("0383f640{ID}"),
            "a mailbox and its capability stand together",
        ),
    ]);
    let over = vec![1; MAX_LEN + 2];
    assert!(Content::from_bytes(&over).is_err());
}

// attack T32
// CON-6, CON-7
#[test]
fn bad_parts_are_refused_by_name() {
    let digest = format!("5820{}", "aa".repeat(32));
    let part = |fields: String| format!("0287{ID}f6f6{fields}");
    let (too_long, last) =
        ("a large message has 1 TiB at most", "the last part has the digest, and no other");
    let empty = "only a large message without bytes has a part without bytes";
    refused(&[
        ("no bytes", part("f6f60040".to_owned()), empty),
        ("no bytes at the end", part(format!("f6{digest}0140")), empty),
        ("no bytes, and an end announced", part(format!("01{digest}0140")), empty),
        (
            "a digest of 31 bytes",
            part(format!("f6581f{}004101", "aa".repeat(31))),
            "a digest has 32 bytes",
        ),
        (
            "beyond the announced end",
            part("01f600420102".to_owned()),
            "a part ends within the whole",
        ),
        ("the end without a digest", part("02f600420102".to_owned()), last),
        ("a digest before the end", part(format!("03{digest}00420102")), last),
        ("an end over 1 TiB", part("f6f61b000000ffffffffff420102".to_owned()), too_long),
        ("an offset that overflows", part("f6f61bffffffffffffffff420102".to_owned()), too_long),
        ("an announced 1 TiB and a byte", part("1b0000010000000001f6004101".to_owned()), too_long),
        ("a negative offset", part("f6f6204101".to_owned()), "not the expected CBOR"),
        ("a field less", format!("0286{ID}f6f6f6f600"), "not the expected CBOR"),
    ]);
    let at_the_end = decode(&part("1b0000010000000000f61b000000fffffffffe4101".to_owned()));
    assert!(at_the_end.is_ok(), "{at_the_end:?}");
}

// CON-11
#[test]
fn the_largest_parts_fit_their_frames() {
    let (mailbox, capability) = ([0xff; 64], [0xff; 256]);
    for (len, room) in [(MAX_PART_LEN, 64_248), (MAX_PAYLOAD_LEN, 64_248 - 33_909)] {
        let part = Part {
            offset: 1 << 39,
            length: Some((1 << 39) + u64::try_from(len).expect("short")),
            digest: Some([0xff; 32]),
            bytes: Zeroizing::new(vec![0xff; len]),
        };
        let content = content(Some((&mailbox, &capability)), Body::Part(part));
        assert!(content.to_bytes().len() <= room, "{len}: {}", content.to_bytes().len());
    }
}

// attack T34
#[test]
fn debug_shows_no_payload_and_no_mailbox() {
    let secret: Vec<u8> = (40..72).collect();
    let bytes = || Zeroizing::new(secret.clone());
    let part = Part { offset: 0, length: None, digest: secret[..].try_into().ok(), bytes: bytes() };
    for body in [Body::Whole(bytes()), Body::Part(part), Body::Answer] {
        let text = format!("{:?}", content(Some((&secret, &secret)), body));
        assert!(!sealwire_testkit::leak::shows(&text, &secret), "{text}");
    }
}
