//! A post office for agents of one process.

use core::fmt;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rand_core::TryRng;
use sealwire_core::{Timestamp, pad::FRAME_CLASSES};
use sealwire_ratchet::prekey::{Kind, Unclaimed};
use zeroize::Zeroizing;

use super::{
    Address, Arrived, Claimed, ClaimedKey, Delivery, DeliveryError, Device, MailboxHandle,
    MailboxKind, MessageId, Notice, OpenedMailbox, Pending, PrekeyPage, Publication, Published,
    Watch, bell::Bell,
};
use crate::{Clock, SystemClock};

/// The most messages of one mailbox.
const MAX_MESSAGES: usize = 1000;

/// The most bytes of one mailbox.
const MAX_MAILBOX_LEN: usize = 16 * 1024 * 1024;

/// Message ids that a mailbox remembers beyond its messages, so that one that was fetched and
/// acknowledged is not taken again when only its sender missed the answer.
const MAX_REMEMBERED: usize = 4 * MAX_MESSAGES;

/// How long a message is kept, in seconds: 7 days.
const MESSAGE_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// Claims whose answers are remembered for a device.
const MAX_CLAIMS: usize = 1024;

/// A post office for agents of one process: a directory and mailboxes in memory.
///
/// It keeps the bounds of a relay: frames of four lengths, 1,000 messages and 16 MiB in a
/// mailbox, 7 days. Agents share it behind an [`Arc`]. See [`Delivery`] for an example.
#[derive(Debug)]
pub struct InProcess {
    clock: Arc<dyn Clock>,
    office: Mutex<Office>,
}

/// What the post office saw: all that whoever runs it can write down.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// Somebody published prekeys.
    Published {
        /// Who.
        of: Device,
    },
    /// Somebody asked for the bundle of a device.
    Asked {
        /// Whose.
        of: Device,
    },
    /// Somebody claimed one-time keys.
    Claimed {
        /// Whose.
        of: Device,
    },
    /// Somebody left a frame.
    Deposited {
        /// The id of the mailbox, for sending.
        mailbox: Vec<u8>,
        /// The id of the message.
        message: MessageId,
        /// The frame.
        frame: Vec<u8>,
    },
}

#[derive(Default)]
struct Office {
    directory: HashMap<Device, Shelf>,
    /// By what reads them.
    mailboxes: HashMap<[u8; 16], Mailbox>,
    /// From the id for sending to what reads it.
    addresses: HashMap<Vec<u8>, [u8; 16]>,
    seen: Option<Vec<Seen>>,
}

/// What a device published.
#[derive(Default)]
struct Shelf {
    published: Option<Published>,
    pages: Vec<Page>,
    /// The id of the mailbox whose reader is told when keys run low.
    contact: Vec<u8>,
    claims: VecDeque<([u8; 16], Claimed)>,
}

/// A page and those of its keys that are left.
struct Page {
    kind: Kind,
    not_after: Timestamp,
    header: Vec<u8>,
    left: VecDeque<Vec<u8>>,
}

struct Mailbox {
    address: Address,
    messages: BTreeMap<u64, Message>,
    next: u64,
    len: usize,
    known: HashSet<MessageId>,
    remembered: VecDeque<MessageId>,
    watches: Vec<Weak<Bell>>,
}

struct Message {
    id: MessageId,
    frame: Vec<u8>,
    arrived: Timestamp,
}

