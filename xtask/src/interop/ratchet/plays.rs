//! What is played in each conversation.

use serde_json::json;

use super::super::Side::{Initiator, Responder};
use super::random::at_random;
use super::talk::{Letter, Protocol, Talk};
use super::tamper::{Tampered, flipped, tampered};
use super::{demand, text};

/// A part for two.
pub(super) struct Play {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Talk<'_>) -> Result<(), String>,
}

const fn play(name: &'static str, run: fn(&mut Talk<'_>) -> Result<(), String>) -> Play {
    Play { name, run }
}

/// In both protocols.
pub(super) const BOTH: [Play; 6] = [
    play("in turn", in_turn),
    play("out of order", out_of_order),
    play("lost", lost),
    play("repeated", repeated),
    play("tampered", tamper),
    play("at random", at_random),
];

/// In the classical one.
pub(super) const CLASSICAL: [Play; 1] = [play("other hello", other_hello)];

/// In ours.
pub(super) const FULL: [Play; 4] = [
    play("epochs", epochs),
    play("first messages", first_messages),
    play("replay", replay),
    play("simultaneous start", simultaneous),
];

/// Once in each protocol and direction: it takes as long as all the others.
pub(super) const BURST: Play = play("a burst lost", burst_lost);

/// Plaintexts of the first class, of its end and beyond, of the largest.
const LENGTHS: [usize; 8] = [0, 1, 700, 1984, 1985, 3000, 15_000, 60_000];

type Outcome = Result<(), String>;

/// Question and answer.
fn turn(talk: &mut Talk<'_>) -> Outcome {
    for side in [Initiator, Responder] {
        let letter = talk.seal(side, 20)?;
        talk.open(&letter)?;
    }
    Ok(())
}

fn in_turn(talk: &mut Talk<'_>) -> Outcome {
    for len in LENGTHS {
        for side in [Initiator, Responder] {
            let first = talk.seal(side, len)?;
            talk.open(&first)?;
            let second = talk.seal(side, len / 3)?;
            talk.open(&second)?;
        }
    }
    talk.skipped(Initiator, 0)?;
    talk.skipped(Responder, 0)
}

/// Letters of three chains each way, the oldest last.
fn out_of_order(talk: &mut Talk<'_>) -> Outcome {
    let a = talk.burst(Initiator, 4)?;
    talk.open_all([&a[2], &a[0]])?;
    let b = talk.burst(Responder, 4)?;
    talk.open(&b[3])?;
    let a2 = talk.burst(Initiator, 3)?;
    talk.open(&a2[1])?;
    let b2 = talk.burst(Responder, 3)?;
    talk.open(&b2[0])?;
    let a3 = talk.burst(Initiator, 2)?;
    talk.open(&a3[1])?;
    talk.skipped(Responder, 2 + 1 + 1 + 1)?;
    talk.skipped(Initiator, 3)?;
    talk.open_all([&b2[2], &b[0], &b2[1], &b[2], &b[1]])?;
    talk.open_all([&a3[0], &a[3], &a2[2], &a2[0], &a[1]])?;
    talk.skipped(Responder, 0)?;
    talk.skipped(Initiator, 0)?;
    turn(talk)
}

/// Letters at the beginning, in the middle and at the end of chains never arrive.
fn lost(talk: &mut Talk<'_>) -> Outcome {
    let a = talk.burst(Initiator, 5)?;
    talk.open(&a[2])?;
    talk.skipped(Responder, 2)?;
    let b = talk.burst(Responder, 3)?;
    talk.open(&b[1])?;
    talk.skipped(Initiator, 1)?;
    let a2 = talk.burst(Initiator, 4)?;
    talk.open(&a2[3])?;
    talk.skipped(Responder, 2 + 2 + 3)?; // The end of the chain before, too.
    let b2 = talk.burst(Responder, 2)?;
    talk.open(&b2[0])?;
    talk.skipped(Initiator, 1 + 1)?;
    talk.open(&a[4])?;
    talk.skipped(Responder, 2 + 1 + 3)?;
    for _ in 0..3 {
        turn(talk)?;
    }
    talk.skipped(Initiator, 1 + 1 + 1)
}

fn repeated(talk: &mut Talk<'_>) -> Outcome {
    let mut read: Vec<Letter> = Vec::new();
    for _ in 0..3 {
        for side in [Initiator, Responder] {
            let letters = talk.burst(side, 3)?;
            for letter in [&letters[1], &letters[0], &letters[2]] {
                talk.open(letter)?;
                talk.refuse(side.other(), &letter.frame, &["duplicate"])?;
            }
            read.extend(letters);
        }
    }
    for letter in &read {
        talk.refuse(letter.from.other(), &letter.frame, &["duplicate", "refused"])?;
    }
    turn(talk)
}

/// Each frame opens after every change to it was refused.
fn tamper(talk: &mut Talk<'_>) -> Outcome {
    let errors = match talk.setup.protocol {
        // A counter in clear may name a message that was, or one far ahead.
        Protocol::Classical => &["refused", "duplicate", "skip limit"][..],
        Protocol::Full => &["refused"],
    };
    for side in [Initiator, Responder, Initiator, Responder] {
        let letters = talk.burst(side, 2)?;
        for letter in &letters {
            for Tampered { what, frame } in tampered(talk.setup.protocol, &letter.frame) {
                let refused = talk.refuse(side.other(), &frame, errors);
                refused.map_err(|why| format!("{what}: {why}"))?;
            }
            talk.open(letter)?;
        }
    }
    talk.skipped(Initiator, 0)?;
    talk.skipped(Responder, 0)
}

