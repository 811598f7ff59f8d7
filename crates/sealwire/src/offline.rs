//! The offline path: prekeys, sessions, an outbox and an inbox, in a store.
//!
//! ```text
//!   send ─▶ policy ─▶ prekeys of the peer ─▶ seal ─▶ commit: session, outbox ─▶ (sync) deposit
//!   sync ─▶ fetch ─▶ open ─▶ policy ─▶ commit: session, used prekeys, inbox ─▶ ack
//!
//!   send_large ─▶ read ─▶ seal parts ─▶ commit: session, outbox, where to go on ─▶ deposit ─┐
//!       ▲ room in the window                                                                │
//!       └────────────────────────── wait while the mailbox is full ◀────────────────────────┘
//! ```
//!
//! Whatever changes is committed before anything leaves: the frame of a message, or the
//! acknowledgement of one.

mod answers;
mod contact;
mod content;
mod draft;
mod events;
mod facts;
mod first;
#[cfg(feature = "hazmat")]
pub mod hazmat;
mod home;
mod inbox;
mod incoming;
mod large;
mod listen;
mod outbox;
mod outgoing;
mod parts;
mod release;
mod rows;
mod sending;
mod sessions;
mod spans;
mod transfer;

use core::fmt;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use sealwire_identity::IdentityCard;
use tokio::sync::OwnedMutexGuard;

use self::{
    contact::{Contact, ContactKey, Ephemeral},
    events::Events,
    home::Home,
    listen::Wake,
    parts::Ledger,
    sending::Pending,
};
pub use self::{
    content::{Body, Content, MAX_LARGE_LEN, MAX_PAYLOAD_LEN, Part},
    draft::Draft,
    events::Event,
    inbox::{Inbox, Message},
    large::{Chunk, LargeMessage},
    listen::Listener,
    sessions::SessionInfo,
    transfer::{Progress, Transfer, Waiting},
};
use crate::{
    Error,
    delivery::{Delivery, Device, MessageId},
    store::{RowKey, Store, Table},
};

/// The offline path of one agent.
pub(crate) struct Offline {
    store: Arc<dyn Store>,
    delivery: Arc<dyn Delivery>,
    own: Device,
    own_cards: Vec<IdentityCard>,
    /// What there is one of: the contact mailbox and the prekeys. It is locked before a contact.
    home: Arc<tokio::sync::Mutex<Home>>,
    contacts: Mutex<Contacts>,
    events: Events,
    wake: Wake,
    /// The number of the next row of inbox and outbox.
    number: AtomicU64,
    /// Messages in the inbox.
    waiting: AtomicUsize,
    /// Held by whoever removes one, so that each is counted once.
    acking: Mutex<()>,
    /// Held by whoever fetches and flushes.
    syncing: tokio::sync::Mutex<()>,
    /// Large messages that come in. Locked behind a contact.
    ledger: Mutex<Ledger>,
    /// Parts of large messages in the outbox.
    pending: Mutex<Pending>,
}

/// The peers that there is a row of, or that somebody is about to talk to.
#[derive(Default)]
struct Contacts {
    by_device: HashMap<Device, Arc<tokio::sync::Mutex<Contact>>>,
    /// Whose session began with this EK_A.
    by_ephemeral: HashMap<Ephemeral, Device>,
}

/// Devices of one agent that may begin sessions: more than one runs at a time.
const MAX_DEVICES: usize = 16;

/// A contact that nobody else changes meanwhile.
type Held = OwnedMutexGuard<Contact>;

