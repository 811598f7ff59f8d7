//! Telling whoever sends a large message where the rest of it goes.
//!
//! An initiator whom nobody has answered puts its introduction in front of every frame, and
//! leaves them in the mailbox for strangers. That is well for a message and bad for a file, so
//! the first parts of one are answered without waiting for the application to write.

use std::sync::Arc;

use sealwire_ratchet::Role;

use super::{
    contact::{Changed, Contact},
    content::Body,
    outbox::{self, Holds},
    outgoing::{commit, may_write, on, seal},
    parts::LargeKey,
};
use crate::{
    Effects, Error,
    agent::Inner,
    delivery::{Device, MailboxKind},
};

/// Answers what is to be answered, and delivers that. Whoever calls it holds `syncing`.
// CON-15
pub(super) async fn give(agent: &Arc<Inner>) -> Result<(), Error> {
    let offline = agent.offline()?;
    let mut given = false;
    let unanswered = offline.ledger().unanswered();
    for (key, peer) in unanswered {
        given |= answer(agent, &key, &peer).await?;
        offline.ledger().set_answered(&key);
    }
    if given { outbox::flush(agent).await } else { Ok(()) }
}

/// Says whether the peer had to be told.
async fn answer(agent: &Arc<Inner>, key: &LargeKey, peer: &Device) -> Result<bool, Error> {
    let offline = agent.offline()?;
    let held = offline.hold(peer).await?;
    let (mut held, owes) = on(agent, held, |agent, contact| owes(agent, contact)).await?;
    if !owes {
        return Ok(false);
    }
    if held.known.mailbox.is_none() {
        held.known.mailbox = Some(offline.delivery.open_mailbox(MailboxKind::Pairwise).await?);
        offline.wake.mailboxes_changed();
    }
    let message = key.message;
    let answered = on(agent, held, move |agent, contact| {
        let mut effects = Effects::new();
        seal(agent, contact, message, Body::Answer, Holds::Answer, &mut effects)?;
        commit(agent, contact, Changed::All, effects)
    });
    answered.await.map(|_| true)
}

/// Whether the peer has not heard from us in the session in which it writes, and may.
fn owes(agent: &Inner, contact: &Contact) -> Result<bool, Error> {
    let active = contact.sessions()?.active();
    let unheard =
        active.is_some_and(|session| session.role() == Role::Responder && session.sent() == 0);
    if !unheard || contact.known.renew || contact.known.theirs.is_none() {
        return Ok(false);
    }
    match may_write(agent, contact) {
        Err(Error::Denied(_)) => Ok(false),
        asked => asked.map(|()| true),
    }
}
