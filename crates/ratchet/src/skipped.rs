//! Keys of messages that have not come, and the header keys to know them by.

use std::collections::VecDeque;

use sealwire_core::{Timestamp, keys::X25519Public};

use crate::{
    header::HeaderKey,
    limits::{
        MAX_OLD_HEADER_KEYS, MAX_SKIP, MAX_SKIPPED_KEYS, SKIPPED_KEY_LIFETIME, SKIPPED_KEY_RECEIVES,
    },
    message_key::MessageKey,
    session::ReceivingChain,
};

// A key is never derived only to be dropped at once.
const _: () = assert!(MAX_SKIP as usize <= MAX_SKIPPED_KEYS, "one message's keys fit");

/// The keys that one message skipped in one chain.
pub(crate) struct Batch {
    /// The number of the chain, by which this side counts the chains it received.
    pub(crate) chain: u32,
    pub(crate) stored: Timestamp,
    /// Messages opened when the batch was stored, the one that skipped included.
    pub(crate) received: u64,
    /// Ascending by the number of the message.
    pub(crate) keys: Vec<(u32, MessageKey)>,
}

/// A receiving chain that another has followed.
pub(crate) struct OldChain {
    pub(crate) number: u32,
    pub(crate) header: HeaderKey,
    pub(crate) dh: X25519Public,
    pub(crate) epoch: u32,
}

/// What is kept of skipped messages, oldest first.
#[derive(Default)]
pub(crate) struct Skipped {
    pub(crate) batches: VecDeque<Batch>,
    pub(crate) chains: VecDeque<OldChain>,
}

impl Batch {
    // RAT-22
    fn has_expired(&self, now: Timestamp, received: u64) -> bool {
        now.since(self.stored) >= SKIPPED_KEY_LIFETIME
            || received.saturating_sub(self.received) >= SKIPPED_KEY_RECEIVES
    }
}

impl Skipped {
    /// How many keys are stored.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.keys.len()).sum()
    }

    /// The key of message `n` of a chain; `received` counts the messages opened so far.
    pub(crate) fn find(
        &self,
        chain: u32,
        n: u32,
        now: Timestamp,
        received: u64,
    ) -> Option<&MessageKey> {
        self.batches
            .iter()
            .filter(|batch| batch.chain == chain && !batch.has_expired(now, received))
            .find_map(|batch| {
                let index = batch.keys.binary_search_by_key(&n, |(place, _)| *place).ok()?;
                batch.keys.get(index).map(|(_, key)| key)
            })
    }

    /// Deletes a key that has been used.
    pub(crate) fn remove(&mut self, chain: u32, n: u32) {
        for batch in self.batches.iter_mut().filter(|batch| batch.chain == chain) {
            batch.keys.retain(|(place, _)| *place != n);
        }
    }

    pub(crate) fn add(&mut self, batch: Batch) {
        self.batches.push_back(batch);
    }

    /// Keeps a chain that was followed by another.
    pub(crate) fn retire(&mut self, chain: ReceivingChain) {
        let ReceivingChain { number, dh, header, key: _, n: _, epoch } = chain;
        self.chains.push_back(OldChain { number, header, dh, epoch });
    }

    /// Drops what is too old or too much, and the header keys without keys.
    // RAT-20, RAT-22
    pub(crate) fn tidy(&mut self, now: Timestamp, received: u64) {
        let mut excess = self.len().saturating_sub(MAX_SKIPPED_KEYS);
        for batch in &mut self.batches {
            let drop = excess.min(batch.keys.len());
            batch.keys.drain(..drop);
            excess = excess.saturating_sub(drop);
        }
        self.batches.retain(|batch| !batch.keys.is_empty() && !batch.has_expired(now, received));
        self.chains.retain(|chain| self.batches.iter().any(|batch| batch.chain == chain.number));
        while self.chains.len() > MAX_OLD_HEADER_KEYS
            && let Some(dropped) = self.chains.pop_front()
        {
            self.batches.retain(|batch| batch.chain != dropped.number);
        }
    }
}