impl Offline {
    /// Reads what is stored. Blocks.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        delivery: Arc<dyn Delivery>,
        own: Device,
    ) -> Result<Self, Error> {
        let (home, own_cards) = Home::load(store.as_ref(), &own)?;
        let mut contacts = Contacts::default();
        rows::each_row(store.as_ref(), Table::Peer, &[], |row| {
            let contact = Contact::from_row(&row.key, &row.value)?;
            contacts.index(&contact);
            let device = contact.device().clone();
            contacts.by_device.insert(device, Arc::new(tokio::sync::Mutex::new(contact)));
            Ok(())
        })?;
        let (mut number, mut waiting) = (0, 0_usize);
        for table in [Table::Inbox, Table::Outbox] {
            rows::each_row(store.as_ref(), table, &[], |row| {
                number = number.max(rows::queue_number(&row.key));
                waiting = waiting.saturating_add(usize::from(table == Table::Inbox));
                Ok(())
            })?;
        }
        let ledger = Mutex::new(Ledger::load(store.as_ref())?);
        let pending = Mutex::new(Pending::load(store.as_ref())?);
        Ok(Self {
            store,
            delivery,
            own,
            own_cards,
            home: Arc::new(tokio::sync::Mutex::new(home)),
            contacts: Mutex::new(contacts),
            events: Events::default(),
            wake: Wake::default(),
            number: AtomicU64::new(number.saturating_add(1)),
            waiting: AtomicUsize::new(waiting),
            acking: Mutex::default(),
            syncing: tokio::sync::Mutex::default(),
            ledger,
            pending,
        })
    }

    /// Stores the card that peers will be shown: they may write to it after a restart. Blocks.
    pub(crate) fn keep_card(&self, card: &IdentityCard) -> Result<(), Error> {
        let home = self.home.try_lock();
        home.map_err(|_| Error::Unreachable("nobody has the agent yet"))?
            .keep_card(self.store.as_ref(), card)
    }

    /// The cards that this agent showed from this store.
    pub(crate) fn own_cards(&self) -> Vec<IdentityCard> {
        self.own_cards.clone()
    }

    /// Waits for the contact and holds it; a new one where there is none.
    async fn hold(&self, device: &Device) -> Result<Held, Error> {
        let contact = self.contacts().get_or_new(device)?;
        Ok(contact.lock_owned().await)
    }

    /// [`Offline::hold`] for work that may block.
    fn hold_blocking(&self, device: &Device) -> Result<Held, Error> {
        let contact = self.contacts().get_or_new(device)?;
        Ok(contact.blocking_lock_owned())
    }

    /// Gives a contact back. One that was never stored is forgotten, unless somebody waits for
    /// it: those who only try to write leave nothing behind.
    fn release(&self, held: Held) {
        let mut contacts = self.contacts();
        contacts.index(&held);
        let unused = !held.is_stored() && Arc::strong_count(OwnedMutexGuard::mutex(&held)) == 2;
        if unused {
            contacts.by_device.remove(held.device());
        }
    }

    /// Every peer that there is a row of.
    fn known(&self) -> Vec<Device> {
        let mut known: Vec<Device> = self.contacts().by_device.keys().cloned().collect();
        known.sort_by(|one, other| {
            (one.agent.as_str(), one.number).cmp(&(other.agent.as_str(), other.number))
        });
        known
    }

    fn whose_first(&self, ephemeral: &Ephemeral) -> Option<Device> {
        self.contacts().by_ephemeral.get(ephemeral).cloned()
    }

    /// Whether a peer may come in from this device: an agent cannot fill the store with more and
    /// more devices.
    fn has_room_for(&self, device: &Device) -> bool {
        let contacts = self.contacts();
        let of_agent = contacts.by_device.keys().filter(|known| known.agent == device.agent);
        contacts.by_device.contains_key(device) || of_agent.count() < MAX_DEVICES
    }

    fn next_key(&self, message: &MessageId) -> Result<RowKey, Error> {
        rows::queue_key(self.number.fetch_add(1, Ordering::Relaxed), message)
    }

    fn contacts(&self) -> MutexGuard<'_, Contacts> {
        // Nothing between two changes can panic.
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contacts {
    fn get_or_new(&mut self, device: &Device) -> Result<Arc<tokio::sync::Mutex<Contact>>, Error> {
        if let Some(contact) = self.by_device.get(device) {
            return Ok(Arc::clone(contact));
        }
        let contact = Contact::new(ContactKey::draw()?, device.clone());
        let contact = Arc::new(tokio::sync::Mutex::new(contact));
        self.by_device.insert(device.clone(), Arc::clone(&contact));
        Ok(contact)
    }

    /// Takes in which first messages belong to the contact. After a failed commit they are those
    /// that they were.
    fn index(&mut self, contact: &Contact) {
        if contact.is_stale() {
            return;
        }
        let device = contact.device();
        self.by_ephemeral.retain(|_, of| of != device);
        let ephemerals = contact.ephemerals().map(|ephemeral| (ephemeral, device.clone()));
        self.by_ephemeral.extend(ephemerals);
    }
}

impl fmt::Debug for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offline").finish_non_exhaustive()
    }
}
