//! The agent's own cards: a file of card texts, newest last.
//!
//! A card is handed out and answered for until it ends, so a successor is signed in time and
//! the older ones stay in the file while a peer may hold them.

pub(crate) mod file;

use std::{fs, io, path::Path};

use sealwire::{
    CARD_LIFETIME,
    core::{KeyStore, Timestamp, time::MAX_CLOCK_SKEW},
    custody::atomic::FileLock,
    identity::{self, AgentId, IdentityCard, NewCard},
};
use sealwire_relay::client::RelayUrl;

pub(crate) use self::file::parse;
use crate::{error::Failure, home::Home, text::Plain};

/// The agent's own cards, newest last; none when there is no file.
pub(crate) fn read(home: &Home, now: Timestamp) -> Result<Vec<IdentityCard>, Failure> {
    let path = home.cards();
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("read", &path, &error)),
    };
    file::read(&text, now).map_err(|error| damaged(&path, &error))
}

/// The newest card. Fails with what to do when there is none.
pub(crate) fn current<'a>(
    home: &Home,
    cards: &'a [IdentityCard],
) -> Result<&'a IdentityCard, Failure> {
    cards.last().ok_or_else(|| {
        Failure::other(format!("no card in {home}; sign one with `sealwire id card`"))
    })
}

/// Whether it is time for a successor: half of the life is over, or it has not begun because
/// the clock was set back.
pub(crate) fn is_due(card: &IdentityCard, now: Timestamp) -> bool {
    let (begin, end) = (card.not_before(), card.not_after());
    now.since(begin) > end.since(begin) / 2 || begin > now.plus(MAX_CLOCK_SKEW)
}

/// The relay that a card names, for peers at other relays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'a> {
    /// Whatever the newest card does.
    AsBefore,
    /// This one, or none.
    As(Option<&'a RelayUrl>),
}

impl Named<'_> {
    /// Whether a card names it.
    pub(crate) fn is_in(self, card: &IdentityCard) -> bool {
        match self {
            Self::AsBefore => true,
            Self::As(relay) => card.home_relay() == relay.map(RelayUrl::to_string).as_deref(),
        }
    }

    /// What the successor of a card has to name.
    fn after(self, card: Option<&IdentityCard>) -> Option<String> {
        match self {
            Self::AsBefore => card.and_then(IdentityCard::home_relay).map(str::to_owned),
            Self::As(relay) => relay.map(RelayUrl::to_string),
        }
    }
}

/// Signs a successor where one is due, or anyway. Gives all cards that stand, newest last.
pub(crate) fn renew(
    home: &Home,
    keys: &dyn KeyStore,
    now: Timestamp,
    named: Named<'_>,
    anyway: bool,
) -> Result<Vec<IdentityCard>, Failure> {
    let path = home.cards();
    // Held from reading to writing: two cards of one sequence look like two holders of the key.
    let lock = FileLock::acquire(&path)?;
    let mut cards = read(home, now)?;
    let id = AgentId::from_key(keys.identity());
    if let Some(other) = cards.iter().find(|card| *card.id() != id) {
        return Err(foreign(&path, other));
    }
    let newest = cards.last();
    let due = newest
        .is_none_or(|card| is_due(card, now) || card.kx_id() < keys.newest() || !named.is_in(card));
    let relay = named.after(newest);
    let after = newest.map_or(0, IdentityCard::sequence).saturating_add(1);
    if due || anyway {
        // At least the time, so that a lost file does not bring back a sequence.
        let sequence = after.max(now.as_secs());
        cards.retain(|card| now <= card.not_after());
        let card = NewCard::new(sequence, now, CARD_LIFETIME);
        let card = relay.into_iter().fold(card, NewCard::home_relay);
        cards.push(card.sign(keys, keys.newest())?);
        lock.replace(file::to_text(&cards).as_bytes(), 0o600)?;
    }
    Ok(cards)
}

/// Fails when cards of an agent are left without its keys, so that no other agent is made on
/// top of them.
pub(crate) fn refuse_leftover(home: &Home, now: Timestamp) -> Result<(), Failure> {
    match read(home, now)?.last() {
        Some(card) => Err(foreign(&home.cards(), card)),
        None => Ok(()),
    }
}

fn damaged(path: &Path, error: &identity::Error) -> Failure {
    Failure::other(format!("{} is damaged: {error}", Plain::path(path)))
        .hint("move it away: it holds no secret, and `sealwire id card` signs a new card")
}

fn foreign(path: &Path, card: &IdentityCard) -> Failure {
    let message = format!("{} holds cards of another agent, {}", Plain::path(path), card.id());
    Failure::other(message).hint("move it away, or choose another directory with --home")
}
