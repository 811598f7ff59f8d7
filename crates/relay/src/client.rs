//! What an agent talks to a relay with: HTTP/1.1 and WebSocket over TCP or TLS 1.3.
//!
//! Every call may be repeated, and is, when the relay could not be reached or was busy: with
//! growing pauses, for [`Settings::deadline`] at most.

mod backoff;
mod call;
mod connect;
mod date;
mod driver;
mod error;
mod pool;
mod probe;
mod socket;
mod stream;
mod url;

use core::{fmt, time::Duration};
use std::sync::{Arc, Mutex};

use sealwire_core::{KeyStore, Timestamp, keys::SigningKey};
use sealwire_identity::AgentId;
use tokio::time::Instant;

use self::{backoff::Backoff, call::Call, connect::Connector, pool::Pool};
pub use self::{
    connect::TlsFacts,
    error::{ClientError, Skew},
    probe::Probe,
    stream::{News, Stream},
    url::RelayUrl,
};
use crate::{
    Capability, Device, MessageId, Nonce, ReceiveId, SendId,
    limits::MAX_WAIT,
    wire::{
        Acked, Acks, Check, Claim, Claimed, Kind, Messages, NewMailbox, Operation, Page, Publish,
        Published, Remaining, Revoke,
    },
};

/// A client of one relay. Clones share its connections.
///
/// Requests that are signed with the identity key, deposits for different mailboxes, and
/// different mailboxes of this agent never share a connection: the relay is not told that they
/// are one agent's.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    url: RelayUrl,
    settings: Settings,
    identity: Option<Identity>,
    connector: Connector,
    pool: Pool,
    /// When the relay was found to be away, so that not every call waits to find it out again.
    away: Mutex<Option<Instant>>,
}

/// Where the time of signatures comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who signs what is asked of the directory. The key may be in hardware or behind a network: it
/// is used on a thread of its own.
#[derive(Clone)]
pub struct Identity {
    id: AgentId,
    keys: Arc<dyn KeyStore>,
}

/// How a [`Client`] behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where the time of signatures comes from. Default: the operating system.
    pub clock: Clock,
    /// Plain HTTP to other machines too: whoever listens on the way sees who talks to the relay
    /// and when, and can take part in it.
    pub plain_http_anywhere: bool,
    /// Certificates of authorities in PEM, beside those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// For connecting, TLS included.
    pub connect: Duration,
    /// For one request, from its first byte to the last of its answer.
    pub answer: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle: Duration,
    /// For a call with all its repetitions.
    pub deadline: Duration,
    /// For a call to a relay that does not run: where it should be, connections are refused.
    pub refused: Duration,
    /// The longest pause before the first repetition, which doubles with each.
    pub pause: Duration,
    /// How often a stream is probed when nothing happens. What does not answer until the next
    /// time is given up.
    pub ping: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(driver::wall),
            plain_http_anywhere: false,
            ca_pem: None,
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            idle: Duration::from_secs(30),
            deadline: Duration::from_secs(30),
            refused: Duration::from_secs(30),
            pause: Duration::from_millis(200),
            ping: Duration::from_secs(30),
        }
    }
}

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a relay that was given up as away is not called: as long as an agent needs to hear
/// so for each of its mailboxes.
const AWAY: Duration = Duration::from_millis(500);

impl Identity {
    /// The agent with these keys.
    pub fn new(keys: Arc<dyn KeyStore>) -> Self {
        Self { id: AgentId::from_key(keys.identity()), keys }
    }
}

