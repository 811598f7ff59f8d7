//! What must happen, told without a single key: who has which sessions, which messages still
//! open, how many KEM secrets each root has taken in. Written from the specification.

use std::collections::{BTreeMap, BTreeSet};

use sealwire_ratchet::{
    SessionId,
    limits::{
        ARCHIVE_LIFETIME, MAX_ARCHIVED, MAX_OLD_HEADER_KEYS, MAX_SKIP, MAX_SKIPPED_KEYS,
        SKIPPED_KEY_LIFETIME, SKIPPED_KEY_RECEIVES,
    },
    prekey::{MAX_FORCED, MAX_SIGNED, PAGE_KEPT, PAGE_LIFETIME, ROTATE_AFTER, SIGNED_KEPT},
};

/// A message as the model sees it: where it stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) session: SessionId,
    pub(crate) from: usize,
    pub(crate) to: usize,
    spot: Spot,
}

impl Place {
    /// Of a message that nothing is foretold of.
    pub(crate) fn unknown(session: SessionId, from: usize, to: usize) -> Self {
        let field = Field::Nothing;
        let spot = Spot { prefixed: false, chain: 0, n: 0, pn: 0, epoch: 0, field };
        Self { session, from, to, spot }
    }
}

/// What its header says, and what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Spot {
    prefixed: bool,
    chain: u32,
    n: u32,
    pn: u32,
    epoch: u32,
    field: Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Field {
    Nothing,
    Key,
    Ciphertext,
}

/// What a first message was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct First {
    pub(crate) x25519: Option<usize>,
    pub(crate) kem: Option<usize>,
    /// When the signed prekey was made.
    pub(crate) signed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    pub(crate) now: u64,
    born: u64,
    agents: Vec<Agent>,
    agreements: BTreeMap<SessionId, Agreement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Agreement {
    first: First,
    /// The responder has taken it, once and for all.
    accepted: bool,
    /// Two copies of one state have sent in it: what still opens is not foretold.
    forked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Agent {
    /// When each signed prekey that is kept was made.
    signed: Vec<u64>,
    used_x25519: BTreeSet<usize>,
    used_kem: BTreeSet<usize>,
    /// By peer.
    sessions: Vec<Vec<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    id: SessionId,
    standing: Standing,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    Active,
    Archived(u64),
    Reset(u64),
}

/// One end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct End {
    initiator: bool,
    prefix_due: bool,
    /// Chains begun; the newest has the number below.
    chains: u32,
    due: bool,
    n: u32,
    pn: u32,
    /// The newest chain of the peer, and the first message in it that was not derived.
    receiving: Option<(u32, u32)>,
    batches: Vec<Batch>,
    /// Older chains of the peer whose headers are still known.
    old: Vec<u32>,
    sent: u64,
    received: u64,
    kem: Kem,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    chain: u32,
    stored: u64,
    received: u64,
    keys: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kem {
    Own(u32, bool),
    Pending(u32),
    Await(u32, bool),
    Sent(u32),
}

/// What a session shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) epoch: u32,
}

impl Model {
    pub(crate) fn new(agents: usize, now: u64) -> Self {
        let agent = Agent {
            signed: vec![now],
            used_x25519: BTreeSet::new(),
            used_kem: BTreeSet::new(),
            sessions: vec![Vec::new(); agents],
        };
        let agents = vec![agent; agents];
        Self { now, born: now, agents, agreements: BTreeMap::new() }
    }

    pub(crate) fn active(&self, of: usize, with: usize) -> Option<SessionId> {
        self.entry(of, with, |entry| entry.standing == Standing::Active).map(|entry| entry.id)
    }

    pub(crate) fn shown(&self, of: usize, with: usize) -> BTreeMap<SessionId, Shown> {
        let entries = self.agents[of].sessions[with].iter();
        let shown =
            |end: &End| Shown { sent: end.sent, received: end.received, epoch: end.kem.epoch() };
        entries.map(|entry| (entry.id, shown(&entry.end))).collect()
    }

    pub(crate) fn is_forked(&self, session: SessionId) -> bool {
        self.agreements[&session].forked
    }

    /// Whether this session waits at `of` as a reset.
    pub(crate) fn waits(&self, of: usize, with: usize, id: SessionId) -> bool {
        let is = |entry: &Entry| entry.id == id && matches!(entry.standing, Standing::Reset(_));
        self.entry(of, with, is).is_some()
    }

