//! Agents that run the whole protocol, each with a disk, and the directory between them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, Timestamp, kdf,
    keystore::{ExchangePublics, KeySeeds},
};
use sealwire_ratchet::{
    Error, ReplayCache, Session, SessionId, Sessions, Standing,
    agreement::{self, FirstMessage, Introduction, Local, PeerIdentity, ReplyTo},
    prekey::{
        Bundle, Change, Contact, OneTimeKeys, PageUpload, PeerKeys, Prekeys, Publisher, Rotation,
        RowKey, Unclaimed, UnverifiedBundle,
    },
    replay::Replayable,
};
use sealwire_testkit::rng::SeededRng;

pub(crate) const START: u64 = 1_800_000_000;

/// The most agents of a run.
pub(crate) const AGENTS: usize = 3;

/// What an agent begins every run with: keys take longest to make.
static HOMES: LazyLock<[Home; AGENTS]> = LazyLock::new(|| [0, 1, 2].map(Home::new));

struct Home {
    id: Vec<u8>,
    keys: Arc<MemoryKeyStore>,
    publics: ExchangePublics,
    rows: BTreeMap<RowKey, Vec<u8>>,
    bundle: Vec<u8>,
    x25519: PageUpload,
    kem: PageUpload,
}

impl Home {
    fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let now = Timestamp::from_secs(START);
        let seeds = KeySeeds::generate(&mut rng).expect("seeds");
        let keys = Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"));
        let publics = keys.public(keys.newest()).expect("a set");
        let id = format!("agent {seed}").into_bytes();
        let publisher = Publisher { keys: &*keys, id: &id, card_hash: kdf::sha256(&[&id]) };
        let mut prekeys = Prekeys::generate(0, now, &mut rng).expect("randomness");
        let none = Unclaimed { x25519: 0, kem: 0 };
        let refill = prekeys.refill(&publisher, none, now, &mut rng).expect("keys").expect("due");
        prekeys.apply(refill.change).expect("fresh");
        let (bundle, change) =
            prekeys.bundle(&publisher, &Contact::default(), now).expect("a bundle");
        prekeys.apply(change).expect("fresh");
        let [x25519, kem] = refill.pages.try_into().expect("a page of each kind");
        let rows = prekeys.rows().into_iter().map(|(key, row)| (key, row.to_vec())).collect();
        Self { id, keys, publics, rows, bundle, x25519, kem }
    }

    fn publisher(&self) -> Publisher<'_> {
        Publisher { keys: &*self.keys, id: &self.id, card_hash: kdf::sha256(&[&self.id]) }
    }

    /// The card is the id.
    fn local(&self) -> Local {
        let (id, card) = (self.id.clone(), self.id.clone());
        let introduction = Introduction { id, card, ..Introduction::default() };
        Local::new(Arc::clone(&self.keys) as Arc<dyn KeyStore>, self.keys.newest(), introduction)
    }

    fn verify(&self, bundle: &[u8], now: Timestamp) -> Bundle {
        let peer = PeerKeys {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
            kx: self.keys.newest(),
            card_hash: kdf::sha256(&[&self.id]),
        };
        let bundle = UnverifiedBundle::from_bytes(bundle).expect("a bundle");
        bundle.verify(&peer, 0, None, now).expect("its owner's")
    }

    fn identity(&self) -> PeerIdentity<'_> {
        PeerIdentity {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
        }
    }
}

/// What an agent has written down.
#[derive(Clone)]
pub(crate) struct Disk {
    prekeys: BTreeMap<RowKey, Vec<u8>>,
    replay: Vec<Vec<u8>>,
    sessions: Vec<(usize, Vec<u8>, [u8; 9])>,
}

/// An agent that runs.
pub(crate) struct Agent {
    number: usize,
    disk: Disk,
    prekeys: Prekeys,
    replay: ReplayCache,
    /// By peer.
    pub(crate) sessions: Vec<Sessions>,
    /// What the directory has of it.
    bundle: Vec<u8>,
}

/// A frame that is ready to leave.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) session: SessionId,
    pub(crate) nonce: [u8; 24],
}

