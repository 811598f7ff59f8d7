//! Seeds of the targets that are about whole agents: their rows, the command's own files, and
//! schedules.

use std::{error::Error, io};

use sealwire_core::{KeyStore, MemoryKeyStore, kdf::Sha256, secret::Secret};
use sealwire_identity::{AgentId, EvidenceList, NewCard};
use sealwire_ratchet::{Session, Standing, hazmat};
use sealwire_testkit::rng::SeededRng;

use crate::{DAY, NOW, picked, seed};

const TARGET: &str = "store_rows";

/// Behind its length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn address() -> Vec<u8> {
    [sized(&[2; 16]), sized(&[3; 40])].concat()
}

fn time() -> [u8; 8] {
    NOW.as_secs().to_be_bytes()
}

/// Rows in the order of their kinds: see `Row` of the target.
pub(crate) fn rows(keys: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let id = AgentId::from_key(keys.identity());
    let device = [&sized(id.as_str().as_bytes())[..], &[0; 4]].concat();
    let mailbox = [sized(&[1; 16]), address()].concat();
    let card = sized(NewCard::new(1, NOW, DAY).sign(keys, keys.newest())?.as_bytes());
    let row = |kind: u8, name: &str, version: u8, fields: &[&[u8]]| {
        picked(TARGET, name, kind, &[&[version][..], &fields.concat()].concat())
    };
    row(0, "home", 1, &[&device, &[1], &mailbox, &time(), &card, &card])?;
    row(0, "home-fresh", 1, &[&device, &[0; 9]])?;
    let pin = sized(&[&[1][..], &[0; 8], &[4; 32]].concat());
    let evidence = sized(&EvidenceList::default().to_bytes());
    row(
        1,
        "peer",
        1,
        &[
            &device,
            &[1],
            &mailbox,
            &[1],
            &address(),
            &[1, 1],
            &address(),
            &time(),
            &[1],
            &pin,
            &[1, 1],
            &[9; 32],
            &evidence,
            &[1],
            &time(),
            &[8; 48],
        ],
    )?;
    row(1, "peer-fresh", 1, &[&device, &[0; 8]])?;
    session()?;
    row(3, "inbox", 1, &[&[7; 16], &device, &time(), b"how far is the moon?"])?;
    let frame = [5; 64];
    row(4, "outbox", 1, &[&device, &[7; 16], &address(), &frame])?;
    row(4, "outbox-answer", 2, &[&[0], &device, &[7; 16], &address(), &frame])?;
    let part = [&[1][..], &[6; 16], &[5; 32], &[0, 0, 0, 1, 0, 0, 0xEA, 0x60]].concat();
    row(4, "outbox-part", 2, &[&part, &device, &[7; 16], &address(), &frame])?;
    row(5, "once", 1, &[&[7; 16], &time(), &[5; 32]])?;
    large(&row, &device)?;
    row(7, "piece", 1, &[b"bytes of a large message"])?;
    let sending = |length: &[u8], phase: [u8; 2]| {
        [&[7; 16][..], &device, length, &time(), &[0; 12], &[5; 32], &phase].concat()
    };
    row(8, "sending", 1, &[&sending(&[0], [0, 0])])?;
    row(8, "sending-done", 1, &[&sending(&[1, 0, 0, 0, 0, 0, 0, 0xEA, 0x60], [1, 1])])?;
    row(8, "sending-unsealed", 1, &[&sending(&[0], [0, 1])])?;
    Ok(())
}

fn session() -> Result<(), Box<dyn Error>> {
    let mut rng = SeededRng::new(6);
    let (agreed, _, prefix) = hazmat::agreed_pair(&mut rng)?;
    let prekey = Secret::random(&mut rng)?;
    let public = *sealwire_core::keys::StaticSecret::from_seed(&prekey)?.public();
    let session = Session::initiate(agreed, &public, prefix, NOW, &mut rng)?;
    let row = [&Standing::Archived(NOW).to_bytes()[..], &session.to_bytes()].concat();
    Ok(picked(TARGET, "session", 2, &row)?)
}

fn large(
    row: &impl Fn(u8, &str, u8, &[&[u8]]) -> io::Result<()>,
    device: &[u8],
) -> io::Result<()> {
    let number = |number: u64| number.to_be_bytes();
    let mut hash = Sha256::new();
    hash.update(&[7; 100]);
    let state = hash.to_state();
    let end = [&[1][..], &number(500), &[5; 32]].concat();
    let counts = [number(2), number(90)].concat();
    let spans = [number(100), number(150), number(160), number(200)].concat();
    let fields = |spans: &[u8]| {
        let begun = [device, &time(), &time(), &[0, 0], &end, &number(100)].concat();
        [&begun, &state.expose()[..], &counts, spans].concat()
    };
    row(6, "large", 1, &[&fields(&spans)])?;
    row(6, "large-touching", 1, &[&fields(&[&spans[..], &number(200), &number(201)].concat())])?;
    row(6, "large-backwards", 1, &[&fields(&[number(150), number(100)].concat())])
}

