//! Our protocol. Cards are the layer above's: `new` answers the secrets of this side, and the
//! test gives the card that the other implementation made of them with `card`, and the other
//! side's with `peer`, each with agent_id and card, the latter with identity and exchange, too.

#![expect(clippy::disallowed_types, reason = "a program draws its own randomness")]

use std::sync::Arc;

use getrandom::SysRng;
use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, kdf,
    keys::{StaticPublic, VerifyingKey},
    keystore::KeySeeds,
};
use sealwire_ratchet::{
    Arrival, Error, ReplayCache, Session, SessionId, Sessions,
    agreement::{self, Accepted, FirstMessage, Introduction, Local, PeerIdentity, ReplyTo},
    prekey::{
        Bundle, Contact, Kind, OneTimeKeys, PeerKeys, Prekeys, Publisher, Unclaimed,
        UnverifiedBundle,
    },
};
use serde_json::json;

use crate::{
    NOW,
    command::{Answer, Command, Fault, broken},
};

/// One agent with one device, which knows one other.
pub(crate) struct Peer {
    keys: Arc<MemoryKeyStore>,
    introduction: Introduction,
    prekeys: Prekeys,
    replay: ReplayCache,
    other: Option<Other>,
    sessions: Sessions,
}

/// The other agent, as its verified card has it.
struct Other {
    id: Vec<u8>,
    card: Vec<u8>,
    identity: VerifyingKey,
    exchange: StaticPublic,
}

