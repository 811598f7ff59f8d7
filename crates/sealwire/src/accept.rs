//! Answering: from a connection of whomever to a channel with a peer that policy admits.
//!
//! What a stranger can cost grows only as it pays: length, version and suite; the key number;
//! a token of its source; the gate; a place among the pending handshakes; and only then
//! decapsulation and DH, the card, the proof and the policy.

use std::{sync::Arc, time::Duration};

use sealwire_noise::{
    Error as NoiseError, NoiseStream, Pattern, Preamble, Session,
    frame::{REFUSAL, read_message, read_preamble, write_all, write_message},
    responder,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use crate::{
    Agent, Channel, Decision, Direction, Error, Handshake, PeerFacts, Source,
    agent::{Inner, Presented, blocking},
    connect::longest,
};

/// The longest IK confirmation, in bytes. An empty record has 17; the rest is for padding.
const MAX_CONFIRMATION: usize = 256;

/// How long a refused peer may take to read the refusal and close.
const FAREWELL: Duration = Duration::from_secs(1);
/// The most that is read from a refused peer, in bytes: more than one that goes on after XX 3
/// has in flight on a short way.
const MAX_FAREWELL: usize = 256 * 1024;

impl Agent {
    /// Answers a connection from `source` and gives a channel to the peer once it has proven
    /// who it is, policy has admitted it, and its keys are confirmed.
    ///
    /// It ends at the deadline of [`Limits`](crate::Limits). Dropping it closes the connection.
    /// It runs on tokio, with its timer.
    ///
    /// # Errors
    /// [`Error::Denied`] when the policy refuses, [`Error::Timeout`], [`Error::Busy`], and what
    /// [`Error`] says for the rest. The peer sees one constant refusal for every cause.
    ///
    /// # Example
    /// ```no_run
    /// use sealwire::Agent;
    /// # async fn serve(agent: Agent) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:7000").await?;
    /// loop {
    ///     let (stream, address) = listener.accept().await?;
    ///     let agent = agent.clone();
    ///     tokio::spawn(async move {
    ///         let mut channel = agent.accept(stream, address).await?;
    ///         while let Some(message) = channel.recv().await? {
    ///             channel.send(&message).await?;
    ///         }
    ///         channel.close().await
    ///     });
    /// }
    /// # }
    /// ```
    pub async fn accept<T>(
        &self,
        mut stream: T,
        source: impl Into<Source>,
    ) -> Result<Channel<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let agent = &self.inner;
        let _open = match agent.admission.open() {
            Ok(open) => open,
            Err(busy) => {
                // One attempt, no waiting: there is no place to wait in.
                let _ = timeout(Duration::ZERO, write_all(&mut stream, &REFUSAL)).await;
                return Err(busy);
            }
        };
        let answered = answer(agent, &mut stream, source.into());
        let (session, facts) = timeout(agent.admission.limits().deadline, answered)
            .await
            .map_err(|_| Error::Timeout)??;
        let policy = Arc::clone(&agent.inbound);
        Ok(Channel::new(NoiseStream::new(stream, session), facts, policy, agent))
    }
}

/// A preamble and message 1, read whole, and the room they take.
struct First {
    preamble: Preamble,
    message1: Vec<u8>,
    room: OwnedSemaphorePermit,
}

/// IK after message 2 is made and before it is written.
struct Replied {
    message2: Vec<u8>,
    handshake: responder::IkReplied,
    peer: Presented,
    facts: PeerFacts,
}

/// One handshake; after a refused IK, one XX on the same stream.
async fn answer<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    source: Source,
) -> Result<(Session, PeerFacts), Error> {
    let first = match read_first(agent, stream).await {
        Ok(first) => first,
        Err(error) => return refuse(stream, error).await,
    };
    if first.preamble.pattern() == Pattern::Xx {
        return answer_xx(agent, stream, source, first).await;
    }
    let cause = match answer_ik(agent, source, first).await {
        Ok(replied) => return confirm_ik(agent, stream, replied).await,
        Err(cause) => cause,
    };
    if write_all(stream, &REFUSAL).await.is_err() {
        return Err(cause);
    }
    // The initiator may try once more without a card. If it does not, the first cause counts.
    match read_first(agent, stream).await {
        Ok(second) if second.preamble.pattern() == Pattern::Xx => {
            answer_xx(agent, stream, source, second).await
        }
        _ => refuse(stream, cause).await,
    }
}

/// Tells the peer the one constant refusal and this side the cause.
async fn refuse<T, R>(stream: &mut T, cause: Error) -> Result<R, Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // The peer may be gone already; the cause matters more than that.
    let _ = timeout(FAREWELL, farewell(stream)).await;
    Err(cause)
}

