use proptest::{collection::vec, prelude::*, sample::select};
use sealwire_core::DecodeReason;
use sealwire_relay::{
    MessageId, Problem, limits,
    wire::{Acks, FromClient, FromServer, Message},
};

use super::bodies::message;

fn from_client() -> impl Strategy<Value = FromClient> {
    prop_oneof![
        (0..=limits::MAX_NUMBER, 1..=limits::MAX_FETCH)
            .prop_map(|(after, limit)| FromClient::Fetch { after, limit }),
        vec(1..=limits::MAX_NUMBER, 0..=limits::MAX_ACKS)
            .prop_map(|sequences| FromClient::Ack(Acks { sequences })),
    ]
}

fn from_server() -> impl Strategy<Value = FromServer> {
    prop_oneof![
        select(vec![FromServer::Ready, FromServer::Arrived, FromServer::PrekeysLow]),
        (vec(message(), 0..5), any::<bool>())
            .prop_map(|(messages, more)| FromServer::Messages { messages, more }),
        any::<u32>().prop_map(|removed| FromServer::Acked { removed }),
        select(Problem::ALL.to_vec()).prop_map(FromServer::Problem),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_client_sends_travels(sent in from_client()) {
        let bytes = sent.to_bytes();
        prop_assert!(bytes.len() <= FromClient::MAX_LEN);
        for cut in 0..bytes.len().min(300) {
            prop_assert!(FromClient::from_bytes(&bytes[..cut]).is_err(), "{} bytes", cut);
        }
        prop_assert_eq!(FromClient::from_bytes(&bytes).expect("own encoding"), sent);
    }

    #[test]
    fn what_a_server_sends_travels(sent in from_server()) {
        let bytes = sent.to_bytes();
        prop_assert!(bytes.len() <= FromServer::MAX_LEN);
        for cut in 0..bytes.len().min(300) {
            prop_assert!(FromServer::from_bytes(&bytes[..cut]).is_err(), "{} bytes", cut);
        }
        prop_assert_eq!(FromServer::from_bytes(&bytes).expect("own encoding"), sent);
    }
}

#[test]
fn the_longest_messages_are_within_their_bounds() {
    let acks = FromClient::Ack(Acks { sequences: vec![limits::MAX_NUMBER; limits::MAX_ACKS] });
    assert!(FromClient::from_bytes(&acks.to_bytes()).is_ok());
    let message = Message {
        sequence: limits::MAX_NUMBER,
        id: MessageId::from_bytes([255; 16]),
        frame: vec![255; 64 * 1024],
    };
    let full = FromServer::Messages { messages: vec![message; 16], more: true };
    assert!(FromServer::from_bytes(&full.to_bytes()).is_ok());
}

/// Written by hand from the tables of the specification.
// REL-20
#[test]
fn messages_stand_as_the_specification_has_them() {
    let id = "07".repeat(16);
    let message = Message { sequence: 5, id: MessageId::from_bytes([7; 16]), frame: vec![8] };
    let bytes = |hex: &str| hex::decode(hex.replace(' ', "")).expect("hex");
    for (hex, sent) in [
        ("83 01 00 1864", FromClient::Fetch { after: 0, limit: 100 }),
        ("82 02 82 01 02", FromClient::Ack(Acks { sequences: vec![1, 2] })),
    ] {
        assert_eq!(sent.to_bytes(), bytes(hex));
        assert_eq!(FromClient::from_bytes(&bytes(hex)), Ok(sent));
    }
    for (hex, sent) in [
        ("81 01", FromServer::Ready),
        ("81 02", FromServer::Arrived),
        ("81 03", FromServer::PrekeysLow),
        (
            &*format!("83 04 81 83 05 50{id} 4108 f5"),
            FromServer::Messages { messages: vec![message], more: true },
        ),
        ("82 05 03", FromServer::Acked { removed: 3 }),
        ("82 06 6472617465", FromServer::Problem(Problem::Rate)),
    ] {
        assert_eq!(sent.to_bytes(), bytes(hex));
        assert_eq!(FromServer::from_bytes(&bytes(hex)), Ok(sent));
    }
}

// attack T24, T32: messages of a stream that are cut, grown, or of no kind.
#[test]
fn a_message_of_no_kind_or_of_another_shape_is_refused() {
    let bytes = |hex: &str| hex::decode(hex.replace(' ', "")).expect("hex");
    let client =
        |name: &str, hex: &str| FromClient::from_bytes(&bytes(hex)).expect_err(name).reason();
    use DecodeReason::{Invalid, NonCanonical, TooLong, Trailing, Truncated};
    let neither = Invalid("a fetch or an acknowledgement");
    for (name, hex, reason) in [
        ("nothing", "", Truncated),
        ("an empty array", "80", Truncated),
        ("kind 0", "83 00 00 01", neither),
        ("kind 3", "83 03 00 01", neither),
        ("the kind as a text", "83 6131 00 01", Invalid("the number of a kind")),
        ("a fetch with a field less", "82 01 00", neither),
        ("a fetch with a field more", "84 01 00 01 00", neither),
        ("a fetch of none", "83 01 00 00", Invalid("1 to 100 messages are fetched")),
        ("a fetch of 101", "83 01 00 1865", Invalid("1 to 100 messages are fetched")),
        ("a fetch behind 2^63", "83 01 1b8000000000000000 01", Invalid("a sequence is below 2^63")),
        ("a long number", "83 01 1800 01", NonCanonical),
        ("an open end", "9f 01 00 01 ff", NonCanonical),
        ("something behind", "83 01 00 01 00", Trailing),
        (
            "2^32 acks announced",
            "82 02 9b0000000100000000",
            Invalid("at most 1,000 messages are acknowledged"),
        ),
    ] {
        assert_eq!(client(name, hex), reason, "{name}");
    }
    let max = FromClient::MAX_LEN;
    assert_eq!(client("too long", &"00".repeat(max + 1)), TooLong(max));

    let server =
        |name: &str, hex: &str| FromServer::from_bytes(&bytes(hex)).expect_err(name).reason();
    let none = Invalid("one of the six kinds of message");
    for (name, hex, reason) in [
        ("kind 0", "81 00", none),
        ("kind 7", "81 07", none),
        ("a word about readiness", "82 01 00", none),
        ("messages without an end", "82 04 80", none),
        ("a problem that nobody has", "82 06 6161", Invalid("a problem that is known")),
        ("a problem in bytes", "82 06 4472617465", Invalid("a problem that is known")),
        ("a problem that is no text", "82 06 61ff", Invalid("a problem that is known")),
    ] {
        assert_eq!(server(name, hex), reason, "{name}");
    }
    let max = FromServer::MAX_LEN;
    assert_eq!(server("too long", &"00".repeat(max + 1)), TooLong(max));
}
