//! Cards that are sound, and cards that are not.

use sealwire_core::{DecodeError, DecodeReason, KeyStore, SuiteSet, Timestamp, label::Label};
use sealwire_identity::{Error, IdentityCard, NewCard};

use crate::common::{self, DAY, NOW, RawCard, frame, id, judge, keys, malleate, signed};

fn decode_error(bytes: &[u8]) -> DecodeError {
    match IdentityCard::from_bytes(bytes) {
        Err(Error::Decode(error)) => error,
        other => panic!("{other:?}"),
    }
}

// CARD-3: the encoder of the crate and the one of these tests agree on the layout.
#[test]
fn a_card_is_read_as_it_was_made() {
    let keys = keys(1);
    let made = NewCard::new(3, NOW, DAY)
        .home_relay("https://relay.example/v1")
        .sign(&keys, keys.newest())
        .expect("a sound card");
    let raw = RawCard::with(&keys, |raw| {
        raw.sequence = 3;
        raw.home_relay = Some("https://relay.example/v1".into());
    });
    assert_eq!(made.as_bytes(), raw.sign(&keys));

    let card = judge(made.as_bytes()).expect("verifies");
    let public = keys.public(keys.newest()).expect("the first set");
    assert_eq!(card, made);
    assert_eq!(card.id(), &id(&keys));
    assert_eq!(card.identity_key(), keys.identity());
    assert_eq!(card.kx_id(), keys.newest());
    assert_eq!(card.exchange_key(), &public.handshake);
    assert_eq!(card.kem_key(), &public.kem);
    assert_eq!(card.envelope_keys(), (&public.envelope, &public.envelope_kem));
    assert_eq!(card.exchange_publics(), &public);
    assert_eq!(card.suites(), &SuiteSet::all());
    assert_eq!(card.sequence(), 3);
    assert_eq!((card.not_before(), card.not_after()), (NOW, NOW.plus(DAY)));
    assert_eq!(card.home_relay(), Some("https://relay.example/v1"));
    assert_eq!((card.log_head(), card.contact_mailbox(), card.contact_token()), (None, None, None));
}

// CARD-15
#[test]
fn the_hash_covers_the_whole_card() {
    let keys = keys(1);
    let bytes = RawCard::of(&keys).sign(&keys);
    let card = judge(&bytes).expect("verifies");
    assert_eq!(card.hash().to_string(), common::digest(&bytes));
    // Whether it was asked for makes no difference between cards.
    assert_eq!(card, judge(&bytes).expect("verifies"));
    assert_eq!(card.clone().hash(), card.hash());
    let next = RawCard::with(&keys, |raw| raw.sequence += 1).sign(&keys);
    assert_ne!(card, judge(&next).expect("verifies"));
}

// attack T32: truncation at each byte, of the card and of a signed body.
#[test]
fn every_cut_is_refused() {
    let keys = keys(1);
    let raw = RawCard::of(&keys);
    let (card, body) = (raw.sign(&keys), raw.body());
    for cut in 0..card.len() {
        let error = decode_error(&card[..cut]);
        assert_eq!(error, DecodeError::new("card", DecodeReason::Truncated), "{cut}");
    }
    for cut in 0..body.len() {
        let error = decode_error(&signed(Label::CARD, &keys, &body[..cut]));
        assert_eq!(error, DecodeError::new("card", DecodeReason::Truncated), "{cut}");
    }
}

