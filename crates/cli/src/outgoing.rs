//! Sending: to the outbox, and from there until a relay has it.

use std::time::Duration;

use sealwire::{
    Draft, Error, MAX_PAYLOAD_LEN, NoRoute, Transfer, Waiting,
    core::rng::draw,
    custody,
    delivery::{DeliveryError, MessageId},
    identity::AgentId,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use crate::{
    error::{Exit, Failure},
    mail::Mail,
    patience::Patience,
};

/// A message to be sent, beside its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) peer: AgentId,
    /// What tells a repetition.
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) size: Size,
    /// How long nothing may move.
    pub(crate) patience: Duration,
}

/// How a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// In one frame.
    Short,
    /// In parts. Of so many bytes together, where that is known.
    Long(Option<u64>),
}

/// How far a message is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Empty as long as it has none.
    pub(crate) message: String,
    pub(crate) bytes: u64,
    pub(crate) length: Option<u64>,
    /// Why nothing moves.
    pub(crate) waiting: Option<String>,
}

impl Outgoing {
    /// Sends the bytes of `source`, and returns when a relay has them all.
    pub(crate) async fn send(
        &self,
        mail: &Mail,
        source: &mut (impl AsyncRead + Unpin + Send),
        tell: impl FnMut(Moved) + Send,
    ) -> Result<MessageId, Failure> {
        // A card may have come since the last message.
        let elsewhere = mail.route(&self.peer)?;
        match self.size {
            Size::Short => self.short(mail, source, elsewhere, tell).await,
            Size::Long(length) => self.long(mail, source, length, elsewhere, tell).await,
        }
    }

    async fn long(
        &self,
        mail: &Mail,
        source: &mut (impl AsyncRead + Unpin + Send),
        length: Option<u64>,
        elsewhere: Option<String>,
        mut tell: impl FnMut(Moved) + Send,
    ) -> Result<MessageId, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let drawn = draw::<16>(&mut custody::system_rng());
                drawn.map_err(|error| Failure::other(error.to_string()))?.expose().to_vec()
            }
        };
        self.find(mail, length, elsewhere.clone(), &mut tell).await?;
        let transfer = Transfer::new(&name).patience(self.patience);
        let transfer = match length {
            Some(length) => transfer.length(length),
            None => transfer,
        };
        let transfer = transfer.on_progress(|now| tell(Moved::from(&now)));
        let sent = mail.agent.send_large(&self.peer, source, transfer).await;
        sent.map_err(|error| self.long_failure(error, elsewhere))
    }

    /// Waits until the peer can be written to: a source is read once, and cannot be tried again.
    async fn find(
        &self,
        mail: &Mail,
        length: Option<u64>,
        elsewhere: Option<String>,
        mut tell: impl FnMut(Moved) + Send,
    ) -> Result<(), Failure> {
        let mut patience = Patience::lasting(self.patience);
        loop {
            let found = match mail.finds(&self.peer).await {
                Ok(true) => return Ok(()),
                Ok(false) => Error::NoRoute(NoRoute::Offline),
                Err(error) => error,
            };
            let failure = begin_failure(found, elsewhere.clone());
            let waiting = Some(failure.message().to_owned());
            tell(Moved { length, waiting, ..Moved::default() });
            patience.wait(failure).await?;
        }
    }

    fn long_failure(&self, error: Error, elsewhere: Option<String>) -> Failure {
        let failure = match error {
            Error::Misuse(what) => Failure::other(format!("it cannot be sent: {what}")).hint(
                "where the file was changed meanwhile, send it again; where another command sends \
                 it, let that one end",
            ),
            Error::SourceChanged => Failure::new(Exit::Usage, error.to_string())
                .hint("with --once, choose another key for another message"),
            error => begin_failure(error, elsewhere),
        };
        match (failure.exit(), &self.name) {
            (Exit::Later, Some(_)) => {
                failure.hint("the same command goes on where this one stopped")
            }
            (Exit::Later, None) => failure.hint(
                "what is read from a pipe begins anew; a file, or --once, goes on where it stopped",
            ),
            _ => failure,
        }
    }

    /// Seals a message, and delivers it.
    async fn short(
        &self,
        mail: &Mail,
        source: &mut (impl AsyncRead + Unpin + Send),
        elsewhere: Option<String>,
        mut tell: impl FnMut(Moved) + Send,
    ) -> Result<MessageId, Failure> {
        // At full capacity first: growing leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PAYLOAD_LEN + 1));
        let read = source.take(MAX_PAYLOAD_LEN as u64 + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| Failure::other(format!("the message cannot be read: {error}")))?;
        let mut patience = Patience::lasting(self.patience);
        let length = Some(bytes.len() as u64);
        let mut wait = |message: String, failure: &Failure| {
            let waiting = Some(failure.message().to_owned());
            tell(Moved { message, bytes: 0, length, waiting });
        };
        let message = loop {
            match mail.agent.send(&self.peer, self.draft(&bytes)).await {
                Ok(message) => break message,
                Err(Error::Misuse(_)) if self.name.is_some() => return Err(used_key()),
                Err(error) => {
                    let failure = begin_failure(error, elsewhere.clone());
                    wait(String::new(), &failure);
                    patience.wait(failure).await?;
                }
            }
        };
        loop {
            let flushed = mail.flush().await;
            if !mail.agent.is_undelivered(&message).await? {
                let lost = mail.is_lost(&message);
                return if lost { Err(self.lost()) } else { Ok(message) };
            }
            // Other messages may have been delivered, or not, meanwhile.
            let failure = flushed.err().unwrap_or_else(not_taken);
            wait(message.to_string(), &failure);
            patience.wait(failure).await.map_err(in_outbox)?;
        }
    }

    fn draft(&self, bytes: &[u8]) -> Draft {
        match &self.name {
            Some(name) => Draft::new(bytes).once(name),
            None => Draft::new(bytes),
        }
    }

    fn lost(&self) -> Failure {
        let message = "the message cannot be delivered: the peer's mailbox is gone";
        Failure::new(Exit::Refused, message).hint(match self.name {
            Some(_) => "send it again under another --once key, which looks for the new mailbox",
            None => "send it again, which looks for the new one",
        })
    }
}

