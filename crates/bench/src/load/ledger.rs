//! What became of each message.

use std::{collections::HashMap, time::Duration};

/// Names a message.
pub type MessageId = [u8; 16];

/// Part of a hash of what a message says.
pub type Digest = [u8; 16];

/// Every message that was sent, with its hash, and what became of it.
///
/// A message that was accepted is to be delivered, unaltered, where it was sent to. Whoever
/// handles it acknowledges it, and when that is answered it is not to come again.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: HashMap<MessageId, Entry>,
    /// Accepted, and not acknowledged.
    open: u64,
    redelivered: u64,
    duplicated: u64,
    altered: u64,
    unknown: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    place: u32,
    digest: Digest,
    due: Duration,
    accepted: bool,
    delivered: bool,
    acknowledged: bool,
}

/// The sums of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "not published")]
pub struct Tally {
    /// Messages that were sent, whatever the answer.
    pub sent: u64,
    /// Messages that the server said it has.
    pub accepted: u64,
    /// Messages that were delivered, each counted once.
    pub delivered: u64,
    /// Accepted, and not delivered.
    pub lost: u64,
    /// Deliveries of what had been acknowledged.
    pub duplicated: u64,
    /// Deliveries again of what was not yet acknowledged, which a server may do.
    pub redelivered: u64,
    /// Deliveries with another content, or in another place.
    pub altered: u64,
    /// Deliveries of what nobody sent.
    pub unknown: u64,
}

impl Ledger {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message leaves for the first time: where to, its hash, and when it was due.
    pub fn sent(&mut self, id: MessageId, place: u32, digest: Digest, due: Duration) {
        let entry =
            Entry { place, digest, due, accepted: false, delivered: false, acknowledged: false };
        self.entries.insert(id, entry);
    }

    /// The server said that it has it.
    pub fn accepted(&mut self, id: &MessageId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if !entry.accepted && !entry.acknowledged {
            self.open = self.open.saturating_add(1);
        }
        entry.accepted = true;
    }

    /// A message came. Gives when it was due, the first time that it comes.
    pub fn delivered(&mut self, id: &MessageId, place: u32, digest: &Digest) -> Option<Duration> {
        let Some(entry) = self.entries.get_mut(id) else {
            self.unknown = self.unknown.saturating_add(1);
            return None;
        };
        if entry.place != place || entry.digest != *digest {
            self.altered = self.altered.saturating_add(1);
            return None;
        }
        if entry.acknowledged {
            self.duplicated = self.duplicated.saturating_add(1);
        } else if entry.delivered {
            self.redelivered = self.redelivered.saturating_add(1);
        }
        let first = !entry.delivered;
        entry.delivered = true;
        first.then_some(entry.due)
    }

    /// Its acknowledgement was answered.
    pub fn acknowledged(&mut self, id: &MessageId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.accepted && !entry.acknowledged {
            self.open = self.open.saturating_sub(1);
        }
        entry.acknowledged = true;
    }

    /// Messages that were accepted, and are not acknowledged yet.
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// The sums.
    pub fn tally(&self) -> Tally {
        let count = |is: fn(&Entry) -> bool| {
            u64::try_from(self.entries.values().filter(|entry| is(entry)).count()).unwrap_or(0)
        };
        Tally {
            sent: count(|_| true),
            accepted: count(|entry| entry.accepted),
            delivered: count(|entry| entry.delivered),
            lost: count(|entry| entry.accepted && !entry.delivered),
            duplicated: self.duplicated,
            redelivered: self.redelivered,
            altered: self.altered,
            unknown: self.unknown,
        }
    }
}

impl Tally {
    /// Adds another.
    pub const fn add(&mut self, other: &Self) {
        let Self { sent, accepted, delivered, lost, duplicated, redelivered, altered, unknown } =
            other;
        self.sent = self.sent.saturating_add(*sent);
        self.accepted = self.accepted.saturating_add(*accepted);
        self.delivered = self.delivered.saturating_add(*delivered);
        self.lost = self.lost.saturating_add(*lost);
        self.duplicated = self.duplicated.saturating_add(*duplicated);
        self.redelivered = self.redelivered.saturating_add(*redelivered);
        self.altered = self.altered.saturating_add(*altered);
        self.unknown = self.unknown.saturating_add(*unknown);
    }

    /// Whether every message that was accepted was delivered, as it was, and once.
    pub const fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.altered == 0 && self.unknown == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Duration = Duration::from_millis(5);

    fn with(id: u8) -> Ledger {
        let mut ledger = Ledger::new();
        ledger.sent([id; 16], 1, [7; 16], DUE);
        ledger
    }

    #[test]
    fn what_is_accepted_and_delivered_once_is_good() {
        let mut ledger = with(1);
        ledger.accepted(&[1; 16]);
        assert_eq!(ledger.open(), 1);
        assert!(!ledger.tally().is_good(), "lost as long as it does not come");
        assert_eq!(ledger.delivered(&[1; 16], 1, &[7; 16]), Some(DUE));
        ledger.acknowledged(&[1; 16]);
        assert_eq!(ledger.open(), 0);
        let wanted = Tally { sent: 1, accepted: 1, delivered: 1, ..Tally::default() };
        assert_eq!(ledger.tally(), wanted);
        assert!(wanted.is_good());
    }

    #[test]
    fn an_answer_may_come_after_the_delivery() {
        let mut ledger = with(1);
        ledger.delivered(&[1; 16], 1, &[7; 16]);
        ledger.acknowledged(&[1; 16]);
        ledger.accepted(&[1; 16]);
        assert_eq!(ledger.open(), 0);
        assert!(ledger.tally().is_good());
    }

    #[test]
    fn what_was_not_accepted_need_not_come() {
        let tally = with(1).tally();
        assert_eq!((tally.sent, tally.accepted, tally.lost), (1, 0, 0));
        assert!(tally.is_good());
    }

    #[test]
    fn it_may_come_again_until_its_acknowledgement_is_answered() {
        let mut ledger = with(1);
        ledger.accepted(&[1; 16]);
        ledger.delivered(&[1; 16], 1, &[7; 16]);
        assert_eq!(ledger.delivered(&[1; 16], 1, &[7; 16]), None);
        assert!(ledger.tally().is_good());
        ledger.acknowledged(&[1; 16]);
        ledger.delivered(&[1; 16], 1, &[7; 16]);
        let tally = ledger.tally();
        assert_eq!((tally.redelivered, tally.duplicated, tally.delivered), (1, 1, 1));
        assert!(!tally.is_good());
    }

    #[test]
    fn what_nobody_sent_or_what_was_changed_is_not_good() {
        let mut ledger = with(1);
        ledger.delivered(&[2; 16], 1, &[7; 16]);
        assert_eq!(ledger.tally().unknown, 1);
        for (place, digest) in [(2, [7; 16]), (1, [8; 16])] {
            let mut ledger = with(1);
            ledger.delivered(&[1; 16], place, &digest);
            let tally = ledger.tally();
            assert_eq!((tally.altered, tally.delivered), (1, 0));
            assert!(!tally.is_good());
        }
    }

    #[test]
    fn sums_add_up() {
        let mut ledger = with(1);
        ledger.accepted(&[1; 16]);
        let mut sum = ledger.tally();
        sum.add(&ledger.tally());
        assert_eq!((sum.sent, sum.accepted, sum.lost), (2, 2, 2));
    }
}
