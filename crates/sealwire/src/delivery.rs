//! What stands between agents that are not online at the same time: a directory of prekeys,
//! and mailboxes.
//!
//! [`Delivery`] is all that an agent asks of it. [`InProcess`] is one for agents of one
//! process; `RelayDelivery` (feature `relay`) is a relay. Whatever implements it is trusted with nothing but to deliver:
//! bundles, pages and frames are signed or sealed, and are checked by whoever receives them.

mod bell;
mod in_process;
#[cfg(feature = "relay")]
mod relay;

use core::{fmt, future::Future, pin::Pin};

use sealwire_core::Timestamp;
use sealwire_identity::AgentId;
use sealwire_ratchet::prekey::{Kind, PrekeyId, Unclaimed};
use zeroize::Zeroizing;

pub use in_process::{InProcess, Seen};
#[cfg(feature = "relay")]
pub(crate) use relay::failed;
#[cfg(feature = "relay")]
pub use relay::{RelayDelivery, RelaySettings};

/// What a call of [`Delivery`] gives: a future that can be sent to another thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeliveryError>> + Send + 'a>>;

/// A directory of prekeys, and mailboxes.
///
/// Every call may be repeated: one whose answer was lost is made again. A call that was
/// answered has taken effect for good, in so far as the delivery keeps anything for good.
///
/// ```
/// use sealwire::delivery::{Delivery, DeliveryError, InProcess, MailboxKind, MessageId};
/// # async fn example() -> Result<(), DeliveryError> {
/// let office = InProcess::new();
/// let opened = office.open_mailbox(MailboxKind::Contact).await?;
///
/// let frame = vec![0; 2048];
/// let id = MessageId::from_bytes([7; 16]);
/// office.deposit(&opened.address, id, &frame).await?;
/// // An answer was lost, and the call made again: there is one message.
/// office.deposit(&opened.address, id, &frame).await?;
///
/// let found = office.fetch(&opened.handle, 10).await?;
/// assert_eq!((found.len(), &found[0].frame), (1, &frame));
/// office.ack(&opened.handle, &[found[0].sequence]).await?;
/// assert!(office.fetch(&opened.handle, 10).await?.is_empty());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
pub trait Delivery: Send + Sync + fmt::Debug {
    /// Makes a device's card and bundle those that are handed out, and adds pages to those
    /// that are there. A page that is there already is not added again.
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()>;

    /// The card and bundle of a device, if it published any.
    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>>;

    /// Takes a one-time key of each kind, where one is left. The same nonce is answered with
    /// the same keys.
    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed>;

    /// How many one-time keys of this agent's device have not been claimed.
    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed>;

    /// Opens a mailbox.
    fn open_mailbox(&self, kind: MailboxKind) -> Pending<'_, OpenedMailbox>;

    /// Closes a mailbox, with all that is in it. One that is not there is no error.
    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()>;

    /// Leaves a frame in a mailbox. A message id that the mailbox has seen is not left again.
    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()>;

    /// The oldest frames of a mailbox, at most `limit`. They stay until they are acknowledged.
    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>>;

    /// Removes frames for good.
    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()>;

    /// Watches mailboxes. The watch stands before it is given: of all that is left afterwards
    /// it says so, so that whoever fetches then misses nothing. A mailbox that cannot be
    /// watched now is watched as soon as it can, and of one that is gone it says that something
    /// arrived: fetching shows what.
    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>>;

    /// The address of a mailbox, to be told to peers from now on, where capabilities end after
    /// a time: one that outlives what is published now. Where they do not, it is the one that
    /// the mailbox was opened with.
    fn address<'a>(&'a self, of: &'a OpenedMailbox) -> Pending<'a, Address> {
        Box::pin(core::future::ready(Ok(of.address.clone())))
    }
}

/// What [`Delivery::watch`] gives. To drop it ends it.
pub trait Watch: Send + fmt::Debug {
    /// Waits for news: at once where there were some since the last call. Nothing is lost when
    /// the future is dropped before it is ready. It may say so once too often, as after a
    /// connection that broke, but not too seldom.
    fn changed(&mut self) -> Pending<'_, Notice>;
}

/// News of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Something was left in one of the mailboxes.
    Arrived,
    /// One-time prekeys of the device whose contact mailbox is among them run low.
    PrekeysLow,
}

/// One running state of an agent: replicas are devices of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an agent and a number")]
pub struct Device {
    /// The agent.
    pub agent: AgentId,
    /// Its number, 0 for an agent that has one.
    pub number: u32,
}

/// What a device publishes.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the directory keeps for a device")]
pub struct Publication {
    /// The card that the bundle belongs to, and the bundle.
    pub published: Published,
    /// New pages of one-time keys.
    pub pages: Vec<PrekeyPage>,
    /// The mailbox that the bundle names: who watches it is told when one-time keys run low.
    pub contact: Address,
}

/// A card and the bundle that belongs to it. Nothing here has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a card and its bundle")]
pub struct Published {
    /// The signed card.
    pub card: Vec<u8>,
    /// The signed bundle.
    pub bundle: Vec<u8>,
}

