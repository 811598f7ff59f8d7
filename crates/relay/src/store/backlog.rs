//! What a store knows of a mailbox without its frames: pure, and the same for every store that
//! keeps it in memory.

use std::collections::{HashMap, HashSet, VecDeque};

use sealwire_core::Timestamp;

use super::Appended;
use crate::{MessageId, Token, limits};

/// A message that lies in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its frame is.
    pub(super) row: u64,
    pub(super) sequence: u64,
    /// It is gone in this second.
    pub(super) until: Timestamp,
    pub(super) len: u64,
    pub(super) message: MessageId,
    pub(super) token: Token,
}

/// A message that is to be judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) row: u64,
    pub(super) until: Timestamp,
    pub(super) len: u64,
    pub(super) message: MessageId,
    pub(super) token: Token,
    /// The most messages that its token may have in the mailbox.
    pub(super) per_token: u32,
}

/// The messages of a mailbox and the ids that it remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    /// The sequence given last.
    pub(super) last: u64,
    /// When its owner read it last.
    pub(super) read: Timestamp,
    /// In the order of their sequences.
    pub(super) live: VecDeque<Entry>,
    /// Bytes of all of them.
    pub(super) len: u64,
    /// No message expires before.
    pub(super) earliest: Timestamp,
    /// Ids of messages that were acknowledged, in this order, and until when they would have
    /// lived.
    pub(super) gone: VecDeque<(MessageId, Timestamp)>,
    /// Every id of both, and until when it is known.
    pub(super) ids: HashMap<MessageId, Timestamp>,
}

impl Backlog {
    /// An empty one.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { read: now, ..Self::default() }
    }

    /// Takes a message, or says why not. What has expired is to be removed before.
    pub(super) fn append(&mut self, now: Timestamp, arrival: Arrival) -> Result<u64, Appended> {
        let Arrival { row, until, len, message, token, per_token } = arrival;
        if self.ids.get(&message).is_some_and(|known| now < *known) {
            return Err(Appended::Known);
        }
        let bytes = self.len.saturating_add(len);
        if count(&self.live) >= limits::MAX_MESSAGES || bytes > limits::MAX_MAILBOX_LEN {
            return Err(Appended::Full);
        }
        if count(&self.live) >= per_token && self.held(token) >= per_token {
            return Err(Appended::TokenFull);
        }
        let sequence = self.last.checked_add(1).ok_or(Appended::Full)?;
        self.push(Entry { row, sequence, until, len, message, token });
        Ok(sequence)
    }

    /// Puts a message behind all others.
    fn push(&mut self, entry: Entry) {
        self.earliest =
            if self.live.is_empty() { entry.until } else { self.earliest.min(entry.until) };
        self.last = entry.sequence;
        self.len = self.len.saturating_add(entry.len);
        self.ids.insert(entry.message, entry.until);
        self.live.push_back(entry);
    }

    /// Messages of this token.
    fn held(&self, token: Token) -> u32 {
        let held = self.live.iter().filter(|entry| entry.token == token).count();
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Removes messages and remembers their ids, be they more than may be remembered.
    pub(super) fn ack(&mut self, sequences: &[u64]) -> Vec<Entry> {
        let sequences: HashSet<u64> = sequences.iter().copied().collect();
        let mut removed = Vec::new();
        self.live.retain(|entry| {
            let stays = !sequences.contains(&entry.sequence);
            if !stays {
                removed.push(entry.clone());
            }
            stays
        });
        for entry in &removed {
            self.len = self.len.saturating_sub(entry.len);
            self.gone.push_back((entry.message, entry.until));
        }
        removed
    }

    /// Forgets the oldest of the ids that are more than is remembered.
    pub(super) fn forget(&mut self) -> Vec<(MessageId, Timestamp)> {
        let mut forgotten = Vec::new();
        while self.gone.len() > limits::MAX_REMEMBERED as usize {
            let Some((message, until)) = self.gone.pop_front() else { break };
            self.unknow(message, until);
            forgotten.push((message, until));
        }
        forgotten
    }

    /// Whether a message has expired.
    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        !self.live.is_empty() && self.earliest <= now
    }

    /// Whether nobody has read it for so long that it goes.
    pub(super) fn is_abandoned(&self, now: Timestamp) -> bool {
        self.read.plus(limits::MAILBOX_LIFETIME) <= now
    }

    /// Removes what has expired, messages and remembered ids. Gives the rows of the messages.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<u64> {
        let (expired, live) = self.live.drain(..).partition(|entry| entry.until <= now);
        let expired: VecDeque<Entry> = expired;
        self.live = live;
        for entry in &expired {
            self.len = self.len.saturating_sub(entry.len);
            self.unknow(entry.message, entry.until);
        }
        self.earliest = self.live.iter().map(|entry| entry.until).min().unwrap_or_default();
        let (old, gone) = self.gone.drain(..).partition(|(_, until)| *until <= now);
        let old: VecDeque<(MessageId, Timestamp)> = old;
        self.gone = gone;
        for (message, until) in old {
            self.unknow(message, until);
        }
        expired.into_iter().map(|entry| entry.row).collect()
    }

    /// The oldest messages behind `after`, as many as one answer has, and whether there are more.
    pub(super) fn plan(&self, now: Timestamp, after: u64, limit: u32) -> (Vec<Entry>, bool) {
        let limit = limit.min(limits::MAX_FETCH) as usize;
        let start = self.live.partition_point(|entry| entry.sequence <= after);
        let mut room = limits::MAX_FETCH_LEN as u64;
        let mut taken: Vec<Entry> = Vec::new();
        for entry in self.live.range(start..).filter(|entry| now < entry.until) {
            let fits = entry.len <= room || taken.is_empty();
            if taken.len() == limit || !fits {
                return (taken, true);
            }
            room = room.saturating_sub(entry.len);
            taken.push(entry.clone());
        }
        (taken, false)
    }

    /// Forgets an id, unless it is known for another reason.
    fn unknow(&mut self, message: MessageId, until: Timestamp) {
        if self.ids.get(&message) == Some(&until) {
            self.ids.remove(&message);
        }
    }
}

fn count(entries: &VecDeque<Entry>) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}
