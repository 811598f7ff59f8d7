//! A relay, over the network.

mod convert;
mod handle;
mod watch;

use core::{fmt, time::Duration};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sealwire_core::{KeyStore, Timestamp};
use sealwire_identity::AgentId;
use sealwire_ratchet::prekey::{CONTACT_TTL, SIGNED_LIFETIME, Unclaimed};
use sealwire_relay::{
    Capability, SendId,
    client::{self, Client, ClientError, Identity, RelayUrl},
    limits::{MAX_ACKS, MAX_FETCH, MAX_MESSAGES, MESSAGE_LIFETIME},
    wire::{self, Acks, NewMailbox, Publish},
};

pub(crate) use self::convert::failed;
use self::{
    convert::remaining,
    handle::Handle,
    watch::{Streams, Watching},
};
use super::{
    Address, Arrived, Claimed, Delivery, DeliveryError, Device, MailboxHandle, MailboxKind,
    MessageId, OpenedMailbox, Pending, Publication, Published, Watch,
};
use crate::Clock;

/// A relay of one's own, and those of others that peers may name.
///
/// The relay sees when frames are left and read, and how many; each mailbox is read with a key
/// and over a connection of its own, so that it is not told that they are one agent's.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, SystemClock, core::MemoryKeyStore, custody, store::MemoryStore};
/// use sealwire::delivery::{RelayDelivery, RelaySettings};
/// use sealwire::relay::client::RelayUrl;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Arc::new(MemoryKeyStore::generate(&mut custody::system_rng())?);
/// let settings = RelaySettings::new(RelayUrl::parse("http://127.0.0.1:7600")?);
/// let relay = RelayDelivery::new(settings, keys.clone(), Arc::new(SystemClock::new()))?;
/// let agent = Agent::builder(keys)
///     .store(Arc::new(MemoryStore::new()))
///     .delivery(Arc::new(relay))
///     .build()?;
/// # Ok(())
/// # }
/// ```
pub struct RelayDelivery {
    own: Client,
    public: Option<RelayUrl>,
    /// Those that addresses of peers may name.
    others: Vec<Client>,
    /// Where agents publish that do not at our own relay.
    routes: Mutex<HashMap<AgentId, RelayUrl>>,
    streams: Streams,
    clock: Arc<dyn Clock>,
}

/// How a [`RelayDelivery`] is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelaySettings {
    /// The relay that keeps this agent's prekeys and mailboxes.
    pub url: RelayUrl,
    /// The URL of the same relay that peers at other relays are told. Without it they are told
    /// none, and take it for their own.
    pub public: Option<RelayUrl>,
    /// Relays of peers that may be talked to. A peer cannot bring this agent to talk to any
    /// other.
    pub allowed: Vec<RelayUrl>,
    /// Mailboxes that are watched over a stream each, the others are polled.
    pub streams: usize,
    /// How often they are polled.
    pub poll: Duration,
    /// How relays are talked to. Its clock is not used.
    pub client: client::Settings,
}

/// Messages that one capability may have in a mailbox for first messages: half of it. The holders
/// of an older bundle leave room for those of the newest.
const CONTACT_PER_TOKEN: u32 = MAX_MESSAGES / 2;

/// The last second of capabilities that do not end by themselves: those of one peer end with the
/// mailbox.
const NEVER: Timestamp = Timestamp::from_secs(sealwire_relay::limits::MAX_NUMBER);

impl RelaySettings {
    /// A relay, with a default for everything else: no other relays, 128 streams, one minute.
    pub fn new(url: RelayUrl) -> Self {
        Self {
            url,
            public: None,
            allowed: Vec::new(),
            streams: 128,
            poll: Duration::from_secs(60),
            client: client::Settings::default(),
        }
    }
}

impl RelayDelivery {
    /// A delivery through this relay, for the agent with these keys. Nothing is sent yet;
    /// certificates of authorities are read, which may block.
    ///
    /// # Errors
    /// [`ClientError::Misuse`] for certificates that are none.
    pub fn new(
        settings: RelaySettings,
        keys: Arc<dyn KeyStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let RelaySettings { url, public, allowed, streams, poll, client: mut settings } = settings;
        let wall = Arc::clone(&clock);
        settings.clock = Arc::new(move || wall.wall());
        let identity = Identity::new(keys);
        let client = |url| Client::new(url, Some(identity.clone()), settings.clone());
        let own = client(url)?;
        let others = allowed.into_iter().map(client).collect::<Result<_, _>>()?;
        let streams = Streams::new(own.clone(), streams, poll);
        Ok(Self { own, public, others, routes: Mutex::default(), streams, clock })
    }

    /// The client of the agent's own relay.
    pub fn client(&self) -> &Client {
        &self.own
    }

    /// Looks an agent up at the relay that its card names
    /// ([`home_relay`](sealwire_identity::IdentityCard::home_relay)). Says whether that is done:
    /// not when the relay is none of those that are allowed.
    pub fn route(&self, agent: &AgentId, relay: &str) -> bool {
        let Ok(url) = RelayUrl::parse(relay) else { return false };
        let allowed = self.named(&url).is_some();
        if allowed {
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.insert(agent.clone(), url);
        }
        allowed
    }

    /// The client of a relay that is our own or allowed.
    // REL-30
    fn named(&self, url: &RelayUrl) -> Option<&Client> {
        if url == self.own.url() || Some(url) == self.public.as_ref() {
            return Some(&self.own);
        }
        self.others.iter().find(|client| client.url() == url)
    }

    /// Where a device's prekeys are.
    fn directory(&self, of: &Device) -> &Client {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(&of.agent).and_then(|url| self.named(url)).unwrap_or(&self.own)
    }