// attack T32: other encodings, each with a good signature over what was sent.
// CARD-1, CARD-2, CARD-4
#[test]
fn other_encodings_are_refused() {
    let keys = keys(1);
    let raw = RawCard::of(&keys);
    let (card, body) = (raw.sign(&keys), raw.body());
    let signature = &card[card.len() - 64..];
    let again = |body: &[u8]| signed(Label::CARD, &keys, body);
    let replaced = |at: usize, len: usize, with: &[u8]| {
        again(&[&body[..at], with, &body[at + len..]].concat())
    };
    let id_len = raw.id.len();
    // The array header, the text header of two bytes, the text.
    let log_head = 1 + 2 + id_len;
    let cases: Vec<(&str, Vec<u8>, DecodeReason)> = vec![
        ("empty", vec![], DecodeReason::Truncated),
        ("version 0", [&[0], &card[1..]].concat(), DecodeReason::UnknownVersion(0)),
        ("version 2", [&[2], &card[1..]].concat(), DecodeReason::UnknownVersion(2)),
        ("trailing byte", [&card[..], &[0]].concat(), DecodeReason::Trailing),
        ("trailing byte in the body", again(&[&body[..], &[0]].concat()), DecodeReason::Trailing),
        ("too long", vec![1; IdentityCard::MAX_LEN + 1], DecodeReason::TooLong(4096)),
        (
            "as long as may be",
            vec![1; IdentityCard::MAX_LEN],
            DecodeReason::Invalid("not the expected CBOR"),
        ),
        (
            "indefinite frame",
            [&[1, 0x9F], &card[2..], &[0xFF]].concat(),
            DecodeReason::NonCanonical,
        ),
        ("third element", [&[1, 0x83], &card[2..], &[0]].concat(), DecodeReason::NonCanonical),
        ("long array header", [&[1, 0x98, 2], &card[2..]].concat(), DecodeReason::NonCanonical),
        (
            "indefinite body",
            again(&[&[0x9F], &body[1..], &[0xFF]].concat()),
            DecodeReason::NonCanonical,
        ),
        (
            "fifteenth field",
            again(&[&[0x8F], &body[1..], &[0xF6]].concat()),
            DecodeReason::NonCanonical,
        ),
        (
            "long text header",
            replaced(1, 2, &[0x79, 0, u8::try_from(id_len).expect("short")]),
            DecodeReason::NonCanonical,
        ),
        (
            "long key number",
            replaced(log_head + 1 + 2 + 32, 1, &[0x18, 1]),
            DecodeReason::NonCanonical,
        ),
        (
            "undefined for null",
            replaced(log_head, 1, &[0xF7]),
            DecodeReason::Invalid("not the expected CBOR"),
        ),
        (
            "signature one byte short",
            frame(&body, &signature[..63]),
            DecodeReason::Invalid("is 64 bytes long"),
        ),
        (
            "body and signature swapped",
            frame(signature, &body),
            DecodeReason::Invalid("is 64 bytes long"),
        ),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(decode_error(&bytes).reason(), reason, "{name}");
    }
    assert!(judge(&card).is_ok());
}

// attack T32: fields with a good signature and a bad value.
// CARD-5, CARD-6, CARD-7, CARD-9, CARD-18
#[test]
fn bad_fields_are_refused() {
    let keys = keys(1);
    type Change = fn(&mut RawCard);
    let cases: [(&str, Change, &str); 26] = [
        ("no id", |c| c.id.clear(), "agent id: "),
        ("webvh id", |c| c.id = "did:webvh:Qm:example.com".into(), "agent id: this release"),
        ("log head", |c| c.log_head = Some(vec![1; 32]), "card: log head, contact mailbox"),
        ("empty log head", |c| c.log_head = Some(vec![]), "card: log head, contact mailbox"),
        ("mailbox", |c| c.contact_mailbox = Some(vec![1; 16]), "card: log head, contact"),
        ("token", |c| c.contact_token = Some(vec![1; 16]), "card: log head, contact"),
        ("identity key short", |c| c.identity_key.truncate(31), "Ed25519 public key: "),
        ("identity key long", |c| c.identity_key.push(0), "Ed25519 public key: "),
        ("kx_id 0", |c| c.kx_id = 0, "card: exchange keys are numbered from 1"),
        ("exchange key short", |c| c.exchange_key.truncate(31), "X25519 public key: "),
        ("exchange key with bit 255", |c| c.exchange_key[31] |= 0x80, "X25519 public key: "),
        ("KEM key short", |c| c.kem_key.truncate(1183), "ML-KEM-768 encapsulation key: "),
        ("KEM key long", |c| c.kem_key.push(0), "ML-KEM-768 encapsulation key: "),
        ("X-Wing key empty", |c| c.xwing_key.clear(), "card: the X-Wing key is 1216"),
        ("X-Wing key short", |c| c.xwing_key.truncate(1215), "X25519 public key: "),
        ("X-Wing key long", |c| c.xwing_key.push(0), "X25519 public key: "),
        ("X-Wing halves swapped", |c| c.xwing_key.rotate_right(32), ""),
        (
            "exchange and KEM key swapped",
            |c| std::mem::swap(&mut c.exchange_key, &mut c.kem_key),
            "X25519 public key: ",
        ),
        (
            "X25519 key used twice",
            |c| c.xwing_key[1184..].copy_from_slice(&c.exchange_key),
            "card: handshakes and envelopes have keys of their own",
        ),
        (
            "ML-KEM key used twice",
            |c| c.xwing_key[..1184].copy_from_slice(&c.kem_key),
            "card: handshakes and envelopes have keys of their own",
        ),
        ("no suite", |c| c.suites.clear(), "suite list: "),
        ("unknown suite", |c| c.suites.push(3), "suite: unknown suite id"),
        ("suites descending", |c| c.suites.reverse(), "suite list: "),
        ("suite 0", |c| c.suites.insert(0, 0), "suite: unknown suite id"),
        ("suite twice", |c| c.suites = vec![1, 1], "suite list: "),
        ("sequence 0", |c| c.sequence = 0, "card: the sequence counts from 1"),
    ];
    for (name, change, message) in cases {
        let error = RawCard::with(&keys, change).judge(&keys).expect_err(name).to_string();
        assert!(error.starts_with(message), "{name}: {error}");
    }
}

