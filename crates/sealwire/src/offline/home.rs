//! What an agent has one of: its contact mailbox, its prekeys, and the cards it showed.

use sealwire_core::Timestamp;
use sealwire_identity::IdentityCard;
use sealwire_ratchet::{
    ReplayCache,
    agreement::FirstMessage,
    prekey::{
        self, Change, Found, Kind, PAGE_LIFETIME, Prekeys, Publisher, ROTATE_AFTER, Rotation,
        Unclaimed, Used,
    },
    replay::Replayable,
};

use super::rows::{RowReader, RowWriter, each_row};
use crate::{
    Agent, Effects, Error,
    agent::{CARD_KEPT, Inner, blocking},
    delivery::{Device, MailboxKind, OpenedMailbox, PrekeyPage, Publication, Published},
    store::{RowKey, Store, Table, Value},
};

/// Prefix of the rows of the replay cache.
const REPLAY: &[u8] = b"first ";

/// What an agent has one of.
pub(super) struct Home {
    own: Device,
    /// A commit failed: what is in memory may not be what is stored.
    stale: bool,
    mailbox: Option<OpenedMailbox>,
    /// The cards that peers were shown and that first messages may still name, as signed.
    cards: Vec<Vec<u8>>,
    /// When new signed prekeys are due.
    rotate_at: Timestamp,
    /// The replay cache fills up: new signed prekeys are due at once.
    filling: bool,
    prekeys: Option<Prekeys>,
    replays: ReplayCache,
    /// The owner was told that prekeys are low.
    told: bool,
}

impl Agent {
    /// Publishes prekeys, so that peers can write to this agent while it is offline: a bundle
    /// beside the card, and as many one-time keys as are missing. Does what is due and no more,
    /// so that it can be called at every start, and on [`Event::PrekeysLow`](crate::Event).
    ///
    /// What is private is stored before anything is published.
    ///
    /// # Errors
    /// [`Error::Delivery`], after which it is to be called again; [`Error::OwnCardExpired`];
    /// [`Error::State`]; [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// See [`Agent::send`].
    pub async fn publish_prekeys(&self) -> Result<(), Error> {
        let agent = &self.inner;
        let offline = agent.offline()?;
        let mut home = offline.home.clone().lock_owned().await;
        if home.mailbox.is_none() {
            home.mailbox = Some(offline.delivery.open_mailbox(MailboxKind::Contact).await?);
            offline.wake.mailboxes_changed();
        }
        if let Some(mailbox) = &mut home.mailbox {
            mailbox.address = offline.delivery.address(mailbox).await?;
        }
        let left = offline.delivery.remaining(&offline.own).await?;
        let worker = agent.clone();
        let (mut home, publication) = blocking(move || {
            let publication = home.publish(&worker, left);
            if publication.is_err() {
                home.stale = true;
            }
            Ok((home, publication?))
        })
        .await?;
        offline.delivery.publish(&offline.own, &publication).await?;
        home.told = false;
        Ok(())
    }
}

impl Home {
    const WHAT: &'static str = "home row";
    /// The most cards kept, the newest: more than an agent signs in the weeks that one is named.
    const MAX_CARDS: usize = 32;

    fn key() -> Result<RowKey, Error> {
        Ok(RowKey::new(b"home")?)
    }

    /// What is stored, and the cards in it.
    pub(super) fn load(
        store: &dyn Store,
        own: &Device,
    ) -> Result<(Self, Vec<IdentityCard>), Error> {
        let mut home = Self::new(own);
        if let Some(value) = store.get(Table::Meta, &Self::key()?)? {
            home.read(&value)?;
        }
        home.read_prekeys(store)?;
        let cards = home.shown()?;
        Ok((home, cards))
    }

    fn new(own: &Device) -> Self {
        Self {
            own: own.clone(),
            stale: false,
            mailbox: None,
            cards: Vec::new(),
            rotate_at: Timestamp::default(),
            filling: false,
            prekeys: None,
            replays: ReplayCache::new(),
            told: false,
        }
    }

    /// The cards that peers were shown.
    fn shown(&self) -> Result<Vec<IdentityCard>, Error> {
        let card = |card: &Vec<u8>| Ok(IdentityCard::from_bytes(card)?.claimed().clone());
        self.cards.iter().map(card).collect()
    }

    /// The row of whichever device, written again.
    #[cfg(feature = "hazmat")]
    pub(super) fn again(value: &[u8]) -> Result<Value, Error> {
        let own = RowReader::new(Self::WHAT, value)?.device()?;
        let mut home = Self::new(&own);
        home.read(value)?;
        home.shown()?;
        Ok(home.to_value())
    }

