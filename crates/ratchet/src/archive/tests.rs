use sealwire_core::{Suite, keys::StaticSecret, secret::Secret};
use sealwire_testkit::rng::SeededRng;

use super::*;
use crate::hazmat;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const DAY: u64 = 24 * 60 * 60;

/// The prefix of an agreement in these tests: long enough to hold a key, different for each.
const PREFIX_LEN: usize = 1200;

/// One side of a conversation, and what it must know to answer the other's first messages.
struct Agent {
    sessions: Sessions,
    /// Agreements that the other side began: prefix, and the seed of both its secrets.
    offers: Vec<(Vec<u8>, u64)>,
    opened: u32,
}

/// Two agents that have no session yet.
struct World {
    agents: [Agent; 2],
    rng: SeededRng,
    agreements: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let agent = || Agent { sessions: Sessions::new(), offers: Vec::new(), opened: 0 };
        Self { agents: [agent(), agent()], rng: SeededRng::new(seed), agreements: seed << 20 }
    }

    /// Agent `from` begins a session; the other will know its prefix.
    fn begin(&mut self, from: usize) -> SessionId {
        self.agreements += 1;
        let (agreed, prekey, prefix) = agreement(self.agreements);
        let public = *StaticSecret::from_seed(&prekey).expect("a key").public();
        let session = Session::initiate(agreed, &public, prefix.clone(), NOW, &mut self.rng);
        let session = session.expect("randomness");
        let id = session.id();
        self.agents[from].sessions.begin(session, NOW).expect("new");
        self.agents[1 - from].offers.push((prefix, self.agreements));
        id
    }

    /// A frame, as it goes over the wire.
    fn send(&mut self, from: usize) -> Vec<u8> {
        if self.agents[from].sessions.active().is_none() {
            self.begin(from);
        }
        let sessions = &mut self.agents[from].sessions;
        let (id, sealed) = sessions.seal(NOW, &mut self.rng, b"hello").expect("active");
        sessions.apply(id, sealed.step).expect("fresh");
        sealed.frame
    }

    /// What the frame brings about where it is the first of a session.
    fn deliver(&mut self, to: usize, frame: &[u8]) -> Result<Option<Arrival>, Error> {
        let agent = &mut self.agents[to];
        if frame[1] == 2 {
            let (id, opened) = agent.sessions.open(NOW, frame)?;
            agent.sessions.apply(id, opened.step)?;
            agent.sessions.drop_prefix(id)?;
            agent.opened += 1;
            return Ok(None);
        }
        let (prefix, message) = frame.split_at(PREFIX_LEN);
        if let Some(id) = agent.sessions.with_prefix(prefix)? {
            let opened = agent.sessions.get(id).expect("known").open(NOW, message)?;
            agent.sessions.apply(id, opened.step)?;
            agent.opened += 1;
            return Ok(None);
        }
        let offer = agent.offers.iter().find(|(known, _)| known == prefix).expect("an offer");
        let (agreed, prekey, _) = agreement(offer.1);
        let mut session = Session::respond(agreed, &prekey, prefix, NOW)?;
        let opened = session.open(NOW, message)?;
        session.apply(opened.step)?;
        agent.opened += 1;
        agent.sessions.arrive(session, NOW).map(|(arrival, _)| Some(arrival))
    }

    /// A round trip in which both must hear one another on one session.
    fn settle(&mut self) {
        for _ in 0..2 {
            for from in [0, 1] {
                let frame = self.send(from);
                self.deliver(1 - from, &frame).expect("it opens");
            }
        }
        let [one, other] = &self.agents;
        let sending = |agent: &Agent| agent.sessions.active().expect("a session").id();
        assert_eq!(sending(one), sending(other), "one session");
    }
}

/// One agreement: the same again for the same seed, as both sides compute it.
fn agreement(seed: u64) -> (crate::Agreed, Secret<32>, Vec<u8>) {
    let mut rng = SeededRng::new(seed);
    let sk = Secret::random(&mut rng).expect("randomness");
    let prekey = Secret::random(&mut rng).expect("randomness");
    let mut prefix = Secret::<PREFIX_LEN>::random(&mut rng).expect("randomness").expose().to_vec();
    prefix[..2].copy_from_slice(&[1, 1]);
    (hazmat::agreed(Suite::AesGcm, sk, [3; 32]), prekey, prefix)
}

// attack T19: both first messages arrive.
// RAT-24
#[test]
fn both_begin_at_once_and_settle_on_the_lower_session() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        let ids = [world.begin(0), world.begin(1)];
        let frames = [world.send(0), world.send(1)];
        let lower = Some(Arrival::Simultaneous(ids[0].min(ids[1])));
        assert_eq!(world.deliver(1, &frames[0]), Ok(lower));
        assert_eq!(world.deliver(0, &frames[1]), Ok(lower));
        world.settle();
    }
}

// attack T19: one first message is lost.
#[test]
fn one_first_message_is_lost_and_they_settle() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        let _lost = world.send(0);
        let frame = world.send(1);
        world.deliver(0, &frame).expect("it opens");
        world.settle();
    }
}

// attack T19: both first messages are lost.
#[test]
fn both_first_messages_are_lost_and_they_settle() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        let _lost = [world.send(0), world.send(1)];
        world.settle();
    }
}

// attack T19: both repeat their first messages before either hears anything.
#[test]
fn both_repeat_themselves_twenty_times_and_settle() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        let mut frames = [Vec::new(), Vec::new()];
        for _ in 0..20 {
            for from in [0, 1] {
                frames[from].push(world.send(from));
            }
        }
        for (one, other) in frames[0].iter().zip(&frames[1]) {
            world.deliver(1, one).expect("it opens");
            world.deliver(0, other).expect("it opens");
        }
        world.settle();
        assert_eq!(world.agents.iter().map(|agent| agent.opened).sum::<u32>(), 44);
    }
}

