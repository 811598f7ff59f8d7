//! Two parties in a session, and the commands that both implementations understand. Bytes stay
//! in hex, as they came.

use serde_json::{Value, json};

use super::super::Side;
use super::super::party::Party;
use super::{demand, text};

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// X3DH, and the Double Ratchet without KEM and with headers in clear.
    Classical,
    /// Ours.
    Full,
}

impl Protocol {
    /// The argument of our peer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::Full => "full",
        }
    }

    /// For people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Classical => "X3DH, Double Ratchet",
            Self::Full => "Sealwire",
        }
    }
}

/// Which one-time keys of the responder the initiator claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneTime {
    pub(super) x25519: bool,
    pub(super) kem: bool,
}

impl OneTime {
    pub(super) const NEITHER: Self = Self { x25519: false, kem: false };
    pub(super) const X25519: Self = Self { x25519: true, kem: false };
    pub(super) const KEM: Self = Self { x25519: false, kem: true };
    pub(super) const BOTH: Self = Self { x25519: true, kem: true };
}

/// How a conversation begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) protocol: Protocol,
    pub(super) suite: u8,
    pub(super) we: Side,
    pub(super) one_time: OneTime,
}

/// What was seen to be as it must.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: usize,
    pub(super) refused: usize,
}

/// A sealed message, and what it says.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) from: Side,
    pub(super) frame: String,
    text: String,
}

/// A conversation.
pub(super) struct Talk<'a> {
    pub(super) setup: Setup,
    pub(super) tally: Tally,
    ours: &'a mut Party,
    theirs: &'a mut Party,
    said: usize,
    state: State,
}

/// What a command needs to name.
enum State {
    /// The initiator's first message was sealed when it agreed; until the responder has opened
    /// one, `hello` goes with each.
    Classical { first: Option<Letter>, hello: Option<Value>, sk: String },
    /// The cards of both sides, ours first, and the session.
    Full { cards: [String; 2], session: String, open: bool },
}

/// The devices of both sides, ours first.
const DEVICES: [u8; 2] = [2, 7];

impl<'a> Talk<'a> {
    /// New agents, and an agreement between them.
    pub(super) fn begin(
        setup: Setup,
        ours: &'a mut Party,
        theirs: &'a mut Party,
    ) -> Result<Self, String> {
        let state = State::Classical { first: None, hello: None, sk: String::new() };
        let mut talk = Self { setup, tally: Tally::default(), ours, theirs, said: 0, state };
        talk.state = match setup.protocol {
            Protocol::Classical => talk.agree_classical()?,
            Protocol::Full => {
                let cards = talk.meet()?;
                let session = talk.agree(&cards, Side::Initiator)?;
                State::Full { cards, session, open: false }
            }
        };
        Ok(talk)
    }

    fn agree_classical(&mut self) -> Result<State, String> {
        let (suite, said) = (self.setup.suite, self.words(13));
        let one_time = self.setup.one_time.x25519;
        let keys = self.ask(Side::Responder, &json!({ "op": "keys", "one_time": one_time }))?;
        demand(keys["one_time"].is_string() == one_time, || format!("other keys: {keys}"))?;
        let command = json!({ "op": "initiate", "suite": suite, "bundle": keys, "data": said });
        let begun = self.ask(Side::Initiator, &command)?;
        let (frame, sk) = (text(&begun, "frame")?, text(&begun, "sk")?);
        let first = Letter { from: Side::Initiator, frame, text: said };
        Ok(State::Classical { first: Some(first), hello: Some(begun["hello"].clone()), sk })
    }

    /// Makes agents that know each other's cards, which are all made by the other
    /// implementation; ours knows them as bytes.
    fn meet(&mut self) -> Result<[String; 2], String> {
        let [our_device, their_device] = DEVICES;
        let theirs = self.theirs.ask(&json!({ "op": "new", "device": their_device }))?;
        let secrets = self.ours.ask(&json!({ "op": "new", "device": our_device }))?;
        let ours = self.theirs.ask(&with(&secrets, "card"))?;
        self.ours.ask(&with(&ours, "card"))?;
        self.ours.ask(&with(&theirs, "peer"))?;
        Ok([text(&ours, "card")?, text(&theirs, "card")?])
    }

    /// An agreement that `initiator` begins; gives the name of its session.
    fn agree(&mut self, cards: &[String; 2], initiator: Side) -> Result<String, String> {
        let responder = initiator.other();
        let index = usize::from(responder != self.setup.we);
        let bundle = self.ask(responder, &json!({ "op": "bundle" }))?;
        let OneTime { x25519, kem } = self.setup.one_time;
        let mut command = json!({
            "op": "initiate", "suite": self.setup.suite, "card": cards[index],
            "device": DEVICES[index], "bundle": text(&bundle, "bundle")?,
        });
        for (name, kind, _) in [("opk", 1, x25519), ("kem", 2, kem)].iter().filter(|key| key.2) {
            let page = self.ask(responder, &json!({ "op": "page", "kind": kind, "count": 3 }))?;
            command[name] = json!({ "header": page["header"], "blob": page["blobs"][1] });
        }
        text(&self.ask(initiator, &command)?, "session")
    }

    /// A second agreement, in the other direction (full only); gives its session's name.
    pub(super) fn agree_back(&mut self) -> Result<String, String> {
        let State::Full { cards, .. } = &self.state else { return Err("full only".to_owned()) };
        self.agree(&cards.clone(), Side::Responder)
    }