/// One-time keys by their index in the page.
#[derive(Clone, Copy)]
pub(crate) struct Claimed {
    pub(crate) x25519: Option<usize>,
    pub(crate) kem: Option<usize>,
}

impl Agent {
    /// `pages`: with one-time keys.
    pub(crate) fn new(number: usize, pages: bool) -> Self {
        let mut prekeys = HOMES[number].rows.clone();
        prekeys.retain(|key, _| pages || *key == RowKey::Signed);
        let disk = Disk { prekeys, replay: Vec::new(), sessions: Vec::new() };
        Self::start(number, disk, HOMES[number].bundle.clone())
    }

    /// Reads everything back from a disk.
    fn start(number: usize, disk: Disk, bundle: Vec<u8>) -> Self {
        let rows = disk.prekeys.iter().map(|(key, row)| (*key, row.as_slice()));
        let prekeys = Prekeys::from_rows(rows).expect("own rows");
        let mut replay = ReplayCache::new();
        for row in &disk.replay {
            replay.insert(Replayable::from_bytes(row).expect("own row")).expect("its own");
        }
        let of = |peer| {
            let rows = disk.sessions.iter().filter(move |(with, ..)| *with == peer);
            let rows = rows.map(|(_, session, standing)| {
                let session = Session::from_bytes(session).expect("own bytes");
                (session, Standing::from_bytes(standing).expect("own bytes"))
            });
            Sessions::from_rows(rows).expect("own rows")
        };
        let sessions = (0..AGENTS).map(of).collect();
        Self { number, disk, prekeys, replay, sessions, bundle }
    }

    /// What is on its disk now.
    pub(crate) fn disk(&self) -> Disk {
        Disk { sessions: self.stored_sessions(), ..self.disk.clone() }
    }

    pub(crate) fn stored_sessions(&self) -> Vec<(usize, Vec<u8>, [u8; 9])> {
        let each = self.sessions.iter().enumerate();
        let rows = each.flat_map(|(peer, sessions)| {
            sessions.iter().map(move |(session, standing)| {
                (peer, session.to_bytes().to_vec(), standing.to_bytes())
            })
        });
        rows.collect()
    }

    pub(crate) fn restarted(&self) -> Self {
        self.on(self.disk())
    }

    /// This agent on another disk.
    pub(crate) fn on(&self, disk: Disk) -> Self {
        Self::start(self.number, disk, self.bundle.clone())
    }

    /// Bytes that it stores.
    pub(crate) fn stored_len(&self) -> usize {
        let Disk { prekeys, replay, sessions } = self.disk();
        let prekeys = prekeys.values().map(Vec::len);
        let replay = replay.iter().map(Vec::len);
        prekeys.chain(replay).chain(sessions.iter().map(|(_, bytes, _)| bytes.len() + 9)).sum()
    }

    fn write(&mut self, change: Change) {
        for (key, row) in change.rows() {
            match row {
                Some(row) => self.disk.prekeys.insert(key, row.to_vec()),
                None => self.disk.prekeys.remove(&key),
            };
        }
        self.prekeys.apply(change).expect("fresh");
    }

    /// Makes a new signed prekey and publishes it; whether it did.
    pub(crate) fn rotate(&mut self, reason: Rotation, now: Timestamp, rng: &mut SeededRng) -> bool {
        let change = match self.prekeys.rotate(reason, now, rng) {
            Ok(Some(change)) => change,
            Ok(None) | Err(Error::PrekeysFull) => return false,
            Err(error) => panic!("{error}"),
        };
        self.write(change);
        let home = &HOMES[self.number];
        let bundle = self.prekeys.bundle(&home.publisher(), &Contact::default(), now);
        let (bundle, change) = bundle.expect("a bundle");
        self.write(change);
        self.bundle = bundle;
        true
    }