// attack T19: as before, with all but the last lost, and those out of order.
#[test]
fn both_repeat_themselves_while_messages_are_lost_and_settle() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        let mut frames = [Vec::new(), Vec::new()];
        for _ in 0..20 {
            for from in [0, 1] {
                frames[from].push(world.send(from));
            }
        }
        for index in [19, 3, 11] {
            world.deliver(1, &frames[0][index]).expect("it opens");
        }
        world.settle();
        // What was late opens on the session that lost, which stays archived.
        let before = world.agents[0].sessions.active().expect("a session").id();
        world.deliver(0, &frames[1][5]).expect("it opens");
        assert_eq!(world.agents[0].sessions.active().expect("a session").id(), before);
    }
}

// attack T9: the frame again, and its ephemeral key in another frame.
// RAT-24
#[test]
fn a_prefix_belongs_to_its_session_byte_for_byte() {
    let mut world = World::new(1);
    let frame = world.send(0);
    assert_eq!(world.deliver(1, &frame), Ok(Some(Arrival::First)));
    assert_eq!(world.deliver(1, &frame), Err(Error::Duplicate));
    let sessions = &world.agents[1].sessions;
    let prefix = &frame[..PREFIX_LEN];
    assert_eq!(sessions.with_prefix(prefix), Ok(sessions.active().map(Session::id)));
    for index in [0, 18, 51, PREFIX_LEN - 1] {
        let mut changed = prefix.to_vec();
        changed[index] ^= 1;
        assert_eq!(sessions.with_prefix(&changed), Err(Error::Replay), "{index}");
    }
    let mut other = prefix.to_vec();
    other[19] ^= 1;
    assert_eq!(sessions.with_prefix(&other), Ok(None));
    assert!(matches!(sessions.with_prefix(&prefix[..50]), Err(Error::Misuse(_))));
}

// RAT-24
#[test]
fn a_reset_receives_and_sends_only_when_policy_accepts() {
    let mut world = World::new(1);
    world.settle();
    let first = world.agents[1].sessions.active().expect("a session").id();
    let late = world.send(0);
    let second = world.begin(0);
    let frame = world.send(0);
    assert_eq!(world.deliver(1, &frame), Ok(Some(Arrival::Reset)));
    let sessions = &mut world.agents[1].sessions;
    assert_eq!(sessions.active().expect("a session").id(), first);
    assert!(sessions.accept_reset(first, NOW).is_err());
    sessions.accept_reset(second, NOW).expect("it waits");
    assert!(sessions.accept_reset(second, NOW).is_err());
    assert_eq!(sessions.active().expect("a session").id(), second);
    // A late message of the archived session opens there and promotes nothing.
    world.deliver(1, &late).expect("it opens");
    assert_eq!(world.agents[1].sessions.active().expect("a session").id(), second);
    world.settle();
}

// RAT-22, RAT-23
#[test]
fn eight_archived_sessions_are_kept_for_thirty_days() {
    let mut world = World::new(1);
    let frames: Vec<_> = (0..10)
        .map(|_| {
            world.begin(0);
            world.send(0)
        })
        .collect();
    for frame in &frames {
        world.deliver(1, frame).expect("it opens");
    }
    for agent in &mut world.agents {
        assert_eq!(agent.sessions.iter().count(), 1 + MAX_ARCHIVED);
        assert_eq!(agent.sessions.expire(NOW.plus(30 * DAY - 1)), []);
        assert_eq!(agent.sessions.expire(NOW.plus(30 * DAY)).len(), MAX_ARCHIVED);
        assert_eq!(agent.sessions.iter().count(), 1);
    }
}

// RAT-22
#[test]
fn of_many_resets_within_a_second_the_newest_is_kept() {
    let mut world = World::new(1);
    world.settle();
    for _ in 0..2 * MAX_ARCHIVED {
        let id = world.begin(0);
        let frame = world.send(0);
        assert_eq!(world.deliver(1, &frame), Ok(Some(Arrival::Reset)));
        assert!(world.agents[1].sessions.get(id).is_some(), "what arrived is there");
    }
    assert_eq!(world.agents[1].sessions.iter().count(), 1 + MAX_ARCHIVED);
}

#[test]
fn rows_give_the_same_sessions_again() {
    let mut world = World::new(1);
    world.settle();
    for _ in 0..3 {
        world.begin(0);
    }
    let sessions = &world.agents[0].sessions;
    let copy = |sessions: &Sessions| {
        let rows = sessions.iter().map(|(session, standing)| {
            let session = Session::from_bytes(&session.to_bytes()).expect("own bytes");
            (session, Standing::from_bytes(&standing.to_bytes()).expect("own bytes"))
        });
        rows.collect::<Vec<_>>()
    };
    let stored = Sessions::from_rows(copy(sessions).into_iter().rev()).expect("one active");
    let shape = |sessions: &Sessions| {
        sessions.iter().map(|(session, standing)| (session.id(), standing)).collect::<Vec<_>>()
    };
    assert_eq!(shape(&stored).first(), shape(sessions).first());
    assert_eq!(stored.iter().count(), sessions.iter().count());
    let twice = copy(sessions).into_iter().chain(copy(sessions));
    assert!(matches!(Sessions::from_rows(twice), Err(Error::Misuse(_))));
    for bad in [&[0; 8][..], &[0; 10], &[3; 9], &[0, 0, 0, 0, 0, 0, 0, 0, 1]] {
        assert!(Standing::from_bytes(bad).is_err(), "{bad:?}");
    }
}
