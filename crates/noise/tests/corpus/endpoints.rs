//! Two ends of a handshake and of the session behind it, with somebody between them.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, LazyLock},
};

use sealwire_core::{KeyStore, MemoryKeyStore, Suite, SuiteSet};
use sealwire_noise::{
    Claim, Error, Introduction, KnownResponder, Local, Pattern, PeerIdentity, Preamble, Session,
    initiator::{self, IkSent, XxSent},
    record::{CloseReason, MAX_IDLE_RECORDS, Opened, Opener, Sealer},
    responder::{self, IkReplied, XxAnswered},
};
use sealwire_testkit::rng::SeededRng;

use super::Held;

/// Steps of a script that are heeded: enough for a handshake and a row of idle records that is
/// too long.
const MAX_STEPS: usize = 96;

/// The first byte picks pattern and suite. The others, in pairs, say when an end is given the
/// next packet, what the one between does with packets, and what an end seals once it has a
/// session. However that goes:
///
/// - an end has a session only if all that either end took was what the other sent, in order;
/// - two sessions have the same channel binding;
/// - an end opens the records of the other, in order and each once, up to the first packet that
///   is none of them, and nothing after it;
/// - an end goes on with every packet that nobody touched.
pub fn endpoints(script: &[u8]) -> bool {
    let Some((first, steps)) = script.split_first() else { return false };
    let suite = if first & 1 == 0 { Suite::AesGcm } else { Suite::ChaChaPoly };
    let pattern = if first & 2 == 0 { Pattern::Xx } else { Pattern::Ik };
    let mut play = Play::start(pattern, suite, 3).expect("a first message");
    let (steps, _) = steps.as_chunks();
    for [step, argument] in steps.iter().take(MAX_STEPS) {
        play.step(*step, *argument);
    }
    play.settle();
    let Play { left, right, .. } = &play;
    if let (Some(left), Some(right)) = (left.binding, right.binding) {
        assert_eq!(left, right);
        return !play.refused;
    }
    false
}

/// An initiator on the left, a responder on the right.
struct Play {
    left: End,
    right: End,
    /// Packets on their way to the left and to the right.
    to_left: VecDeque<Vec<u8>>,
    to_right: VecDeque<Vec<u8>>,
    /// The packets of another handshake of the same agents.
    recorded: &'static [Vec<u8>],
    rng: SeededRng,
    /// An end has refused a packet.
    refused: bool,
}

/// What one end knows and has done.
struct End {
    state: State,
    sent: Vec<Packet>,
    /// What it accepted.
    taken: Vec<Vec<u8>>,
    binding: Option<[u8; 32]>,
    /// Records in a row that carried nothing to it.
    idle: u32,
}

struct Packet {
    bytes: Vec<u8>,
    held: Held,
}

enum State {
    Waiting,
    XxSent(XxSent),
    IkSent(IkSent),
    XxAnswered(XxAnswered),
    IkReplied(IkReplied),
    Established(Sealer, Opener),
    Over,
}

impl Play {
    fn start(pattern: Pattern, suite: Suite, seed: u64) -> Result<Self, Error> {
        let [alice, bob] = &*AGENTS;
        let mut rng = SeededRng::new(seed);
        let offered = SuiteSet::all();
        let (preamble, message, state) = match pattern {
            Pattern::Xx => {
                let start = initiator::start_xx(alice.local(), suite, offered, &mut rng)?;
                (start.0, start.1, State::XxSent(start.2))
            }
            Pattern::Ik => {
                let publics = bob.keys.public(bob.keys.newest())?;
                let known = KnownResponder {
                    id: bob.id,
                    static_key: &publics.handshake,
                    kem_key: &publics.kem,
                    kx: bob.keys.newest(),
                    card_hash: [7; 32],
                };
                let start = initiator::start_ik(alice.local(), known, suite, offered, &mut rng)?;
                (start.0, start.1, State::IkSent(start.2))
            }
        };
        let recorded = if seed == RECORDED { &[][..] } else { recorded(pattern, suite) };
        let (left, right) = (End::new(state), End::new(State::Waiting));
        let (to_left, to_right) = (VecDeque::new(), VecDeque::new());
        let mut play = Self { left, right, to_left, to_right, recorded, rng, refused: false };
        play.send(true, [preamble.to_bytes(), message].concat(), Held::Message);
        Ok(play)
    }

