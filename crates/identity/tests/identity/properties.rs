//! Round trips, and decoders that take only what their encoders give.

use std::sync::LazyLock;

use proptest::{collection::vec, option, prelude::*, sample};
use sealwire_core::{
    KeyStore, MemoryKeyStore, SuiteSet, Timestamp, Unverified, keys::SigningKey, secret::Secret,
};
use sealwire_identity::{
    AgentId, Evidence, EvidenceKind, EvidenceList, IdentityCard, NewCard, PinStore, PinnedBy,
    ScoreStatement,
};

use crate::common::{DAY, NOW, id, keys};

static KEYS: LazyLock<Vec<MemoryKeyStore>> = LazyLock::new(|| (1..=4).map(keys).collect());

prop_compose! {
    fn any_card()(
        owner in 0..4usize,
        sequence in 1..u64::MAX,
        ago in 0..DAY,
        more in 1..29 * DAY,
        relay in option::of("https?://[a-z0-9./:?&=%-]{1,200}"),
        suites in sample::select(vec![&[1u8][..], &[2], &[1, 2]]),
    ) -> IdentityCard {
        let keys = &KEYS[owner];
        let start = Timestamp::from_secs(NOW.as_secs() - ago);
        let mut card = NewCard::new(sequence, start, ago + more)
            .suites(SuiteSet::from_bytes(suites).expect("known suites"));
        if let Some(relay) = relay {
            card = card.home_relay(relay);
        }
        card.sign(keys, keys.newest()).expect("sound")
    }
}

fn any_evidence() -> impl Strategy<Value = EvidenceList> {
    let kinds = [EvidenceKind::OrgCredential, EvidenceKind::X509Svid, EvidenceKind::Score];
    let item = (sample::select(kinds.to_vec()), any::<bool>(), vec(any::<u8>(), 1..2000))
        .prop_map(|(kind, bound, data)| Evidence::new(kind, bound, &data).expect("short"));
    vec(item, 0..=8).prop_map(|items| EvidenceList::new(items).expect("few and short"))
}

prop_compose! {
    fn any_pins()(entries in vec((any_card(), any::<bool>(), 0..DAY), 0..6)) -> PinStore {
        let mut pins = PinStore::new();
        for (card, out_of_band, later) in entries {
            let card = Unverified::new(card).verify(NOW).expect("sound");
            let by = if out_of_band { PinnedBy::OutOfBand } else { PinnedBy::FirstContact };
            // Older cards and downgrades among them are refused, as they should be.
            let _ = pins.pin(&card, by, NOW.plus(later));
        }
        pins
    }
}

/// Changes, cuts or lengthens bytes.
fn mutate(bytes: &[u8], at: &sample::Index, value: u8, how: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len());
    match how % 4 {
        0 => bytes[at] ^= value | 1,
        1 => bytes.truncate(at),
        2 => bytes.insert(at, value),
        _ => drop(bytes.remove(at)),
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cards_round_trip(card in any_card()) {
        let read = IdentityCard::from_bytes(card.as_bytes()).expect("own bytes");
        prop_assert_eq!(read.claimed(), &card);
        let read = IdentityCard::from_text(&card.to_text()).expect("own text");
        let verified = read.verify(NOW).expect("sound");
        prop_assert_eq!(verified.as_verified(), &card);
        prop_assert_eq!(verified.not_after(), card.not_after());
    }

    #[test]
    fn pins_round_trip(pins in any_pins()) {
        let bytes = pins.to_bytes();
        let read = PinStore::from_bytes(&bytes).expect("own bytes");
        prop_assert_eq!(&read, &pins);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn evidence_round_trips(list in any_evidence()) {
        prop_assert_eq!(EvidenceList::from_bytes(&list.to_bytes()), Ok(list));
    }

    #[test]
    fn ids_round_trip(seed: [u8; 32]) {
        let key = SigningKey::from_seed(&Secret::from_slice(&seed).expect("32 bytes"));
        let made = AgentId::from_key(key.public());
        let read = AgentId::parse(made.as_str()).expect("own text");
        prop_assert_eq!(&read, &made);
        prop_assert_eq!(read.key(), Some(key.public()));
    }

    #[test]
    fn scores_round_trip(score in 0..=1000u16, life in 0..90 * DAY) {
        let made = ScoreStatement::issue(&KEYS[0], &id(&KEYS[1]), score, NOW.plus(life));
        let made = made.expect("sound");
        let read = ScoreStatement::from_bytes(made.as_bytes()).expect("own bytes");
        let verified = read.verify(NOW).expect("sound");
        prop_assert_eq!(verified.as_verified(), &made);
    }

    // attack T32: what decodes re-encodes to the same bytes, and nothing panics.
    #[test]
    fn decoders_take_only_what_their_encoders_give(
        pins in any_pins(),
        list in any_evidence(),
        at: sample::Index,
        value: u8,
        how: u8,
    ) {
        let bytes = mutate(&pins.to_bytes(), &at, value, how);
        if let Ok(read) = PinStore::from_bytes(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
        let bytes = mutate(&list.to_bytes(), &at, value, how);
        if let Ok(read) = EvidenceList::from_bytes(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }

    // attack T32: a changed card never verifies, whatever of it still parses.
    #[test]
    fn a_changed_card_never_verifies(
        card in any_card(),
        at: sample::Index,
        value: u8,
        how: u8,
    ) {
        let bytes = mutate(card.as_bytes(), &at, value, how);
        prop_assume!(bytes != card.as_bytes());
        prop_assert!(IdentityCard::from_bytes(&bytes).and_then(|card| card.verify(NOW)).is_err());
        let text = String::from_utf8_lossy(&mutate(card.to_text().as_bytes(), &at, value, how))
            .into_owned();
        if let Ok(read) = IdentityCard::from_text(&text).and_then(|card| card.verify(NOW)) {
            prop_assert_eq!(read.as_verified(), &card);
        }
    }

    #[test]
    fn noise_is_refused(bytes in vec(any::<u8>(), 0..600), text in "\\PC{0,200}") {
        prop_assert!(IdentityCard::from_bytes(&bytes).is_err());
        prop_assert!(ScoreStatement::from_bytes(&bytes).is_err());
        prop_assert!(IdentityCard::from_text(&text).is_err());
        prop_assert!(AgentId::parse(&text).is_err());
        let _ = (EvidenceList::from_bytes(&bytes), PinStore::from_bytes(&bytes));
    }
}