/// The address book, what is being sent, and cards.
pub(crate) fn files(alice: &MemoryKeyStore, bob: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let target = "command_files";
    let id = AgentId::from_key(bob.identity());
    let book = |version, entries: &str| {
        format!("{{\n  \"version\": {version},\n  \"addresses\": {{{entries}}}\n}}")
    };
    let entry = format!("\"127.0.0.1:7000\": \"{id}\"");
    picked(target, "addresses", 0, book(1, &entry).as_bytes())?;
    for (name, text) in [
        ("addresses-none", book(1, "")),
        ("addresses-twice", book(1, &format!("{entry}, {entry}"))),
        ("addresses-odd", book(1, "\"\\u0000\\ud83c\\udf19\": \"nobody\"")),
        ("addresses-half", book(1, "\"\\ud83c\": \"nobody\"")),
        ("addresses-later", book(2, &entry)),
        ("addresses-huge", book(256, &entry)),
        ("addresses-nested", book(1, &"[".repeat(200))),
        ("addresses-more", book(1, &entry).replace("\"version\"", "\"x\": 1, \"version\"")),
    ] {
        seed(target, name, &[&[0], text.as_bytes()].concat())?;
    }
    let sends = r#"{"version": 1, "sends": {"0a": {"name": "1b", "at": 1800000000}}}"#;
    picked(target, "sends", 1, sends.as_bytes())?;
    for (name, at) in [("negative", "-1"), ("float", "1e9"), ("large", "18446744073709551616")] {
        let text = sends.replace("1800000000", at);
        seed(target, &format!("sends-{name}"), &[&[1], text.as_bytes()].concat())?;
    }
    let card = |keys: &MemoryKeyStore, sequence, begin| -> Result<_, Box<dyn Error>> {
        Ok(NewCard::new(sequence, begin, DAY).sign(keys, keys.newest())?.to_text())
    };
    let (new, old) = (card(alice, 2, NOW)?, card(alice, 1, sealwire_core::Timestamp::default())?);
    picked(target, "card", 2, new.as_bytes())?;
    for (name, text) in [
        ("cards", format!("{old}{new}")),
        ("cards-newest-first", format!("{new}\n\n {old}")),
        ("cards-of-two", format!("{new}{}", card(bob, 3, NOW)?)),
        ("cards-none", " \n".to_owned()),
        ("cards-half", format!("{new}{}", &old[..100])),
        ("cards-wide", format!("{new}\u{FEFF}{old}")),
    ] {
        seed(target, name, &[&[2], text.as_bytes()].concat())?;
    }
    Ok(())
}

/// Schedules: see `step` beside the target. Low half of a step: 0 send, 2 sync, 4 acknowledge,
/// 5 restart, 6 crash, 7 lose, 8 repeat, 9 change, 10 at the wrong place, 11 an old one again, 12
/// another order or a failure, 13 time, 14 publish or close sessions, 15 a mailbox is gone. In the
/// high half 1 is Bob, and 4 the one after the next.
pub(crate) fn conversations() -> io::Result<()> {
    let scripts: [(&str, &[u8]); 14] = [
        ("nothing", &[]),
        ("talk", &[0, 0, 2, 0, 0x12, 0, 0x14, 0, 0x10, 0, 0x12, 0, 2, 0, 4, 0, 0, 0, 2, 0, 0x12, 0]),
        ("both-begin", &[0, 0, 0x10, 0, 2, 0, 0x12, 0, 2, 0, 0, 0, 0x10, 0, 2, 0, 0x12, 0]),
        ("newest-first", &[0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 12, 1, 0x12, 0, 0x15, 0, 0x10, 0, 0x12, 0]),
        ("restarted", &[0, 0, 5, 0, 2, 0, 0x15, 0, 0x12, 0, 0x15, 0, 0x10, 0, 0x15, 0, 5, 0, 2, 0]),
        ("crashed", &[0, 0, 6, 0, 6, 1, 0x16, 0, 0x16, 1, 0x16, 2, 0, 0, 6, 129, 6, 130, 2, 0]),
        ("lost", &[0, 0, 2, 0, 7, 0, 0, 0, 2, 0, 0x12, 0, 0x10, 0, 0x12, 0, 7, 0, 0x10, 0, 0x12, 0]),
        ("repeated", &[0, 0, 2, 0, 8, 0, 8, 1, 0x12, 0, 11, 0, 0x12, 0, 0x15, 0, 11, 0, 0x12, 0]),
        ("changed", &[0, 0, 0, 0, 2, 0, 9, 0, 8, 1, 9, 5, 9, 10, 0x12, 0, 0x10, 0, 0x12, 0, 9, 7, 2, 0]),
        ("misdelivered", &[0, 0, 2, 0, 10, 0, 10, 16, 10, 48, 2, 0, 0x12, 0, 0x10, 0, 0x12, 0, 10, 0, 2, 0]),
        ("away", &[12, 128, 0, 0, 12, 145, 0, 0, 12, 130, 2, 0, 12, 144, 2, 0, 12, 129, 0x12, 0, 12, 146, 0x12, 0]),
        ("later", &[0, 0, 2, 0, 13, 3, 0x12, 0, 14, 0, 0x1E, 0, 13, 3, 0, 0, 13, 3, 2, 0, 13, 3, 0x15, 0, 0x12, 0]),
        ("wrong-clock", &[0, 0, 13, 128, 2, 0, 0x12, 0, 13, 131, 0x10, 0, 0x12, 0, 13, 133, 2, 0, 5, 0, 2, 0]),
        ("gone", &[0, 0, 2, 0, 0x12, 0, 0x10, 0, 0x12, 0, 2, 0, 15, 2, 15, 3, 0, 0, 2, 0, 14, 200, 0x10, 0, 0x12, 0]),
    ];
    for (name, script) in scripts {
        for (first, agents) in [(0, "two"), (3, "three")] {
            seed("conversation", &format!("{agents}-{name}"), &[&[first], script].concat())?;
        }
    }
    seed("conversation", "half-a-step", &[0, 0, 0, 2])
}
