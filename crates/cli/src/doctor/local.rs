//! What can be seen without the network: directory, card, state, anchor and sessions.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use indicatif::BinaryBytes;
use sealwire::{
    SessionInfo,
    core::{Timestamp, time::MAX_CLOCK_SKEW},
    custody::FileKeyStore,
    ratchet::Role,
    store::{self, Protection, Range, SqliteStore, Store, Table},
};

use super::{Check, judged};
use crate::{
    agent, cards,
    config::Config,
    error::Failure,
    home::Home,
    offline::{self, Guard, Opening},
    text::{span, utc},
};

/// Days of a card's end from which on somebody should know.
const CARD_ENDS: u64 = 7 * 24 * 60 * 60;

/// How long a session may be without an answer before that is strange, in seconds.
const UNANSWERED: u64 = 7 * 24 * 60 * 60;

/// Keys kept for messages that did not come, from which on it is strange: half of what one
/// message may skip.
const SKIPPED: usize = 500;

pub(super) fn home(home: &Home) -> Check {
    let name = "directory";
    let path = home.path();
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => Check::warn(
            name,
            format!("others on this machine can look into {home}"),
            format!("chmod 700 {home}"),
        ),
        Ok(_) => Check::ok(name, format!("{home}, for its owner alone")),
        Err(error) => Check::failed(name, &Failure::file("look into", path, &error)),
    }
}

/// The agent's card, and the clock against all that it has seen.
pub(super) fn card(home: &Home) -> Vec<Check> {
    let wall = agent::wall();
    let found = home.require_identity().and_then(|()| {
        let now = agent::now(&agent::peers(home)?)?;
        let cards = cards::read(home, now)?;
        let card = cards::current(home, &cards)?;
        Ok((now, judge_card(now, card.sequence(), card.not_before(), card.not_after())))
    });
    match found {
        Ok((now, card)) => vec![set_back(wall, now), card],
        Err(failure) => vec![Check::failed("card", &failure)],
    }
}

fn set_back(wall: Timestamp, latest: Timestamp) -> Check {
    let behind = latest.since(wall);
    if behind > MAX_CLOCK_SKEW {
        let said = format!("{}, and a peer was seen {} later", utc(wall), span(behind));
        return Check::warn("clock", said, "set the clock right: it was put back, or was ahead");
    }
    Check::ok("clock", utc(wall))
}

fn judge_card(now: Timestamp, sequence: u64, begin: Timestamp, end: Timestamp) -> Check {
    let left = end.since(now);
    let said = format!("{sequence}, {} old, {} left", span(now.since(begin)), span(left));
    if now > end {
        let said = format!("{sequence} has expired on {}", utc(end));
        return Check::fail("card", said, "`sealwire id card` signs a new one, for your peers");
    }
    if left < CARD_ENDS {
        return Check::warn("card", said, "`sealwire id card` signs a new one, for your peers");
    }
    Check::ok("card", said)
}

/// The state on disk, its anchor, what waits in it, and its sessions.
pub(super) async fn state(
    home: &Home,
    config: &Config,
    keys: &Arc<FileKeyStore>,
    change_anchor: bool,
) -> Vec<Check> {
    let guard = Guard::default();
    if change_anchor
        && let Err(failure) =
            offline::store(home, config, keys, &guard, Opening::ChangeAnchor).await
    {
        return vec![judged("anchor", &failure)];
    }
    let offline = match offline::build(home, config, Arc::clone(keys), &guard).await {
        Ok(offline) => offline,
        Err(failure) => return vec![judged("state", &failure)],
    };
    let mut checks = stored(&offline.store).unwrap_or_else(|error| {
        vec![Check::failed("state", &Failure::from(sealwire::Error::from(error)))]
    });
    checks.insert(0, guarded(config));
    checks.push(match offline.agent.sessions().await {
        Ok(found) => sessions(&found, agent::wall()),
        Err(error) => Check::failed("sessions", &error.into()),
    });
    checks
}