/// A thousand letters lost in a row are the most that a message may skip.
// RAT-22
fn burst_lost(talk: &mut Talk<'_>) -> Outcome {
    turn(talk)?;
    for side in [Initiator, Responder] {
        let letters = talk.burst(side, 1002)?;
        let [first, .., thousand, last] = &letters[..] else { return Err("few".to_owned()) };
        talk.refuse(side.other(), &last.frame, &["skip limit"])?;
        talk.open(thousand)?;
        talk.skipped(side.other(), 1000)?;
        talk.open(last)?;
        talk.open(first)?;
        talk.skipped(side.other(), 999)?;
        turn(talk)?;
    }
    Ok(())
}

/// A changed word of the initiator gives another SK, or names keys that are not there.
fn other_hello(talk: &mut Talk<'_>) -> Outcome {
    let letter = talk.seal(Initiator, 0)?;
    let command = talk.opening(Responder, &letter.frame);
    for name in ["identity", "ephemeral", "signed", "one_time"] {
        let Some(key) = command["hello"][name].as_str() else { continue };
        let mut changed = command.clone();
        changed["hello"][name] = flipped(key, 0, 1).into();
        let refused = talk.refuse_command(Responder, &changed, &["refused"]);
        refused.map_err(|why| format!("{name}: {why}"))?;
    }
    if talk.setup.one_time.x25519 {
        let mut changed = command.clone();
        changed["hello"]["one_time"] = serde_json::Value::Null;
        talk.refuse_command(Responder, &changed, &["refused"])?;
    }
    talk.open(&letter)?;
    turn(talk)
}

/// Each chain of the initiator's but the first has an epoch of its own.
// RAT-16
fn epochs(talk: &mut Talk<'_>) -> Outcome {
    let chains = 24;
    for _ in 0..chains {
        turn(talk)?;
    }
    for side in [Initiator, Responder] {
        let state = talk.state(side)?;
        let sound = state["epoch"] == chains - 1 && state["stalled"] != true;
        demand(sound, || format!("the {side} after {chains} chains: {state}"))?;
    }
    Ok(())
}

/// Any of the first frames begins the session; the others belong to it.
// AGR-11, AGR-13
fn first_messages(talk: &mut Talk<'_>) -> Outcome {
    let letters = talk.burst(Initiator, 4)?;
    talk.open_all([&letters[2], &letters[0]])?;
    let early = talk.seal(Responder, 9)?;
    let with_prefix = talk.seal(Initiator, 9)?;
    talk.open(&early)?;
    let without = talk.seal(Initiator, 9)?;
    let starts = [&with_prefix, &without].map(|letter| letter.frame.get(..4));
    demand(starts == [Some("0101"), Some("0102")], || format!("frames begin {starts:?}"))?;
    // EK_A is the same, something else is not.
    for at in [18, 60, 1200] {
        talk.refuse(Responder, &flipped(&letters[1].frame, at, 1), &["refused"])?;
    }
    talk.open_all([&without, &letters[3], &with_prefix, &letters[1]])?;
    turn(talk)
}

/// What was used up stays so, even if the session is forgotten.
// AGR-19, AGR-20
fn replay(talk: &mut Talk<'_>) -> Outcome {
    let letters = talk.burst(Initiator, 2)?;
    talk.open(&letters[1])?;
    let session = talk.session()?;
    talk.ask(Responder, &json!({ "op": "forget", "session": session }))?;
    for letter in &letters {
        talk.refuse(Responder, &letter.frame, &["refused"])?;
    }
    Ok(())
}

/// Both begin at once, and settle on the lower name without a further message.
// RAT-24
fn simultaneous(talk: &mut Talk<'_>) -> Outcome {
    let ours = talk.session()?;
    let back = talk.agree_back()?;
    let first = talk.seal(Initiator, 5)?;
    let second = json!({ "op": "seal", "session": back, "data": "b0b0" });
    let second = text(&talk.ask(Responder, &second)?, "frame")?;
    talk.open(&first)?;
    let opened = talk.ask(Initiator, &json!({ "op": "open", "frame": second }))?;
    let sound = opened["session"] == *back && opened["new"] == true && opened["data"] == "b0b0";
    demand(sound, || format!("the other first message: {opened}"))?;
    talk.tally.opened = talk.tally.opened.saturating_add(1);

    let lower = ours.clone().min(back.clone());
    for side in [Initiator, Responder] {
        let active = talk.ask(side, &json!({ "op": "active", "session": ours }))?;
        demand(active["session"] == *lower, || format!("not {lower} at the {side}: {active}"))?;
    }
    for session in [back, ours] {
        talk.turn_to(session);
        for side in [Responder, Initiator, Responder] {
            let letter = talk.seal(side, 5)?;
            talk.open(&letter)?;
        }
    }
    Ok(())
}
