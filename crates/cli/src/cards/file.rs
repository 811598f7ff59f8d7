//! What the file of cards says: their texts, one behind the other.

use sealwire::{
    core::{Timestamp, Unverified},
    identity::{self, IdentityCard},
};

const END: &str = "-----END SEALWIRE CARD-----";

/// Reads the cards of a text, in its order.
pub(crate) fn parse(text: &str) -> Result<Vec<Unverified<IdentityCard>>, identity::Error> {
    let blocks = text.split_inclusive(END).filter(|block| !block.trim_ascii().is_empty());
    blocks.map(IdentityCard::from_text).collect()
}

/// Reads stored cards, newest last. Each was signed by its agent, whether it still stands or not.
pub(crate) fn read(text: &str, now: Timestamp) -> Result<Vec<IdentityCard>, identity::Error> {
    let cards = parse(text)?.into_iter().map(|card| check(card, now));
    let mut cards = cards.collect::<Result<Vec<_>, _>>()?;
    cards.sort_by_key(IdentityCard::sequence);
    Ok(cards)
}

/// The text of cards.
pub(crate) fn to_text(cards: &[IdentityCard]) -> String {
    cards.iter().map(IdentityCard::to_text).collect()
}

fn check(card: Unverified<IdentityCard>, now: Timestamp) -> Result<IdentityCard, identity::Error> {
    let claimed = card.claimed().clone();
    match card.verify(now) {
        Ok(_) | Err(identity::Error::Expired { .. } | identity::Error::NotYetValid { .. }) => {
            Ok(claimed)
        }
        Err(error) => Err(error),
    }
}