    /// Where an address leads.
    fn place(&self, to: &Address) -> Result<(&Client, SendId, Capability), DeliveryError> {
        let (send, capability, url) = handle::parse_address(to)?;
        let client = match url {
            None => Some(&self.own),
            Some(url) => self.named(&url),
        };
        let refused = DeliveryError::Refused("the peer's relay is none of those that are allowed");
        Ok((client.ok_or(refused)?, send, capability))
    }

    async fn publish(&self, of: &Device, publication: &Publication) -> Result<(), DeliveryError> {
        let Publication { published, pages, contact } = publication;
        let of = of.into();
        let contact = self.place(contact).ok();
        let contact = contact.filter(|(client, ..)| client.url() == self.own.url());
        let publish =
            Publish { published: published.into(), contact: contact.map(|(_, send, _)| send) };
        // Only a device that has published takes pages (REL-26).
        self.own.publish(&of, &publish).await.map_err(failed)?;
        for page in pages {
            let (kind, base) = (convert::kind(page.kind), page.base.get());
            self.own.add_page(&of, kind, base, &page.into()).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn open(&self, kind: MailboxKind) -> Result<OpenedMailbox, DeliveryError> {
        let handle = Handle::draw()?;
        let (kind, per_token) = match kind {
            MailboxKind::Contact => (wire::MailboxKind::Contact, CONTACT_PER_TOKEN),
            MailboxKind::Pairwise => (wire::MailboxKind::Pairwise, MAX_MESSAGES),
        };
        let (send, secret) = (handle.send(), handle.secret()?);
        let mailbox = NewMailbox { send, kind, secret, lifetime: MESSAGE_LIFETIME, per_token };
        self.own.create_mailbox(&handle.key(), &mailbox).await.map_err(failed)?;
        let address = handle.address(self.expiry(kind), self.public.as_ref())?;
        Ok(OpenedMailbox { handle: handle.to_mailbox()?, address })
    }

    /// When a capability that is minted now is to end. One in a bundle outlives the bundle by as
    /// long as a message may be on its way, so that nothing that is still good is refused.
    fn expiry(&self, kind: wire::MailboxKind) -> Timestamp {
        match kind {
            wire::MailboxKind::Contact => self.clock.wall().plus(SIGNED_LIFETIME).plus(CONTACT_TTL),
            wire::MailboxKind::Pairwise => NEVER,
        }
    }

    async fn fetch(
        &self,
        from: &MailboxHandle,
        limit: usize,
    ) -> Result<Vec<Arrived>, DeliveryError> {
        let handle = Handle::parse(from)?;
        let limit = u32::try_from(limit).unwrap_or(MAX_FETCH).clamp(1, MAX_FETCH);
        let over_stream = match self.streams.live(&handle) {
            Some(watched) => watched.stream.fetch(0, limit).await,
            None => None,
        };
        let found = match over_stream {
            Some(found) => found,
            None => self.own.fetch(&handle.key(), 0, limit, Duration::ZERO).await,
        };
        Ok(found.map_err(failed)?.messages.into_iter().map(Into::into).collect())
    }

    async fn ack(&self, from: &MailboxHandle, sequences: &[u64]) -> Result<(), DeliveryError> {
        let handle = Handle::parse(from)?;
        for sequences in sequences.chunks(MAX_ACKS) {
            let acks = Acks { sequences: sequences.to_vec() };
            let over_stream = match self.streams.live(&handle) {
                Some(watched) => watched.stream.ack(acks.clone()).await,
                None => None,
            };
            let acked = match over_stream {
                Some(acked) => acked,
                None => self.own.ack(&handle.key(), &acks).await,
            };
            acked.map_err(failed)?;
        }
        Ok(())
    }
}

impl Delivery for RelayDelivery {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        Box::pin(self.publish(of, publication))
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        Box::pin(async move {
            let found = self.directory(of).bundle(&of.into()).await.map_err(failed)?;
            Ok(found.map(Into::into))
        })
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        Box::pin(async move {
            let nonce = sealwire_relay::Nonce::from_bytes(nonce);
            let claimed = self.directory(of).claim(&of.into(), nonce).await.map_err(failed)?;
            Ok(claimed.map(Into::into).unwrap_or_default())
        })
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        Box::pin(async move {
            let left = self.own.remaining(&of.into()).await.map_err(failed)?;
            Ok(remaining(left.unwrap_or_default()))
        })
    }

    fn open_mailbox(&self, kind: MailboxKind) -> Pending<'_, OpenedMailbox> {
        Box::pin(self.open(kind))
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        Box::pin(async move {
            let handle = Handle::parse(mailbox)?;
            self.own.close_mailbox(&handle.key()).await.map_err(failed)?;
            Ok(())
        })
    }

    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let (client, send, capability) = self.place(to)?;
            let message = sealwire_relay::MessageId::from_bytes(*message.as_bytes());
            client.deposit(send, &capability, message, frame).await.map_err(failed)
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        Box::pin(self.fetch(from, limit))
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        Box::pin(self.ack(from, sequences))
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        Box::pin(async move {
            let watching: Watching = self.streams.watch(&mailboxes).await;
            Ok(Box::new(watching) as Box<dyn Watch>)
        })
    }

    fn address<'a>(&'a self, of: &'a OpenedMailbox) -> Pending<'a, Address> {
        Box::pin(async move {
            let expiry = self.expiry(wire::MailboxKind::Contact);
            Handle::parse(&of.handle)?.address(expiry, self.public.as_ref())
        })
    }
}

impl fmt::Debug for RelayDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayDelivery").field("own", &self.own).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
