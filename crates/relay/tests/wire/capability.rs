use proptest::prelude::*;
use sealwire_core::{Timestamp, secret::Secret};
use sealwire_relay::{
    Capability, Problem, ReceiveId, SendId, Token, limits, store::Entrance, wire::MailboxKind,
};
use sealwire_testkit::leak::shows;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn secret(byte: u8) -> Secret<32> {
    Secret::init_with(|out| out.fill(byte))
}

fn mint(expiry: Timestamp) -> Capability {
    let (send, token) = (SendId::from_bytes([1; 16]), Token::from_bytes([2; 16]));
    Capability::mint(&secret(7), &send, &token, expiry).expect("an expiry in range")
}

fn entrance(secret: Secret<32>, revoked: Vec<Token>) -> Entrance {
    let mailbox = ReceiveId::from_bytes([9; 16]);
    Entrance { mailbox, kind: MailboxKind::Pairwise, secret, revoked }
}

/// Computed apart from this crate, from the rule alone: HMAC-SHA256 of Python's `hmac` over
/// `"sealwire/v1/relay/deposit" 00 00 0010 01… 0010 02… 0008 000000006b49d200`.
// REL-14, REL-15
#[test]
fn a_capability_stands_as_the_specification_has_it() {
    let text = "v1.AgICAgICAgICAgICAgICAg.1800000000.A9zU3mAuafwjnOrUlIG8U6Kq9ecOOsvwNs6wPFcoXBU";
    assert_eq!(mint(NOW).to_text(), text);
    let capability = Capability::parse(text).expect("a capability");
    assert_eq!(capability.token(), &Token::from_bytes([2; 16]));
    assert_eq!(capability.expiry(), NOW);
    assert!(capability.check(&secret(7), &SendId::from_bytes([1; 16]), NOW));
}

// REL-15, REL-16
#[test]
fn what_a_capability_was_not_made_for_it_does_not_open() {
    let send = SendId::from_bytes([1; 16]);
    let capability = mint(NOW);
    let whole = entrance(secret(7), vec![Token::from_bytes([3; 16])]);
    assert_eq!(capability.admit(Some(&whole), &send, NOW), Ok(whole.mailbox));

    let others: Vec<Token> = (3..=255).map(|byte| Token::from_bytes([byte; 16])).collect();
    let mut revoked = others.clone();
    revoked.push(*capability.token());
    let refused = [
        ("no mailbox", None, send, NOW),
        ("another secret", Some(entrance(secret(8), vec![])), send, NOW),
        ("no secret yet", Some(entrance(secret(0), vec![])), send, NOW),
        ("another mailbox", Some(entrance(secret(7), vec![])), SendId::from_bytes([4; 16]), NOW),
        ("a second late", Some(entrance(secret(7), vec![])), send, NOW.plus(1)),
        ("revoked", Some(entrance(secret(7), revoked)), send, NOW),
    ];
    for (name, entrance, send, now) in refused {
        let answer = capability.admit(entrance.as_ref(), &send, now);
        assert_eq!(answer, Err(Problem::NotFound), "{name}");
    }
    let whole = entrance(secret(7), others);
    assert!(capability.admit(Some(&whole), &send, NOW).is_ok(), "others are revoked");
}

// A mailbox that is not there is judged by a secret of zeros, which nobody may profit from.
#[test]
fn a_capability_under_the_secret_of_nobody_opens_nothing() {
    let (send, token) = (SendId::from_bytes([1; 16]), Token::from_bytes([2; 16]));
    let capability = Capability::mint(&secret(0), &send, &token, NOW).expect("in range");
    assert_eq!(capability.admit(None, &send, NOW), Err(Problem::NotFound));
}

