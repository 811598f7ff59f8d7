//! What the writer has in mind of mailboxes and devices.
//!
//! ```text
//!   message, ack, claim:   ░░░░░░░░░░░░░░░░░░░░░░│▒▒▒▒▒▒▒▒▒▒│▓▓▓▓▓▓▓▓▓▓   ids ascend ──▶
//!                                             flushed     mark         last
//! ```
//!
//! A message, an acknowledgement and a claim are each one row at the end of a table, and a change
//! of a slot in memory. The slot's own row, somewhere within a large tree, is written later, once
//! for many changes: in rounds. A round begins when there are so many changes behind the one
//! before ([`Pace`]); it writes the slots that have changed in the order of their rows, some with each
//! transaction. At its end every change up to its mark is in the rows. After a crash the rows
//! behind `flushed` are applied again, each to a slot whose row is older than it.

use std::{collections::HashMap, hash::Hash};

use super::super::{backlog::Backlog, stock::Stock};

/// How much is had in mind, and how fast it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Changes from one round to the next: also what is read again after a crash.
    pub(super) round: u64,
    /// Slots that one transaction writes.
    pub(super) step: usize,
    /// Entries of all slots together beyond which those go that were not used lately.
    pub(super) weight: usize,
}

impl Default for Pace {
    /// Some 300 MB of memory at most.
    fn default() -> Self {
        Self { round: 128 * 1024, step: 2048, weight: 4 << 20 }
    }
}

/// A row in memory.
#[derive(Clone, Debug)]
pub(super) struct Slot<S> {
    /// The last change that its row has.
    pub(super) as_of: u64,
    pub(super) state: S,
    /// Whether its row is older than it is.
    dirty: bool,
    /// Whether it is among those that the next round writes.
    listed: bool,
    used: bool,
}

/// A mailbox as the writer knows it.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    pub(super) lifetime: u64,
    pub(super) per_token: u32,
    pub(super) backlog: Backlog,
}

/// What a slot holds.
pub(super) trait State {
    /// How many entries it has.
    fn weight(&self) -> usize;
}

impl State for Mailbox {
    fn weight(&self) -> usize {
        self.backlog.live.len().saturating_add(self.backlog.gone.len()).saturating_add(8)
    }
}

impl State for Stock {
    fn weight(&self) -> usize {
        self.lots.len().saturating_add(self.claims.len()).saturating_add(8)
    }
}

impl<S> Slot<S> {
    pub(super) const fn new(as_of: u64, state: S) -> Self {
        Self { as_of, state, dirty: false, listed: false, used: true }
    }
}

/// Slots by what their rows are looked up by.
#[derive(Debug)]
pub(super) struct Shelf<K, S> {
    slots: HashMap<K, Slot<S>>,
    weight: usize,
    /// Slots that have changed since the round began.
    changed: Vec<K>,
    /// Slots that the round still has to write, the last one first.
    round: Vec<K>,
    /// Slots to write in this transaction.
    now: Vec<K>,
}

impl<K, S> Default for Shelf<K, S> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            weight: 0,
            changed: Vec::new(),
            round: Vec::new(),
            now: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord, S: State> Shelf<K, S> {
    pub(super) fn has(&self, key: &K) -> bool {
        self.slots.contains_key(key)
    }

    pub(super) fn slot(&mut self, key: &K) -> Option<&mut Slot<S>> {
        let slot = self.slots.get_mut(key)?;
        slot.used = true;
        Some(slot)
    }

    /// Puts a slot in, or takes it out.
    pub(super) fn put(&mut self, key: K, slot: Option<Slot<S>>) {
        match slot {
            Some(mut slot) => {
                slot.listed = self.slots.get(&key).is_some_and(|before| before.listed);
                self.weight = self.weight.saturating_add(slot.state.weight());
                self.slots.insert(key, slot);
            }
            None => {
                self.slots.remove(&key);
            }
        }
    }

    /// Notes that a slot has changed.
    pub(super) fn touch(&mut self, key: &K) {
        if let Some(slot) = self.slots.get_mut(key) {
            self.weight = self.weight.saturating_add(1);
            slot.dirty = true;
            if !slot.listed {
                slot.listed = true;
                self.changed.push(*key);
            }
        }
    }

    /// Notes that a slot has changed in a way that no other row says: it is written at once.
    pub(super) fn touch_now(&mut self, key: &K) {
        self.touch(key);
        self.now.push(*key);
    }

    /// Begins a round.
    pub(super) fn begin(&mut self) {
        self.round = core::mem::take(&mut self.changed);
        for key in &self.round {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.listed = false;
            }
        }
        self.round.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Slots that the round has to write.
    pub(super) fn rest(&self) -> usize {
        self.round.len()
    }

    /// What this transaction has to write: what cannot wait, and the next of the round.
    pub(super) fn due(&self, pace: Pace) -> impl Iterator<Item = (&K, &S)> {
        let step = self.round.iter().rev().take(pace.step);
        let slots = self.now.iter().chain(step).filter_map(|key| Some((key, self.slots.get(key)?)));
        slots.filter(|(_, slot)| slot.dirty).map(|(key, slot)| (key, &slot.state))
    }

    /// After the transaction: what was due is written.
    pub(super) fn written(&mut self, as_of: u64, pace: Pace) {
        let rest = self.round.len().saturating_sub(pace.step);
        let step = self.round.drain(rest..);
        for key in self.now.drain(..).chain(step) {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.dirty = false;
                slot.as_of = as_of;
            }
        }
        self.trim(pace.weight);
    }

    /// After a transaction that came to nothing.
    pub(super) fn unwritten(&mut self) {
        self.now.clear();
    }

    /// Slots whose rows are older than they are.
    pub(super) fn dirty(&self) -> impl Iterator<Item = (&K, &S)> {
        let keys = self.changed.iter().chain(&self.round);
        let slots = keys.filter_map(|key| Some((key, self.slots.get(key)?)));
        slots.filter(|(_, slot)| slot.dirty).map(|(key, slot)| (key, &slot.state))
    }

    /// Forgets slots that were not used since the last time.
    fn trim(&mut self, most: usize) {
        if self.weight <= most {
            return;
        }
        self.slots.retain(|_, slot| slot.dirty || core::mem::take(&mut slot.used));
        self.weight = self.slots.values().map(|slot| slot.state.weight()).sum();
    }
}