    fn step(&mut self, step: u8, argument: u8) {
        let leftwards = step & 16 != 0;
        let argument = usize::from(argument);
        let wide = usize::from(step >> 5) << 8 | argument;
        match step % 16 {
            0..=2 => self.deliver(leftwards),
            3 => self.seal(leftwards, &Held::Data(vec![step; argument])),
            4 => self.seal(leftwards, &Held::Pad),
            5 => self.seal(leftwards, &Held::Close(CloseReason::from_u8(step >> 5))),
            6 => self.inject(leftwards, self.recorded.get(argument).cloned()),
            7 => self.inject(leftwards, self.right.sent(argument)),
            8 => self.inject(leftwards, self.left.sent(argument)),
            damage => harm(self.wire(leftwards), damage, wide),
        }
    }

    /// Both ends get what is on its way, until nothing is.
    fn settle(&mut self) {
        while !(self.to_left.is_empty() && self.to_right.is_empty()) {
            self.deliver(false);
            self.deliver(true);
        }
    }

    fn wire(&mut self, leftwards: bool) -> &mut VecDeque<Vec<u8>> {
        if leftwards { &mut self.to_left } else { &mut self.to_right }
    }

    fn inject(&mut self, leftwards: bool, packet: Option<Vec<u8>>) {
        packet.into_iter().for_each(|packet| self.wire(leftwards).push_front(packet));
    }

    fn send(&mut self, from_left: bool, bytes: Vec<u8>, held: Held) {
        self.wire(!from_left).push_back(bytes.clone());
        let end = if from_left { &mut self.left } else { &mut self.right };
        end.sent.push(Packet { bytes, held });
    }

    fn seal(&mut self, at_left: bool, held: &Held) {
        let end = if at_left { &mut self.left } else { &mut self.right };
        let State::Established(sealer, _) = &mut end.state else { return };
        let (was_open, mut out) = (sealer.is_open(), Vec::new());
        let sealed = match held {
            Held::Data(content) => sealer.seal_data(content, &mut out),
            Held::Close(reason) => sealer.seal_close(*reason, &mut out),
            _ => sealer.seal_pad(100, &mut out),
        };
        assert_eq!(sealed, if was_open { Ok(()) } else { Err(Error::Closed) });
        if let Some((_, record)) = out.split_first_chunk::<2>() {
            self.send(at_left, record.to_vec(), held.clone());
        }
    }

    /// Gives an end the next packet that is on its way to it.
    fn deliver(&mut self, to_left: bool) {
        let Some(packet) = self.wire(to_left).pop_front() else { return };
        let (end, other) =
            if to_left { (&mut self.left, &self.right) } else { (&mut self.right, &self.left) };
        let sent = other.sent.get(end.taken.len());
        let untouched = agree(end, other) && sent.is_some_and(|sent| sent.bytes == packet);
        match &mut end.state {
            State::Over => self.refused = true,
            State::Established(_, opener) => {
                let sent = sent.filter(|_| untouched).map(|sent| &sent.held);
                match open(opener, &mut end.idle, sent, &mut packet.clone()) {
                    true => end.taken.push(packet),
                    false => self.refused = true,
                }
            }
            _ => self.handshake(to_left, packet, untouched),
        }
    }

    /// Gives an end the next message of the handshake.
    fn handshake(&mut self, to_left: bool, packet: Vec<u8>, untouched: bool) {
        let end = if to_left { &mut self.left } else { &mut self.right };
        let state = mem::replace(&mut end.state, State::Over);
        let Ok((answer, next)) = state.read(&packet, &mut self.rng) else {
            assert!(!untouched, "an honest message was refused");
            self.refused = true;
            return;
        };
        end.taken.push(packet);
        // What the other end has heard of this one until now: the answer is not sent yet.
        let (end, other) =
            if to_left { (&mut self.left, &self.right) } else { (&mut self.right, &self.left) };
        end.state = match next {
            Next::State(state) => state,
            Next::Session(session, idle) => {
                assert!(agree(end, other), "a session out of messages that nobody sent");
                (end.binding, end.idle) = (Some(*session.channel_binding()), idle);
                let (sealer, opener) = session.into_parts();
                State::Established(sealer, opener)
            }
        };
        if let Some(answer) = answer {
            self.send(to_left, answer, Held::Message);
        }
    }
}

