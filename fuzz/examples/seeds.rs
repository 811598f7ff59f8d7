//! Writes the seeds of every target into `corpus/`: what honest agents write, and what is
//! almost that. The same in every run: `cargo run --example seeds` after a change of format.

use std::{error::Error, fs, io, path::Path, sync::Arc};

use sealwire_core::{KeyStore, MemoryKeyStore, Suite, SuiteSet, Timestamp, Unverified};
use sealwire_identity::{
    AgentId, Evidence, EvidenceKind, EvidenceList, NewCard, PinStore, PinnedBy, ScoreStatement,
};
use sealwire_noise::{Introduction, KnownResponder, Local, initiator, responder};
use sealwire_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 24 * 60 * 60;

fn main() -> Result<(), Box<dyn Error>> {
    let alice = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(1))?);
    let bob = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(2))?);
    cards(&alice)?;
    ids(&alice)?;
    evidence(&alice, &bob)?;
    pins(&alice, &bob)?;
    handshakes(&alice, &bob)?;
    records()?;
    key_files()?;
    Ok(())
}

fn cards(keys: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let sign = |card: NewCard| card.sign(keys, keys.newest());
    let card = sign(NewCard::new(1, NOW, DAY).home_relay("https://relay.example"))?;
    around("card", "card", card.as_bytes())?;
    seed("card", "long", &card.as_bytes().repeat(2))?;
    let one_suite = NewCard::new(u64::MAX, NOW, DAY).suites(SuiteSet::from_bytes(&[1])?);
    seed("card", "one-suite", sign(one_suite)?.as_bytes())?;
    seed("card", "expired", sign(NewCard::new(1, Timestamp::from_secs(0), DAY))?.as_bytes())?;
    let text = card.to_text();
    seed("card", "text", text.as_bytes())?;
    seed("card", "text-crlf", format!(" \r\n{}", text.replace('\n', "\r\n")).as_bytes())?;
    seed("card", "text-joined-lines", text.replacen('\n', "", 2).as_bytes())?;
    Ok(())
}

fn ids(keys: &MemoryKeyStore) -> io::Result<()> {
    let id = AgentId::from_key(keys.identity()).to_string();
    seed("did_key", "ed25519", id.as_bytes())?;
    seed("did_key", "cut", &id.as_bytes()[..id.len() - 1])?;
    seed("did_key", "fragment", format!("{id}#{}", &id[8..]).as_bytes())?;
    // A 1 in front is a zero byte in front.
    seed("did_key", "zero", id.replace(":z", ":z1").as_bytes())?;
    seed("did_key", "x25519", b"did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc")?;
    seed("did_key", "webvh", b"did:webvh:QmScid:agents.example")
}

fn evidence(alice: &MemoryKeyStore, bob: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let subject = AgentId::from_key(bob.identity());
    let score = ScoreStatement::issue(alice, &subject, 820, NOW.plus(DAY))?;
    around("evidence", "score", score.as_bytes())?;
    let list = EvidenceList::new(vec![
        Evidence::new(EvidenceKind::Score, true, score.as_bytes())?,
        Evidence::new(EvidenceKind::OrgCredential, false, b"a credential")?,
    ])?;
    around("evidence", "list", &list.to_bytes())?;
    seed("evidence", "empty-list", &EvidenceList::default().to_bytes())?;
    let item = Evidence::new(EvidenceKind::X509Svid, true, b"x")?;
    let full = EvidenceList::new(vec![item; EvidenceList::MAX_ITEMS])?.to_bytes();
    seed("evidence", "full-list", &full)?;
    // An array of four thousand million items.
    seed("evidence", "huge-count", &[1, 0x9A, 0xFF, 0xFF, 0xFF, 0xFF, 0x83])?;
    Ok(())
}

fn pins(alice: &MemoryKeyStore, bob: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let mut pins = PinStore::new();
    seed("pins", "none", &pins.to_bytes())?;
    for (keys, by) in [(alice, PinnedBy::OutOfBand), (bob, PinnedBy::FirstContact)] {
        let card = NewCard::new(1, NOW, DAY).sign(keys, keys.newest())?;
        pins.pin(&Unverified::new(card).verify(NOW)?, by, NOW)?;
        around("pins", if pins.len() == 1 { "one" } else { "two" }, &pins.to_bytes())?;
    }
    // The second pin twice, which is in no order of ids.
    let two = pins.to_bytes();
    let first = &two[3..3 + (two.len() - 3) / 2];
    seed("pins", "twice", &[&two[..3], first, first].concat())?;
    seed("pins", "huge-count", &[&[1, 0xFF, 0xFF], first].concat())?;
    Ok(())
}

