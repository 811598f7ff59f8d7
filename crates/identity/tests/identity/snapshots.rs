//! What the types show of themselves.

use sealwire_core::{KeyStore, Timestamp, Unverified};
use sealwire_identity::{
    AgentId, Error, Evidence, EvidenceKind, IdentityCard, NewCard, PinStore, PinnedBy,
    ScoreStatement,
};

use crate::common::{DAY, NOW, id, keys};

fn card() -> IdentityCard {
    let keys = keys(1);
    NewCard::new(3, NOW, DAY)
        .home_relay("https://relay.example")
        .sign(&keys, keys.newest())
        .expect("sound")
}

const CARD: &str = "IdentityCard { \
    id: AgentId(did:key:ID), sequence: 3, kx_id: 1, suites: SuiteSet([AesGcm, ChaChaPoly]), \
    home_relay: Some(\"https://relay.example\"), not_before: Timestamp(1800000000), \
    not_after: Timestamp(1800086400), .. }";

/// The snapshot with the id of the test's key in its place.
fn with_id(snapshot: &str) -> String {
    snapshot.replace("did:key:ID", id(&keys(1)).as_str())
}

#[test]
fn debug_shows_no_bytes() {
    let card = card();
    assert_eq!(format!("{card:?}"), with_id(CARD));
    let unverified = Unverified::new(card.clone());
    assert_eq!(format!("{unverified:?}"), format!("Unverified({})", with_id(CARD)));

    let verified = unverified.verify(NOW).expect("sound");
    let mut pins = PinStore::new();
    pins.pin(&verified, PinnedBy::OutOfBand, NOW).expect("room");
    let pin = format!(
        "Pin {{ card: Unverified({CARD}), by: OutOfBand, first_seen: Timestamp(1800000000), \
         last_seen: Timestamp(1800000000) }}"
    );
    let expected = with_id(&format!("PinStore({{AgentId(did:key:ID): {pin}}})"));
    assert_eq!(format!("{pins:?}"), expected);

    let evidence = Evidence::new(EvidenceKind::OrgCredential, true, b"hush").expect("short");
    assert_eq!(
        format!("{evidence:?}"),
        "Evidence { kind: OrgCredential, bound: true, data_len: 4 }"
    );
    let score = ScoreStatement::issue(&keys(2), &id(&keys(1)), 700, NOW).expect("sound");
    assert_eq!(
        format!("{score:?}"),
        format!(
            "ScoreStatement {{ issuer: {:?}, subject: {:?}, score: 700, \
             not_after: Timestamp(1800000000), .. }}",
            id(&keys(2)),
            id(&keys(1))
        )
    );
}

// attack T34: neither hex nor a decimal list of the bytes of a key or a signature.
#[test]
fn debug_shows_no_keys_in_any_notation() {
    let card = card();
    let shown = format!("{card:?}");
    let leaks = |shown: &str, bytes: &[u8]| {
        let decimal: Vec<_> = bytes.iter().map(u8::to_string).collect();
        shown.contains(&hex::encode(bytes)) || shown.contains(&decimal.join(", "))
    };
    let (envelope, envelope_kem) = card.envelope_keys();
    for bytes in [
        &card.exchange_key().as_bytes()[..8],
        &card.kem_key().as_bytes()[..8],
        &envelope.as_bytes()[..8],
        &envelope_kem.as_bytes()[..8],
        &card.as_bytes()[card.as_bytes().len() - 8..],
    ] {
        assert!(!leaks(&shown, bytes));
        // The check itself finds both.
        assert!(leaks(&format!("{bytes:?}"), bytes) && leaks(&hex::encode(bytes), bytes));
    }
}

#[test]
fn ids_and_hashes_print_as_text() {
    let card = card();
    assert_eq!(card.id().to_string(), card.id().as_str());
    let hash = card.hash();
    assert_eq!(hash.to_string(), hex::encode(hash.as_bytes()));
    assert_eq!(format!("{hash:?}"), format!("CardHash({hash})"));
    assert_eq!(sealwire_identity::CardHash::from_bytes(*hash.as_bytes()), hash);
}

// Every message says what was wrong and what to do.
#[test]
fn errors_say_what_to_do() {
    let time = Timestamp::from_secs(7);
    for (error, text) in [
        (
            AgentId::parse("did:webvh:x").expect_err("not resolved"),
            "agent id: this release does not resolve did:webvh ids; \
             ask the agent for a did:key id (did:key:z6Mk…)",
        ),
        (
            Error::Signature("card"),
            "card: the signature does not verify; it was changed or forged, \
             so get it from its owner again",
        ),
        (
            Error::Expired { what: "card", not_after: time },
            "card: expired at Unix second 7; ask its owner for a new one",
        ),
        (
            Error::NotYetValid { what: "card", not_before: time },
            "card: not valid before Unix second 7; check the clock",
        ),
        (
            Error::OlderCard { pinned: 2, presented: 1 },
            "card: sequence 1 is older than the pinned 2; ask the peer for its current card",
        ),
        (
            Error::ForkedCard(2),
            "card: another card with sequence 2 is pinned; two holders use this identity key, \
             so ask the peer over another way before you remove the pin",
        ),
        (
            Error::Downgrade,
            "card: it withdraws a suite that the pinned card offers, which a downgrade would \
             do; ask the peer over another way before you remove the pin",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