    fn read(&mut self, value: &[u8]) -> Result<(), Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        if row.device()? != self.own {
            return Err(Error::Misuse("the store is that of another agent or device"));
        }
        self.mailbox = row.maybe(RowReader::mailbox)?;
        self.rotate_at = row.time()?;
        while !row.is_at_end() {
            self.cards.push(row.bytes16()?.to_vec());
        }
        Ok(())
    }

    fn read_prekeys(&mut self, store: &dyn Store) -> Result<(), Error> {
        let mut rows = Vec::new();
        each_row(store, Table::Prekey, &[], |row| {
            rows.push((prekey::RowKey::from_bytes(row.key.as_bytes())?, row.value));
            Ok(())
        })?;
        if !rows.is_empty() {
            let rows = rows.iter().map(|(key, value)| (*key, value.as_slice()));
            self.prekeys = Some(Prekeys::from_rows(rows)?);
        }
        each_row(store, Table::Replay, REPLAY, |row| {
            Ok(self.replays.insert(Replayable::from_bytes(&row.value)?)?)
        })
    }

    /// Reads all of it again after a failed commit.
    pub(super) fn refresh(&mut self, store: &dyn Store) -> Result<(), Error> {
        if self.stale {
            let mailbox = self.mailbox.take();
            *self = Self { told: self.told, ..Self::load(store, &self.own)?.0 };
            // One that was opened and not stored is used still.
            self.mailbox = self.mailbox.take().or(mailbox);
        }
        Ok(())
    }

    fn to_value(&self) -> Value {
        let len = self.cards.iter().map(|card| card.len().saturating_add(2)).sum();
        let row = RowWriter::new(len)
            .device(&self.own)
            .maybe(self.mailbox.as_ref(), RowWriter::mailbox)
            .time(self.rotate_at);
        self.cards.iter().fold(row, |row, card| row.bytes16(card)).finish()
    }

    /// The mailbox for first messages.
    pub(super) fn mailbox(&self) -> Option<&OpenedMailbox> {
        self.mailbox.as_ref()
    }

    /// Makes what is due, and commits it.
    fn publish(&mut self, agent: &Inner, left: Unclaimed) -> Result<Publication, Error> {
        let store = agent.offline()?.store.as_ref();
        self.refresh(store)?;
        let (now, aged) = (agent.now(), !agent.is_ahead());
        let card = agent.own_card()?;
        if aged {
            self.forget_cards(now);
        }
        let mailbox = self.mailbox.as_ref().ok_or(Error::Unreachable("it was opened"))?;
        let address = mailbox.address.clone();
        let contact = prekey::Contact {
            mailbox: address.mailbox().to_vec(),
            capability: address.capability().to_vec(),
        };
        let publisher = Publisher {
            keys: agent.keys.as_ref(),
            id: agent.id.as_str().as_bytes(),
            card_hash: *card.hash().as_bytes(),
        };

        let mut effects = Effects::new();
        let mut prekeys = self.rotated(now, &mut effects)?;
        if aged {
            self.expire(&mut prekeys, now, &mut effects)?;
        }
        let mut pages = Vec::new();
        let mut rng = sealwire_custody::system_rng();
        if let Some(refill) = prekeys.refill(&publisher, left, now, &mut rng)? {
            persist(&refill.change, &mut effects)?;
            prekeys.apply(refill.change)?;
            pages = refill.pages;
        }
        let (bundle, change) = prekeys.bundle(&publisher, &contact, now)?;
        persist(&change, &mut effects)?;
        prekeys.apply(change)?;
        self.prekeys = Some(prekeys);
        self.filling = false;
        effects.put(Table::Meta, Self::key()?, self.to_value())?;
        let _ = store.commit(effects)?;

        let not_after = now.plus(PAGE_LIFETIME);
        let pages = pages.into_iter().map(|page| PrekeyPage {
            kind: page.kind,
            base: page.base,
            not_after,
            header: page.header,
            keys: page.keys,
        });
        let published = Published { card: card.as_bytes().to_vec(), bundle };
        Ok(Publication { published, pages: pages.collect(), contact: address })
    }

    /// Stores a card that peers will be shown, unless it is known.
    pub(super) fn keep_card(
        &mut self,
        store: &dyn Store,
        card: &IdentityCard,
    ) -> Result<(), Error> {
        if self.cards.iter().any(|kept| kept == card.as_bytes()) {
            return Ok(());
        }
        self.cards.push(card.as_bytes().to_vec());
        let surplus = self.cards.len().saturating_sub(Self::MAX_CARDS);
        self.cards.drain(..surplus);
        let mut effects = Effects::new();
        effects.put(Table::Meta, Self::key()?, self.to_value())?;
        let _ = store.commit(effects)?;
        Ok(())
    }

    /// Forgets cards that no message can name any more.
    fn forget_cards(&mut self, now: Timestamp) {
        self.cards.retain(|kept| {
            let kept = IdentityCard::from_bytes(kept);
            kept.is_ok_and(|card| now <= card.claimed().not_after().plus(CARD_KEPT))
        });
    }

    /// The prekeys with a signed prekey that need not be replaced.
    fn rotated(&mut self, now: Timestamp, effects: &mut Effects) -> Result<Prekeys, Error> {
        let mut rng = sealwire_custody::system_rng();
        let Some(mut prekeys) = self.prekeys.take() else {
            let prekeys = Prekeys::generate(self.own.number, now, &mut rng)?;
            for (key, value) in prekeys.rows() {
                effects.put(Table::Prekey, RowKey::new(&key.to_bytes())?, value)?;
            }
            self.rotate_at = now.plus(ROTATE_AFTER);
            return Ok(prekeys);
        };
        let reason = if self.filling { Rotation::Now } else { Rotation::WhenDue };
        let rotated = match prekeys.rotate(reason, now, &mut rng) {
            // A flood of first messages does not take the room of those that fall due.
            Err(sealwire_ratchet::Error::PrekeysFull) if self.filling => None,
            rotated => rotated?,
        };
        if let Some(change) = rotated {
            persist(&change, effects)?;
            prekeys.apply(change)?;
            self.rotate_at = now.plus(ROTATE_AFTER);
        }
        Ok(prekeys)
    }

    /// Drops private halves that no first message can need any more, and what was remembered of
    /// messages to them.
    fn expire(
        &mut self,
        prekeys: &mut Prekeys,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let Some(change) = prekeys.expire(now) else { return Ok(()) };
        persist(&change, effects)?;
        prekeys.apply(change)?;
        for orphan in self.replays.orphans(|kem| prekeys.holds_last_resort(kem)) {
            effects.delete(Table::Replay, replay_key(&orphan)?)?;
            self.replays.remove(&orphan);
        }
        Ok(())
    }

    /// Whether [`Agent::publish_prekeys`] has something to do, said once.
    pub(super) fn runs_low(&mut self, left: Unclaimed, now: Timestamp) -> bool {
        if self.prekeys.is_none() || self.told {
            return false;
        }
        let half = |kind: Kind| u32::from(kind.published() / 2);
        self.told = left.x25519 <= half(Kind::X25519)
            || left.kem <= half(Kind::MlKem)
            || now >= self.rotate_at
            || self.filling
            || self.mailbox.is_none();
        self.told
    }

    /// The delivery says that prekeys run low. Whether that is to be told: once.
    pub(super) fn hears_low(&mut self) -> bool {
        let tell = self.prekeys.is_some() && !self.told;
        self.told |= tell;
        tell
    }

    /// The delivery does not have the contact mailbox any more.
    pub(super) fn lose_mailbox(&mut self) {
        self.mailbox = None;
        self.told = false;
    }

    /// The private halves that a first message names.
    pub(super) fn find(
        &self,
        first: &FirstMessage<'_>,
        now: Timestamp,
    ) -> Result<Found<'_>, Error> {
        let prekeys = self.prekeys.as_ref().ok_or(sealwire_ratchet::Error::NoPrekey)?;
        Ok(prekeys.find(first, now)?)
    }

    /// Whether a first message that could be replayed is none.
    pub(super) fn check_replay(&self, replay: Option<&Replayable>) -> Result<(), Error> {
        Ok(replay.map_or(Ok(()), |replay| self.replays.check(replay))?)
    }

    /// What a first message uses up, for the transaction that stores its session.
    pub(super) fn consume(
        &self,
        used: &Used,
        replay: Option<&Replayable>,
        effects: &mut Effects,
    ) -> Result<Change, Error> {
        let prekeys = self.prekeys.as_ref().ok_or(sealwire_ratchet::Error::NoPrekey)?;
        let change = prekeys.consume(used)?;
        persist(&change, effects)?;
        if let Some(replay) = replay {
            effects.put(Table::Replay, replay_key(replay)?, Value::new(replay.to_bytes()))?;
        }
        Ok(change)
    }

    /// What was used up is stored as such.
    pub(super) fn consumed(
        &mut self,
        change: Change,
        replay: Option<Replayable>,
    ) -> Result<(), Error> {
        let prekeys = self.prekeys.as_mut().ok_or(Error::Unreachable("prekeys were found"))?;
        prekeys.apply(change)?;
        if let Some(replay) = replay {
            self.replays.insert(replay)?;
            self.filling |= self.replays.is_filling(replay.kem());
        }
        Ok(())
    }
}

fn persist(change: &Change, effects: &mut Effects) -> Result<(), Error> {
    for (key, row) in change.rows() {
        let key = RowKey::new(&key.to_bytes())?;
        match row {
            Some(row) => effects.put(Table::Prekey, key, Value::new(row.to_vec()))?,
            None => effects.delete(Table::Prekey, key)?,
        };
    }
    Ok(())
}

fn replay_key(replay: &Replayable) -> Result<RowKey, Error> {
    Ok(RowKey::new(&[REPLAY, &replay.to_bytes()].concat())?)
}