/// Writes the refusal and reads what the peer has sent meanwhile. Closing a TCP socket with
/// unread bytes resets the connection, and the reset overtakes the refusal.
async fn farewell<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T) -> Result<(), Error> {
    write_all(stream, &REFUSAL).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    for _ in 0..MAX_FAREWELL / unread.len() {
        if stream.read(&mut unread).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn read_first<T: AsyncRead + Unpin>(agent: &Inner, stream: &mut T) -> Result<First, Error> {
    let preamble = read_preamble(stream).await?;
    let max = longest(preamble.pattern(), 1);
    let room = agent.admission.buffer(max)?;
    let message1 = match read_message(stream, max).await.map_err(Error::from) {
        // Nobody refuses with message 1: it is a message without a byte.
        Err(Error::Refused) => return Err(NoiseError::Handshake.into()),
        read => read?,
    };
    Ok(First { preamble, message1, room })
}

/// Everything of IK up to message 2, of which nothing has been written when it fails.
async fn answer_ik(agent: &Arc<Inner>, source: Source, first: First) -> Result<Replied, Error> {
    let First { preamble, message1, room } = first;
    let kx = preamble.kx().ok_or(Error::Unreachable("an IK preamble names keys"))?;
    let (gate, known) = agent.gate(kx).ok_or(Error::Unreachable("there is always a card"))?;
    agent.admission.take_token(source, agent.clock.elapsed())?;
    preamble.check_gate(gate, &message1)?;
    if !known {
        return Err(NoiseError::Gate.into());
    }
    drop(room);
    let pending = agent.admission.pending()?;
    let agent = Arc::clone(agent);
    blocking(move || {
        let _pending = pending;
        let own_card = agent.card_for(kx).ok_or(NoiseError::Gate)?;
        let mut rng = sealwire_custody::system_rng();
        let claim = responder::answer_ik(agent.local(own_card), &preamble, &message1, &mut rng)?;
        let used = claim.payload().responder_card();
        if !used.is_some_and(|hash| agent.holds_card(hash, kx)) {
            return Err(Error::Denied("the peer used a card that this agent does not hold"));
        }
        let peer = agent.present(&claim)?;
        let proven = claim.prove(peer.identity())?;
        let facts = decide(&agent, Handshake::NoiseIk, &peer)?;
        let (message2, handshake) = proven.reply(peer.id().as_str().as_bytes())?;
        Ok(Replied { message2, handshake, peer, facts })
    })
    .await
}

/// Message 2 and the confirmation. Nothing has changed on this side before that one opens.
async fn confirm_ik<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    replied: Replied,
) -> Result<(Session, PeerFacts), Error> {
    let Replied { message2, handshake, peer, facts } = replied;
    write_message(stream, &message2).await?;
    // Message 1 may be a replay: only this record shows that the peer is here.
    let mut confirmation = match read_message(stream, MAX_CONFIRMATION).await {
        Ok(confirmation) => confirmation,
        Err(error) => return refuse(stream, error.into()).await,
    };
    let agent = Arc::clone(agent);
    let confirmed = blocking(move || {
        let session = handshake.confirm(&mut confirmation)?;
        agent.meet(&peer, &facts)?;
        Ok((session, facts))
    });
    // The initiator takes its handshake for done: the refusal stands for the first record.
    match confirmed.await {
        Err(error) => refuse(stream, error).await,
        established => established,
    }
}

/// XX. After message 3 the refusal stands for the first record.
async fn answer_xx<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    source: Source,
    first: First,
) -> Result<(Session, PeerFacts), Error> {
    let (message2, answered) = match reply_xx(agent, source, first).await {
        Ok(replied) => replied,
        Err(error) => return refuse(stream, error).await,
    };
    write_message(stream, &message2).await?;
    match finish_xx(agent, stream, answered).await {
        Err(error) => refuse(stream, error).await,
        established => established,
    }
}

async fn reply_xx(
    agent: &Arc<Inner>,
    source: Source,
    first: First,
) -> Result<(Vec<u8>, responder::XxAnswered), Error> {
    let First { preamble, message1, room: _room } = first;
    agent.admission.take_token(source, agent.clock.elapsed())?;
    if !agent.inbound.admits_strangers() {
        return Err(Error::Denied("strangers are not answered"));
    }
    let pending = agent.admission.pending()?;
    let agent = Arc::clone(agent);
    blocking(move || {
        let _pending = pending;
        let local = agent.local(agent.own_card()?);
        let mut rng = sealwire_custody::system_rng();
        Ok(responder::answer_xx(local, &preamble, &message1, &mut rng)?)
    })
    .await
}

async fn finish_xx<T: AsyncRead + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    answered: responder::XxAnswered,
) -> Result<(Session, PeerFacts), Error> {
    let max = longest(Pattern::Xx, 3);
    let room = agent.admission.buffer(max)?;
    let message3 = read_message(stream, max).await?;
    let pending = agent.admission.pending()?;
    let agent = Arc::clone(agent);
    blocking(move || {
        let _held = (room, pending);
        let claim = answered.read(&message3)?;
        let peer = agent.present(&claim)?;
        let session = claim.prove(peer.identity())?;
        let facts = decide(&agent, Handshake::NoiseXx, &peer)?;
        agent.meet(&peer, &facts)?;
        Ok((session, facts))
    })
    .await
}

/// Asks the policy about the authenticated initiator.
fn decide(agent: &Inner, handshake: Handshake, peer: &Presented) -> Result<PeerFacts, Error> {
    let facts = agent.facts(Direction::Inbound, handshake, peer)?;
    match agent.inbound.on_accept(&facts) {
        Decision::Allow(_) => Ok(facts),
        Decision::Deny(reason) => Err(Error::Denied(reason)),
    }
}