// attack T32
#[test]
fn another_text_is_no_capability() {
    let text = mint(NOW).to_text();
    let (start, mac) = text.rsplit_once('.').expect("dots");
    let token = "AgICAgICAgICAgICAgICAg";
    let of = |expiry: &str| format!("v1.{token}.{expiry}.{mac}");
    let loose = format!("{start}.{}_", &mac[..42]);
    for (name, text) in [
        ("nothing", String::new()),
        ("a version alone", "v1".into()),
        ("another version", text.replace("v1", "v2")),
        ("a capital", text.replace("v1", "V1")),
        ("no MAC", start.into()),
        ("a part more", format!("{text}.")),
        ("a space before", format!(" {text}")),
        ("a space behind", format!("{text} ")),
        ("a line break", format!("{text}\n")),
        ("a relay behind", format!("{text}@https://relay.example")),
        ("an empty token", text.replace(token, "")),
        ("a short token", text.replace(token, &token[1..])),
        ("a long token", text.replace(token, &format!("A{token}"))),
        ("a padded token", text.replace(token, &format!("{token}=="))),
        ("a token with loose bits", text.replace(token, "AgICAgICAgICAgICAgICAh")),
        ("no expiry", of("")),
        ("an expiry with zeros", of("01800000000")),
        ("an expiry with a sign", of("+1800000000")),
        ("a negative expiry", of("-1")),
        ("an expiry of 2^63", of("9223372036854775808")),
        ("an expiry of 2^64", of("18446744073709551616")),
        ("a broken expiry", of("1e9")),
        ("a short MAC", text[..text.len() - 1].into()),
        ("a long MAC", format!("{text}A")),
        ("a padded MAC", format!("{text}=")),
        ("a MAC with loose bits", loose),
        ("another alphabet", format!("{start}.{}", "+".repeat(43))),
        ("a hundred thousand dots", ".".repeat(100_000)),
    ] {
        assert!(Capability::parse(&text).is_err(), "{name}: {text}");
    }
    let late = Timestamp::from_secs(limits::MAX_NUMBER);
    let longest = mint(late).to_text();
    assert_eq!(longest.len(), Capability::MAX_LEN);
    assert!(Capability::parse(&longest).is_ok());
    let (send, token) = (SendId::from_bytes([1; 16]), Token::from_bytes([2; 16]));
    assert!(Capability::mint(&secret(7), &send, &token, late.plus(1)).is_err());
}

// attack T34
#[test]
fn a_capability_does_not_show() {
    let capability = mint(NOW);
    let text = capability.to_text();
    assert!(!shows(&format!("{capability:?}"), text.as_bytes()));
    assert!(!format!("{capability:?}").contains(&text[3..25]));
}

proptest! {
    #[test]
    fn a_minted_capability_is_read_and_good_until_it_expires(
        (secret_bytes, send, token) in any::<([u8; 32], [u8; 16], [u8; 16])>(),
        expiry in 0..=limits::MAX_NUMBER - 1,
        (bit, of_mac) in (0..128_usize, any::<bool>()),
    ) {
        let secret = Secret::init_with(|out| *out = secret_bytes);
        let (send_id, token) = (SendId::from_bytes(send), Token::from_bytes(token));
        let expiry = Timestamp::from_secs(expiry);
        let text =
            Capability::mint(&secret, &send_id, &token, expiry).expect("in range").to_text();
        let capability = Capability::parse(&text).expect("own text");
        prop_assert_eq!(capability.to_text(), text);
        prop_assert_eq!((capability.token(), capability.expiry()), (&token, expiry));
        prop_assert!(capability.check(&secret, &send_id, expiry));
        prop_assert!(!capability.check(&secret, &send_id, expiry.plus(1)));

        // One bit of the mailbox, or of the secret.
        let (mut send, mut secret_bytes) = (send, secret_bytes);
        if of_mac {
            send[bit / 8] ^= 1 << (bit % 8);
        } else {
            secret_bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let secret = Secret::init_with(|out| *out = secret_bytes);
        prop_assert!(!capability.check(&secret, &SendId::from_bytes(send), expiry));
    }

    // Whoever has one capability makes no other of it: each character matters.
    #[test]
    fn a_capability_with_another_character_opens_nothing(at in 0..80_usize, byte in 33..127_u8) {
        let text = mint(NOW).to_text();
        let mut bytes = text.clone().into_bytes();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let other = String::from_utf8(bytes).expect("ASCII");
        let opens = Capability::parse(&other)
            .is_ok_and(|it| it.check(&secret(7), &SendId::from_bytes([1; 16]), Timestamp::default()));
        prop_assert!(!opens, "{}", other);
    }
}
