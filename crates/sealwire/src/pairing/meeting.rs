//! A pairing through a relay: what carries its four messages.

use core::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use std::sync::Arc;

use sealwire_core::{Timestamp, keys::SigningKey, rng::draw, secret::Secret};
use sealwire_custody::system_rng;
use sealwire_relay::{
    Capability, MessageId, SendId, Token,
    client::Client,
    limits::MAX_NUMBER,
    wire::{MailboxKind, NewMailbox},
};

use super::{Code, Committed, Error as Pairing, MeetingBox, Paired, Role};
use crate::{
    Agent, Error,
    agent::blocking,
    delivery::{DeliveryError, failed},
};

/// A meeting at a relay, for one pairing.
///
/// The creator opens it before the code is told to anybody, so that the joiner finds it. Where
/// both agents have relays of their own, it is at the one that they agree on.
///
/// ```no_run
/// use std::time::Duration;
/// use sealwire::{Agent, Error, custody::system_rng, delivery::RelayDelivery};
/// use sealwire::pairing::{Code, Meeting, Role};
/// async fn create(agent: &Agent, relay: &RelayDelivery) -> Result<(), Error> {
///     let code = Code::generate(&mut system_rng())?;
///     let meeting = Meeting::open(relay.client(), code, Role::Creator).await?;
///     println!("at the other side, type {code}");
///     let limit = tokio::time::sleep(Duration::from_secs(600));
///     let paired = meeting.pair(agent, limit).await?;
///     println!("does the other screen say {}?", paired.phrase());
///     # let the_owner_says_so = || false;
///     if the_owner_says_so() {
///         agent.pin(paired.confirm())?;
///     }
///     Ok(())
/// }
/// ```
#[must_use = "nobody is met before Meeting::pair"]
pub struct Meeting {
    client: Client,
    code: Code,
    role: Role,
    own: Place,
    theirs: Place,
}

/// A mailbox of the meeting.
struct Place {
    key: SigningKey,
    send: SendId,
    deposit: Secret<32>,
}

/// How long a meeting lasts at most, and its mailboxes keep a message: an hour.
// PAIR-11
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Messages that one capability leaves: those that a side has in a pairing.
// PAIR-11
const PER_TOKEN: u32 = 2;

/// The last second of capabilities: they end with the mailbox.
const NEVER: Timestamp = Timestamp::from_secs(MAX_NUMBER);

/// How long a relay is asked to wait for a message.
const WAIT: Duration = Duration::from_secs(20);

/// Before it is asked again: a relay that answers at once, with nothing, is not asked in a ring.
const PAUSE: Duration = Duration::from_millis(250);

/// How long is spent on removing mailboxes, which empty by themselves.
const CLOSING: Duration = Duration::from_secs(5);

impl Meeting {
    /// Goes where the code leads, at this relay. The creator makes the place.
    ///
    /// The identity of the client, if it has one, is not used: the relay is not told who meets.
    ///
    /// # Errors
    /// [`Nobody`](super::Error::Nobody) where a joiner finds no place: the code is another, or has been used, or
    /// the creator is at another relay; [`Error::Delivery`].
    // PAIR-11
    pub async fn open(client: &Client, code: Code, role: Role) -> Result<Self, Error> {
        let rendezvous = code.rendezvous()?;
        let (own, theirs) = rendezvous.of(role);
        let (own, theirs) = (Place::new(own)?, Place::new(theirs)?);
        let meeting = Self { client: client.clone(), code, role, own, theirs };
        let opened = match role {
            Role::Creator => meeting.make().await,
            Role::Joiner => meeting.find().await,
        };
        match opened {
            Ok(()) => Ok(meeting),
            Err(error) => {
                if role == Role::Creator {
                    meeting.close(true).await;
                }
                Err(error)
            }
        }
    }