/// Whether each has taken only what the other sent, in order.
fn agree(one: &End, other: &End) -> bool {
    let heard = |by: &End, from: &End| {
        by.taken.len() <= from.sent.len()
            && by.taken.iter().zip(&from.sent).all(|(taken, sent)| *taken == sent.bytes)
    };
    heard(one, other) && heard(other, one)
}

/// Opens a record, which must give `sent`, or nothing when it is none that was sent here. Says
/// whether it was opened.
fn open(opener: &mut Opener, idle: &mut u32, sent: Option<&Held>, record: &mut [u8]) -> bool {
    let was_open = opener.is_open();
    let opened = opener.open(record);
    *idle = match sent {
        Some(Held::Data(content)) if !content.is_empty() => 0,
        _ => *idle + 1,
    };
    match sent {
        _ if !was_open => assert_eq!(opened, Err(Error::Closed)),
        Some(Held::Close(reason)) => assert_eq!(opened, Ok(Opened::Close(*reason))),
        Some(_) if *idle > MAX_IDLE_RECORDS => assert_eq!(opened, Err(Error::Record)),
        Some(Held::Data(content)) => assert_eq!(opened, Ok(Opened::Data(content))),
        Some(Held::Pad) => assert_eq!(opened, Ok(Opened::Nothing)),
        Some(_) | None => assert_eq!(opened, Err(Error::Record)),
    }
    let accepted = opened.is_ok();
    let goes_on = matches!(opened, Ok(Opened::Data(_) | Opened::Nothing));
    assert_eq!(opener.is_open(), goes_on);
    accepted
}

/// What the one between the ends does with packets on their way. The first of them is changed.
fn harm(wire: &mut VecDeque<Vec<u8>>, damage: u8, argument: usize) {
    let count = wire.len();
    let Some(packet) = wire.front_mut() else { return };
    let place = argument % packet.len().max(1);
    match damage {
        9 => packet.truncate(place),
        10 | 11 => packet.get_mut(place).into_iter().for_each(|byte| *byte ^= 1 << (damage & 1)),
        12 => packet.resize(packet.len() + argument, 0),
        13 => drop(wire.pop_front()),
        14 => {
            let repeated = packet.clone();
            wire.insert(argument % (count + 1), repeated);
        }
        _ => wire.swap(0, argument % count),
    }
}

/// What an end is after a message.
enum Next {
    State(State),
    /// With the records that carried nothing so far.
    Session(Session, u32),
}

impl State {
    /// Reads a message of the handshake; gives the answer, if there is one.
    fn read(self, bytes: &[u8], rng: &mut SeededRng) -> Result<(Option<Vec<u8>>, Next), Error> {
        let [alice, bob] = &*AGENTS;
        match self {
            Self::Waiting => answer(bytes, rng),
            Self::XxSent(sent) => {
                let (message, session) = bob.prove(sent.read(bytes)?)?.finish(bob.id)?;
                Ok((Some(message), Next::Session(session, 0)))
            }
            Self::IkSent(sent) => {
                let (mut confirmation, session) = bob.prove(sent.read(bytes)?)?.finish()?;
                let record = confirmation.split_off(2);
                Ok((Some(record), Next::Session(session, 0)))
            }
            Self::XxAnswered(answered) => {
                Ok((None, Next::Session(alice.prove(answered.read(bytes)?)?, 0)))
            }
            // The confirmation is a record that carries nothing.
            Self::IkReplied(replied) => {
                Ok((None, Next::Session(replied.confirm(&mut bytes.to_vec())?, 1)))
            }
            Self::Established(..) | Self::Over => Err(Error::Closed),
        }
    }
}

