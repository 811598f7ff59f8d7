//! What happens on the offline path beside messages.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::delivery::{Device, MessageId};

/// What happened on the offline path beside messages. [`Agent::sync`](crate::Agent::sync) gives
/// them, once and in order; they are not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session began, by whichever side.
    NewSession {
        /// With whom.
        peer: Device,
    },
    /// A peer began a new session although there was one: it lost its state, or closed its
    /// sessions. Messages go to the new one from now on.
    Reset {
        /// Who.
        peer: Device,
    },
    /// A peer has a card with other exchange keys than before, under the same identity. Its
    /// sessions go on.
    IdentityChanged {
        /// Who.
        peer: Device,
    },
    /// Few one-time prekeys are left, or the signed ones have come of age:
    /// [`Agent::publish_prekeys`](crate::Agent::publish_prekeys) makes new ones.
    PrekeysLow,
    /// A session began without one-time keys, from either side: its first messages are as secret as the signed
    /// prekeys, which live for weeks.
    LastResortUsed {
        /// With whom.
        peer: Device,
    },
    /// The post-quantum half of a session stands still, which no peer that keeps to the
    /// protocol brings about.
    PqStalled {
        /// With whom.
        peer: Device,
    },
    /// So many messages of a peer in a row were lost that its session is at its end. The next
    /// message to it begins a new one.
    Wedged {
        /// With whom.
        peer: Device,
    },
    /// The policy refused a peer or a message. Nothing of it was released.
    Denied {
        /// Whose.
        peer: Device,
        /// The policy's reason.
        reason: &'static str,
    },
    /// A message cannot be delivered, now or later: the peer's mailbox is gone. A large one is
    /// to be sent again, under its key.
    Undeliverable {
        /// To whom.
        peer: Device,
        /// Which.
        message: MessageId,
    },
    /// Frames were thrown away: they did not open, or were repetitions.
    Discarded {
        /// How many.
        frames: u64,
    },
    /// Nothing came of a large message for 30 days, or nothing more was sent of one: what was
    /// here of it is removed.
    LargeExpired {
        /// Whose, or to whom.
        peer: Device,
        /// Which.
        message: MessageId,
    },
    /// The parts of a large message contradict one another, or too much of it is missing: what
    /// was here of it is removed, and what still comes is thrown away.
    LargeFailed {
        /// Whose.
        peer: Device,
        /// Which.
        message: MessageId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The clock runs more than a day ahead of what it can be since the agent was built. Nothing
    /// is deleted for its age, and first messages are left where they are, until it is right or the
    /// agent is built anew.
    ClockJumped,
}

/// The most events that are kept for whoever asks. Beyond it the oldest go.
const MAX_EVENTS: usize = 4096;

/// Events that nobody has seen yet.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<VecDeque<Event>>);

impl Events {
    pub(crate) fn add(&self, event: Event) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(Event::Discarded { frames: known }), Event::Discarded { frames }) =
            (events.back_mut(), &event)
        {
            *known = known.saturating_add(*frames);
            return;
        }
        if events.len() >= MAX_EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