    /// A reset of `with` that waits at `of`.
    pub(crate) fn waiting(&self, of: usize, with: usize) -> Option<SessionId> {
        self.entry(of, with, |entry| matches!(entry.standing, Standing::Reset(_)))
            .map(|entry| entry.id)
    }

    fn entry(&self, of: usize, with: usize, is: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.agents[of].sessions[with].iter().find(|entry| is(entry))
    }

    /// Whether one-time keys are still handed out.
    pub(crate) fn pages_are_served(&self) -> bool {
        self.now <= self.born + PAGE_LIFETIME
    }

    /// When the newest signed prekey of `of` was made.
    pub(crate) fn newest_signed(&self, of: usize) -> u64 {
        *self.agents[of].signed.last().expect("there is always one")
    }

    /// Whether `of` makes a new signed prekey, out of turn or because it is due.
    pub(crate) fn rotate(&mut self, of: usize, forced: bool) -> bool {
        let now = self.now;
        let due = forced || now >= self.newest_signed(of) + ROTATE_AFTER;
        let room = if forced { MAX_FORCED } else { MAX_SIGNED };
        let signed = &mut self.agents[of].signed;
        let made = due && signed.len() < room;
        if made {
            signed.push(now);
        }
        made
    }

    /// Drops what is past its time.
    pub(crate) fn expire(&mut self, of: usize) {
        let now = self.now;
        let agent = &mut self.agents[of];
        let newest = *agent.signed.last().expect("there is always one");
        agent.signed.retain(|made| now <= made + SIGNED_KEPT || *made == newest);
        for entries in &mut agent.sessions {
            expire(entries, now);
        }
    }

    /// `from` begins a session.
    pub(crate) fn begin(&mut self, from: usize, to: usize, id: SessionId, first: First) {
        let agreement = Agreement { first, accepted: false, forked: false };
        assert!(self.agreements.insert(id, agreement).is_none(), "a session of its own");
        let entry = Entry { id, standing: Standing::Archived(self.now), end: End::new(true) };
        let entries = &mut self.agents[from].sessions[to];
        entries.insert(0, entry);
        activate(entries, id, self.now);
        expire(entries, self.now);
    }

    /// `from` sends to `to` in its active session.
    pub(crate) fn send(&mut self, from: usize, to: usize) -> Place {
        let now = self.now;
        let entries = self.agents[from].sessions[to].iter_mut();
        let entry = { entries }.find(|entry| entry.standing == Standing::Active).expect("active");
        Place { session: entry.id, from, to, spot: entry.end.send(now) }
    }

    /// A copy of an old state of `from` has sent in this session.
    pub(crate) fn fork(&mut self, session: SessionId) {
        self.agreements.get_mut(&session).expect("known").forked = true;
    }

    /// Whether the message opens where it is meant to; `None` when that is not foretold.
    pub(crate) fn opens(&self, place: &Place) -> Option<bool> {
        let agreement = &self.agreements[&place.session];
        if agreement.forked {
            return None;
        }
        let held = self.entry(place.to, place.from, |entry| entry.id == place.session);
        Some(match held {
            Some(entry) => entry.end.position(&place.spot, self.now).is_some(),
            None => {
                place.spot.prefixed
                    && self.accepts(place.to, agreement)
                    && End::new(false).position(&place.spot, self.now).is_some()
            }
        })
    }

    /// Whether `of` still holds what a first message names, and has not seen it.
    fn accepts(&self, of: usize, agreement: &Agreement) -> bool {
        let (agent, First { x25519, kem, signed }) = (&self.agents[of], agreement.first);
        let page_kept = self.now <= self.born + PAGE_KEPT;
        let held = |key: Option<usize>, used: &BTreeSet<usize>| {
            key.is_none_or(|key| page_kept && !used.contains(&key))
        };
        !agreement.accepted
            && self.now <= signed + SIGNED_KEPT
            && held(x25519, &agent.used_x25519)
            && held(kem, &agent.used_kem)
    }

