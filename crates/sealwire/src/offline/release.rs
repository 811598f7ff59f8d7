//! What a message that opened brings, from its content to the effects that store it.

use std::sync::atomic::Ordering;

use super::{
    Event, Message,
    contact::ContactKey,
    content::{Body, Content, Part},
    facts,
    incoming::Place,
    parts::{self, LargeKey, NotTaken, Taken},
};
use crate::{Effects, Error, PeerFacts, agent::Inner, delivery::Device};

/// What a message brings once the effects are stored.
#[must_use = "what was stored is to be counted and told"]
pub(super) enum Release<'a> {
    /// Nothing that anybody is shown.
    Nothing,
    /// A message in the inbox.
    Message,
    /// A part of a large message.
    Part(Taken<'a>),
    /// The policy refused it.
    Denied(&'static str, Option<Taken<'a>>),
}

/// Asks the policy about a message, and puts what it brings into the effects.
///
/// # Errors
/// [`Error::Busy`] for a part for which there is no room now, and [`Error::Denied`] for one that
/// cannot wait.
pub(super) fn release<'a>(
    agent: &'a Inner,
    facts: &PeerFacts,
    contact: ContactKey,
    from: &Device,
    content: &Content,
    place: Place,
    effects: &mut Effects,
) -> Result<Release<'a>, Error> {
    let offline = agent.offline()?;
    match &content.body {
        Body::Answer => Ok(Release::Nothing),
        Body::Whole(payload) => {
            if let Some(reason) = facts::refusal(agent, facts, payload) {
                return Ok(Release::Denied(reason, None));
            }
            let row = Message::row(&content.message, from, agent.now(), payload);
            effects.release(offline.next_key(&content.message)?, row)?;
            Ok(Release::Message)
        }
        Body::Part(part) => {
            let key = LargeKey::new(contact, content.message);
            if parts::is_ended(offline, &key) {
                return Ok(Release::Nothing);
            }
            if let Some(reason) = refusal(agent, facts, part) {
                let refused = parts::refuse(agent, key, from, part, effects)?;
                return Ok(Release::Denied(reason, Some(refused)));
            }
            let to_stranger = matches!(place, Place::Contact(_));
            match parts::take(agent, key, from, part, to_stranger, effects)? {
                Ok(taken) => Ok(Release::Part(taken)),
                // One peer does not keep the first messages of the others waiting.
                Err(NotTaken::Peer) if to_stranger => {
                    Err(Error::Denied("more parts of large messages than may wait"))
                }
                Err(NotTaken::Peer | NotTaken::All) => Err(Error::Busy),
            }
        }
    }
}

// CON-12
fn refusal(agent: &Inner, facts: &PeerFacts, part: &Part) -> Option<&'static str> {
    if agent.admission.limits().large_kib_per_peer == 0 {
        return Some("large messages are not taken");
    }
    facts::refusal(agent, facts, &part.bytes)
}

impl Release<'_> {
    /// The effects are stored.
    pub(super) fn committed(self, agent: &Inner, from: &Device) -> Result<(), Error> {
        match self {
            Self::Nothing => {}
            Self::Message => {
                agent.offline()?.waiting.fetch_add(1, Ordering::SeqCst);
            }
            Self::Part(taken) => taken.committed(agent),
            Self::Denied(reason, refused) => {
                refused.into_iter().for_each(|refused| refused.committed(agent));
                agent.tell(Event::Denied { peer: from.clone(), reason });
            }
        }
        Ok(())
    }
}
