//! One-time keys that a claimer must refuse.

use sealwire_core::{DecodeReason, label::Label};
use sealwire_ratchet::Error;
use sealwire_testkit::zero_shared_secret_publics;

use crate::{
    bundle::modulus_keys,
    common::{Agent, DAY, NOW, bob, mallory},
    forge::{RawPage, claimed, sign},
};

const PAGE: &str = "prekey page";
const CLAIMED: &str = "claimed prekey";

fn x25519(bob: &Agent, header: &[u8], claimed: &[u8]) -> Option<Error> {
    bob.verified().one_time_x25519(header, claimed, NOW).err()
}

fn kem(bob: &Agent, header: &[u8], claimed: &[u8]) -> Option<Error> {
    bob.verified().one_time_kem(header, claimed, NOW).err()
}

fn sound(bob: &Agent) -> RawPage {
    RawPage::of(bob, 1, bob.publics.envelope.as_bytes())
}

// PRE-9, PRE-10
#[test]
fn every_key_of_a_page_is_one_that_a_claimer_takes() {
    let bob = bob();
    let (x25519, kem) = (&bob.x25519, &bob.kem);
    assert_eq!((x25519.keys.len(), kem.keys.len()), (100, 20));
    for (index, claimed) in (1..).zip(&x25519.keys) {
        let key = bob.verified().one_time_x25519(&x25519.header, claimed, NOW).expect("sound");
        assert_eq!(key.id().get(), index);
        assert_eq!(key.not_after(), NOW.plus(52 * DAY));
    }
    // The first KEM prekey is the bundle's: both kinds share one counter.
    for (index, claimed) in (2..).zip(&kem.keys) {
        let key = bob.verified().one_time_kem(&kem.header, claimed, NOW).expect("sound");
        assert_eq!(key.id().get(), index);
    }
    for page in [x25519, kem] {
        let len = page.header.len() + page.keys.iter().map(Vec::len).sum::<usize>();
        assert!(len <= 256 * 1024, "{len}");
    }
}

// attack T5
// PRE-11
#[test]
fn a_page_signature_that_is_not_over_this_page_is_refused() {
    let (bob, mallory) = (bob(), mallory());
    let page = sound(&bob);
    let root = page.root();
    assert_eq!(x25519(&bob, &page.signed_by(&bob), &page.claimed()), None, "the control");
    let other = |change: fn(&mut RawPage)| {
        let mut page = page.clone();
        change(&mut page);
        page.signature(&*bob.keys, Label::PREKEY_PAGE, &bob.id)
    };
    let refused = [
        ("by another identity", page.signature(&*mallory.keys, Label::PREKEY_PAGE, &bob.id)),
        ("for another agent", page.signature(&*bob.keys, Label::PREKEY_PAGE, &mallory.id)),
        ("under another label", page.signature(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id)),
        ("over the root alone", sign(&*bob.keys, Label::PREKEY_PAGE, &bob.id, &root)),
        ("for another device", other(|page| page.device = 1)),
        ("for the other kind", other(|page| page.kind = 2)),
        ("for other ids", other(|page| page.base = 8)),
        ("for another count", other(|page| page.count = 2)),
        ("for another time", other(|page| page.not_after -= 1)),
        ("for another key", other(|page| page.key[0] ^= 1)),
        ("of zeros", vec![0; 64]),
    ];
    for (name, signature) in refused {
        let error = x25519(&bob, &page.header(&signature), &page.claimed());
        assert_eq!(error, Some(Error::Signature(PAGE)), "{name}");
    }
    for (name, signature) in [("none", vec![]), ("a short one", vec![0; 63])] {
        let error = x25519(&bob, &page.header(&signature), &page.claimed());
        assert!(matches!(error, Some(Error::Decode(_))), "{name}");
    }
}

// attack T5, T7, T30
// PRE-13
#[test]
fn a_page_for_another_use_or_time_is_refused() {
    let bob = bob();
    let now = NOW.as_secs();
    let refused = |name: &str, page: RawPage, expected: Error| {
        let error = x25519(&bob, &page.signed_by(&bob), &page.claimed());
        assert_eq!(error, Some(expected), "{name}");
    };
    let of = || sound(&bob);
    refused("another device", RawPage { device: 1, ..of() }, Error::Mismatch(PAGE));
    refused("expired", RawPage { not_after: now - 1, ..of() }, Error::Expired(PAGE));
    let too_long = now + 52 * DAY + 301;
    refused("too long", RawPage { not_after: too_long, ..of() }, Error::Lifetime(PAGE));
    refused("an id before", RawPage { base: 8, ..of() }, Error::Mismatch(CLAIMED));
    refused("an id behind", RawPage { base: 6, ..of() }, Error::Mismatch(CLAIMED));
    // An X25519 key where an ML-KEM key was asked for, and the other way round.
    let key = &bob.publics.envelope_kem;
    let page = RawPage::of(&bob, 2, key.as_bytes());
    assert_eq!(kem(&bob, &page.signed_by(&bob), &page.claimed()), None);
    let error = x25519(&bob, &page.signed_by(&bob), &page.claimed());
    assert_eq!(error, Some(Error::Mismatch(PAGE)));
    let error = kem(&bob, &of().signed_by(&bob), &of().claimed());
    assert_eq!(error, Some(Error::Mismatch(PAGE)));
    for (name, not_after) in [("the last second", now), ("the longest", now + 52 * DAY + 300)] {
        let page = RawPage { not_after, ..of() };
        assert_eq!(x25519(&bob, &page.signed_by(&bob), &page.claimed()), None, "{name}");
    }
}