    /// The message has opened.
    pub(crate) fn opened(&mut self, place: &Place) {
        let (now, id) = (self.now, place.session);
        let agreement = self.agreements.get_mut(&id).expect("known");
        let (forked, First { x25519, kem, .. }) = (agreement.forked, agreement.first);
        let agent = &mut self.agents[place.to];
        let entries = &mut agent.sessions[place.from];
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
            entry.end.open(&place.spot, now, forked);
            return;
        }
        agreement.accepted = true;
        agent.used_x25519.extend(x25519);
        agent.used_kem.extend(kem);
        let mut end = End::new(false);
        end.open(&place.spot, now, forked);
        arrive(entries, Entry { id, standing: Standing::Reset(now), end }, now);
        expire(entries, now);
    }

    /// `of` moves to a reset of `with`.
    pub(crate) fn accept_reset(&mut self, of: usize, with: usize, id: SessionId) {
        activate(&mut self.agents[of].sessions[with], id, self.now);
    }
}

/// The peer began: beside nothing, beside one of ours that nobody answered, or beside a
/// working one.
fn arrive(entries: &mut Vec<Entry>, entry: Entry, now: u64) {
    let id = entry.id;
    let ours = entries.iter().find(|entry| entry.standing == Standing::Active);
    let ours = ours.map(|entry| (entry.id, entry.end.initiator && entry.end.received == 0));
    entries.insert(0, entry);
    match ours {
        None => activate(entries, id, now),
        Some((_, false)) => {}
        Some((ours, true)) => {
            let new = entries.first_mut().expect("just inserted");
            new.standing = Standing::Archived(now);
            activate(entries, ours.min(id), now);
        }
    }
}

fn activate(entries: &mut [Entry], id: SessionId, now: u64) {
    for entry in entries {
        if entry.id == id {
            entry.standing = Standing::Active;
        } else if entry.standing == Standing::Active {
            entry.standing = Standing::Archived(now);
        }
    }
}

/// Of those that do not send the newest stay, for a month; of those set aside within a second,
/// what came last.
fn expire(entries: &mut Vec<Entry>, now: u64) {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.standing.since()));
    let mut others = 0;
    entries.retain(|entry| match entry.standing.since() {
        None => true,
        Some(since) => {
            others += 1;
            others <= MAX_ARCHIVED && now - since < ARCHIVE_LIFETIME
        }
    });
}

impl Standing {
    fn since(self) -> Option<u64> {
        match self {
            Self::Active => None,
            Self::Archived(since) | Self::Reset(since) => Some(since),
        }
    }
}

/// Where a message falls at the end that receives it.
enum Position {
    Stored,
    Newest,
    New,
}

impl End {
    fn new(initiator: bool) -> Self {
        Self {
            initiator,
            prefix_due: initiator,
            chains: u32::from(initiator),
            due: false,
            n: 0,
            pn: 0,
            receiving: None,
            batches: Vec::new(),
            old: Vec::new(),
            sent: 0,
            received: 0,
            kem: if initiator { Kem::Own(1, false) } else { Kem::Await(1, false) },
        }
    }

    // RAT-10, RAT-15
    fn send(&mut self, now: u64) -> Spot {
        if self.due {
            self.pn = if self.chains == 0 { 0 } else { self.n };
            (self.chains, self.n, self.due) = (self.chains + 1, 0, false);
            if let Kem::Pending(e) = self.kem {
                self.kem = Kem::Own(e + 1, false);
            }
        }
        self.kem = match self.kem {
            Kem::Own(e, false) => Kem::Own(e, true),
            Kem::Await(e, true) => Kem::Sent(e),
            other => other,
        };
        let spot = Spot {
            prefixed: self.prefix_due,
            // A responder that has received nothing has no chain, and no session either.
            chain: self.chains.saturating_sub(1),
            n: self.n,
            pn: self.pn,
            epoch: self.kem.epoch(),
            field: self.kem.field(),
        };
        (self.n, self.sent) = (self.n + 1, self.sent + 1);
        self.tidy(now);
        spot
    }

