//! Changes of backlogs and stocks that only a store with a disk makes: those that are taken back
//! because they could not be stored, and those that are made again after a crash.

use sealwire_core::Timestamp;

use super::super::{
    backlog::{Backlog, Entry},
    stock::{Answer, ClaimId, Stock},
};
use crate::MessageId;

impl Backlog {
    /// Takes back the message that was appended last; `before` is what was known of its id.
    pub(super) fn undo_append(&mut self, before: Option<Timestamp>) {
        let Some(entry) = self.live.pop_back() else { return };
        self.last = self.last.saturating_sub(1);
        self.len = self.len.saturating_sub(entry.len);
        match before {
            Some(until) => self.ids.insert(entry.message, until),
            None => self.ids.remove(&entry.message),
        };
    }

    /// Puts back what an acknowledgement removed and forgot.
    pub(super) fn undo_ack(&mut self, removed: Vec<Entry>, forgotten: Vec<(MessageId, Timestamp)>) {
        self.gone.truncate(self.gone.len().saturating_sub(removed.len()));
        for (message, until) in forgotten.into_iter().rev() {
            self.ids.entry(message).or_insert(until);
            self.gone.push_front((message, until));
        }
        for entry in removed {
            self.restore(entry);
        }
    }

    /// Puts a message at the place of its sequence, unless it is there.
    pub(super) fn restore(&mut self, entry: Entry) {
        let place = self.live.partition_point(|other| other.sequence < entry.sequence);
        if self.live.get(place).is_some_and(|other| other.sequence == entry.sequence) {
            return;
        }
        self.earliest =
            if self.live.is_empty() { entry.until } else { self.earliest.min(entry.until) };
        self.last = self.last.max(entry.sequence);
        self.len = self.len.saturating_add(entry.len);
        self.ids.insert(entry.message, entry.until);
        self.live.insert(place, entry);
    }

    /// Remembers an id behind all others.
    pub(super) fn remember(&mut self, message: MessageId, until: Timestamp) {
        let known = self.ids.entry(message).or_insert(until);
        *known = (*known).max(until);
        self.gone.push_back((message, until));
    }

    /// What an acknowledgement did, again.
    pub(super) fn redo_ack(&mut self, sequence: u64, message: MessageId, until: Timestamp) {
        self.last = self.last.max(sequence);
        let place = self.live.partition_point(|other| other.sequence < sequence);
        if self.live.get(place).is_some_and(|other| other.sequence == sequence) {
            let removed = self.live.remove(place);
            self.len = self.len.saturating_sub(removed.map_or(0, |entry| entry.len));
        }
        self.remember(message, until);
        self.forget();
    }

    /// When a sweep has something to do here.
    pub(super) fn due(&self) -> Timestamp {
        let unread = self.read.plus(crate::limits::MAILBOX_LIFETIME);
        let first = self.live.front().map(|_| self.earliest);
        let gone = self.gone.front().map(|(_, until)| *until);
        [first, gone].into_iter().flatten().fold(unread, Timestamp::min)
    }
}

impl Stock {
    /// Takes back a claim that took something; `before` is what its id had before.
    pub(super) fn undo_claim(&mut self, id: ClaimId, answer: Answer, before: Option<Answer>) {
        for place in [answer.x25519, answer.kem].into_iter().flatten() {
            if let Some(lot) = self.lots.iter_mut().find(|lot| lot.row == place.row) {
                lot.next = place.index;
            }
        }
        self.claims.pop_back();
        match before {
            Some(before) => self.answers.insert(id, before),
            None => self.answers.remove(&id),
        };
    }

    /// What a claim did, again.
    pub(super) fn redo_claim(&mut self, id: ClaimId, answer: Answer) {
        for place in [answer.x25519, answer.kem].into_iter().flatten() {
            if let Some(lot) = self.lots.iter_mut().find(|lot| lot.row == place.row) {
                lot.next = lot.next.max(place.index.saturating_add(1));
                lot.spent = lot.spent.max(answer.at);
            }
        }
        self.claims.push_back(id);
        self.answers.insert(id, answer);
    }

    /// Voids every key that nobody has claimed. Its page stays known.
    pub(super) fn void(&mut self) {
        for lot in &mut self.lots {
            lot.next = lot.count;
        }
    }

    /// When a sweep has something to do here.
    pub(super) fn due(&self) -> Timestamp {
        let lifetime = crate::limits::CLAIM_LIFETIME;
        let claim = self.claims.front().and_then(|id| self.answers.get(id));
        let claim = claim.map(|answer| answer.at.plus(lifetime));
        let lots = self.lots.iter().map(|lot| lot.not_after.plus(lifetime));
        lots.chain(claim).fold(self.until, Timestamp::min)
    }
}