impl Client {
    /// A client of this relay. Nothing is sent yet; for `https` the system's certificates of
    /// authorities are read, which may block.
    ///
    /// Without an identity it can do everything but publish, claim, and ask what is left.
    ///
    /// # Errors
    /// [`ClientError::Misuse`] for certificates that are none.
    ///
    /// # Example
    /// ```
    /// use std::sync::Arc;
    /// use sealwire_core::MemoryKeyStore;
    /// use sealwire_relay::client::{Client, Identity, RelayUrl, Settings};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut rng = sealwire_testkit::rng::SeededRng::new(1);
    /// let keys = MemoryKeyStore::generate(&mut rng)?;
    /// let url = RelayUrl::parse("http://127.0.0.1:7007")?;
    /// let client = Client::new(url, Some(Identity::new(Arc::new(keys))), Settings::default())?;
    /// assert_eq!(client.url().to_string(), "http://127.0.0.1:7007");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        url: RelayUrl,
        identity: Option<Identity>,
        settings: Settings,
    ) -> Result<Self, ClientError> {
        let connector = Connector::new(url.clone(), &settings)?;
        let pool = Pool::new(settings.idle);
        let shared = Shared { url, settings, identity, connector, pool, away: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where the relay is.
    pub fn url(&self) -> &RelayUrl {
        &self.shared.url
    }

    /// Makes a device's card and bundle those that are handed out.
    ///
    /// # Errors
    /// [`ClientError`], as all of them; [`Problem::Conflict`](crate::Problem) when there is a
    /// newer card.
    pub async fn publish(&self, of: &Device, publish: &Publish) -> Result<(), ClientError> {
        let operation = Operation::Publish(of.clone());
        self.shared.call(Call::new(&operation).body(publish)).await?.nothing(&[204])
    }

    /// The card and bundle of a device, if it published any.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn bundle(&self, of: &Device) -> Result<Option<Published>, ClientError> {
        let operation = Operation::Published(of.clone());
        self.shared.find(Call::new(&operation).expecting::<Published>()).await
    }

    /// Adds a page of one-time keys, of which `base` is the id of the first. Says whether it is
    /// new.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_page(
        &self,
        of: &Device,
        kind: Kind,
        base: u32,
        page: &Page,
    ) -> Result<bool, ClientError> {
        let operation = Operation::AddPage { of: of.clone(), kind, base };
        self.shared.call(Call::new(&operation).body(page)).await?.is_new()
    }

    /// How many one-time keys of this agent's device can be claimed; `None` when it has published
    /// nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remaining(&self, of: &Device) -> Result<Option<Remaining>, ClientError> {
        let operation = Operation::Remaining(of.clone());
        self.shared.find(Call::new(&operation).expecting::<Remaining>()).await
    }

    /// Takes a one-time key of each kind, where one is left. The same nonce is answered with the
    /// same keys. `None` for a device that has published nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn claim(&self, of: &Device, nonce: Nonce) -> Result<Option<Claimed>, ClientError> {
        let operation = Operation::Claim(of.clone());
        let call = Call::new(&operation).body(&Claim { nonce }).expecting::<Claimed>();
        self.shared.find(call).await
    }

    /// What the relay hands out for a device, short, if it hands out anything.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn check(&self, of: &Device) -> Result<Option<Check>, ClientError> {
        let operation = Operation::Check(of.clone());
        self.shared.find(Call::new(&operation).expecting::<Check>()).await
    }

    /// Makes a mailbox with this key. Says whether it is new.
    ///
    /// # Errors
    /// [`ClientError`]; [`Problem::Conflict`](crate::Problem) when another has the key or the id.
    pub async fn create_mailbox(
        &self,
        key: &SigningKey,
        mailbox: &NewMailbox,
    ) -> Result<bool, ClientError> {
        let operation = Operation::CreateMailbox(ReceiveId::of(key.public()));
        self.shared.call(Call::new(&operation).key(key).body(mailbox)).await?.is_new()
    }

    /// Removes a mailbox, with all that is in it. Says whether it was there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn close_mailbox(&self, key: &SigningKey) -> Result<bool, ClientError> {
        let operation = Operation::CloseMailbox(ReceiveId::of(key.public()));
        let answer = self.shared.found(Call::new(&operation).key(key)).await?;
        answer.map_or(Ok(false), |answer| answer.nothing(&[204]).map(|()| true))
    }

    /// Revokes capabilities.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&self, key: &SigningKey, revoke: &Revoke) -> Result<(), ClientError> {
        let operation = Operation::Revoke(ReceiveId::of(key.public()));
        self.shared.call(Call::new(&operation).key(key).body(revoke)).await?.nothing(&[204])
    }

    /// Leaves a frame in a mailbox. A message id that the mailbox has seen is not left again.
    ///
    /// # Errors
    /// [`ClientError`]; [`Problem::NotFound`](crate::Problem) when there is no such mailbox, or it
    /// does not take this capability.
    pub async fn deposit(
        &self,
        to: SendId,
        capability: &Capability,
        message: MessageId,
        frame: &[u8],
    ) -> Result<(), ClientError> {
        let operation = Operation::Deposit(to);
        let call = Call::new(&operation).frame(message, capability, frame);
        self.shared.call(call).await?.nothing(&[202])
    }

    /// The oldest messages behind `after`, at most `limit`. When there are none it waits for one,
    /// for `wait` at most, which is taken in whole seconds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fetch(
        &self,
        key: &SigningKey,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<Messages, ClientError> {
        let mailbox = ReceiveId::of(key.public());
        let wait = wait.as_secs().min(MAX_WAIT);
        let operation = Operation::Fetch { mailbox, after, limit, wait };
        let call = Call::new(&operation).key(key).waiting(Duration::from_secs(wait));
        self.shared.call(call.expecting::<Messages>()).await?.body()
    }

    /// Removes messages for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ack(&self, key: &SigningKey, acks: &Acks) -> Result<Acked, ClientError> {
        let operation = Operation::Ack(ReceiveId::of(key.public()));
        let call = Call::new(&operation).key(key).body(acks).expecting::<Acked>();
        self.shared.call(call).await?.body()
    }

    /// Opens a stream of a mailbox. It connects by itself, again and again; news go to `news`.
    pub fn stream(&self, key: SigningKey, news: impl Fn(News) + Send + Sync + 'static) -> Stream {
        Stream::begin(self.clone(), key, Box::new(news))
    }

    /// Asks whether a relay is there, and how it is reached. Nothing is signed, and no connection
    /// is used that is there already.
    ///
    /// # Errors
    /// [`ClientError`], of which [`ClientError::Protocol`] says that what answers is no relay.
    pub async fn probe(&self) -> Result<Probe, ClientError> {
        probe::probe(&self.shared).await
    }
}

impl Shared {
    fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.pause, LONGEST_PAUSE)
    }
}

// Nobody is named, and where the relay is may be shown.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("plain_http_anywhere", &self.plain_http_anywhere)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
