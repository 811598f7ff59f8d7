//! Keys that wrap data keys: what is due.

use sealwire::core::Timestamp;
use sealwire_envelope::ring::{Due, KekRing, Schedule};

use super::Check;
use crate::{
    agent,
    config::StorageConfig,
    error::Failure,
    home::Home,
    keyring::{Kept, Saved, schedule},
    text::{day, span},
};

const NAME: &str = "keyring";

/// One check for each key; none where there is no key.
pub(super) fn keys(home: &Home, config: &StorageConfig) -> Vec<Check> {
    let (schedule, now) = (schedule(config), agent::wall());
    let all = match Kept::all(home) {
        Ok(all) => all,
        Err(failure) => return vec![Check::failed(NAME, &failure)],
    };
    let judged = |kept: &Kept| {
        key(kept, &schedule, now).unwrap_or_else(|failure| Check::failed(NAME, &failure))
    };
    all.iter().map(judged).collect()
}

fn key(kept: &Kept, schedule: &Schedule, now: Timestamp) -> Result<Check, Failure> {
    let word = kept.notes.key();
    if let Some(stopped) = Saved::all(kept)?.first() {
        let said = format!("{word}: a rewrap of {} was ended before its end", stopped.place);
        let todo = format!("sealwire keyring rewrap {} --kms {word}", stopped.place);
        return Ok(Check::warn(NAME, said, todo));
    }
    judge(word, &kept.ring, kept.notes.audited(), schedule, now)
}

/// What is due first of all that may be.
fn judge(
    word: &str,
    ring: &KekRing,
    audited: Timestamp,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<Check, Failure> {
    let active = ring.active()?.id();
    let version = active.version.as_str();
    let rotation = ring.rotation_due(schedule, now)?;
    let retirable = ring.retirable(&active.key, now).next();
    if let Due::Now(_) | Due::Soon(_) = rotation {
        let said = format!("{word}: rotation of version {version} is {}", when(rotation, now));
        return Ok(Check::warn(NAME, said, format!("sealwire keyring rotate --kms {word}")));
    }
    if let Some(old) = retirable {
        let said = format!("{word}: the grace of version {} has ended", old.version.as_str());
        let todo = format!("sealwire keyring retire PLACE --kms {word}");
        return Ok(Check::warn(NAME, said, todo));
    }
    let audit = schedule.audit_due(audited, now);
    if let Due::Now(_) | Due::Soon(_) = audit {
        let said = format!("{word}: an audit of who may use it is {}", when(audit, now));
        let todo = format!("look, and then: sealwire keyring audit --done --kms {word}");
        return Ok(Check::warn(NAME, said, todo));
    }
    let said = format!("{word}: version {version} wraps; rotation is {}", when(rotation, now));
    Ok(Check::ok(NAME, said))
}

fn when(due: Due, now: Timestamp) -> String {
    match due {
        Due::Now(at) => format!("due since {}", day(at)),
        Due::Soon(at) | Due::Later(at) => format!("due on {}, in {}", day(at), span(at.since(now))),
    }
}

#[cfg(test)]
mod tests {
    use sealwire_envelope::kms::{KeyId, KeyRef, KeyVersion, Provider};

    use super::*;
    use crate::doctor::State;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 24 * 60 * 60;

    fn id(version: &str) -> KeyId {
        let key = KeyRef::new(Provider::Local, "archive").expect("a name");
        KeyId { key, version: KeyVersion::new(version).expect("a version") }
    }

    #[test]
    fn one_is_reminded_of_rotation_retirement_and_audit() {
        let schedule = Schedule::default();
        let at = |day: u64| START.plus(day * DAY);
        let fresh = KekRing::new(id("1"), START);
        let mut rotated = fresh.clone();
        rotated.rotate(id("2"), &schedule, at(90)).expect("a new version");
        for (ring, audited, day, state, said) in [
            (
                &fresh,
                0,
                0,
                State::Ok,
                "k: version 1 wraps; rotation is due on 2027-04-15, in 90 d 0 h",
            ),
            (
                &fresh,
                0,
                75,
                State::Ok,
                "k: version 1 wraps; rotation is due on 2027-04-15, in 15 d 0 h",
            ),
            (
                &fresh,
                0,
                76,
                State::Warn,
                "k: rotation of version 1 is due on 2027-04-15, in 14 d 0 h",
            ),
            (&fresh, 0, 95, State::Warn, "k: rotation of version 1 is due since 2027-04-15"),
            (&rotated, 0, 91, State::Warn, "k: an audit of who may use it is due since 2027-04-15"),
            (
                &rotated,
                90,
                119,
                State::Ok,
                "k: version 2 wraps; rotation is due on 2027-07-14, in 61 d 0 h",
            ),
            (&rotated, 90, 120, State::Warn, "k: the grace of version 1 has ended"),
            (
                &rotated,
                90,
                170,
                State::Warn,
                "k: rotation of version 2 is due on 2027-07-14, in 10 d 0 h",
            ),
        ] {
            let check = judge("k", ring, at(audited), &schedule, at(day)).expect("a judgement");
            assert_eq!((check.state, check.said.as_str()), (state, said), "day {day}");
            assert_eq!(check.todo.is_some(), state == State::Warn);
        }
    }
}