impl InProcess {
    /// An empty post office.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// An empty post office that goes by this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock, office: Mutex::default() }
    }

    /// Keeps all that it sees from now on, for [`InProcess::seen`]: for tests and
    /// demonstrations, since it grows without bound.
    #[must_use]
    pub fn recording(self) -> Self {
        self.lock().seen = Some(Vec::new());
        self
    }

    /// What it saw, in order, if it is [`recording`](InProcess::recording).
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Office> {
        // Nothing between two changes of one call can panic.
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers at once: there is nothing to wait for.
    fn answer<'a, T: Send + 'a>(
        &self,
        answer: impl FnOnce(&mut Office, Timestamp) -> Result<T, DeliveryError>,
    ) -> Pending<'a, T> {
        let now = self.clock.wall();
        let answer = answer(&mut self.lock(), now);
        Box::pin(core::future::ready(answer))
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Delivery for InProcess {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        self.answer(|office, now| {
            office.note(|| Seen::Published { of: of.clone() });
            office.directory.entry(of.clone()).or_default().publish(publication, now);
            Ok(())
        })
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.answer(|office, _| {
            office.note(|| Seen::Asked { of: of.clone() });
            Ok(office.directory.get(of).and_then(|shelf| shelf.published.clone()))
        })
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        self.answer(|office, now| {
            office.note(|| Seen::Claimed { of: of.clone() });
            let Some(shelf) = office.directory.get_mut(of) else { return Ok(Claimed::default()) };
            let claimed = shelf.claim(nonce, now);
            let contact = shelf.runs_low(now).then(|| shelf.contact.clone());
            let contact = contact.and_then(|contact| office.addresses.get(&contact));
            if let Some(contact) = contact.and_then(|key| office.mailboxes.get(key)) {
                contact.tell(Notice::PrekeysLow);
            }
            Ok(claimed)
        })
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        self.answer(|office, now| {
            let shelf = office.directory.get(of);
            let left = |kind| shelf.map_or(0, |shelf| shelf.left(kind, now));
            Ok(Unclaimed { x25519: left(Kind::X25519), kem: left(Kind::MlKem) })
        })
    }

    fn open_mailbox(&self, _: MailboxKind) -> Pending<'_, OpenedMailbox> {
        self.answer(|office, _| {
            let (reading, sending, capability) = (draw()?, draw()?, draw()?);
            let address = Address::new(&sending, &capability)?;
            office.addresses.insert(sending.to_vec(), reading);
            office.mailboxes.insert(reading, Mailbox::new(address.clone()));
            let handle = MailboxHandle::new(Zeroizing::new(reading.to_vec()))?;
            Ok(OpenedMailbox { handle, address })
        })
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        self.answer(|office, _| {
            let closed = reading(mailbox).and_then(|key| office.mailboxes.remove(&key));
            if let Some(closed) = closed {
                office.addresses.remove(closed.address.mailbox());
                closed.tell(Notice::Arrived);
            }
            Ok(())
        })
    }

    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()> {
        self.answer(|office, now| {
            if !FRAME_CLASSES.contains(&frame.len()) {
                return Err(DeliveryError::Refused("a frame has 2, 4, 16 or 64 KiB"));
            }
            let mailbox = office.addresses.get(to.mailbox());
            let mailbox = mailbox.and_then(|key| office.mailboxes.get_mut(key));
            // One answer for both, so that ids cannot be tried.
            let mailbox =
                mailbox.filter(|mailbox| mailbox.address == *to).ok_or(DeliveryError::Gone)?;
            mailbox.take(message, frame, now)?;
            office.note(|| Seen::Deposited {
                mailbox: to.mailbox().to_vec(),
                message,
                frame: frame.to_vec(),
            });
            Ok(())
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        self.answer(|office, now| {
            let mailbox = office.mailbox(from)?;
            mailbox.expire(now);
            let oldest = mailbox.messages.iter().take(limit);
            Ok(oldest
                .map(|(sequence, message)| Arrived {
                    sequence: *sequence,
                    message: message.id,
                    frame: message.frame.clone(),
                })
                .collect())
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        self.answer(|office, _| {
            let mailbox = office.mailbox(from)?;
            for sequence in sequences {
                mailbox.remove(*sequence);
            }
            Ok(())
        })
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.answer(|office, _| {
            let bell = Arc::<Bell>::default();
            for handle in &mailboxes {
                match office.mailbox(handle) {
                    Ok(mailbox) => mailbox.watch(&bell),
                    Err(_) => bell.ring(Notice::Arrived),
                }
            }
            Ok(Box::new(Watching(bell)) as Box<dyn Watch>)
        })
    }
}

/// A watch: mailboxes ring for as long as there is one.
#[derive(Debug)]
struct Watching(Arc<Bell>);

impl Watch for Watching {
    fn changed(&mut self) -> Pending<'_, Notice> {
        Box::pin(async { Ok(self.0.hear().await) })
    }
}

impl Office {
    fn note(&mut self, seen: impl FnOnce() -> Seen) {
        if let Some(log) = &mut self.seen {
            log.push(seen());
        }
    }

    fn mailbox(&mut self, handle: &MailboxHandle) -> Result<&mut Mailbox, DeliveryError> {
        reading(handle).and_then(|key| self.mailboxes.get_mut(&key)).ok_or(DeliveryError::Gone)
    }
}

impl Shelf {
    fn publish(&mut self, publication: &Publication, now: Timestamp) {
        let Publication { published, pages, contact } = publication;
        self.contact = contact.mailbox().to_vec();
        self.published = Some(published.clone());
        self.pages.retain(|page| now <= page.not_after);
        for PrekeyPage { kind, base: _, not_after, header, keys } in pages {
            if self.pages.iter().any(|page| page.header == *header) {
                continue;
            }
            self.pages.push(Page {
                kind: *kind,
                not_after: *not_after,
                header: header.clone(),
                left: keys.iter().cloned().collect(),
            });
        }
    }

    fn claim(&mut self, nonce: [u8; 16], now: Timestamp) -> Claimed {
        if let Some((_, claimed)) = self.claims.iter().find(|(known, _)| *known == nonce) {
            return claimed.clone();
        }
        let claimed =
            Claimed { x25519: self.take(Kind::X25519, now), kem: self.take(Kind::MlKem, now) };
        if self.claims.len() >= MAX_CLAIMS {
            self.claims.pop_front();
        }
        self.claims.push_back((nonce, claimed.clone()));
        claimed
    }

    fn runs_low(&self, now: Timestamp) -> bool {
        let is_low = |kind: Kind| self.left(kind, now) <= u32::from(kind.published() / 2);
        is_low(Kind::X25519) || is_low(Kind::MlKem)
    }

    fn left(&self, kind: Kind, now: Timestamp) -> u32 {
        let pages = self.pages.iter().filter(|page| page.kind == kind && now <= page.not_after);
        u32::try_from(pages.map(|page| page.left.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// A key of the oldest page of this kind that has one. A page that is drained stays until
    /// its end, so that it is not taken for a new one when it is published again.
    fn take(&mut self, kind: Kind, now: Timestamp) -> Option<ClaimedKey> {
        self.pages.iter_mut().filter(|page| page.kind == kind && now <= page.not_after).find_map(
            |page| {
                let key = page.left.pop_front()?;
                Some(ClaimedKey { header: page.header.clone(), key })
            },
        )
    }
}

impl Mailbox {
    fn new(address: Address) -> Self {
        Self {
            address,
            messages: BTreeMap::new(),
            next: 1,
            len: 0,
            known: HashSet::new(),
            remembered: VecDeque::new(),
            watches: Vec::new(),
        }
    }

    fn watch(&mut self, bell: &Arc<Bell>) {
        self.watches.retain(|watch| watch.strong_count() > 0);
        self.watches.push(Arc::downgrade(bell));
    }

    fn tell(&self, notice: Notice) {
        for bell in self.watches.iter().filter_map(Weak::upgrade) {
            bell.ring(notice);
        }
    }

    fn take(&mut self, id: MessageId, frame: &[u8], now: Timestamp) -> Result<(), DeliveryError> {
        self.expire(now);
        if self.known.contains(&id) {
            return Ok(());
        }
        let len = self.len.saturating_add(frame.len());
        if self.messages.len() >= MAX_MESSAGES || len > MAX_MAILBOX_LEN {
            return Err(DeliveryError::Full);
        }
        self.len = len;
        self.known.insert(id);
        self.messages.insert(self.next, Message { id, frame: frame.to_vec(), arrived: now });
        self.next = self.next.saturating_add(1);
        self.tell(Notice::Arrived);
        Ok(())
    }

    fn expire(&mut self, now: Timestamp) {
        let expired: Vec<u64> = self
            .messages
            .iter()
            .filter(|(_, message)| now > message.arrived.plus(MESSAGE_LIFETIME))
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in expired {
            self.remove(sequence);
        }
    }

    fn remove(&mut self, sequence: u64) {
        let Some(message) = self.messages.remove(&sequence) else { return };
        self.len = self.len.saturating_sub(message.frame.len());
        self.remembered.push_back(message.id);
        if self.remembered.len() > MAX_REMEMBERED
            && let Some(forgotten) = self.remembered.pop_front()
        {
            self.known.remove(&forgotten);
        }
    }
}

/// What reads a mailbox, from its handle.
fn reading(handle: &MailboxHandle) -> Option<[u8; 16]> {
    handle.as_bytes().try_into().ok()
}

fn draw() -> Result<[u8; 16], DeliveryError> {
    let mut bytes = [0; 16];
    match sealwire_custody::system_rng().try_fill_bytes(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(DeliveryError::Refused("the random number generator failed")),
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, mailboxes, addresses: _, seen: _ } = self;
        f.debug_struct("Office")
            .field("devices", &directory.len())
            .field("mailboxes", &mailboxes.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Published { .. } => "Published(..)",
            Self::Asked { .. } => "Asked(..)",
            Self::Claimed { .. } => "Claimed(..)",
            Self::Deposited { .. } => "Deposited(..)",
        })
    }
}

#[cfg(test)]
mod tests;
