//! What a store knows of a device's one-time keys without the keys: pure, and the same for every
//! store that keeps it in memory.

use std::collections::{HashMap, VecDeque};

use sealwire_core::{Timestamp, kdf};

use super::Outcome;
use crate::{
    Caller, Nonce, SendId, limits,
    wire::{Kind, Page, Remaining},
};

/// What a claim is known by within its device: the beginning of SHA-256 of caller and nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClaimId(pub(super) [u8; 16]);

impl ClaimId {
    pub(super) fn of(caller: &Caller, nonce: &Nonce) -> Self {
        let hash = kdf::sha256(&[caller.as_bytes(), nonce.as_bytes()]);
        Self(*hash.first_chunk().unwrap_or(&[0; 16]))
    }
}

/// Where a one-time key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Of its page.
    pub(super) row: u64,
    pub(super) index: u8,
}

/// What a claim took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) at: Timestamp,
    pub(super) x25519: Option<Place>,
    pub(super) kem: Option<Place>,
}

/// A page, of which some keys are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lot {
    pub(super) row: u64,
    pub(super) kind: Kind,
    pub(super) base: u32,
    pub(super) count: u8,
    /// The index of the next one.
    pub(super) next: u8,
    pub(super) not_after: Timestamp,
    /// When the last one was taken.
    pub(super) spent: Timestamp,
}

impl Lot {
    fn left(&self, now: Timestamp) -> u8 {
        if self.not_after < now { 0 } else { self.count.saturating_sub(self.next) }
    }

    /// Whether nobody can have anything of it any more, nor ask again for what it had.
    fn is_over(&self, now: Timestamp) -> bool {
        let spent = self.next >= self.count && self.spent.plus(limits::CLAIM_LIFETIME) <= now;
        spent || self.has_expired(now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.not_after.plus(limits::CLAIM_LIFETIME) < now
    }
}

/// The pages of a device and the claims that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// When the device's entry may be swept.
    pub(super) until: Timestamp,
    pub(super) contact: Option<SendId>,
    /// In the order in which they came.
    pub(super) lots: Vec<Lot>,
    /// All pages below are known, by kind.
    pub(super) floors: [u32; 2],
    /// Claims in the order in which they were made.
    pub(super) claims: VecDeque<ClaimId>,
    pub(super) answers: HashMap<ClaimId, Answer>,
}

/// What is to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waste {
    pub(super) keys: Vec<Place>,
    pub(super) pages: Vec<u64>,
}

impl Stock {
    /// What becomes of a page with this kind and base.
    pub(super) fn judge(&self, now: Timestamp, kind: Kind, base: u32) -> Outcome {
        let [x25519, kem] = self.floors;
        let floor = if kind == Kind::X25519 { x25519 } else { kem };
        if base < floor || self.lots.iter().any(|lot| (lot.kind, lot.base) == (kind, base)) {
            return Outcome::Known;
        }
        let usable = self.lots.iter().filter(|lot| lot.left(now) > 0).count();
        if usable >= limits::MAX_PAGES || self.lots.len() >= limits::MAX_KNOWN_PAGES {
            return Outcome::Quota;
        }
        Outcome::Done
    }

    /// Adds a page that was judged.
    pub(super) fn add(&mut self, row: u64, kind: Kind, base: u32, page: &Page) {
        let count = u8::try_from(page.keys.len().min(limits::MAX_PAGE_KEYS)).unwrap_or(0);
        let spent = Timestamp::default();
        let not_after = page.not_after;
        self.lots.push(Lot { row, kind, base, count, next: 0, not_after, spent });
    }

    pub(super) fn remaining(&self, now: Timestamp) -> Remaining {
        let left = |kind| {
            let lots = self.lots.iter().filter(|lot| lot.kind == kind);
            lots.map(|lot| u32::from(lot.left(now))).sum()
        };
        Remaining { x25519: left(Kind::X25519), kem: left(Kind::MlKem) }
    }

    /// Takes the next key of each kind, or gives what the claim took before.
    pub(super) fn claim(&mut self, now: Timestamp, id: ClaimId) -> Answer {
        if let Some(answer) = self.answers.get(&id)
            && now < answer.at.plus(limits::CLAIM_LIFETIME)
        {
            return *answer;
        }
        let x25519 = self.take(now, Kind::X25519);
        let kem = self.take(now, Kind::MlKem);
        let answer = Answer { at: now, x25519, kem };
        // One that took nothing costs nothing when it is repeated.
        if x25519.is_some() || kem.is_some() {
            self.claims.push_back(id);
            self.answers.insert(id, answer);
        }
        answer
    }

    fn take(&mut self, now: Timestamp, kind: Kind) -> Option<Place> {
        let lot = self.lots.iter_mut().find(|lot| lot.kind == kind && lot.left(now) > 0)?;
        let index = lot.next;
        lot.next = index.saturating_add(1);
        lot.spent = lot.spent.max(now);
        Some(Place { row: lot.row, index })
    }

    /// Forgets claims that were remembered long enough, and pages that are over. Gives what is
    /// not needed any more.
    pub(super) fn expire(&mut self, now: Timestamp) -> Waste {
        let mut waste = Waste::default();
        let answers = &mut self.answers;
        self.claims.retain(|id| {
            let Some(answer) = answers.get(id) else { return false };
            let stays = now < answer.at.plus(limits::CLAIM_LIFETIME);
            if !stays {
                waste.keys.extend([answer.x25519, answer.kem].into_iter().flatten());
                answers.remove(id);
            }
            stays
        });
        self.drop_lots(now, &mut waste);
        waste
    }

    fn drop_lots(&mut self, now: Timestamp, waste: &mut Waste) {
        let spent = self.lots.iter().filter(|lot| lot.next >= lot.count).count();
        let mut surplus = spent.saturating_sub(limits::MAX_PAGES);
        let floors = &mut self.floors;
        self.lots.retain(|lot| {
            let dropped = surplus > 0 && lot.next >= lot.count && lot.is_over(now);
            if dropped {
                surplus = surplus.saturating_sub(1);
                let floor = match lot.kind {
                    Kind::X25519 => &mut floors[0],
                    Kind::MlKem => &mut floors[1],
                };
                *floor = (*floor).max(lot.base.saturating_add(1));
            }
            let stays = !dropped && !lot.has_expired(now);
            if !stays {
                waste.pages.push(lot.row);
            }
            stays
        });
    }
}