fn stored(store: &SqliteStore) -> Result<Vec<Check>, store::Error> {
    let status = store.status()?;
    let files = fs::read_dir(store.directory()).into_iter().flatten().flatten();
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let said = format!("generation {}, {}", status.generation(), BinaryBytes(bytes));
    let (inbox, outbox) = (count(store, Table::Inbox)?, count(store, Table::Outbox)?);
    Ok(vec![
        Check::ok("state", said),
        anchor(status.protection()),
        Check::ok("inbox", format!("{inbox} messages wait to be read")),
        match outbox {
            0 => Check::ok("outbox", "everything that was sent is at the relay"),
            _ => Check::warn(
                "outbox",
                format!("{outbox} frames wait to be taken by a relay"),
                "`sealwire recv` delivers them once the relay and the peers' mailboxes have room",
            ),
        },
    ])
}

/// What a thief of the disk would need. The state was opened with it.
fn guarded(config: &Config) -> Check {
    let said = match &config.agent.state_kms {
        Some(name) => format!("takes this agent's keys and {name}"),
        None => "takes this agent's keys alone".to_owned(),
    };
    Check::ok("state key", said)
}

fn anchor(protection: Protection) -> Check {
    match protection {
        Protection::Anchored => Check::ok("anchor", "an older state would be noticed"),
        _ => Check::warn(
            "anchor",
            protection.to_string(),
            "do not restore the state from a backup; or set agent.anchor to a place outside of it",
        ),
    }
}

fn count(store: &SqliteStore, table: Table) -> Result<usize, store::Error> {
    let (mut rows, mut after) = (0_usize, None);
    loop {
        let range = after.as_ref().map_or(Range::all(), |after| Range::all().after(after));
        let page = store.scan(table, range)?;
        rows = rows.saturating_add(page.len());
        match page.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(rows),
        }
    }
}

/// How far the two ends of sessions have drifted apart, as far as this end can see.
fn sessions(sessions: &[SessionInfo], now: Timestamp) -> Check {
    let name = "sessions";
    let gaps: Vec<&SessionInfo> =
        sessions.iter().filter(|session| session.skipped >= SKIPPED).collect();
    let unanswered = sessions.iter().filter(|session| {
        session.active
            && session.role == Role::Initiator
            && session.received == 0
            && now.since(session.created) > UNANSWERED
    });
    let skipped: usize = sessions.iter().map(|session| session.skipped).sum();
    let said = format!("{}, {skipped} messages awaited", sessions.len());
    if let Some(gap) = gaps.first() {
        let said = format!("{said}: of {}, {} are missing", gap.peer.agent, gap.skipped);
        let todo = "ask the peer whether it is its messages that are lost; `sealwire sessions \
                    close` begins anew";
        return Check::warn(name, said, todo);
    }
    match unanswered.count() {
        0 => Check::ok(name, said),
        count => Check::warn(
            name,
            format!("{said}: {count} without an answer for over a week"),
            "ask the peers whether they run; `sealwire sessions list` shows which",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_card_is_judged_by_what_is_left_of_it() {
        let at = |days: u64| Timestamp::from_secs(NOW.as_secs() + days * DAY);
        let begin = Timestamp::from_secs(NOW.as_secs() - DAY);
        for (end, state) in [(30, State::Ok), (8, State::Ok), (6, State::Warn), (0, State::Warn)] {
            let check = judge_card(NOW, 7, begin, at(end));
            assert_eq!((check.state, check.todo.is_some()), (state, state != State::Ok), "{end}");
        }
        let ended = Timestamp::from_secs(NOW.as_secs() - 1);
        assert_eq!(judge_card(NOW, 7, begin, ended).state, State::Fail);
    }

    #[test]
    fn a_clock_that_was_set_back_is_seen() {
        assert_eq!(set_back(NOW, NOW).state, State::Ok);
        assert_eq!(set_back(NOW, NOW.plus(MAX_CLOCK_SKEW)).state, State::Ok);
        let check = set_back(NOW, NOW.plus(3 * DAY));
        assert_eq!(check.state, State::Warn);
        assert!(check.said.ends_with("3 d 0 h later"), "{}", check.said);
    }

    #[test]
    fn a_state_without_an_anchor_is_worth_a_warning() {
        assert_eq!(anchor(Protection::Anchored).state, State::Ok);
        assert_eq!(anchor(Protection::Unanchored).state, State::Warn);
    }

    #[test]
    fn no_sessions_are_in_order() {
        assert_eq!(sessions(&[], NOW).said, "0, 0 messages awaited");
    }
}