    fn party(&mut self, side: Side) -> &mut Party {
        if side == self.setup.we { self.ours } else { self.theirs }
    }

    /// The answer of a side, which must not be an error.
    pub(super) fn ask(&mut self, side: Side, command: &Value) -> Result<Value, String> {
        let answer = self.party(side).ask(command)?;
        let sound = answer.get("error").is_none();
        demand(sound, || format!("the {side} refuses {}: {answer}", command["op"]))?;
        Ok(answer)
    }

    /// Bytes that are said once only.
    fn words(&mut self, len: usize) -> String {
        self.said = self.said.saturating_add(1);
        let mut words = format!("{:08x}", self.said).repeat(len.div_ceil(4));
        words.truncate(len.saturating_mul(2));
        words
    }

    /// Seals a message of `len` bytes; the first of a classical initiator is there already.
    pub(super) fn seal(&mut self, from: Side, len: usize) -> Result<Letter, String> {
        if let State::Classical { first, .. } = &mut self.state
            && from == Side::Initiator
            && let Some(first) = first.take()
        {
            return Ok(first);
        }
        let said = self.words(len);
        let mut command = json!({ "op": "seal", "data": said });
        if let State::Full { session, .. } = &self.state {
            command["session"] = session.clone().into();
        }
        let frame = text(&self.ask(from, &command)?, "frame")?;
        Ok(Letter { from, frame, text: said })
    }

    /// Seals `count` messages.
    pub(super) fn burst(&mut self, from: Side, count: usize) -> Result<Vec<Letter>, String> {
        (0..count).map(|index| self.seal(from, index % 50)).collect()
    }

    /// A letter must open.
    pub(super) fn open(&mut self, letter: &Letter) -> Result<(), String> {
        let to = letter.from.other();
        let command = self.opening(to, &letter.frame);
        let answer = self.ask(to, &command)?;
        demand(answer["data"] == *letter.text, || format!("another text: {answer}"))?;
        match &mut self.state {
            State::Classical { hello, sk, .. } => {
                let begins = command["op"] == "respond";
                demand(!begins || answer["sk"] == **sk, || format!("SK is {sk}: {answer}"))?;
                *hello = hello.take().filter(|_| !begins);
            }
            State::Full { session, open, .. } => {
                demand(answer["session"] == **session, || format!("not {session}: {answer}"))?;
                let begins = to == Side::Responder && !std::mem::replace(open, true);
                demand(answer["new"] == begins, || format!("new or not: {answer}"))?;
            }
        }
        self.tally.opened = self.tally.opened.saturating_add(1);
        Ok(())
    }

    /// All letters, in this order.
    pub(super) fn open_all<'b>(
        &mut self,
        letters: impl IntoIterator<Item = &'b Letter>,
    ) -> Result<(), String> {
        letters.into_iter().try_for_each(|letter| self.open(letter))
    }

    /// A frame must not open, with one of these errors.
    pub(super) fn refuse(&mut self, to: Side, frame: &str, errors: &[&str]) -> Result<(), String> {
        let command = self.opening(to, frame);
        self.refuse_command(to, &command, errors)
    }

    /// As [`Talk::refuse`], with a whole command.
    pub(super) fn refuse_command(
        &mut self,
        to: Side,
        command: &Value,
        errors: &[&str],
    ) -> Result<(), String> {
        let answer = self.party(to).ask(command)?;
        let refused = answer["error"].as_str().is_some_and(|error| errors.contains(&error));
        demand(refused, || format!("the {to} does not say {errors:?}: {answer}"))?;
        self.tally.refused = self.tally.refused.saturating_add(1);
        Ok(())
    }

    /// The command that opens a frame.
    pub(super) fn opening(&self, to: Side, frame: &str) -> Value {
        match &self.state {
            State::Classical { hello: Some(hello), .. } if to == Side::Responder => {
                let suite = self.setup.suite;
                json!({ "op": "respond", "suite": suite, "hello": hello, "frame": frame })
            }
            _ => json!({ "op": "open", "frame": frame }),
        }
    }

    /// The name of the session (full only).
    pub(super) fn session(&self) -> Result<String, String> {
        match &self.state {
            State::Full { session, .. } => Ok(session.clone()),
            State::Classical { .. } => Err("it has no name".to_owned()),
        }
    }

    /// From now on another session is meant, which both sides have.
    pub(super) fn turn_to(&mut self, other: String) {
        if let State::Full { session, .. } = &mut self.state {
            *session = other;
        }
    }

    /// What a side tells of the session.
    pub(super) fn state(&mut self, side: Side) -> Result<Value, String> {
        let session = self.session()?;
        self.ask(side, &json!({ "op": "state", "session": session }))
    }

    /// A side must hold so many skipped keys.
    pub(super) fn skipped(&mut self, side: Side, expected: usize) -> Result<(), String> {
        let found = match self.setup.protocol {
            Protocol::Classical => self.ask(side, &json!({ "op": "skipped" }))?,
            Protocol::Full => self.state(side)?,
        };
        // The specification lists them.
        let listed = found["skipped"].as_array().map(Vec::len);
        let count = listed.or_else(|| found["skipped"].as_u64()?.try_into().ok());
        demand(count == Some(expected), || {
            format!("the {side} has skipped {count:?}, not {expected}")
        })
    }
}

/// An answer as a command.
fn with(answer: &Value, op: &str) -> Value {
    let mut command = json!({ "op": op });
    for (name, value) in answer.as_object().into_iter().flatten() {
        command[name] = value.clone();
    }
    command
}
