//! Agents, what is under way between them, and the model beside them: every operation is done
//! to both, and what they show is compared.

use std::collections::HashSet;

use sealwire_core::{Suite, Timestamp};
use sealwire_ratchet::{Error, SessionId, prekey::Rotation};
use sealwire_testkit::rng::SeededRng;

use super::{
    agents::{AGENTS, Agent, Claimed, Disk, START},
    model::{First, Model, Place, Shown},
};

/// One-time keys of each kind that the directory hands out before it is asked for more.
const STOCK: (usize, usize) = (2, 1);

/// The most that an agent may store: nine sessions with either peer, full of skipped keys, are
/// less.
const MAX_STORED: usize = 2 * 9 * 84 * 1024;

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Send {
        from: usize,
        to: usize,
        long: bool,
    },
    /// So many messages that nobody will see are sent.
    Flood {
        from: usize,
        to: usize,
        count: usize,
    },
    /// The message at this place of all that fly arrives, and stays there to come again.
    Deliver(usize),
    /// It arrives at somebody it is not for.
    Misdeliver(usize),
    /// It arrives with this byte changed.
    Change(usize, usize),
    Lose(usize),
    Restart(usize),
    /// Somebody copies the disk of an agent.
    Copy(usize),
    /// The copy runs, sends, and is gone.
    CopySends {
        of: usize,
        to: usize,
    },
    /// As if it had lost its sessions.
    Begin {
        from: usize,
        to: usize,
    },
    /// Both begin and write before either hears of it.
    BothBegin(usize, usize),
    AcceptReset {
        of: usize,
        with: usize,
    },
    /// A signed prekey out of turn, and more one-time keys for the directory to hand out.
    Rotate(usize),
    /// So many hours pass.
    Wait(u64),
}

#[derive(Clone)]
struct Flight {
    place: Place,
    frame: std::rc::Rc<[u8]>,
    content: u64,
    opened: bool,
}

pub(crate) struct World {
    pub(crate) model: Model,
    agents: Vec<Agent>,
    /// Seconds between two operations.
    tick: u64,
    rng: SeededRng,
    flights: Vec<Flight>,
    copies: Vec<Option<Disk>>,
    /// By agent: one-time keys handed out, and how many there are to hand out.
    claimed: Vec<((usize, usize), (usize, usize))>,
    /// Nonces of sealed headers. Key and nonce of a body hang on the sealed header, so that
    /// two messages with different headers share neither.
    nonces: HashSet<[u8; 24]>,
    contents: u64,
    agreements: u64,
    /// Somebody has begun anew beside a session that it had.
    replaced: bool,
}

impl World {
    pub(crate) fn new(agents: usize, seed: u64) -> Self {
        Self::with(agents, seed, 1, STOCK)
    }

    /// Without one-time keys, and in one second.
    #[cfg(test)]
    pub(crate) fn standing_still(seed: u64) -> Self {
        Self::with(2, seed, 0, (0, 0))
    }

    fn with(agents: usize, seed: u64, tick: u64, stock: (usize, usize)) -> Self {
        assert!((2..=AGENTS).contains(&agents), "two or three");
        Self {
            model: Model::new(agents, START),
            agents: (0..agents).map(|number| Agent::new(number, stock != (0, 0))).collect(),
            tick,
            rng: SeededRng::new(seed),
            flights: Vec::new(),
            copies: vec![None; agents],
            claimed: vec![((0, 0), stock); agents],
            nonces: HashSet::new(),
            contents: 0,
            agreements: 0,
            replaced: false,
        }
    }

    pub(crate) fn agents(&self) -> usize {
        self.agents.len()
    }