/// A responder's answer to a preamble and message 1.
fn answer(bytes: &[u8], rng: &mut SeededRng) -> Result<(Option<Vec<u8>>, Next), Error> {
    let [alice, bob] = &*AGENTS;
    let head = bytes.first_chunk().ok_or(Error::Truncated)?;
    let length = Preamble::HEAD_LEN + Preamble::rest_len(head)?;
    let (preamble, message) = bytes.split_at_checked(length).ok_or(Error::Truncated)?;
    let preamble = Preamble::from_bytes(preamble)?;
    let (message, state) = match preamble.pattern() {
        Pattern::Xx => {
            let (message, next) = responder::answer_xx(bob.local(), &preamble, message, rng)?;
            (message, State::XxAnswered(next))
        }
        Pattern::Ik => {
            let claim = responder::answer_ik(bob.local(), &preamble, message, rng)?;
            let (message, next) = alice.prove(claim)?.reply(alice.id)?;
            (message, State::IkReplied(next))
        }
    };
    Ok((Some(message), Next::State(state)))
}

impl End {
    fn new(state: State) -> Self {
        Self { state, sent: Vec::new(), taken: Vec::new(), binding: None, idle: 0 }
    }

    /// A packet that it has sent.
    fn sent(&self, number: usize) -> Option<Vec<u8>> {
        self.sent.get(number).map(|packet| packet.bytes.clone())
    }
}

struct Agent {
    id: &'static [u8],
    keys: Arc<MemoryKeyStore>,
}

impl Agent {
    fn local(&self) -> Local {
        let (id, card) = (self.id.to_vec(), self.id.repeat(2));
        let introduction = Introduction { id, card, ..Introduction::default() };
        let keys = Arc::clone(&self.keys) as Arc<dyn KeyStore>;
        Local::new(keys, self.keys.newest(), introduction)
    }

    /// Takes a claim for this agent's.
    fn prove<S>(&self, claim: Claim<S>) -> Result<S, Error> {
        let static_key = &self.keys.public(self.keys.newest())?.handshake;
        assert_eq!(claim.payload().card(), self.id.repeat(2));
        claim.prove(PeerIdentity { id: self.id, key: self.keys.identity(), static_key })
    }
}

/// The same two agents in every run, so that an input that finds a fault always does.
static AGENTS: LazyLock<[Agent; 2]> = LazyLock::new(|| {
    [(&b"alice"[..], 1), (b"bob", 2)].map(|(id, seed)| {
        let keys = MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("randomness");
        Agent { id, keys: Arc::new(keys) }
    })
});

/// The seed of the handshakes that the one between has recorded.
const RECORDED: u64 = 4;

/// The packets of another handshake between the same agents, in the order of the wire.
fn recorded(pattern: Pattern, suite: Suite) -> &'static [Vec<u8>] {
    static PACKETS: LazyLock<[Vec<Vec<u8>>; 4]> = LazyLock::new(|| {
        [(Pattern::Xx, Suite::AesGcm), (Pattern::Xx, Suite::ChaChaPoly)]
            .into_iter()
            .chain([(Pattern::Ik, Suite::AesGcm), (Pattern::Ik, Suite::ChaChaPoly)])
            .map(|(pattern, suite)| {
                let mut play = Play::start(pattern, suite, RECORDED).expect("a first message");
                play.settle();
                let sent = |end: &End, number| end.sent(number).expect("a whole handshake");
                vec![sent(&play.left, 0), sent(&play.right, 0), sent(&play.left, 1)]
            })
            .collect::<Vec<_>>()
            .try_into()
            .expect("four handshakes")
    });
    let [xx_aes, xx_chacha, ik_aes, ik_chacha] = &*PACKETS;
    match (pattern, suite) {
        (Pattern::Xx, Suite::AesGcm) => xx_aes,
        (Pattern::Xx, Suite::ChaChaPoly) => xx_chacha,
        (Pattern::Ik, Suite::AesGcm) => ik_aes,
        (Pattern::Ik, Suite::ChaChaPoly) => ik_chacha,
    }
}