/// The preambles and payloads of XX and IK.
fn handshakes(
    alice: &Arc<MemoryKeyStore>,
    bob: &Arc<MemoryKeyStore>,
) -> Result<(), Box<dyn Error>> {
    let mut rng = SeededRng::new(3);
    let local = |keys: &Arc<MemoryKeyStore>, log: Option<Vec<u8>>| {
        let (id, card, evidence) = (b"id".to_vec(), b"a card".to_vec(), b"evidence".to_vec());
        let introduction = Introduction { id, card, log, evidence };
        Local::new(Arc::clone(keys) as Arc<dyn KeyStore>, keys.newest(), introduction)
    };

    let (preamble, message1, sent) =
        initiator::start_xx(local(alice, None), Suite::AesGcm, SuiteSet::all(), &mut rng)?;
    around("preamble", "xx", &preamble.to_bytes())?;
    seed("preamble", "xx-no-suites", &[1, 1, 1, 0, 0, 0, 0, 0])?;
    seed("preamble", "xx-other-suite", &[1, 1, 1, 1, 2, 0, 0, 0, 0])?;
    let (message2, _) =
        responder::answer_xx(local(bob, Some(b"a log".to_vec())), &preamble, &message1, &mut rng)?;
    let payload = sent.read(&message2)?.payload().to_bytes();
    around("handshake_payload", "xx", &payload)?;

    let kx = bob.newest();
    let publics = bob.public(kx)?;
    let known = KnownResponder {
        id: b"bob",
        static_key: &publics.handshake,
        kem_key: &publics.kem,
        kx,
        card_hash: [7; 32],
    };
    let offered = SuiteSet::from_bytes(&[2])?;
    let (preamble, message1, _) =
        initiator::start_ik(local(alice, None), known, Suite::ChaChaPoly, offered, &mut rng)?;
    around("preamble", "ik", &preamble.to_bytes())?;
    let claim = responder::answer_ik(local(bob, None), &preamble, &message1, &mut rng)?;
    around("handshake_payload", "ik", &claim.payload().to_bytes())?;
    Ok(())
}

/// Scripts: a byte for suite, direction and size of pieces, then steps of two bytes.
fn records() -> io::Result<()> {
    let idle = [&[0x80][..], &[0x02, 0].repeat(40), &[0x00, 1]].concat();
    let scripts: [(&str, &[u8]); 11] = [
        ("talk", &[0x40, 0x00, 3, 0x02, 200, 0x01, 252, 0x00, 0, 0x03, 1]),
        ("too-long", &[0xF3, 0x01, 253, 0x00, 1, 0x03, 0, 0x00, 1]),
        ("flip", &[0x01, 0x00, 3, 0x00, 3, 0x14, 9]),
        ("cut", &[0xE2, 0x00, 3, 0x00, 3, 0x05, 5]),
        ("longer", &[0xF3, 0x00, 3, 0x00, 3, 0x06, 5]),
        ("drop", &[0x00, 0x00, 3, 0x00, 3, 0x07, 0]),
        ("swap", &[0xF1, 0x00, 3, 0x00, 3, 0x08, 1]),
        ("repeat", &[0x12, 0x00, 3, 0x00, 3, 0x09, 1]),
        ("forged", &[0x33, 0x00, 3, 0x00, 3, 0x1A, 1]),
        ("over-long", &[0xF0, 0x00, 3, 0x00, 3, 0x0A, 255]),
        ("idle", &idle),
    ];
    for (name, script) in scripts {
        seed("record", name, script)?;
        seed("stream", name, script)?;
    }
    seed("stream", "cut-close", &[0x24, 0x00, 3, 0x03, 0])?;
    // A length of 0 in place of the first record is a refusal.
    seed("stream", "nothing", &[0x00])?;
    seed("stream", "refusal", &[0x00, 0x00, 3, 0x05, 0])
}

fn key_files() -> io::Result<()> {
    let hex = include_str!("../../crates/custody/tests/vectors/key-file-v1.hex").trim_ascii();
    let (digits, _) = hex.as_bytes().as_chunks();
    let digit = |digit: u8| char::from(digit).to_digit(16).map_or(0, |value| value as u8);
    let file: Vec<u8> = digits.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect();
    around("key_file", "two-sets", &file)?;
    // Memory, passes and lanes of Argon2id stand behind magic, version and kdf.
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    seed("key_file", "most-memory", &with(10, &[0x00, 0x10, 0x00, 0x00]))?;
    seed("key_file", "too-much-memory", &with(10, &[0x00, 0x10, 0x00, 0x01]))?;
    seed("key_file", "no-passes", &with(14, &[0; 4]))?;
    seed("key_file", "many-lanes", &with(18, &[0xFF]))?;
    seed("key_file", "nothing-sealed", &[&with(59, &[0, 16])[..61], &[0; 16]].concat())
}

/// Bytes that are read, cut, with another version or first field, and with one byte too many.
fn around(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    seed(target, name, bytes)?;
    seed(target, &format!("{name}-cut"), &bytes[..bytes.len() - 1])?;
    seed(target, &format!("{name}-trailing"), &[bytes, &[0]].concat())?;
    seed(target, &format!("{name}-version"), &[&[bytes[0] ^ 3], &bytes[1..]].concat())
}

/// A seed that is kept in the repository.
fn seed(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{name}")), bytes)
}