    /// Drops what is past its time.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if let Some(change) = self.prekeys.expire(now) {
            self.write(change);
        }
        for orphan in self.replay.orphans(|kem| self.prekeys.holds_last_resort(kem)) {
            self.replay.remove(&orphan);
            self.disk.replay.retain(|row| *row != orphan.to_bytes());
        }
        for sessions in &mut self.sessions {
            drop(sessions.expire(now));
        }
    }

    /// Begins a session with `peer`, with these one-time keys of its page.
    pub(crate) fn begin(
        &mut self,
        peer: &Self,
        claimed: Claimed,
        suite: Suite,
        now: Timestamp,
        rng: &mut SeededRng,
    ) -> SessionId {
        let theirs = &HOMES[peer.number];
        let bundle = theirs.verify(&peer.bundle, now);
        let PageUpload { header, keys, .. } = &theirs.x25519;
        let x25519 = claimed.x25519.map(|key| bundle.one_time_x25519(header, &keys[key], now));
        let PageUpload { header, keys, .. } = &theirs.kem;
        let kem = claimed.kem.map(|key| bundle.one_time_kem(header, &keys[key], now));
        let one_time = OneTimeKeys {
            x25519: x25519.transpose().expect("a sound key"),
            kem: kem.transpose().expect("a sound key"),
        };
        let (local, reply) = (HOMES[self.number].local(), ReplyTo::default());
        let sent = agreement::initiate(&local, &bundle, one_time, suite, reply, now, rng);
        let sent = sent.expect("an agreement");
        let session = Session::initiate(sent.agreed, &sent.prekey, sent.prefix, now, rng);
        let session = session.expect("a session");
        let id = session.id();
        drop(self.sessions[peer.number].begin(session, now).expect("a new one"));
        id
    }

    /// Seals with the active session and stores the step.
    pub(crate) fn send(
        &mut self,
        to: usize,
        plaintext: &[u8],
        now: Timestamp,
        rng: &mut SeededRng,
    ) -> Frame {
        let sessions = &mut self.sessions[to];
        let header = sessions.active().expect("active").due_prefix().len() + 2;
        let (session, sealed) = sessions.seal(now, rng, plaintext).expect("sealed");
        sessions.apply(session, sealed.step).expect("fresh");
        let nonce = sealed.frame[header..header + 24].try_into().expect("24 bytes");
        Frame { bytes: sealed.frame, session, nonce }
    }

    /// Takes a frame that somebody left: who sent it and in which session, and what it says.
    pub(crate) fn receive(
        &mut self,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(usize, SessionId, Vec<u8>), Error> {
        if frame[1] == 1 {
            return self.receive_first(frame, now);
        }
        for (peer, sessions) in self.sessions.iter_mut().enumerate() {
            match sessions.open(now, frame) {
                Ok((id, opened)) => {
                    sessions.apply(id, opened.step)?;
                    sessions.drop_prefix(id)?;
                    return Ok((peer, id, opened.plaintext.to_vec()));
                }
                Err(Error::Open) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Open)
    }

    fn receive_first(
        &mut self,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(usize, SessionId, Vec<u8>), Error> {
        let first = FirstMessage::from_frame(frame)?;
        for (peer, sessions) in self.sessions.iter_mut().enumerate() {
            if let Some(id) = sessions.with_prefix(first.prefix())? {
                let opened = sessions.get(id).expect("held").open(now, first.message())?;
                sessions.apply(id, opened.step)?;
                return Ok((peer, id, opened.plaintext.to_vec()));
            }
        }
        let home = &HOMES[self.number];
        let found = self.prekeys.find(&first, now)?;
        let card = kdf::sha256(&[&home.id]);
        let claim = agreement::respond(&home.local(), &[card], &first, &found)?;
        let known = |home: &&Home| home.id == claim.introduced().card();
        let peer = HOMES.iter().position(|home| known(&home)).expect("a known card");
        let accepted = claim.prove(HOMES[peer].identity())?;
        if let Some(replay) = &accepted.replay {
            self.replay.check(replay)?;
        }
        let mut session = Session::respond(accepted.agreed, &accepted.prekey, first.prefix(), now)?;
        let opened = session.open(now, first.message())?;
        session.apply(opened.step)?;
        let id = session.id();
        let change = self.prekeys.consume(&accepted.used)?;
        self.write(change);
        if let Some(replay) = accepted.replay {
            self.disk.replay.push(replay.to_bytes());
            self.replay.insert(replay)?;
        }
        let (_, dropped) = self.sessions[peer].arrive(session, now)?;
        drop(dropped);
        Ok((peer, id, opened.plaintext.to_vec()))
    }
}