// Text that a terminal would obey, and other addresses that are none.
// CARD-8
#[test]
fn bad_relay_addresses_are_refused() {
    let keys = keys(1);
    let long = format!("https://{}", "a".repeat(249));
    for address in [
        "",
        "https://",
        "relay.example",
        "ftp://relay.example",
        "HTTPS://relay.example",
        "javascript:alert(1)",
        "https://relay.example/\u{1b}[2J",
        "https://relay.example/\r\nHost: other",
        "https://relay.example/\0",
        "https://relay.example/a b",
        "https://relay.example/\"><script>",
        "https://relay.example/`id`",
        "https://r\u{e9}lay.example",
        "https://relay.example/\u{202e}",
        &long,
    ] {
        let raw = RawCard::with(&keys, |raw| raw.home_relay = Some(address.into()));
        let error = raw.judge(&keys).expect_err(address).to_string();
        assert!(error.starts_with("home relay: "), "{address:?}: {error}");
        let made = NewCard::new(1, NOW, DAY).home_relay(address).sign(&keys, keys.newest());
        assert_eq!(made.expect_err(address).to_string(), error);
    }
    for address in ["http://127.0.0.1:8080", "https://[::1]/a?b=%20#c", &long[..256]] {
        let raw = RawCard::with(&keys, |raw| raw.home_relay = Some(address.into()));
        assert_eq!(raw.judge(&keys).expect(address).home_relay(), Some(address));
    }
}

// attack T13: S + L in place of S is the same signature to a verifier that does not look.
// CARD-11
#[test]
fn a_malleated_signature_is_refused() {
    let keys = keys(1);
    let mut bytes = RawCard::of(&keys).sign(&keys);
    let start = bytes.len() - 64;
    malleate(&mut bytes[start..]);
    assert_eq!(judge(&bytes), Err(Error::Signature("card")));
}

// CARD-11: the signature covers the received body under the label of cards, by this key.
#[test]
fn other_signatures_are_refused() {
    let [alice, mallory] = [keys(1), keys(2)];
    let body = RawCard::of(&alice).body();
    for (name, bytes) in [
        ("another label", signed(Label::SCORE, &alice, &body)),
        ("another key", signed(Label::CARD, &mallory, &body)),
        ("zeros", frame(&body, &[0; 64])),
    ] {
        assert_eq!(judge(&bytes), Err(Error::Signature("card")), "{name}");
    }
}

#[test]
fn no_changed_byte_survives() {
    let keys = keys(1);
    let card = RawCard::of(&keys).sign(&keys);
    for position in 0..card.len() {
        let mut changed = card.clone();
        changed[position] ^= 1;
        assert!(judge(&changed).is_err(), "byte {position}");
    }
}

// attack T7: what the card layer catches, and what it cannot.
// CARD-10
#[test]
fn a_card_that_borrows_from_another_agent() {
    let [alice, mallory] = [keys(1), keys(2)];
    let theirs = RawCard::of(&alice);

    // Mallory's id on Alice's card, signed by either: id and identity key differ.
    let renamed = RawCard { id: id(&mallory).to_string(), ..theirs.clone() };
    assert_eq!(renamed.judge(&alice), Err(Error::IdMismatch));
    assert_eq!(renamed.judge(&mallory), Err(Error::IdMismatch));

    // Alice's id over Mallory's identity key: the same.
    let impostor = RawCard { id: theirs.id.clone(), ..RawCard::of(&mallory) };
    assert_eq!(impostor.judge(&mallory), Err(Error::IdMismatch));

    // Alice's whole card signed by Mallory, and Mallory's card with Alice's signature.
    assert_eq!(theirs.judge(&mallory), Err(Error::Signature("card")));
    assert_eq!(RawCard::of(&mallory).judge(&alice), Err(Error::Signature("card")));

    // Alice's exchange keys under Mallory's own id and signature: a valid card. It says that
    // Mallory named these keys, not that Mallory can use them. The handshake is where this
    // ends: its proof binds the static key in use to the identity key and to both ids.
    let borrowed = RawCard {
        exchange_key: theirs.exchange_key.clone(),
        kem_key: theirs.kem_key.clone(),
        xwing_key: theirs.xwing_key.clone(),
        ..RawCard::of(&mallory)
    };
    let card = borrowed.judge(&mallory).expect("the card itself verifies");
    assert_eq!(card.id(), &id(&mallory));
    assert_ne!(card.identity_key(), alice.identity());
}

