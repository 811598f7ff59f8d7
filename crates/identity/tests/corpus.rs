//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether the
//! input was read.

use std::str;

use sealwire_core::{Timestamp, Unverified};
use sealwire_identity::{
    AgentId, Comparison, EvidenceList, IdentityCard, PinStore, ScoreStatement,
};

/// In the lifetime of the cards and statements among the seeds.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A card is read only from its own bytes, or from its own text but for the white space around
/// it and the line ends.
pub fn card(bytes: &[u8]) -> bool {
    if let Ok(card) = IdentityCard::from_bytes(bytes) {
        assert_eq!(card.claimed().as_bytes(), bytes);
        assert!(bytes.len() <= IdentityCard::MAX_LEN);
        let text = card.claimed().to_text();
        assert_eq!(IdentityCard::from_text(&text), Ok(card.clone()));
        judge_card(card);
        return true;
    }
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(card) = IdentityCard::from_text(text) else { return false };
    let text = text.trim_ascii().replace("\r\n", "\n");
    assert_eq!(card.claimed().to_text().trim_ascii(), text);
    true
}

/// What verifies is of the agent that it names, and valid now.
fn judge_card(card: Unverified<IdentityCard>) {
    let Ok(card) = card.verify(NOW) else { return };
    let card = card.as_verified();
    assert_eq!(card.id().key(), Some(card.identity_key()));
    assert!(card.not_before() < card.not_after() && card.not_after() >= NOW);
}

/// An id is read only from the text that its key gives.
pub fn did_key(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(id) = AgentId::parse(text) else { return false };
    assert_eq!(id.as_str(), text);
    assert_eq!(id.key().map(AgentId::from_key), Some(id));
    true
}

/// Evidence and scores are read only from the bytes that they are written as.
pub fn evidence(bytes: &[u8]) -> bool {
    let list = EvidenceList::from_bytes(bytes);
    let statement = ScoreStatement::from_bytes(bytes);
    let read = list.is_ok() || statement.is_ok();
    if let Ok(list) = list {
        assert_eq!(list.to_bytes(), bytes);
        // What is read could have been made.
        assert_eq!(EvidenceList::new(list.iter().cloned().collect()), Ok(list));
    }
    if let Ok(statement) = statement {
        assert_eq!(statement.claimed().as_bytes(), bytes);
        assert!(statement.claimed().score() <= ScoreStatement::MAX_SCORE);
        judge_score(statement);
    }
    read
}

/// What verifies is about somebody else, and valid now.
fn judge_score(statement: Unverified<ScoreStatement>) {
    let Ok(statement) = statement.verify(NOW) else { return };
    let statement = statement.as_verified();
    assert_ne!(statement.issuer(), statement.subject());
    assert!(statement.not_after() >= NOW);
}

/// Pins are read only from the bytes that they are written as, and each is found by its id.
pub fn pins(bytes: &[u8]) -> bool {
    let Ok(pins) = PinStore::from_bytes(bytes) else { return false };
    assert_eq!(pins.to_bytes(), bytes);
    for pin in pins.iter() {
        assert_eq!(pins.get(pin.id()), Some(pin));
        assert_eq!(pins.compare(pin.card().claimed()), Ok(Comparison::Same));
    }
    true
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn cards() {
        replay("card", super::card);
    }

    // attack T32
    #[test]
    fn agent_ids() {
        replay("did_key", super::did_key);
    }

    // attack T32
    #[test]
    fn evidence_and_scores() {
        replay("evidence", super::evidence);
    }

    // attack T32
    #[test]
    fn pins() {
        replay("pins", super::pins);
    }
}