/// A page of one-time keys, as it is uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a signed header and what it signs")]
pub struct PrekeyPage {
    /// What the keys are.
    pub kind: Kind,
    /// The id of the first.
    pub base: PrekeyId,
    /// The last second in which its keys may be handed out.
    pub not_after: Timestamp,
    /// The signed header.
    pub header: Vec<u8>,
    /// The keys, each with its path to the signed root, in the order of their ids.
    pub keys: Vec<Vec<u8>>,
}

/// What a claim brought. A kind that is drained brings nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an agreement takes these two")]
pub struct Claimed {
    /// An X25519 key.
    pub x25519: Option<ClaimedKey>,
    /// An ML-KEM-768 key.
    pub kem: Option<ClaimedKey>,
}

/// A one-time key and what proves it. Nothing here has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a key and the header that signs it")]
pub struct ClaimedKey {
    /// The signed header of its page.
    pub header: Vec<u8>,
    /// The key with its path.
    pub key: Vec<u8>,
}

/// What a mailbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these two")]
pub enum MailboxKind {
    /// First messages of whoever holds the bundle.
    Contact,
    /// Messages of one peer, who was told of it in a sealed message.
    Pairwise,
}

/// A mailbox that was opened.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "its two ends")]
pub struct OpenedMailbox {
    /// What reads it. Secret.
    pub handle: MailboxHandle,
    /// What writes into it.
    pub address: Address,
}

/// What reads and closes a mailbox: whatever the delivery needs for that, sealed in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct MailboxHandle(Zeroizing<Vec<u8>>);

/// Where a mailbox takes messages, and the capability to leave them there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    mailbox: Vec<u8>,
    capability: Vec<u8>,
}

impl From<&AgentId> for Device {
    /// The device that peers write to.
    fn from(agent: &AgentId) -> Self {
        Self { agent: agent.clone(), number: 0 }
    }
}

impl From<&Self> for Device {
    fn from(device: &Self) -> Self {
        device.clone()
    }
}

/// Names a message: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

/// A frame that was left in a mailbox.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a mailbox keeps for a frame")]
pub struct Arrived {
    /// Its number in this mailbox, ascending.
    pub sequence: u64,
    /// The id under which it was left. Whoever left it chose it.
    pub message: MessageId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Why a call of [`Delivery`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It cannot be reached, or did not answer.
    #[error("the delivery cannot be reached: {0}")]
    Unreachable(#[source] std::io::Error),
    /// Too many calls; later it will do it.
    #[error("the delivery asks to call less often")]
    Busy,
    /// The mailbox is full; it empties when its owner fetches.
    #[error("the mailbox is full")]
    Full,
    /// There is no such mailbox, or it does not take this capability.
    #[error("the mailbox is gone, or does not take this capability")]
    Gone,
    /// This clock and the delivery's are too far apart.
    #[error("the clock of this machine is {seconds} s {} that of the delivery", side(*.is_ahead))]
    Clock {
        /// How far.
        seconds: u64,
        /// Whether it is this clock that is ahead.
        is_ahead: bool,
    },
    /// It will not do this, now or later.
    #[error("the delivery refuses: {0}")]
    Refused(&'static str),
}

impl DeliveryError {
    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy | Self::Full | Self::Clock { .. })
    }
}

fn side(is_ahead: bool) -> &'static str {
    if is_ahead { "ahead of" } else { "behind" }
}

impl MailboxHandle {
    /// The longest, in bytes: some keys and ids.
    pub const MAX_LEN: usize = 512;

    /// For implementations of [`Delivery`].
    ///
    /// # Errors
    /// [`DeliveryError::Refused`] for one over [`MailboxHandle::MAX_LEN`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DeliveryError> {
        match bytes.len() {
            0..=Self::MAX_LEN => Ok(Self(bytes)),
            _ => Err(DeliveryError::Refused("the handle of a mailbox is too long")),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Address {
    /// The longest id of a mailbox, in bytes (PRE-5, AGR-10).
    pub const MAX_MAILBOX_LEN: usize = 64;
    /// The longest capability, in bytes (PRE-5, AGR-10).
    pub const MAX_CAPABILITY_LEN: usize = 256;

    /// An address.
    ///
    /// # Errors
    /// [`DeliveryError::Refused`] for parts that are too long.
    pub fn new(mailbox: &[u8], capability: &[u8]) -> Result<Self, DeliveryError> {
        let fits =
            mailbox.len() <= Self::MAX_MAILBOX_LEN && capability.len() <= Self::MAX_CAPABILITY_LEN;
        if !fits {
            return Err(DeliveryError::Refused("the address of a mailbox is too long"));
        }
        Ok(Self { mailbox: mailbox.to_vec(), capability: capability.to_vec() })
    }

    /// The id of the mailbox, for sending.
    pub fn mailbox(&self) -> &[u8] {
        &self.mailbox
    }

    /// The capability.
    pub fn capability(&self) -> &[u8] {
        &self.capability
    }
}

impl MessageId {
    /// An id of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

// Logs show no mailboxes, no capabilities and no sizes.
impl fmt::Debug for MailboxHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxHandle(..)")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, message: _, frame: _ } = self;
        f.debug_struct("Arrived").field("sequence", sequence).finish_non_exhaustive()
    }
}