// attack T15: what was valid once is not valid for ever.
// CARD-12, CARD-13, CARD-14
#[test]
fn times_are_checked() {
    let keys = keys(1);
    let now = NOW.as_secs();
    let days = |count: u64| count * DAY;
    let expired = |not_after| {
        Err(Error::Expired { what: "card", not_after: Timestamp::from_secs(not_after) })
    };
    let early = |not_before| {
        Err(Error::NotYetValid { what: "card", not_before: Timestamp::from_secs(not_before) })
    };
    let lifetime = || Err(Error::Lifetime("card"));
    for (name, not_before, not_after, expected) in [
        ("a day", now, now + days(1), Ok(())),
        ("one second", now, now + 1, Ok(())),
        ("the last second", now - days(1), now, Ok(())),
        ("a second too late", now - days(1), now - 1, expired(now - 1)),
        ("long ago", 1, days(30), expired(days(30))),
        ("a clock 5 minutes ahead", now + 300, now + days(1), Ok(())),
        ("a clock further ahead", now + 301, now + days(1), early(now + 301)),
        ("30 days", now, now + days(30), Ok(())),
        ("a second over 30 days", now, now + days(30) + 1, lifetime()),
        ("90 days, which a did:key may not", now, now + days(90), lifetime()),
        ("no time at all", now, now, lifetime()),
        ("swapped", now + days(1), now, lifetime()),
        ("for ever", 0, u64::MAX, lifetime()),
        ("at the end of time", u64::MAX - 1, u64::MAX, early(u64::MAX - 1)),
    ] {
        let raw = RawCard::with(&keys, |raw| {
            raw.not_before = not_before;
            raw.not_after = not_after;
        });
        assert_eq!(raw.judge(&keys).map(drop), expected, "{name}");
    }
}

#[test]
fn a_verified_card_ends_with_its_last_second() {
    let keys = keys(1);
    let card = NewCard::new(1, NOW, DAY).sign(&keys, keys.newest()).expect("sound");
    let card = IdentityCard::from_bytes(card.as_bytes()).expect("reads").verify(NOW);
    assert_eq!(card.expect("verifies").not_after(), NOW.plus(DAY));
}

// CARD-12, CARD-13: nobody signs what peers refuse.
#[test]
fn cards_that_peers_refuse_are_not_made() {
    let keys = keys(1);
    let make = |card: NewCard| card.sign(&keys, keys.newest()).map(drop);
    assert!(matches!(make(NewCard::new(0, NOW, DAY)), Err(Error::Decode(_))));
    assert_eq!(make(NewCard::new(1, NOW, 0)), Err(Error::Lifetime("card")));
    assert_eq!(make(NewCard::new(1, NOW, 30 * DAY + 1)), Err(Error::Lifetime("card")));
    let end = Timestamp::from_secs(u64::MAX);
    assert_eq!(make(NewCard::new(1, end, DAY)), Err(Error::Lifetime("card")));
    let unknown = keys.newest().checked_add(1).expect("small");
    let missing = NewCard::new(1, NOW, DAY).sign(&keys, unknown);
    assert!(matches!(missing, Err(Error::KeyStore(_))));
}

#[test]
fn the_longest_card_fits() {
    let keys = keys(1);
    let raw = RawCard::with(&keys, |raw| {
        raw.home_relay = Some(format!("https://{}", "a".repeat(248)));
        (raw.kx_id, raw.sequence) = (u32::MAX, u64::MAX);
    });
    let spare = 512 - raw.id.len();
    assert!(raw.judge(&keys).is_ok());
    assert!(raw.sign(&keys).len() + spare < 3400);
}
