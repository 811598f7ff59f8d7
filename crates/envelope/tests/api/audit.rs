//! Audit logs: what they hold, and that nothing in them changes unseen.

use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
use sealwire_envelope::{
    Error, ObjectId,
    audit::{AuditLog, Checkpoint, Counts, Event, MAX_LINE, Report, Verifier, prune},
    kms::{KeyId, KeyRef, KeyVersion, Provider},
};
use sealwire_testkit::rng::SeededRng;

use crate::support::NOW;

const DAY: u64 = 24 * 60 * 60;

fn signer() -> MemoryKeyStore {
    MemoryKeyStore::generate(&mut SeededRng::new(1)).unwrap()
}

fn object(byte: u8) -> ObjectId {
    ObjectId::from_bytes([byte; 16])
}

fn key(version: &str) -> KeyId {
    let key = KeyRef::new(Provider::Vault, "a \"quoted\" key, ümlaut").unwrap();
    KeyId { key, version: KeyVersion::new(version).unwrap() }
}

/// One event of each kind.
fn events() -> Vec<Event> {
    vec![
        Event::Sealed { object: object(1) },
        Event::Opened { object: object(1) },
        Event::Refused { object: object(2) },
        Event::Resealed { from: object(1), to: object(3) },
        Event::Erased { object: object(1) },
        Event::Rewrapped { object: object(3), from: key("1"), to: key("2") },
        Event::RewrapEnded(Counts { current: 1, rewrapped: 2, scanned: 3, ..Counts::default() }),
        Event::Rotated { from: key("1"), to: key("2") },
        Event::Retired { key: key("1") },
        Event::AccessAudited { key: key("2"), findings: u64::MAX },
    ]
}

/// A log of every event, with a checkpoint in the middle and one at the end, a day apart each.
fn log() -> (Vec<String>, [Checkpoint; 2]) {
    let keys = signer();
    let (mut log, first) = AuditLog::start([7; 16], NOW).unwrap();
    let mut lines = vec![first];
    let mut checkpoints = Vec::new();
    for (number, event) in (1..).zip(&events()) {
        let now = NOW.plus(number * DAY);
        lines.push(log.append(event, now).unwrap());
        if number == 5 || number == 10 {
            let (line, checkpoint) = log.checkpoint(&keys, now).unwrap();
            lines.push(line);
            checkpoints.push(checkpoint);
        }
    }
    (lines, checkpoints.try_into().unwrap())
}

fn verify(lines: &[String], kept: Option<Checkpoint>) -> Result<(Report, Vec<Event>), Error> {
    let mut verifier = Verifier::new(signer().identity().clone(), kept);
    let mut found = Vec::new();
    for line in lines {
        found.extend(verifier.line(line)?);
    }
    Ok((verifier.finish()?, found))
}

// The hashes were computed by the rule with another implementation of SHA-256.
// ENV-33, ENV-34
#[test]
fn a_log_is_read_as_it_was_written() {
    let (lines, [_, last]) = log();
    let (report, found) = verify(&lines, Some(last)).unwrap();
    assert_eq!(found, events());
    assert_eq!((report.first(), report.last(), report.unsigned()), (0, 12, 0));
    assert_eq!(report.checkpoint(), Some(last));
    assert_eq!(
        lines[1],
        concat!(
            r#"{"seq":1,"time":1800086400,"prev":""#,
            "093df15d20b17d14a419c2f5936280005c6e0447471db5f14576ee501e9270b5",
            r#"","event":{"kind":"sealed","object":"01010101010101010101010101010101"},"hash":""#,
            "e673d22e905bbc43f861c5a2559cc4e35b71a028ac2a05c90a8524b27180059e\"}"
        )
    );
}

// ENV-35
#[test]
fn any_byte_changed_in_any_line_is_seen() {
    let (lines, _) = log();
    for (number, line) in lines.iter().enumerate() {
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let mut log = lines.clone();
            log[number] = changed;
            let refused = verify(&log, None);
            assert!(matches!(refused, Err(Error::Audit { .. })), "line {number}, byte {at}");
        }
    }
}

// ENV-35
#[test]
fn lines_that_are_left_out_moved_repeated_or_added_are_seen() {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, Change); 9] = [
        ("one left out", |lines| drop(lines.remove(3))),
        ("the first left out", |lines| drop(lines.remove(0))),
        ("a checkpoint left out", |lines| drop(lines.remove(6))),
        ("two swapped", |lines| lines.swap(2, 3)),
        ("one repeated", |lines| lines.insert(3, lines[2].clone())),
        ("an empty line", |lines| lines.insert(3, String::new())),
        ("no JSON", |lines| lines.push("x".to_owned())),
        ("white space", |lines| lines[3].insert(1, ' ')),
        ("a line too long", |lines| lines.push("x".repeat(MAX_LINE + 1))),
    ];
    for (name, change) in changes {
        let (mut lines, _) = log();
        change(&mut lines);
        assert!(matches!(verify(&lines, None), Err(Error::Audit { .. })), "{name}");
    }
}