    pub(crate) fn flying(&self) -> usize {
        self.flights.len()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.model.now)
    }

    /// Does it, and compares.
    pub(crate) fn step(&mut self, op: Op) {
        self.pass(self.tick);
        match op {
            Op::Send { from, to, long } => self.send(from, to, if long { 3000 } else { 0 }),
            Op::Flood { from, to, count } => {
                for _ in 0..count {
                    self.send(from, to, 0);
                    self.flights.pop();
                }
            }
            Op::Deliver(index) => {
                self.at(index, |world, index| {
                    world.deliver(index);
                });
            }
            Op::Misdeliver(index) => self.at(index, Self::misdeliver),
            Op::Change(index, byte) => {
                self.at(index, |world, index| world.deliver_changed(index, byte));
            }
            Op::Lose(index) => self.at(index, |world, index| {
                world.flights.remove(index);
            }),
            Op::Restart(of) => self.agents[of] = self.agents[of].restarted(),
            Op::Copy(of) => self.copies[of] = Some(self.agents[of].disk()),
            Op::CopySends { of, to } => self.copy_sends(of, to),
            Op::Begin { from, to } => self.begin(from, to),
            Op::BothBegin(one, other) => {
                for (from, to) in [(one, other), (other, one)] {
                    self.begin(from, to);
                    self.send(from, to, 0);
                }
            }
            Op::AcceptReset { of, with } => self.accept_reset(of, with),
            Op::Rotate(of) => {
                self.rotate(of, Rotation::Now);
                let (_, (x25519, kem)) = &mut self.claimed[of];
                (*x25519, *kem) = ((*x25519 + 1).min(100), (*kem + 1).min(20));
            }
            Op::Wait(hours) => self.pass(hours * 60 * 60),
        }
        self.compare();
    }

    fn at(&mut self, index: usize, act: impl FnOnce(&mut Self, usize)) {
        if let Some(index) = index.checked_rem(self.flights.len()) {
            act(self, index);
        }
    }

    fn pass(&mut self, seconds: u64) {
        if seconds == 0 {
            return;
        }
        self.model.now += seconds;
        let now = self.now();
        for of in 0..self.agents.len() {
            self.rotate(of, Rotation::WhenDue);
            self.agents[of].expire(now);
            self.model.expire(of);
        }
    }

    fn rotate(&mut self, of: usize, reason: Rotation) {
        let now = self.now();
        let made = self.agents[of].rotate(reason, now, &mut self.rng);
        assert_eq!(made, self.model.rotate(of, reason == Rotation::Now));
    }

    fn begin(&mut self, from: usize, to: usize) {
        let ((x25519, kem), (x25519s, kems)) = self.claimed[to];
        let served = self.model.pages_are_served();
        let claimed = Claimed {
            x25519: (served && x25519 < x25519s).then_some(x25519),
            kem: (served && kem < kems).then_some(kem),
        };
        let handed = &mut self.claimed[to].0;
        handed.0 += usize::from(claimed.x25519.is_some());
        handed.1 += usize::from(claimed.kem.is_some());
        self.agreements += 1;
        self.replaced |= self.model.active(from, to).is_some();
        let suite =
            if self.agreements.is_multiple_of(2) { Suite::AesGcm } else { Suite::ChaChaPoly };
        let now = self.now();
        let [one, other] = self.agents.get_disjoint_mut([from, to]).expect("two agents");
        let id = one.begin(other, claimed, suite, now, &mut self.rng);
        let signed = self.model.newest_signed(to);
        let first = First { x25519: claimed.x25519, kem: claimed.kem, signed };
        self.model.begin(from, to, id, first);
    }

    fn content(&mut self, len: usize) -> (u64, Vec<u8>) {
        self.contents += 1;
        let mut plaintext = self.contents.to_be_bytes().to_vec();
        plaintext.resize(8 + len, 7);
        (self.contents, plaintext)
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, len: usize) {
        if self.model.active(from, to).is_none() {
            self.begin(from, to);
        }
        let (content, plaintext) = self.content(len);
        let now = self.now();
        let frame = self.agents[from].send(to, &plaintext, now, &mut self.rng);
        let place = self.model.send(from, to);
        assert_eq!(frame.session, place.session);
        // Over all messages of everybody, copies included.
        assert!(self.nonces.insert(frame.nonce), "a nonce comes twice");
        self.flights.push(Flight { place, frame: frame.bytes.into(), content, opened: false });
    }

    /// What runs from a copied disk is not seen by the agent itself: from then on the model
    /// knows no more of that session than what must never happen.
    fn copy_sends(&mut self, of: usize, to: usize) {
        let Some(disk) = self.copies[of].clone() else { return };
        let now = self.now();
        let mut copy = self.agents[of].on(disk);
        drop(copy.sessions[to].expire(now));
        if copy.sessions[to].active().is_none() {
            return;
        }
        let (content, plaintext) = self.content(0);
        let frame = copy.send(to, &plaintext, now, &mut self.rng);
        assert!(self.nonces.insert(frame.nonce), "a nonce comes twice");
        self.model.fork(frame.session);
        let place = Place::unknown(frame.session, of, to);
        self.flights.push(Flight { place, frame: frame.bytes.into(), content, opened: false });
    }

    /// Whether it opens: as the model says, once, and with what was sent.
    pub(crate) fn deliver(&mut self, index: usize) -> bool {
        let Flight { place, frame, content, opened } = self.flights[index].clone();
        let foretold = self.model.opens(&place);
        let now = self.now();
        let agent = &mut self.agents[place.to];
        let before = agent.stored_sessions();
        match agent.receive(&frame, now) {
            Ok((peer, session, plaintext)) => {
                assert!(!opened, "it opened twice");
                assert_ne!(foretold, Some(false), "it must not open: {place:?}");
                assert_eq!((peer, session), (place.from, place.session));
                assert_eq!(
                    plaintext.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
                    Some(content)
                );
                self.model.opened(&place);
                self.flights[index].opened = true;
                true
            }
            Err(error) => {
                assert_ne!(foretold, Some(true), "{error:?}: {place:?}");
                let agent = &self.agents[place.to];
                assert!(agent.stored_sessions() == before, "{error:?} changed the state");
                false
            }
        }
    }

    fn misdeliver(&mut self, index: usize) {
        let Flight { place, frame, .. } = self.flights[index].clone();
        // The third agent, and the sender itself.
        for to in (0..self.agents.len()).filter(|to| *to != place.to) {
            self.refuses(to, &frame);
        }
    }

    fn deliver_changed(&mut self, index: usize, byte: usize) {
        let Flight { place, frame, .. } = self.flights[index].clone();
        let mut frame = frame.to_vec();
        let byte = byte % frame.len();
        frame[byte] ^= 1 << (byte % 8);
        self.refuses(place.to, &frame);
    }

    fn refuses(&mut self, to: usize, frame: &[u8]) {
        let now = self.now();
        let agent = &mut self.agents[to];
        let before = agent.stored_sessions();
        let result: Result<(usize, SessionId, Vec<u8>), Error> = agent.receive(frame, now);
        assert!(result.is_err(), "agent {to} opens what is not for it");
        assert!(self.agents[to].stored_sessions() == before, "a refusal changed the state");
    }

    fn accept_reset(&mut self, of: usize, with: usize) {
        if let Some(id) = self.model.waiting(of, with) {
            self.take(of, with, id);
        }
    }

    fn take(&mut self, of: usize, with: usize, id: SessionId) {
        let now = self.now();
        self.agents[of].sessions[with].accept_reset(id, now).expect("it waits");
        self.model.accept_reset(of, with, id);
    }

    /// What the sessions show is what the model has.
    fn compare(&self) {
        for (of, agent) in self.agents.iter().enumerate() {
            for with in (0..self.agents.len()).filter(|with| *with != of) {
                let sessions = &agent.sessions[with];
                let active = sessions.active().map(|session| session.id());
                assert_eq!(active, self.model.active(of, with));
                let shown = self.model.shown(of, with);
                assert_eq!(sessions.iter().count(), shown.len());
                for (session, _) in sessions.iter() {
                    let (sent, received) = (session.sent(), session.received());
                    let is = Shown { sent, received, epoch: session.pq_epoch() };
                    let must = shown.get(&session.id()).copied();
                    let forked = self.model.is_forked(session.id());
                    assert!(must == Some(is) || (forked && must.is_some()), "{is:?} {must:?}");
                }
            }
        }
    }

    /// Whatever happened: two agents that hear each other again talk within a few messages,
    /// and nobody stores more than there is room for.
    pub(crate) fn finish(&mut self) {
        for agent in &self.agents {
            assert!(agent.stored_len() < MAX_STORED, "{} bytes of state", agent.stored_len());
        }
        for one in 0..self.agents.len() {
            for other in one + 1..self.agents.len() {
                self.settle(one, other);
            }
        }
        self.compare();
    }

    fn settle(&mut self, one: usize, other: usize) {
        let mut heard = 0;
        for turn in 0..100 {
            let (from, to) = if turn % 2 == 0 { (one, other) } else { (other, one) };
            let active = self.model.active(from, to);
            // As when somebody resets by hand: a forked session is given up, and a dead one.
            if active.is_some_and(|id| self.model.is_forked(id)) {
                self.begin(from, to);
                heard = 0;
            }
            if self.pass_on(from, to) {
                heard += 1;
            } else {
                self.begin(from, to);
                heard = 0;
            }
            if heard == 6 {
                break;
            }
        }
        let epoch = self.epoch(one, other);
        for turn in 0..8 {
            let (from, to) = if turn % 2 == 0 { (one, other) } else { (other, one) };
            assert!(self.pass_on(from, to), "they do not hear each other");
        }
        let apart = self.model.active(one, other) != self.model.active(other, one);
        // Who begins anew beside a session of the peer's that it has not answered may stay on
        // one session while the peer stays on the other. Both receive on both.
        assert!(!apart || self.replaced, "one session");
        if !apart {
            assert_eq!(self.epoch(one, other), self.epoch(other, one), "one root");
            assert!(self.epoch(one, other) > epoch, "no new KEM secret came in");
        }
    }

    /// A message that arrives at once; a reset that it begins is taken.
    fn pass_on(&mut self, from: usize, to: usize) -> bool {
        self.pass(1);
        self.send(from, to, 0);
        let index = self.flights.len() - 1;
        let opened = self.deliver(index);
        let session = self.flights[index].place.session;
        self.flights.pop();
        if self.model.waits(to, from, session) {
            self.take(to, from, session);
        }
        opened
    }

    fn epoch(&self, of: usize, with: usize) -> u32 {
        self.agents[of].sessions[with].active().map_or(0, |session| session.pq_epoch())
    }

    /// Where all that flies stands, and whether it has opened.
    #[cfg(test)]
    pub(crate) fn places(&self) -> Vec<(Place, bool)> {
        let each = self.flights.iter().map(|flight| (flight.place, flight.opened));
        let mut places: Vec<_> = each.collect();
        places.sort_unstable();
        places
    }

    /// This world once more, from what its agents have stored.
    #[cfg(test)]
    pub(crate) fn again(&self) -> Self {
        Self {
            model: self.model.clone(),
            agents: self.agents.iter().map(Agent::restarted).collect(),
            tick: self.tick,
            rng: self.rng.clone(),
            flights: self.flights.clone(),
            copies: self.copies.clone(),
            claimed: self.claimed.clone(),
            nonces: self.nonces.clone(),
            contents: self.contents,
            agreements: self.agreements,
            replaced: self.replaced,
        }
    }
}