    /// `None` for what does not open.
    // RAT-19, RAT-20, RAT-22
    fn position(&self, spot: &Spot, now: u64) -> Option<Position> {
        let (newest, next) = match self.receiving {
            None if spot.chain > 0 => return None,
            None => return (spot.n <= MAX_SKIP).then_some(Position::New),
            Some(receiving) => receiving,
        };
        if spot.chain == newest && spot.n >= next {
            return (spot.n - next <= MAX_SKIP).then_some(Position::Newest);
        }
        if spot.chain <= newest {
            let known = spot.chain == newest || self.old.contains(&spot.chain);
            let mut live = self.batches.iter().filter(|batch| !batch.is_over(now, self.received));
            let kept = live.any(|batch| batch.chain == spot.chain && batch.keys.contains(&spot.n));
            return (known && kept).then_some(Position::Stored);
        }
        assert_eq!(spot.chain, newest + 1, "a peer begins a chain when it has heard of our last");
        (spot.pn - next + spot.n <= MAX_SKIP).then_some(Position::New)
    }

    /// `forked`: it has opened, and nothing else is known.
    fn open(&mut self, spot: &Spot, now: u64, forked: bool) {
        self.prefix_due = false;
        self.received += 1;
        let position = if forked { None } else { self.position_before(spot, now) };
        match position {
            None => return,
            Some(Position::Stored) => {
                for batch in self.batches.iter_mut().filter(|batch| batch.chain == spot.chain) {
                    batch.keys.remove(&spot.n);
                }
            }
            Some(Position::Newest) => {
                let next = self.receiving.map_or(0, |(_, next)| next);
                self.keep(spot.chain, next..spot.n, now);
                self.receiving = Some((spot.chain, spot.n + 1));
            }
            Some(Position::New) => self.turn(spot, now),
        }
        self.take_field(spot);
        self.tidy(now);
    }

    /// Where the message fell before it was counted.
    fn position_before(&self, spot: &Spot, now: u64) -> Option<Position> {
        Self { received: self.received - 1, ..self.clone() }.position(spot, now)
    }

    // RAT-9, RAT-16
    fn turn(&mut self, spot: &Spot, now: u64) {
        if let Some((before, next)) = self.receiving {
            self.keep(before, next..spot.pn, now);
            self.old.push(before);
        }
        self.keep(spot.chain, 0..spot.n, now);
        self.receiving = Some((spot.chain, spot.n + 1));
        self.due = true;
        match self.kem {
            Kem::Sent(e) if e == spot.epoch => self.kem = Kem::Await(e + 1, false),
            kem => assert_eq!(kem.epoch(), spot.epoch, "both roots have the same secrets"),
        }
    }

    // RAT-15
    fn take_field(&mut self, spot: &Spot) {
        if spot.epoch != self.kem.epoch() {
            return;
        }
        self.kem = match (self.kem, spot.field) {
            (Kem::Own(e, true), Field::Ciphertext) => Kem::Pending(e),
            (Kem::Await(e, false), Field::Key) => Kem::Await(e, true),
            (other, _) => other,
        };
    }

    fn keep(&mut self, chain: u32, keys: std::ops::Range<u32>, now: u64) {
        if !keys.is_empty() {
            let (stored, received, keys) = (now, self.received, keys.collect());
            self.batches.push(Batch { chain, stored, received, keys });
        }
    }

    // RAT-20, RAT-22
    fn tidy(&mut self, now: u64) {
        let held: usize = self.batches.iter().map(|batch| batch.keys.len()).sum();
        for _ in MAX_SKIPPED_KEYS..held {
            let oldest = self.batches.iter_mut().find(|batch| !batch.keys.is_empty());
            oldest.expect("keys").keys.pop_first();
        }
        let received = self.received;
        self.batches.retain(|batch| !batch.keys.is_empty() && !batch.is_over(now, received));
        let batches = &mut self.batches;
        self.old.retain(|chain| batches.iter().any(|batch| batch.chain == *chain));
        let excess = self.old.len().saturating_sub(MAX_OLD_HEADER_KEYS);
        for chain in self.old.drain(..excess) {
            batches.retain(|batch| batch.chain != chain);
        }
    }
}

impl Batch {
    fn is_over(&self, now: u64, received: u64) -> bool {
        now - self.stored >= SKIPPED_KEY_LIFETIME
            || received - self.received >= SKIPPED_KEY_RECEIVES
    }
}

impl Kem {
    fn epoch(self) -> u32 {
        let (Self::Own(e, _) | Self::Pending(e) | Self::Await(e, _) | Self::Sent(e)) = self;
        e - 1
    }

    fn field(self) -> Field {
        match self {
            Self::Own(_, true) => Field::Key,
            Self::Sent(_) => Field::Ciphertext,
            _ => Field::Nothing,
        }
    }
}