// ENV-35
#[test]
fn a_log_that_was_cut_is_seen_by_whoever_kept_a_checkpoint() {
    let (lines, [first, last]) = log();
    for len in 1..lines.len() {
        let cut = &lines[..len];
        assert_eq!(verify(cut, None).unwrap().0.last(), len as u64 - 1);
        assert_eq!(verify(cut, Some(first)).is_ok(), len >= 7, "cut at {len}");
        assert!(verify(cut, Some(last)).is_err(), "cut at {len}");
    }
    assert!(matches!(verify(&[], None), Err(Error::Audit { .. })));
}

// ENV-35
#[test]
fn another_log_in_its_place_is_seen() {
    let (_, [_, kept]) = log();
    let keys = signer();
    let (mut log, first) = AuditLog::start([7; 16], NOW).unwrap();
    let mut lines = vec![first];
    for _ in 0..20 {
        lines.push(log.append(&Event::Opened { object: object(1) }, NOW).unwrap());
    }
    assert_eq!(verify(&lines, None).unwrap().0.unsigned(), 21);
    lines.push(log.checkpoint(&keys, NOW).unwrap().0);
    assert!(verify(&lines, None).is_ok());
    assert!(matches!(verify(&lines, Some(kept)), Err(Error::Audit { line: 13, .. })));

    // Signed by someone else.
    let eve = MemoryKeyStore::generate(&mut SeededRng::new(2)).unwrap();
    lines.push(log.checkpoint(&eve, NOW).unwrap().0);
    assert!(matches!(verify(&lines, None), Err(Error::Audit { line: 23, .. })));

    // A second beginning in the middle.
    let (_, second) = AuditLog::start([8; 16], NOW).unwrap();
    assert!(verify(&[lines[0].clone(), second], None).is_err());
}

// ENV-36
#[test]
fn what_is_old_goes_up_to_a_checkpoint_and_the_rest_still_verifies() {
    let (lines, [first, last]) = log();
    let cut = |days: u64| prune(lines.iter().map(String::as_str), NOW.plus(days * DAY));
    assert_eq!([cut(0), cut(5), cut(6), cut(10), cut(11)], [0, 0, 6, 6, 12]);

    let rest = &lines[6..];
    let (report, found) = verify(rest, Some(last)).unwrap();
    assert_eq!((report.first(), report.last()), (6, 12));
    assert_eq!(found, events()[5..]);
    assert!(verify(rest, Some(first)).is_ok());
    // What it begins with is signed, or it is no beginning.
    assert!(verify(&lines[7..], Some(last)).is_err());
    assert!(verify(&lines[12..], Some(first)).is_err());
}

#[test]
fn a_log_goes_on_where_it_was_read_to() {
    let (mut lines, _) = log();
    let (report, _) = verify(&lines, None).unwrap();
    let mut log = report.resume();
    lines.push(log.append(&events()[0], NOW).unwrap());
    assert_eq!(verify(&lines, None).unwrap().0.unsigned(), 1);
}

#[test]
fn outcomes_sum_to_what_was_scanned() {
    let exact =
        Counts { current: 1, rewrapped: 2, conflict: 3, excluded: 4, failed: 5, scanned: 15 };
    assert!(exact.is_exact());
    assert!(!Counts { scanned: 14, ..exact }.is_exact());
    assert!(!Counts { current: u64::MAX, scanned: 14, ..exact }.is_exact());
    let (mut log, first) = AuditLog::start([7; 16], Timestamp::default()).unwrap();
    let line = log.append(&Event::RewrapEnded(Counts { scanned: 14, ..exact }), NOW).unwrap();
    assert!(matches!(verify(&[first, line], None), Err(Error::Audit { line: 2, .. })));
}

#[test]
fn the_longest_event_fits_in_a_line() {
    let key = |version: &str| KeyId {
        key: KeyRef::new(Provider::Local, &"\"".repeat(KeyRef::MAX_LEN)).unwrap(),
        version: KeyVersion::new(&version.repeat(KeyVersion::MAX_LEN)).unwrap(),
    };
    let (mut log, first) = AuditLog::start([7; 16], Timestamp::from_secs(u64::MAX)).unwrap();
    let event = Event::Rewrapped { object: object(1), from: key("\\"), to: key("\"") };
    let line = log.append(&event, Timestamp::from_secs(u64::MAX)).unwrap();
    assert!(line.len() <= MAX_LINE, "{}", line.len());
    assert_eq!(verify(&[first, line], None).unwrap().1, [event]);
}

// ENV-35
#[test]
fn a_log_that_nobody_signs_begins_with_its_first_line_and_has_no_checkpoint() {
    let (lines, _) = log();
    let verify = |lines: &[String]| {
        let mut verifier = Verifier::unsigned();
        lines.iter().try_for_each(|line| verifier.line(line).map(drop))?;
        verifier.finish()
    };
    let report = verify(&lines[..6]).unwrap();
    assert_eq!((report.first(), report.last(), report.unsigned()), (0, 5, 6));
    assert_eq!(report.checkpoint(), None);
    for (name, lines) in [
        ("a checkpoint", &lines[..7]),
        ("begins later", &lines[1..6]),
        ("begins with a checkpoint", &lines[6..9]),
    ] {
        assert!(matches!(verify(lines), Err(Error::Audit { .. })), "{name}");
    }
}
