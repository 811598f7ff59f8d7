//! Cards that were verified before, so that a peer that comes back is not verified anew.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealwire_core::{Timestamp, Unverified, Verified, keys::StaticPublic};
use sealwire_identity::IdentityCard;

use crate::Error;

/// Cards kept at a time: those of the peers that were met last, under 2 MiB together.
const MAX_CARDS: usize = 256;

/// Verified cards of peers that were met, the latest last.
#[derive(Debug, Default)]
pub(crate) struct VerifiedCards(Mutex<VecDeque<Verified<IdentityCard>>>);

impl VerifiedCards {
    /// The card of these bytes, read and verified.
    ///
    /// One that is kept is taken only if it is for `static_key`, the key of this very handshake:
    /// whoever presents another's card, without its keys, must not learn from the time that it
    /// takes whom this agent has met.
    pub(crate) fn present(
        &self,
        bytes: &[u8],
        static_key: &StaticPublic,
        now: Timestamp,
    ) -> Result<Verified<IdentityCard>, Error> {
        let is_theirs = |card: &IdentityCard| card.exchange_key() == static_key;
        match self.find(now, |card| is_theirs(card) && card.as_bytes() == bytes) {
            Some(card) => Ok(card),
            None => Ok(IdentityCard::from_bytes(bytes)?.verify(now)?),
        }
    }

    /// Verifies a card that this side chose.
    pub(crate) fn verify(
        &self,
        card: Unverified<IdentityCard>,
        now: Timestamp,
    ) -> Result<Verified<IdentityCard>, sealwire_identity::Error> {
        let bytes = card.claimed().as_bytes();
        match self.find(now, |kept| kept.as_bytes() == bytes) {
            Some(kept) => Ok(kept),
            None => card.verify(now),
        }
    }

    /// Keeps the card of a peer that has proven that it is its own, and was admitted.
    pub(crate) fn keep(&self, card: &Verified<IdentityCard>) {
        let mut cards = self.lock();
        let bytes = card.as_verified().as_bytes();
        let place = cards.iter().position(|kept| kept.as_verified().as_bytes() == bytes);
        // It moves to the end as it is: what counts is when it was verified.
        let card = place.and_then(|place| cards.remove(place)).unwrap_or_else(|| card.clone());
        if cards.len() >= MAX_CARDS {
            cards.pop_front();
        }
        cards.push_back(card);
    }

    /// A kept card whose verification would come out the same at `now`: not before the time it
    /// was verified at, and not after its end. The pin is the caller's to check, as ever.
    fn find(
        &self,
        now: Timestamp,
        is_meant: impl Fn(&IdentityCard) -> bool,
    ) -> Option<Verified<IdentityCard>> {
        let cards = self.lock();
        let stands =
            |card: &Verified<IdentityCard>| (card.verified_at()..=card.not_after()).contains(&now);
        cards.iter().find(|card| is_meant(card.as_verified()) && stands(card)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Verified<IdentityCard>>> {
        // Whole cards move in and out: a panic leaves none half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sealwire_core::{KeyStore, MemoryKeyStore};
    use sealwire_identity::NewCard;
    use sealwire_testkit::rng::SeededRng;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const LIFETIME: u64 = 24 * 60 * 60;

    fn card(seed: u64) -> IdentityCard {
        let keys = MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys");
        NewCard::new(1, NOW, LIFETIME).sign(&keys, keys.newest()).expect("a card")
    }

    /// The time at which what is presented was verified; nothing for a card that is refused.
    fn verified_at(
        cards: &VerifiedCards,
        card: &IdentityCard,
        key: &StaticPublic,
        now: Timestamp,
    ) -> Option<Timestamp> {
        cards.present(card.as_bytes(), key, now).ok().map(|card| card.verified_at())
    }

    #[test]
    fn a_kept_card_is_not_verified_again_within_its_life() {
        let (cards, card) = (VerifiedCards::default(), card(1));
        let key = card.exchange_key();
        let later = NOW.plus(60);
        let first = cards.present(card.as_bytes(), key, NOW).expect("verifies");
        assert_eq!(verified_at(&cards, &card, key, later), Some(later), "nothing is kept yet");
        cards.keep(&first);
        cards.keep(&first);
        assert_eq!(cards.lock().len(), 1);
        assert_eq!(verified_at(&cards, &card, key, later), Some(NOW));
        let chosen = cards.verify(Unverified::new(card.clone()), later).expect("verifies");
        assert_eq!(chosen.verified_at(), NOW);
        let end = NOW.plus(LIFETIME);
        assert_eq!(verified_at(&cards, &card, key, end), Some(NOW));
        assert_eq!(verified_at(&cards, &card, key, end.plus(1)), None);
        assert!(cards.verify(Unverified::new(card.clone()), end.plus(1)).is_err());
        // A clock that was set back: the card begins too far ahead now.
        assert_eq!(verified_at(&cards, &card, key, Timestamp::from_secs(1)), None);
    }

    #[test]
    fn a_kept_card_serves_its_own_bytes_and_key_only() {
        let (cards, card, other) = (VerifiedCards::default(), card(1), card(2));
        let key = card.exchange_key();
        cards.keep(&cards.present(card.as_bytes(), key, NOW).expect("verifies"));
        let later = NOW.plus(60);
        // No sign of whom this agent has met, for those without the key.
        let found = verified_at(&cards, &card, other.exchange_key(), later);
        assert_eq!(found, Some(later), "verified anew");
        assert_eq!(verified_at(&cards, &other, other.exchange_key(), later), Some(later));
        let mut bytes = card.as_bytes().to_vec();
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            assert!(cards.present(&bytes, key, later).is_err(), "byte {place}");
            bytes[place] ^= 1;
        }
    }

    // attack T32
    #[test]
    fn the_cards_kept_are_bounded_and_the_oldest_goes() {
        let cards = VerifiedCards::default();
        let keys = MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys");
        let card = |sequence| {
            NewCard::new(sequence, NOW, LIFETIME).sign(&keys, keys.newest()).expect("a card")
        };
        let count = u64::try_from(MAX_CARDS).expect("64 bits");
        for sequence in 1..=count {
            let card = card(sequence);
            let key = card.exchange_key();
            cards.keep(&cards.present(card.as_bytes(), key, NOW).expect("verifies"));
        }
        // The first is met again, so that the second is the oldest.
        let later = NOW.plus(60);
        for sequence in [1, count + 1] {
            let card = card(sequence);
            cards.keep(&cards.present(card.as_bytes(), card.exchange_key(), NOW).expect("it is"));
        }
        let kept = |sequence| {
            let card = card(sequence);
            verified_at(&cards, &card, card.exchange_key(), later) == Some(NOW)
        };
        assert_eq!(cards.lock().len(), MAX_CARDS);
        assert_eq!([1, 2, 3, count + 1].map(kept), [true, false, true, true]);
    }
}
