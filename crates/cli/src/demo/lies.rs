//! What a relay could lie about, and what it has.

use std::{io, sync::Arc};

use sealwire::{
    Agent, Error,
    core::MemoryKeyStore,
    custody,
    delivery::{Delivery, Device, InProcess, Published},
    ratchet,
    store::MemoryStore,
};

use super::{
    offline::{Offline, deliver, numbered, sessions},
    post::Conduct,
    scan::{PIECE, Secret, is_there, look_for},
    story::Step,
};

/// Messages that are left at the relay in the end.
const UNREAD: u32 = 5;

const UNREAD_TEXT: &[u8] = b"nobody reads this at the relay, and Bob is away";

impl Offline {
    /// The relay answers with Mallory's prekeys when it is asked for Bob's.
    pub(super) async fn a_bundle_is_forged(&mut self) -> io::Result<Step> {
        self.post.behave(Conduct::Honest);
        let mallory = mallory().await?;
        let bobs = self.published_by_bob().await?;
        let swapped = Published { card: bobs.card, bundle: mallory.bundle.clone() };
        let alice = self.start(&self.alice)?;
        alice.close_sessions().await.map_err(io::Error::other)?;
        let whole = self.refusal(&alice, mallory).await?;
        let half = self.refusal(&alice, swapped).await?;
        let holds = matches!(whole, Some(Error::WrongPeer { .. }))
            && matches!(half, Some(Error::Ratchet(ratchet::Error::Signature(_))));
        let detail = "refused with Mallory's card, and with Bob's; nothing is sealed to it";
        Ok(Step {
            name: "the relay serves Mallory's bundle as Bob's",
            holds,
            detail: detail.into(),
        })
    }

    /// The relay answers with prekeys of Bob that he has replaced.
    pub(super) async fn a_bundle_is_stale(&mut self) -> io::Result<Step> {
        let stale = self.published_by_bob().await?;
        let (alice, bob) = (self.start(&self.alice)?, self.start(&self.bob)?);
        bob.publish_prekeys().await.map_err(io::Error::other)?;
        let mut holds = self.says(&alice, &bob, b"by the newest prekeys").await?;
        alice.close_sessions().await.map_err(io::Error::other)?;
        let refused = self.refusal(&alice, stale).await?;
        holds &= matches!(refused, Some(Error::Ratchet(ratchet::Error::OlderBundle)));
        holds &= self.says(&alice, &bob, b"and again").await?;
        let detail = "refused, since Alice has seen a newer one; with that one both talk on";
        Ok(Step { name: "the relay serves an older bundle of Bob", holds, detail: detail.into() })
    }

    /// What a thief of the relay finds: its database with unread messages, and its log.
    pub(super) async fn what_the_relay_had(self) -> io::Result<Step> {
        let alice = self.start(&self.alice)?;
        for number in 0..UNREAD {
            let body = numbered(number, UNREAD_TEXT);
            alice.send(&self.bob.id, body).await.map_err(io::Error::other)?;
        }
        deliver(&alice).await?;
        drop(alice);
        let unread = self.office.messages().await?;
        let Self { office, alice, bob, cards: [alices, bobs], bodies, .. } = self;
        let (files, seen) = office.close().await?;
        let names = alice.names();
        let secrets: [Secret<'_>; 3] = [
            ("plaintext", bodies.iter().map(Vec::as_slice).chain([UNREAD_TEXT]).collect()),
            ("a sender's card", pieces_but(&alices, &bobs)),
            (
                "a sender's id, key or hash, and so a pair",
                names.iter().map(Vec::as_slice).collect(),
            ),
        ];
        let (hidden, found) = look_for(&seen, &secrets);
        // The control: Bob has published there, so that the same search finds him.
        let control = is_there(&seen, bob.id.as_str().as_bytes()) && is_there(&seen, &bobs);
        let holds = hidden && control && unread == u64::from(UNREAD);
        let detail = format!(
            "{} bytes in {files} files, {unread} unread messages among them; {found}; Bob's card, \
             which he published, is found",
            seen.len()
        );
        Ok(Step { name: "what the relay's database and log hold", holds, detail })
    }

    /// Why Alice does not write to Bob when she is shown this as his. `None` when she does.
    async fn refusal(&self, alice: &Agent, lie: Published) -> io::Result<Option<Error>> {
        let before = (sessions(alice).await?, self.post.left().len());
        self.post.lie(Some(lie));
        let sent = alice.send(&self.bob.id, numbered(0, b"for Bob alone")).await;
        self.post.lie(None);
        deliver(alice).await?;
        let after = (sessions(alice).await?, self.post.left().len());
        Ok(sent.err().filter(|_| before == after))
    }

    async fn published_by_bob(&self) -> io::Result<Published> {
        let carrier = self.alice.carrier(&self.post, &self.relay)?;
        let found = carrier.bundle(&Device::from(&self.bob.id)).await.map_err(io::Error::other)?;
        found.ok_or_else(|| io::Error::other("Bob has published nothing"))
    }
}

/// What is in `card` and not in `other`: cards of one day have times and suites in common.
fn pieces_but<'a>(card: &'a [u8], other: &[u8]) -> Vec<&'a [u8]> {
    let pieces = card.as_chunks::<PIECE>().0.iter().map(<[u8; PIECE]>::as_slice);
    pieces.filter(|piece| !other.windows(PIECE).any(|part| part == *piece)).collect()
}

/// Prekeys of somebody else.
async fn mallory() -> io::Result<Published> {
    let keys = MemoryKeyStore::generate(&mut custody::system_rng()).map_err(io::Error::other)?;
    let office = Arc::new(InProcess::new());
    let delivery = Arc::<InProcess>::clone(&office);
    let agent = Agent::builder(Arc::new(keys)).store(Arc::new(MemoryStore::new()));
    let agent = agent.delivery(delivery).build().map_err(io::Error::other)?;
    agent.publish_prekeys().await.map_err(io::Error::other)?;
    let found = office.bundle(&Device::from(agent.id())).await.map_err(io::Error::other)?;
    found.ok_or_else(|| io::Error::other("Mallory has published nothing"))
}