/// Why a session with the peer was not begun.
fn begin_failure(error: Error, elsewhere: Option<String>) -> Failure {
    match (error, elsewhere) {
        (Error::NoRoute(NoRoute::Offline), Some(relay)) => {
            let message = format!(
                "the peer's prekeys are not at this agent's relay, and {relay}, which its card \
                 names, is none that this agent may talk to"
            );
            Failure::new(Exit::Usage, message).hint("add it to agent.other_relays")
        }
        (Error::Delivery(DeliveryError::Refused(what)), Some(relay)) => {
            Failure::new(Exit::Usage, format!("{what}: {relay}"))
                .hint("add it to agent.other_relays")
        }
        (error, _) => error.into(),
    }
}

fn used_key() -> Failure {
    let message = "this --once key was used for another message to this peer";
    Failure::new(Exit::Usage, message).hint("nothing was sent; choose another key")
}

fn not_taken() -> Failure {
    Failure::new(Exit::Later, "the relay has not taken the message")
}

/// Says that a message is not lost when it is not delivered.
fn in_outbox(failure: Failure) -> Failure {
    failure.hint("the message is sealed, and in the outbox: the next `send` or `recv` delivers it")
}

impl From<&sealwire::Progress> for Moved {
    fn from(now: &sealwire::Progress) -> Self {
        let waits_for = |waiting| match waiting {
            Waiting::Full => "the peer's mailbox is full until it reads",
            Waiting::Busy => "the relay asks to call less often",
            Waiting::Unreachable => "the relay cannot be reached",
            Waiting::Answer => "the peer has to be there once before more is sent to it",
            _ => "there is something to wait for",
        };
        Self {
            message: now.message.to_string(),
            bytes: now.delivered,
            length: now.length,
            waiting: now.waiting.map(|waiting| waits_for(waiting).to_owned()),
        }
    }
}
