//! Answering: from a connection of whomever to a channel with a peer that policy admits.
//!
//! What a stranger can cost grows only as it pays: length, version and suite; the key number;
//! a token of its source; the gate; a place among the pending handshakes; and only then
//! decapsulation and DH, the card, the proof and the policy.

use std::sync::Arc;

use sealwire_noise::{
    Error as NoiseError, MAX_PAYLOAD, NoiseStream, Pattern, Preamble, Session,
    frame::{REFUSAL, read_message, read_preamble, read_record, write_all, write_message},
    responder,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Agent, Channel, Decision, Direction, Error, Handshake, PeerFacts, Source, agent::Inner,
    agent::Presented,
};

/// Exactly XX message 1, in bytes.
const XX_MESSAGE1: usize = 1216;
/// IK message 1 without its payload, in bytes.
const IK_MESSAGE1_OVERHEAD: usize = 1296;
/// XX message 3 without its payload, in bytes.
const XX_MESSAGE3_OVERHEAD: usize = 64;

impl Agent {
    /// Answers a connection from `source` and gives a channel to the peer once it has proven
    /// who it is, policy has admitted it, and its keys are confirmed.
    ///
    /// # Errors
    /// [`Error::Denied`] when the policy refuses, [`Error::Timeout`], [`Error::Busy`], and what
    /// [`Error`] says for the rest. The peer sees one constant refusal for every cause.
    pub async fn accept<T>(
        &self,
        mut stream: T,
        source: impl Into<Source>,
    ) -> Result<Channel<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let agent = &self.inner;
        let _open = agent.admission.open()?;
        let deadline = agent.admission.limits().deadline;
        let answered = answer(agent, &mut stream, source.into());
        let (session, facts) =
            tokio::time::timeout(deadline, answered).await.map_err(|_| Error::Timeout)??;
        let policy = Arc::clone(&agent.inbound);
        Ok(Channel::new(NoiseStream::new(stream, session), facts, policy, agent))
    }
}

/// One handshake; after a refused IK, one XX on the same stream.
async fn answer<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    source: Source,
) -> Result<(Session, PeerFacts), Error> {
    let preamble = match read_preamble(stream).await {
        Ok(preamble) => preamble,
        Err(error) => return refuse(stream, error.into()).await,
    };
    let refused = match answer_one(agent, stream, source, &preamble).await {
        Err(error) if preamble.pattern() == Pattern::Ik => error,
        Err(error) => return refuse(stream, error).await,
        established => return established,
    };
    write_all(stream, &REFUSAL).await?;
    // The initiator may try once more without a card. If it does not, the first error counts.
    let Ok(preamble) = read_preamble(stream).await else { return Err(refused) };
    if preamble.pattern() != Pattern::Xx {
        return refuse(stream, refused).await;
    }
    match answer_one(agent, stream, source, &preamble).await {
        Err(error) => refuse(stream, error).await,
        established => established,
    }
}

/// Tells the peer the one constant refusal and this side the cause.
async fn refuse<T: AsyncWrite + Unpin, R>(stream: &mut T, cause: Error) -> Result<R, Error> {
    // The peer may be gone already; the cause matters more than that.
    let _ = write_all(stream, &REFUSAL).await;
    Err(cause)
}

async fn answer_one<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    source: Source,
    preamble: &Preamble,
) -> Result<(Session, PeerFacts), Error> {
    let max = match preamble.pattern() {
        Pattern::Xx => XX_MESSAGE1,
        Pattern::Ik => IK_MESSAGE1_OVERHEAD + MAX_PAYLOAD,
    };
    let buffered = agent.admission.buffer(max)?;
    let message1 = read_message(stream, max).await?;
    match preamble.pattern() {
        Pattern::Xx => {
            agent.admission.take_token(source, agent.clock.elapsed())?;
            answer_xx(agent, stream, preamble, &message1).await
        }
        Pattern::Ik => {
            let kx = preamble.kx().ok_or(Error::Unreachable("an IK preamble names keys"))?;
            let gate = agent.gate(kx)?;
            agent.admission.take_token(source, agent.clock.elapsed())?;
            preamble.check_gate(&gate, &message1)?;
            drop(buffered);
            answer_ik(agent, stream, preamble, &message1).await
        }
    }
}

async fn answer_ik<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    preamble: &Preamble,
    message1: &[u8],
) -> Result<(Session, PeerFacts), Error> {
    let _pending = agent.admission.pending()?;
    let kx = preamble.kx().ok_or(Error::Unreachable("an IK preamble names keys"))?;
    let own_card = agent.card_for(kx, agent.now()).ok_or(Error::Denied("expired exchange keys"))?;
    let mut rng = sealwire_custody::system_rng();
    let claim = responder::answer_ik(agent.local(own_card), preamble, message1, &mut rng)?;
    let used = claim.payload().responder_card();
    if !used.is_some_and(|hash| agent.holds_card(hash, agent.now())) {
        return Err(Error::Denied("the peer used a card that this agent does not hold"));
    }
    let peer = agent.present(claim.payload())?;
    let proven = claim.prove(peer.identity())?;
    let facts = decide(agent, Handshake::NoiseIk, &peer)?;
    let (message2, replied) = proven.reply(peer.id().as_str().as_bytes())?;
    write_message(stream, &message2).await?;
    // Message 1 may be a replay: only this record shows that the peer is here.
    let mut confirmation = read_record(stream).await?;
    let session = replied.confirm(&mut confirmation)?;
    agent.meet(peer.card).await?;
    Ok((session, facts))
}

async fn answer_xx<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    preamble: &Preamble,
    message1: &[u8],
) -> Result<(Session, PeerFacts), Error> {
    if !agent.inbound.admits_strangers() {
        return Err(Error::Denied("strangers are not answered"));
    }
    if message1.len() != XX_MESSAGE1 {
        return Err(NoiseError::Handshake.into());
    }
    let pending = agent.admission.pending()?;
    let local = agent.local(agent.current_card());
    let mut rng = sealwire_custody::system_rng();
    let (message2, answered) = responder::answer_xx(local, preamble, message1, &mut rng)?;
    drop(pending);
    write_message(stream, &message2).await?;
    let max = XX_MESSAGE3_OVERHEAD + MAX_PAYLOAD;
    let _buffered = agent.admission.buffer(max)?;
    let message3 = read_message(stream, max).await?;
    let _pending = agent.admission.pending()?;
    let claim = answered.read(&message3)?;
    let peer = agent.present(claim.payload())?;
    let session = claim.prove(peer.identity())?;
    let facts = decide(agent, Handshake::NoiseXx, &peer)?;
    agent.meet(peer.card).await?;
    Ok((session, facts))
}

/// Asks the policy about the authenticated initiator.
fn decide(agent: &Inner, handshake: Handshake, peer: &Presented) -> Result<PeerFacts, Error> {
    let facts = agent.facts(Direction::Inbound, handshake, peer)?;
    match agent.inbound.on_accept(&facts) {
        Decision::Allow(_) => Ok(facts),
        Decision::Deny(reason) => Err(Error::Denied(reason)),
    }
}