impl Peer {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            keys: Arc::new(MemoryKeyStore::generate(&mut SysRng)?),
            introduction: Introduction::default(),
            prekeys: Prekeys::generate(0, NOW, &mut SysRng)?,
            replay: ReplayCache::default(),
            other: None,
            sessions: Sessions::new(),
        })
    }

    pub(crate) fn answer(&mut self, command: &Command) -> Result<Answer, Fault> {
        match command.text("op")? {
            "new" => self.make(u32::from(command.number("device")?)),
            "card" => self.introduce(command),
            "peer" => self.meet(command),
            "bundle" => self.bundle(),
            "page" => self.page(command.number("kind")?),
            "initiate" => self.initiate(command),
            "seal" => self.seal(command),
            "open" => self.open(&command.bytes("frame")?),
            "forget" => Ok(self.forget()),
            "active" => self.active(),
            "state" => self.state(command),
            other => Err(broken(other)),
        }
    }

    /// Forgets everything. Answers the secrets that a card is made of.
    fn make(&mut self, device: u32) -> Result<Answer, Fault> {
        let seeds = KeySeeds::generate(&mut SysRng)?;
        *self = Self::new()?;
        self.keys = Arc::new(MemoryKeyStore::from_seeds(&seeds)?);
        self.prekeys = Prekeys::generate(device, NOW, &mut SysRng)?;
        self.introduction.device = device;
        // version | count | identity 32 | number of the set | X25519 32 | …
        let bytes = seeds.to_bytes();
        let part = |from: usize| bytes.get(from..).and_then(|rest| rest.first_chunk::<32>());
        Ok(json!({
            "identity_seed": part(3).map(hex::encode),
            "exchange_secret": part(39).map(hex::encode),
        }))
    }

    fn introduce(&mut self, command: &Command) -> Result<Answer, Fault> {
        self.introduction.id = command.text("agent_id")?.as_bytes().to_vec();
        self.introduction.card = command.bytes("card")?;
        Ok(json!({}))
    }

    fn meet(&mut self, command: &Command) -> Result<Answer, Fault> {
        self.other = Some(Other {
            id: command.text("agent_id")?.as_bytes().to_vec(),
            card: command.bytes("card")?,
            identity: VerifyingKey::from_bytes(&command.bytes("identity")?)?,
            exchange: StaticPublic::from_bytes(&command.bytes("exchange")?)?,
        });
        Ok(json!({}))
    }

    fn other(&self) -> Result<&Other, Fault> {
        self.other.as_ref().ok_or_else(|| broken("there is no other agent"))
    }

    fn local(&self) -> Local {
        let keys = Arc::clone(&self.keys) as Arc<dyn KeyStore>;
        Local::new(keys, self.keys.newest(), self.introduction.clone())
    }

    fn card_hash(&self) -> [u8; 32] {
        kdf::sha256(&[&self.introduction.card])
    }

    fn publisher(&self) -> Publisher<'_> {
        let id = &self.introduction.id;
        Publisher { keys: &*self.keys, id, card_hash: self.card_hash() }
    }

    fn bundle(&mut self) -> Result<Answer, Fault> {
        let contact = Contact { mailbox: b"mailbox".to_vec(), capability: b"a right".to_vec() };
        let (bundle, change) = self.prekeys.bundle(&self.publisher(), &contact, NOW)?;
        self.prekeys.apply(change)?;
        Ok(json!({ "bundle": hex::encode(bundle) }))
    }

    /// A whole page: how many keys are asked for is not looked at.
    fn page(&mut self, kind: u8) -> Result<Answer, Fault> {
        let kind = Kind::from_u8(kind)?;
        let [x25519, kem] = [Kind::X25519, Kind::MlKem]
            .map(|each| if each == kind { 0 } else { u32::from(each.published()) });
        let missing = Unclaimed { x25519, kem };
        let refill = self.prekeys.refill(&self.publisher(), missing, NOW, &mut SysRng)?;
        let refill = refill.ok_or_else(|| broken("no page is due"))?;
        self.prekeys.apply(refill.change)?;
        let page = refill.pages.first().ok_or_else(|| broken("there is no page"))?;
        let blobs: Vec<String> = page.keys.iter().map(hex::encode).collect();
        Ok(json!({ "header": hex::encode(&page.header), "blobs": blobs }))
    }

    fn initiate(&mut self, command: &Command) -> Result<Answer, Fault> {
        let other = self.other()?;
        let peer = PeerKeys {
            id: &other.id,
            key: &other.identity,
            static_key: &other.exchange,
            kx: self.keys.newest(), // The first of both.
            card_hash: kdf::sha256(&[&other.card]),
        };
        let device = u32::from(command.number("device")?);
        let bundle = UnverifiedBundle::from_bytes(&command.bytes("bundle")?)?;
        let bundle = bundle.verify(&peer, device, None, NOW)?;
        let one_time = claimed(command, &bundle)?;
        let suite = Suite::from_u8(command.number("suite")?)?;
        let reply = ReplyTo { mailbox: Some(b"here".to_vec()), capability: None };
        let begun =
            agreement::initiate(&self.local(), &bundle, one_time, suite, reply, NOW, &mut SysRng)?;
        let session =
            Session::initiate(begun.agreed, &begun.prekey, begun.prefix, NOW, &mut SysRng)?;
        let id = session.id();
        self.sessions.begin(session, NOW)?;
        Ok(json!({ "session": named(id) }))
    }

    /// The session of a name.
    fn find(&self, command: &Command) -> Result<&Session, Fault> {
        let name: [u8; 16] = command.array("session")?;
        let mut sessions = self.sessions.iter().map(|(session, _)| session);
        let found = sessions.find(|session| *session.id().as_bytes() == name);
        found.ok_or(Fault::Refused(Error::Misuse("there is no such session")))
    }

    fn seal(&mut self, command: &Command) -> Result<Answer, Fault> {
        let session = self.find(command)?;
        let id = session.id();
        let sealed = session.seal(NOW, &mut SysRng, &command.bytes("data")?)?;
        self.sessions.apply(id, sealed.step)?;
        self.store()?;
        Ok(json!({ "frame": hex::encode(sealed.frame) }))
    }

    fn open(&mut self, frame: &[u8]) -> Result<Answer, Fault> {
        let first =
            if frame.get(1) == Some(&1) { Some(FirstMessage::from_frame(frame)?) } else { None };
        let (id, opened) = match first {
            None => self.sessions.open(NOW, frame)?,
            Some(first) => match self.sessions.with_prefix(first.prefix())? {
                None => return self.respond(&first),
                Some(id) => {
                    let session = self.sessions.get(id).ok_or_else(|| broken("it was there"))?;
                    (id, session.open(NOW, first.message())?)
                }
            },
        };
        self.sessions.apply(id, opened.step)?;
        self.sessions.drop_prefix(id)?;
        self.store()?;
        Ok(json!({ "session": named(id), "data": hex::encode(&*opened.plaintext), "new": false }))
    }

    /// A new session, if its first message opens.
    // AGR-14
    fn respond(&mut self, first: &FirstMessage<'_>) -> Result<Answer, Fault> {
        if first.kx() != self.keys.newest() {
            return Err(Error::NoPrekey.into());
        }
        let found = self.prekeys.find(first, NOW)?;
        let claim = agreement::respond(&self.local(), &[self.card_hash()], first, &found)?;
        let other = self.other()?;
        if claim.introduced().card() != other.card {
            return Err(broken("the card of a stranger"));
        }
        let identity =
            PeerIdentity { id: &other.id, key: &other.identity, static_key: &other.exchange };
        let Accepted { agreed, prekey, used, replay, .. } = claim.prove(identity)?;
        replay.as_ref().map_or(Ok(()), |entry| self.replay.check(entry))?;
        let mut session = Session::respond(agreed, &prekey, first.prefix(), NOW)?;
        let opened = session.open(NOW, first.message())?;

        let change = self.prekeys.consume(&used)?;
        self.prekeys.apply(change)?;
        replay.map_or(Ok(()), |entry| self.replay.insert(entry))?;
        session.apply(opened.step)?;
        let id = session.id();
        if self.sessions.arrive(session, NOW)?.0 == Arrival::Reset {
            self.sessions.accept_reset(id, NOW)?;
        }
        self.store()?;
        Ok(json!({ "session": named(id), "data": hex::encode(&*opened.plaintext), "new": true }))
    }

    /// Reads every session anew from its bytes, as after a restart.
    // RAT-25
    fn store(&mut self) -> Result<(), Fault> {
        let rows = self
            .sessions
            .iter()
            .map(|(session, standing)| Ok((Session::from_bytes(&session.to_bytes())?, standing)));
        self.sessions = Sessions::from_rows(rows.collect::<Result<Vec<_>, Error>>()?)?;
        Ok(())
    }

    /// Every session, as if it had never been. What is used up stays so.
    fn forget(&mut self) -> Answer {
        self.sessions = Sessions::new();
        json!({})
    }

    fn active(&self) -> Result<Answer, Fault> {
        let active = self.sessions.active().ok_or_else(|| broken("there is no session"))?;
        Ok(json!({ "session": named(active.id()) }))
    }

    fn state(&self, command: &Command) -> Result<Answer, Fault> {
        let session = self.find(command)?;
        Ok(json!({
            "epoch": session.pq_epoch(),
            "skipped": session.skipped(),
            "stalled": session.pq_stalled(),
        }))
    }
}

/// The one-time keys that the test claimed.
fn claimed(command: &Command, bundle: &Bundle) -> Result<OneTimeKeys, Fault> {
    let mut keys = OneTimeKeys::default();
    if let Some(opk) = command.part("opk") {
        let [header, blob] = [opk.bytes("header")?, opk.bytes("blob")?];
        keys.x25519 = Some(bundle.one_time_x25519(&header, &blob, NOW)?);
    }
    if let Some(kem) = command.part("kem") {
        let [header, blob] = [kem.bytes("header")?, kem.bytes("blob")?];
        keys.kem = Some(bundle.one_time_kem(&header, &blob, NOW)?);
    }
    Ok(keys)
}

fn named(id: SessionId) -> String {
    hex::encode(id.as_bytes())
}
