//! Waiting for something to do.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{Event, Offline};
use crate::{
    Agent, Error,
    agent::Inner,
    delivery::{MailboxHandle, Notice, Watch},
};

/// Waits until there is something to [`sync`](Agent::sync) for. Dropped, it listens no more.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use sealwire::{Agent, AllowAnyAuthenticated, delivery::InProcess, store::MemoryStore};
/// # use sealwire::{core::MemoryKeyStore, custody};
/// # fn agent(office: &Arc<InProcess>) -> Result<Agent, Box<dyn std::error::Error>> {
/// #     let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// #     let agent = Agent::builder(Arc::new(keys)).store(Arc::new(MemoryStore::new()));
/// #     Ok(agent.delivery(office.clone()).inbound(AllowAnyAuthenticated).build()?)
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let office = Arc::new(InProcess::new());
/// # let (alice, bob) = (agent(&office)?, agent(&office)?);
/// # bob.publish_prekeys().await?;
/// # alice.send(bob.id(), b"how far is the moon?").await?;
/// # alice.sync().await?;
/// // Before the first sync, so that nothing is missed between the two.
/// let mut listener = bob.listen().await?;
/// let message = loop {
///     bob.sync().await?;
///     if let Some(message) = bob.inbox()?.next().await? {
///         break message;
///     }
///     listener.changed().await?;
/// };
/// assert_eq!(message.payload(), b"how far is the moon?");
/// # Ok(())
/// # }
/// ```
pub struct Listener {
    agent: Arc<Inner>,
    own: watch::Receiver<()>,
    /// Which mailboxes are watched, and whether there may be others.
    mailboxes: Vec<MailboxHandle>,
    outdated: bool,
    /// The delivery said that prekeys run low.
    low: bool,
    watch: Box<dyn Watch>,
}

/// What happens here, and is a reason to sync.
#[derive(Debug, Default)]
pub(super) struct Wake {
    changed: watch::Sender<()>,
    /// Something is to be done that the delivery does not tell of.
    due: AtomicBool,
    /// Messages were left where they are, since the inbox had no room.
    full: AtomicBool,
}

enum Woken {
    Told(Notice),
    Here,
}

impl Agent {
    /// Listens, so that [`Listener::changed`] tells of all that arrives from now on.
    ///
    /// # Errors
    /// [`Error::Delivery`]; [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// See [`Listener`].
    pub async fn listen(&self) -> Result<Listener, Error> {
        let offline = self.inner.offline()?;
        let own = offline.wake.changed.subscribe();
        let mailboxes = offline.mailboxes().await?;
        let watch = offline.delivery.watch(mailboxes.clone()).await?;
        let agent = Arc::clone(&self.inner);
        Ok(Listener { agent, own, mailboxes, outdated: false, low: false, watch })
    }
}

impl Listener {
    /// Waits until there is something to [`sync`](Agent::sync) for: something arrived, one-time
    /// prekeys run low, which that call then tells as [`Event::PrekeysLow`], a message was
    /// [sent](Agent::send), or a full inbox has room again. It may say so without a reason.
    ///
    /// Mailboxes that are opened meanwhile, for new peers, are watched too. Nothing is lost when
    /// the future is dropped before it is ready, so a time limit can be put on it. Put one of
    /// some hours: signed prekeys come of age, and only a sync notices.
    ///
    /// # Errors
    /// [`Error::Delivery`], after which it can be called again.
    pub async fn changed(&mut self) -> Result<(), Error> {
        let agent = Arc::clone(&self.agent);
        let offline = agent.offline()?;
        loop {
            if self.outdated && self.follow(offline).await? {
                return Ok(());
            }
            if self.low {
                let tell = offline.home.lock().await.hears_low();
                self.low = false;
                if tell {
                    agent.tell(Event::PrekeysLow);
                    return Ok(());
                }
            }
            if offline.wake.due.load(Ordering::SeqCst) {
                return Ok(());
            }
            match self.woken().await? {
                Woken::Here => self.outdated = true,
                Woken::Told(Notice::PrekeysLow) => self.low = true,
                Woken::Told(Notice::Arrived) => return Ok(()),
            }
        }
    }

    /// Watches the mailboxes that there are now. Says whether they are others than before.
    async fn follow(&mut self, offline: &Offline) -> Result<bool, Error> {
        let mailboxes = offline.mailboxes().await?;
        let others = mailboxes != self.mailboxes;
        if others {
            // The new watch stands before the old one ends, but what was left in a new mailbox
            // before that is not told: hence the sync.
            self.watch = offline.delivery.watch(mailboxes.clone()).await?;
            self.mailboxes = mailboxes;
        }
        self.outdated = false;
        Ok(others)
    }

    async fn woken(&mut self) -> Result<Woken, Error> {
        let mut told = self.watch.changed();
        let mut here = pin!(self.own.changed());
        poll_fn(|context| {
            if let Poll::Ready(notice) = told.as_mut().poll(context) {
                return Poll::Ready(Ok(Woken::Told(notice?)));
            }
            // The sender lives as long as the agent.
            here.as_mut().poll(context).map(|_| Ok(Woken::Here))
        })
        .await
    }
}

impl Offline {
    /// What reads every mailbox of this agent.
    async fn mailboxes(&self) -> Result<Vec<MailboxHandle>, Error> {
        let home = self.home.lock().await;
        let mut mailboxes: Vec<MailboxHandle> =
            home.mailbox().map(|mailbox| mailbox.handle.clone()).into_iter().collect();
        drop(home);
        for peer in self.known() {
            let held = self.hold(&peer).await?;
            mailboxes.extend(held.known.mailbox.as_ref().map(|mailbox| mailbox.handle.clone()));
            self.release(held);
        }
        Ok(mailboxes)
    }

    /// Whether the inbox has room for a message. If not, whoever makes some wakes those who
    /// listen.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        let has_room = || self.waiting.load(Ordering::SeqCst) < limit;
        // Asked again, since it may have been made between question and answer.
        has_room() || {
            self.wake.full();
            has_room()
        }
    }
}

impl Wake {
    /// A mailbox was opened, or is gone.
    pub(super) fn mailboxes_changed(&self) {
        self.changed.send_replace(());
    }

    /// There is something for a sync to do.
    pub(super) fn due(&self) {
        self.due.store(true, Ordering::SeqCst);
        self.changed.send_replace(());
    }

    /// A sync begins: what was due is done by it.
    pub(super) fn turn(&self) {
        self.due.store(false, Ordering::SeqCst);
    }

    /// Something was left where it is, since there is no room.
    pub(super) fn full(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    /// The inbox has room.
    pub(super) fn room(&self) {
        if self.full.swap(false, Ordering::SeqCst) {
            self.due();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener(..)")
    }
}