    async fn make(&self) -> Result<(), Error> {
        for place in [&self.own, &self.theirs] {
            let mailbox = place.mailbox()?;
            self.client.create_mailbox(&place.key, &mailbox).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn find(&self) -> Result<(), Error> {
        match self.client.fetch(&self.own.key, 0, 1, Duration::ZERO).await.map_err(failed) {
            Ok(_) => Ok(()),
            Err(DeliveryError::Gone) => Err(Pairing::Nobody.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Pairs with whoever comes, until `end` is ready: a time limit, a signal, or both. It lasts
    /// an hour at most. A relay that is away meanwhile is waited for.
    ///
    /// Dropped before it is ready, it leaves its mailboxes at the relay, which empty within the
    /// hour.
    ///
    /// # Errors
    /// [`Error::Pairing`], with [`Stopped`](super::Error::Stopped) at the end and [`Ended`](super::Error::Ended) where the
    /// other side has given up; [`Error::Delivery`]; [`Error::OwnCardExpired`].
    pub async fn pair(self, agent: &Agent, end: impl Future<Output = ()>) -> Result<Paired, Error> {
        let outcome = {
            let mut exchange = pin!(tokio::time::timeout(LONGEST, self.exchange(agent)));
            let mut end = pin!(end);
            poll_fn(|context| match exchange.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(outcome.ok()),
                Poll::Pending => end.as_mut().poll(context).map(|()| None),
            })
            .await
        };
        let outcome = outcome.unwrap_or_else(|| Err(Pairing::Stopped.into()));
        self.close(outcome.is_err()).await;
        outcome
    }

    async fn exchange(&self, agent: &Agent) -> Result<Paired, Error> {
        let (code, role, card) = (self.code, self.role, agent.inner.own_card()?.clone());
        let begin = move || Ok(Committed::new(code, role, card, &mut system_rng())?);
        let (committed, commitment) = blocking(begin).await?;
        if !self.leave(&commitment).await? {
            return Err(Pairing::Ended.into());
        }
        let (after, theirs) = self.next(0).await?;
        let keys = Arc::clone(&agent.inner.keys);
        let answer =
            move || Ok(committed.handle_commitment(&theirs, keys.as_ref(), &mut system_rng())?);
        let (revealed, reveal) = blocking(answer).await?;
        // A side that has both messages removes its mailbox, and the answer to this one may have
        // been lost before. Whether it is so is seen in our own mailbox.
        let _is_left = self.leave(&reveal).await?;
        let (_, theirs) = self.next(after).await?;
        Ok(revealed.handle_reveal(&theirs, agent.inner.now())?)
    }

    /// Leaves a message for the other side. Says whether its mailbox is there.
    async fn leave(&self, frame: &[u8]) -> Result<bool, Error> {
        let mut rng = system_rng();
        let drawn = [draw::<16>(&mut rng), draw::<16>(&mut rng)];
        let [message, token] = drawn.map(|drawn| drawn.map_err(Pairing::from));
        let message = MessageId::from_bytes(*message?.expose());
        let token = Token::from_bytes(*token?.expose());
        let Place { send, deposit, .. } = &self.theirs;
        let capability = Capability::mint(deposit, send, &token, NEVER).map_err(Pairing::from)?;
        loop {
            let left = self.client.deposit(*send, &capability, message, frame).await;
            match left.map_err(failed) {
                Ok(()) => return Ok(true),
                Err(DeliveryError::Gone) => return Ok(false),
                Err(error) => rest(error).await?,
            }
        }
    }

    /// Waits for the first message behind a sequence.
    // PAIR-12
    async fn next(&self, after: u64) -> Result<(u64, Vec<u8>), Error> {
        loop {
            let found = self.client.fetch(&self.own.key, after, 1, WAIT).await;
            match found.map_err(failed) {
                Ok(found) => {
                    let mut messages = found.messages.into_iter();
                    if let Some(message) = messages.find(|message| message.sequence > after) {
                        return Ok((message.sequence, message.frame));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(DeliveryError::Gone) => return Err(Pairing::Ended.into()),
                Err(error) => rest(error).await?,
            }
        }
    }

    /// Removes what this side reads; all of the meeting when it failed, so that the other side
    /// need not wait.
    // PAIR-12
    async fn close(&self, failed: bool) {
        let closing = async {
            let theirs = Some(&self.theirs).filter(|_| failed);
            for Place { key, .. } in core::iter::once(&self.own).chain(theirs) {
                // What cannot be removed empties within the hour.
                let _ = self.client.close_mailbox(key).await;
            }
        };
        let _ = tokio::time::timeout(CLOSING, closing).await;
    }
}

/// Waits before a call is made again, where that can help: a mailbox that was filled up does not
/// empty during a pairing, and a clock is not set.
async fn rest(error: DeliveryError) -> Result<(), DeliveryError> {
    if !matches!(error, DeliveryError::Unreachable(_) | DeliveryError::Busy) {
        return Err(error);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

impl Place {
    fn new(place: &MeetingBox) -> Result<Self, Pairing> {
        let MeetingBox { seed, send, deposit } = place;
        let deposit = Secret::from_slice(deposit.expose())?;
        Ok(Self { key: SigningKey::from_seed(seed), send: SendId::from_bytes(*send), deposit })
    }

    /// What the creator makes. Whoever makes it has to say the same in every byte.
    // PAIR-11
    fn mailbox(&self) -> Result<NewMailbox, Pairing> {
        Ok(NewMailbox {
            send: self.send,
            kind: MailboxKind::Pairwise,
            secret: Secret::from_slice(self.deposit.expose())?,
            lifetime: LONGEST.as_secs(),
            per_token: PER_TOKEN,
        })
    }
}

// The code leads there.
impl fmt::Debug for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meeting").field("role", &self.role).finish_non_exhaustive()
    }
}