// PRE-9, PRE-12
#[test]
fn bad_headers_are_refused() {
    let bob = bob();
    let refused = |name: &str, page: RawPage| {
        let error = x25519(&bob, &page.signed_by(&bob), &page.claimed());
        assert!(matches!(error, Some(Error::Decode(_))), "{name}: {error:?}");
    };
    let of = || sound(&bob);
    refused("kind 0", RawPage { kind: 0, ..of() });
    refused("kind 3", RawPage { kind: 3, ..of() });
    refused("base 0", RawPage { base: 0, ..of() });
    refused("no keys", RawPage { count: 0, ..of() });
    refused("101 X25519 keys", RawPage { count: 101, ..of() });
    refused("21 ML-KEM keys", RawPage { count: 21, kind: 2, ..of() });
    refused("key 0", RawPage { id: 0, ..of() });
    // attack T20
    refused("ids over 32 bits", RawPage { base: u32::MAX, count: 2, ..of() });
    let last = RawPage { base: u32::MAX, id: u32::MAX, ..of() };
    assert_eq!(x25519(&bob, &last.signed_by(&bob), &last.claimed()), None);
}

// attack T32
// PRE-12
#[test]
fn no_cut_and_no_other_encoding_of_a_page_or_a_key_is_read() {
    let bob = bob();
    let (header, key) = (&bob.x25519.header, &bob.x25519.keys[41]);
    assert_eq!(x25519(&bob, header, key), None);
    let decode = |header: &[u8], key: &[u8]| match x25519(&bob, header, key) {
        Some(Error::Decode(error)) => error.reason(),
        other => panic!("{other:?}"),
    };
    for cut in 0..header.len() {
        decode(&header[..cut], key);
    }
    for cut in 0..key.len() {
        decode(header, &key[..cut]);
    }
    assert_eq!(decode(&[header, &[0][..]].concat(), key), DecodeReason::Trailing);
    assert_eq!(decode(header, &[key, &[0][..]].concat()), DecodeReason::Trailing);
    assert_eq!(decode(&[0; 257], key), DecodeReason::TooLong(256));
    assert_eq!(decode(header, &[0; 2049]), DecodeReason::TooLong(2048));
    let long = [&[0x98, 3], &key[1..]].concat();
    assert_eq!(decode(header, &long), DecodeReason::NonCanonical);
    let long = [&[1, 0x98, 7], &header[2..]].concat();
    assert_eq!(decode(&long, key), DecodeReason::NonCanonical);
    for version in (0..=255).filter(|version| *version != 1) {
        let changed = [&[version], &header[1..]].concat();
        assert_eq!(decode(&changed, key), DecodeReason::UnknownVersion(version));
    }
}

#[test]
fn a_key_that_is_not_in_the_page_is_refused() {
    let bob = bob();
    let page = sound(&bob);
    let (header, key) = (page.signed_by(&bob), &page.key);
    let other = bob.publics.handshake.as_bytes();
    for (name, claimed) in [
        ("another key", claimed(7, other, &[])),
        ("a path too long", claimed(7, key, &[[0; 32]])),
        ("another id", claimed(8, key, &[])),
        ("the last id", claimed(u32::MAX, key, &[])),
    ] {
        assert_eq!(x25519(&bob, &header, &claimed), Some(Error::Mismatch(CLAIMED)), "{name}");
    }
    let endless = claimed(7, key, &[[0; 32]; 8]);
    assert!(matches!(x25519(&bob, &header, &endless), Some(Error::Decode(_))));
    // Every byte of a key and its path counts.
    let (header, key) = (&bob.x25519.header, &bob.x25519.keys[41]);
    for index in 0..key.len() {
        let mut changed = key.clone();
        changed[index] ^= 1;
        assert!(x25519(&bob, header, &changed).is_some(), "{index}");
    }
}

// attack T1: as a one-time prekey.
// PRE-4
#[test]
fn a_one_time_key_that_gives_a_zero_secret_is_refused() {
    let bob = bob();
    for public in zero_shared_secret_publics() {
        let page = RawPage::of(&bob, 1, &public);
        let error = x25519(&bob, &page.signed_by(&bob), &page.claimed());
        assert!(matches!(error, Some(Error::Decode(_))), "{public:?}");
    }
}

// attack T10
#[test]
fn a_one_time_kem_key_with_a_coefficient_too_large_is_refused() {
    let bob = bob();
    for key in modulus_keys() {
        let page = RawPage::of(&bob, 2, &key);
        let error = kem(&bob, &page.signed_by(&bob), &page.claimed());
        assert!(matches!(error, Some(Error::Decode(_))));
    }
}
