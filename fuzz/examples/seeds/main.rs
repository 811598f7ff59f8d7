//! Writes the seeds of every target into `corpus/`: what honest agents write, and what is
//! almost that. The same in every run: `cargo run --example seeds` after a change of format.

mod agents;
mod envelope;
mod kms;

use std::{error::Error, fs, io, path::Path, sync::Arc};

use sealwire::{
    Body, Content, Part, delivery,
    pairing::{Code, Committed, Role},
};
use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, SuiteSet, Timestamp, Unverified,
    keys::SigningKey,
    keystore::KeySeeds,
    label::{Context, Label},
    pad,
    secret::Secret,
};
use sealwire_hybrid::{XWingSecret, seal_to};
use sealwire_identity::{
    AgentId, Evidence, EvidenceKind, EvidenceList, NewCard, PinStore, PinnedBy, ScoreStatement,
};
use sealwire_noise::{Introduction, KnownResponder, Local, Preamble, initiator, responder};
use sealwire_ratchet::{
    Session, Standing,
    agreement::{self, FirstMessage, ReplyTo},
    hazmat,
    prekey::{
        Contact, OneTimeKeys, PeerKeys, Prekeys, Publisher, RowKey, Unclaimed, UnverifiedBundle,
    },
};
use sealwire_relay::{
    Capability, Device, MessageId, Nonce, Problem, ReceiveId, SendId, Token,
    signature::{self, RequestParts, SignedHeaders, Signer},
    wire::{
        Acked, Acks, Body as _, Check, Claim, Claimed, ClaimedKey, FromClient, FromServer, Kind,
        MailboxKind, Message, Messages, NewMailbox, Operation, Page, Publish, Published, Remaining,
        Revoke,
    },
};
use sealwire_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 24 * 60 * 60;

fn main() -> Result<(), Box<dyn Error>> {
    let alice = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(1))?);
    let bob = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(2))?);
    public_keys(&alice)?;
    key_seeds()?;
    padding()?;
    hybrid()?;
    cards(&alice)?;
    ids(&alice)?;
    evidence(&alice, &bob)?;
    pins(&alice, &bob)?;
    handshakes(&alice, &bob)?;
    records()?;
    conversations()?;
    endpoints()?;
    key_files()?;
    prekeys(&alice)?;
    sessions()?;
    interactions()?;
    contents()?;
    pairings(&alice, &bob)?;
    relay_bodies()?;
    relay_streams()?;
    relay_texts()?;
    envelope::objects()?;
    envelope::keys()?;
    envelope::audit(&alice)?;
    kms::vault()?;
    kms::aws()?;
    agents::rows(&alice)?;
    agents::files(&alice, &bob)?;
    agents::conversations()?;
    Ok(())
}

fn public_keys(keys: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let publics = keys.public(keys.newest())?;
    let (ciphertext, _) = publics.kem.encapsulate(&mut SeededRng::new(3))?;
    seed("public_keys", "identity", keys.identity().as_bytes())?;
    seed("public_keys", "exchange", publics.handshake.as_bytes())?;
    seed("public_keys", "kem", publics.kem.as_bytes())?;
    seed("public_keys", "ciphertext", ciphertext.as_bytes())?;
    seed("public_keys", "signature", &[1; 64])?;
    seed("public_keys", "suites", &SuiteSet::all().to_bytes())?;
    seed("public_keys", "suites-twice", &[1, 1])?;
    // 2^255 - 19, and a point of small order.
    seed("public_keys", "not-canonical", &[&[0xED][..], &[0xFF; 30], &[0x7F]].concat())?;
    seed("public_keys", "small-order", &[0; 32])?;
    seed("public_keys", "coefficients-too-large", &[0xFF; 1184])?;
    Ok(())
}

fn key_seeds() -> Result<(), Box<dyn Error>> {
    let mut rng = SeededRng::new(4);
    let mut seeds = KeySeeds::generate(&mut rng)?;
    around("key_seeds", "one", &seeds.to_bytes())?;
    seeds.add_set(&mut rng)?;
    let two = seeds.to_bytes();
    seed("key_seeds", "two", &two)?;
    seed("key_seeds", "none", &[&[1, 0, 0][..], &two[3..35]].concat())?;
    // The second set twice, so that numbers do not ascend.
    seed("key_seeds", "twice", &[&[1, 0, 3][..], &two[3..], &two[35 + 132..]].concat())?;
    seed("key_seeds", "huge-count", &[&[1, 0xFF, 0xFF], &two[3..]].concat())?;
    Ok(())
}

fn padding() -> Result<(), Box<dyn Error>> {
    for (name, len) in [("frame", 2048), ("least", 8)] {
        let mut content = b"content".to_vec();
        pad::pad(&mut content, len)?;
        seed("padding", name, &content)?;
    }
    seed("padding", "zeros", &[0; 16])?;
    seed("padding", "other-mark", &[1, 2, 0x81, 0])?;
    seed("padding", "empty", &[])?;
    Ok(())
}

/// Keys and messages of X-Wing; the recipient is the one that the target knows.
fn hybrid() -> Result<(), Box<dyn Error>> {
    let bob = XWingSecret::from_seed(&Secret::init_with(|seed| seed.fill(1)))?;
    let mut rng = SeededRng::new(1);
    let info = Label::RECORD_KEY.context(None, &[b"alice to bob"])?;
    let message = seal_to(bob.public(), &info, b"", b"to Bob", &mut rng)?;
    let (ciphertext, _) = bob.public().encapsulate(&mut rng)?;
    around("xwing", "public", &bob.public().to_bytes())?;
    around("xwing", "ciphertext", &ciphertext.to_bytes())?;
    around("sealed", "message", &message)?;
    seed("sealed", "other-share", &[&ciphertext.to_bytes()[..], &message[1120..]].concat())?;
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
    frames("xx", &preamble, &message1)?;
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
    frames("ik", &preamble, &message1)?;
    let claim = responder::answer_ik(local(bob, None), &preamble, &message1, &mut rng)?;
    around("handshake_payload", "ik", &claim.payload().to_bytes())?;
    Ok(())
}

/// A preamble and a message behind it: a byte for the size of pieces, one for the longest message.
fn frames(name: &str, preamble: &Preamble, message: &[u8]) -> io::Result<()> {
    let preamble = preamble.to_bytes();
    let length = (message.len() as u16).to_be_bytes();
    let bytes = [&[0x40, 255][..], &preamble, &length, message].concat();
    seed("frames", name, &bytes)?;
    seed("frames", &format!("{name}-cut"), &bytes[..bytes.len() - 1])?;
    seed("frames", &format!("{name}-too-long"), &[&[0x40, 9], &bytes[2..]].concat())?;
    seed("frames", &format!("{name}-refusal"), &[&bytes[..2], &preamble, &[0, 0]].concat())
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

/// Scripts: a byte for the suite, then steps of two bytes. Bit 4 of a step is the end, bits 5
/// to 7 say how often its size is doubled.
fn conversations() -> io::Result<()> {
    // Room for, and readiness of, 32,640 bytes in either direction.
    let open = [0xE8, 255, 0xFA, 255, 0xF8, 255, 0xEA, 255];
    let scripts: [(&str, &[u8]); 10] = [
        ("talk", &[0x00, 9, 0x30, 40, 0x05, 0, 0x43, 255, 0x13, 5, 0x15, 0, 0x03, 100]),
        ("large", &[0xE0, 255, 0xE0, 255, 0x05, 0, 0xF3, 255, 0x33, 9, 0xE2, 200, 0x22, 7]),
        ("nothing", &[0x00, 0, 0x02, 0, 0x03, 0, 0x13, 0, 0x05, 0]),
        ("closed", &[0x00, 9, 0x07, 2, 0x00, 1, 0x06, 0, 0x13, 99, 0x13, 99, 0x10, 3, 0x16, 0]),
        ("shut", &[0x00, 9, 0x06, 0, 0x06, 0, 0x05, 0, 0x13, 4, 0x13, 99, 0x13, 99]),
        ("flipped", &[0x00, 9, 0x05, 0, 0x1C, 3, 0x13, 99, 0x13, 99, 0x10, 4]),
        ("cut", &[0x00, 9, 0x06, 0, 0x1D, 30, 0x13, 99, 0x13, 99, 0x00, 3, 0x05, 0]),
        ("reset", &[0x00, 9, 0x05, 0, 0x1E, 0, 0x13, 99, 0x03, 99]),
        ("unwritten", &[0x00, 9, 0x0F, 0, 0x05, 0, 0x00, 9, 0x10, 7, 0x15, 0, 0x03, 99]),
        ("timed-out", &[0x0F, 1, 0x00, 9, 0x00, 9, 0x03, 99]),
    ];
    for (name, script) in scripts {
        seed("duplex", name, &[&[0], &open[..], script].concat())?;
    }
    // Nothing is let through before a few bytes are, again and again.
    let drip = [&[1, 0xE0, 255, 0x05, 0, 0x13, 9][..], &[0x28, 5, 0x1A, 9, 0x13, 7].repeat(20)];
    seed("duplex", "drip", &drip.concat())
}

/// Scripts: a byte for suite and pattern, then steps of two bytes. Bit 4 of a step is the
/// direction, bits 5 to 7 are the higher bits of its argument.
fn endpoints() -> io::Result<()> {
    let scripts: [(&str, &[u8]); 12] = [
        ("honest", &[]),
        ("talk", &[0, 0, 16, 0, 0, 0, 3, 9, 19, 5, 4, 0, 0, 0, 16, 0, 5, 0, 21, 0]),
        ("flipped-first", &[10, 40]),
        ("flipped-second", &[0, 0, 0x3A, 40]),
        ("flipped-third", &[0, 0, 16, 0, 11, 3]),
        ("cut", &[0, 0, 0x39, 200]),
        ("longer", &[0, 0, 16, 0, 12, 1]),
        ("lost", &[0, 0, 16, 0, 0, 0, 3, 9, 3, 8, 13, 0]),
        ("repeated", &[0, 0, 16, 0, 0, 0, 3, 9, 14, 1]),
        ("swapped", &[0, 0, 16, 0, 0, 0, 3, 9, 3, 8, 15, 1]),
        ("recorded", &[6, 0, 0, 0, 6, 2]),
        ("reflected", &[0, 0, 16, 0, 0, 0, 3, 9, 24, 2]),
    ];
    for (name, script) in scripts {
        for (first, kind) in ["xx-aes", "xx-chacha", "ik-aes", "ik-chacha"].into_iter().enumerate()
        {
            seed("endpoints", &format!("{kind}-{name}"), &[&[first as u8], script].concat())?;
        }
    }
    let idle = [&[0, 0, 0, 16, 0, 0, 0][..], &[4, 0].repeat(40)].concat();
    seed("endpoints", "xx-aes-idle", &idle)
}

fn key_files() -> io::Result<()> {
    let hex = include_str!("../../../crates/custody/tests/vectors/key-file-v1.hex").trim_ascii();
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

/// What the owner publishes whom the target knows, a first message to him, and his rows.
fn prekeys(alice: &Arc<MemoryKeyStore>) -> Result<(), Box<dyn Error>> {
    let mut rng = SeededRng::new(2);
    let keys = Arc::new(MemoryKeyStore::from_seeds(&KeySeeds::generate(&mut rng)?)?);
    let mut prekeys = Prekeys::generate(0, NOW, &mut rng)?;
    let publisher = Publisher { keys: &*keys, id: b"bob", card_hash: [7; 32] };
    let contact = Contact { mailbox: b"mailbox".to_vec(), capability: b"token".to_vec() };
    let (bytes, change) = prekeys.bundle(&publisher, &contact, NOW)?;
    prekeys.apply(change)?;
    picked("prekeys", "bundle", 0, &bytes)?;
    let refill = prekeys.refill(&publisher, Unclaimed { x25519: 0, kem: 0 }, NOW, &mut rng)?;
    let refill = refill.ok_or("nothing is published")?;
    prekeys.apply(refill.change)?;
    for (name, page) in ["x25519", "kem"].into_iter().zip(&refill.pages) {
        picked("prekeys", &format!("page-{name}"), 1, &page.header)?;
        let claimed = [&[page.header.len() as u8][..], &page.header, &page.keys[3]].concat();
        picked("prekeys", &format!("claimed-{name}"), 2, &claimed)?;
    }
    let publics = keys.public(keys.newest())?;
    let peer = PeerKeys {
        id: b"bob",
        key: keys.identity(),
        static_key: &publics.handshake,
        kx: keys.newest(),
        card_hash: [7; 32],
    };
    let bundle = UnverifiedBundle::from_bytes(&bytes)?.verify(&peer, 0, None, NOW)?;
    picked("prekeys", "pin", 3, &bundle.pin().to_bytes())?;
    for (key, row) in prekeys.rows() {
        let (name, first) = match key {
            RowKey::Signed => ("signed", 1),
            RowKey::Page(kind, _) => (if kind.id() == 1 { "x25519" } else { "kem" }, 1 + kind.id()),
        };
        picked("ratchet_state", name, first, &row)?;
        picked("ratchet_state", &format!("key-{name}"), 6, &key.to_bytes())?;
    }

    let local = |keys: &Arc<MemoryKeyStore>, id: &[u8]| {
        let (id, card) = (id.to_vec(), b"a card".to_vec());
        let introduction = agreement::Introduction { id, card, ..Default::default() };
        let keys = Arc::clone(keys);
        let kx = keys.newest();
        agreement::Local::new(keys as Arc<dyn KeyStore>, kx, introduction)
    };
    let (one_time, reply) = (OneTimeKeys::default(), ReplyTo::default());
    let from = local(alice, b"alice");
    let sent = agreement::initiate(&from, &bundle, one_time, Suite::AesGcm, reply, NOW, &mut rng)?;
    picked("first_message", "frame", 0, &sent.prefix)?;
    picked("first_message", "prefix", 1, &sent.prefix)?;
    let first = FirstMessage::from_prefix(&sent.prefix)?;
    let found = prekeys.find(&first, NOW)?;
    let claim = agreement::respond(&local(&keys, b"bob"), &[[7; 32]], &first, &found)?;
    picked("first_message", "introduction", 2, &hazmat::introduction(claim.introduced()))?;
    let publics = alice.public(alice.newest())?;
    let (id, key) = (&b"alice"[..], alice.identity());
    let peer = agreement::PeerIdentity { id, key, static_key: &publics.handshake };
    let replay = claim.prove(peer)?.replay.ok_or("there was no one-time key")?;
    picked("ratchet_state", "replay", 4, &replay.to_bytes())?;
    Ok(())
}

/// Sessions of either side, fresh and in the middle, and changes to messages.
fn sessions() -> Result<(), Box<dyn Error>> {
    let mut rng = SeededRng::new(3);
    let (at_alice, at_bob, prefix) = hazmat::agreed_pair(&mut rng)?;
    let prekey = Secret::random(&mut rng)?;
    let public = *sealwire_core::keys::StaticSecret::from_seed(&prekey)?.public();
    let mut alice = Session::initiate(at_alice, &public, prefix.clone(), NOW, &mut rng)?;
    let mut bob = Session::respond(at_bob, &prekey, &prefix, NOW)?;
    picked("ratchet_state", "initiator", 0, &alice.to_bytes())?;
    picked("ratchet_state", "responder", 0, &bob.to_bytes())?;
    for turn in 0..6 {
        let (from, to) =
            if turn % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        for number in 0..3 {
            let sealed = from.seal(NOW, &mut rng, b"text")?;
            from.apply(sealed.step)?;
            if number > 0 {
                let opened = to.open(NOW, &sealed.frame[from.due_prefix().len()..])?;
                to.apply(opened.step)?;
            }
        }
        to.drop_prefix();
        picked("ratchet_state", &format!("session-{turn}"), 0, &to.to_bytes())?;
    }
    for (name, standing) in [("active", Standing::Active), ("archived", Standing::Archived(NOW))] {
        picked("ratchet_state", name, 5, &standing.to_bytes())?;
    }
    picked("ratchet_message", "header", 0, &[&[9; 32][..], &[0; 11], &[3, 1]].concat())?;
    for first in [2, 3, 4] {
        seed("ratchet_message", &format!("honest-{first}"), &[first])?;
        for (name, change) in [("version", [0, 0, 1]), ("header", [0, 9, 1]), ("tag", [7, 0xFF, 1])]
        {
            let bytes = [&[first][..], &change].concat();
            seed("ratchet_message", &format!("{name}-{first}"), &bytes)?;
        }
    }
    Ok(seed("ratchet_message", "noise", &[&[1, 1, 2][..], &[0x5A; 2046]].concat())?)
}

/// Schedules: see `op` beside the target. Low half of a step: 0 send, 3 and 5 deliver, 7 lose,
/// 8 restart, 9 copy, 10 the copy sends, 11 begin, 12 take a reset, 13 rotate or wait, 14 at the
/// wrong place or a flood, 15 with a change.
fn interactions() -> io::Result<()> {
    let scripts: [(&str, &[u8]); 12] = [
        ("nothing", &[]),
        ("talk", &[0, 0, 3, 0, 0x10, 0, 3, 0, 0, 0, 3, 0, 0x10, 0, 3, 0, 0, 255, 3, 0]),
        ("reordered", &[0, 0, 0, 0, 0, 0, 5, 2, 5, 0, 5, 1, 5, 2, 0x10, 0, 3, 0]),
        ("restarted", &[0, 0, 8, 0, 0x18, 0, 3, 0, 0x18, 0, 0x10, 0, 0x18, 0, 3, 0, 8, 0]),
        ("copied", &[0, 0, 3, 0, 9, 0, 0, 0, 10, 0, 3, 0, 3, 1, 0x10, 0, 3, 0]),
        ("both-begin", &[11, 200, 5, 0, 5, 1, 0, 0, 3, 0, 0x10, 0, 3, 0]),
        ("reset", &[0, 0, 3, 0, 0x10, 0, 3, 0, 11, 0, 0, 0, 3, 0, 0x1C, 0, 0x10, 0, 3, 0]),
        ("rotated", &[0, 0, 0x1D, 0, 3, 0, 11, 0, 0, 0, 0x1D, 0, 3, 0, 13, 129, 5, 0]),
        ("late", &[0, 0, 13, 130, 13, 130, 13, 130, 3, 0, 0, 0, 13, 131, 3, 0]),
        ("flooded", &[0, 0, 3, 0, 14, 255, 14, 255, 14, 255, 14, 255, 14, 255, 0, 0, 3, 0]),
        ("misdelivered", &[0, 0, 14, 0, 3, 0, 14, 0, 0x10, 0, 14, 1, 3, 0]),
        ("changed", &[0, 0, 15, 1, 0x1F, 40, 3, 0, 0x10, 0, 15, 3, 3, 0, 7, 0]),
    ];
    for (name, script) in scripts {
        for (first, agents) in [(2, "two"), (3, "three")] {
            seed("interaction", &format!("{agents}-{name}"), &[&[first], script].concat())?;
        }
    }
    seed("interaction", "half-a-step", &[2, 0, 0, 3])
}

/// The bodies in the order of their operations, then a problem.
fn contents() -> Result<(), Box<dyn Error>> {
    let target = "content";
    let part = |offset, length, digest, bytes: &[u8]| {
        Body::Part(Part { offset, length, digest, bytes: bytes.to_vec().into() })
    };
    let reply = Some(delivery::Address::new(&[2; 16], &[3; 40])?);
    for (name, body) in [
        ("whole", Body::Whole(b"how far is the moon?".to_vec().into())),
        ("answer", Body::Answer),
        ("part", part(0, None, None, b"first")),
        ("part-announced", part(5, Some(42), None, b"second")),
        ("part-last", part(36, Some(42), Some([7; 32]), b"last 6")),
        ("part-last-of-many", part((1 << 40) - 4, None, Some([7; 32]), b"last")),
        ("part-empty", part(0, None, Some([7; 32]), b"")),
    ] {
        let message = delivery::MessageId::from_bytes([7; 16]);
        let bare = Content { message, reply: None, body: body.clone() };
        around(target, name, &bare.to_bytes())?;
        let told = Content { message, reply: reply.clone(), body };
        seed(target, &format!("{name}-reply"), &told.to_bytes())?;
    }
    // What no sender writes.
    for (name, body) in [
        ("empty-inside", part(5, None, None, b"")),
        ("beyond-its-end", part(5, Some(9), None, b"too long")),
        ("no-digest-at-the-end", part(0, Some(4), None, b"four")),
        ("beyond-all", part(u64::MAX - 2, None, None, b"four")),
    ] {
        let message = delivery::MessageId::from_bytes([7; 16]);
        seed(target, name, &Content { message, reply: None, body }.to_bytes())?;
    }
    Ok(())
}

/// Frames without their padding, and codes.
fn pairings(alice: &MemoryKeyStore, bob: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let target = "pairing";
    let code = Code::parse("4K7M-2QXD")?;
    let begin = |keys: &MemoryKeyStore, role, seed| -> Result<_, Box<dyn Error>> {
        let card = NewCard::new(1, NOW, DAY).sign(keys, keys.newest())?;
        Ok(Committed::new(code, role, card, &mut SeededRng::new(seed))?)
    };
    let (at_alice, hers) = begin(alice, Role::Creator, 1)?;
    let (_, his) = begin(bob, Role::Joiner, 2)?;
    let (_, reveal) = at_alice.handle_commitment(&his, alice, &mut SeededRng::new(3))?;
    around(target, "commitment", pad::unpad(&hers)?)?;
    around(target, "reveal", pad::unpad(&reveal)?)?;
    seed(target, "reveal-short", &reveal[..1000])?;
    for (name, text) in [
        ("code", "4K7M-2QXD"),
        ("code-typed", " o1l-i 0AaB"),
        ("code-short", "4K7M-2QX"),
        ("code-letter", "4K7M-2QXU"),
    ] {
        seed(target, name, text.as_bytes())?;
    }
    Ok(())
}

fn relay_bodies() -> Result<(), Box<dyn Error>> {
    let target = "relay_bodies";
    let secret = || Secret::init_with(|secret| secret.fill(7));
    let published = Published { card: vec![1; 40], bundle: vec![2; 30] };
    picked(target, "published", 1, &published.to_bytes())?;
    let send = SendId::from_bytes([1; 16]);
    for (name, contact) in [("publish", None), ("publish-contact", Some(send))] {
        picked(target, name, 0, &Publish { published: published.clone(), contact }.to_bytes())?;
    }
    let page = Page { not_after: NOW, header: vec![3; 20], keys: vec![vec![4; 30]; 3] };
    picked(target, "page", 2, &page.to_bytes())?;
    // An array of four thousand million keys.
    seed(target, "page-huge", &[2, 0x83, 1, 0x41, 1, 0x9A, 0xFF, 0xFF, 0xFF, 0xFF, 0x41, 2])?;
    picked(target, "remaining", 3, &Remaining { x25519: 100, kem: 20 }.to_bytes())?;
    picked(target, "claim", 4, &Claim { nonce: Nonce::from_bytes([5; 16]) }.to_bytes())?;
    let key = || Some(ClaimedKey { header: vec![3; 20], key: vec![4; 30] });
    picked(target, "claimed", 5, &Claimed { x25519: None, kem: key() }.to_bytes())?;
    let check = Check { card: [6; 32], bundle: [7; 32], sequence: 8 };
    picked(target, "check", 6, &check.to_bytes())?;
    let kind = MailboxKind::Pairwise;
    let mailbox = NewMailbox { send, kind, secret: secret(), lifetime: 604_800, per_token: 100 };
    picked(target, "mailbox", 7, &mailbox.to_bytes())?;
    let tokens = vec![Token::from_bytes([2; 16]); 2];
    picked(target, "revoke", 8, &Revoke { tokens, secret: Some(secret()) }.to_bytes())?;
    let messages = Messages { messages: messages(), more: true, prekeys_low: false };
    picked(target, "messages", 9, &messages.to_bytes())?;
    picked(target, "acks", 10, &Acks { sequences: vec![1, 24, 1 << 40] }.to_bytes())?;
    picked(target, "acked", 11, &Acked { removed: 3 }.to_bytes())?;
    picked(target, "problem", 12, Problem::MailboxFull.to_json().as_bytes())?;
    Ok(())
}

fn messages() -> Vec<Message> {
    let id = MessageId::from_bytes([9; 16]);
    (1..4).map(|sequence| Message { sequence, id, frame: vec![sequence as u8; 40] }).collect()
}

fn relay_streams() -> io::Result<()> {
    let target = "relay_stream";
    picked(target, "fetch", 0, &FromClient::Fetch { after: 500, limit: 100 }.to_bytes())?;
    let acks = Acks { sequences: vec![1, 24, 1 << 40] };
    picked(target, "ack", 0, &FromClient::Ack(acks).to_bytes())?;
    picked(target, "ready", 1, &FromServer::Ready.to_bytes())?;
    picked(target, "arrived", 1, &FromServer::Arrived.to_bytes())?;
    picked(target, "prekeys-low", 1, &FromServer::PrekeysLow.to_bytes())?;
    let answer = FromServer::Messages { messages: messages(), more: false };
    picked(target, "messages", 1, &answer.to_bytes())?;
    picked(target, "acked", 1, &FromServer::Acked { removed: 3 }.to_bytes())?;
    picked(target, "problem", 1, &FromServer::Problem(Problem::NotFound).to_bytes())
}

/// Request lines, capabilities and signed requests.
fn relay_texts() -> Result<(), Box<dyn Error>> {
    let key = SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(7)));
    let agent = AgentId::from_key(key.public());
    let of = || Device { agent: agent.clone(), number: 3 };
    let mailbox = ReceiveId::from_bytes([7; 16]);
    let send = SendId::from_bytes([1; 16]);
    let operations = [
        Operation::Publish(of()),
        Operation::AddPage { of: of(), kind: Kind::MlKem, base: 101 },
        Operation::Claim(of()),
        Operation::CloseMailbox(mailbox),
        Operation::Deposit(send),
        Operation::Fetch { mailbox, after: 5, limit: 100, wait: 30 },
        Operation::Stream(mailbox),
    ];
    for operation in &operations {
        let line = format!("{} {}", operation.method(), operation.target());
        around("relay_paths", operation.name(), line.as_bytes())?;
    }
    let escaped = format!("GET {}", Operation::Check(of()).path().replace("did:", "did%3A"));
    seed("relay_paths", "escaped", escaped.as_bytes())?;

    let secret = Secret::init_with(|secret| secret.fill(7));
    let capability = Capability::mint(&secret, &send, &Token::from_bytes([2; 16]), NOW)?.to_text();
    around("relay_capability", "minted", capability.as_bytes())?;
    let later = capability.replace(".1800000000.", ".1900000000.");
    seed("relay_capability", "later", later.as_bytes())?;
    seed("relay_capability", "padded", format!("{capability}=").as_bytes())?;
    for (name, relay) in [
        ("relay", "https://relay.example"),
        ("relay-spelt", "HTTP://Relay.Example:80/"),
        ("relay-address", "https://[::1]:8443"),
        ("relay-path", "https://relay.example/v1"),
        ("relay-user", "https://a@relay.example:0"),
    ] {
        seed("relay_capability", name, format!("{capability}@{relay}").as_bytes())?;
    }

    let path = Operation::Ack(mailbox).path();
    let authority = "relay.example";
    let request =
        RequestParts { method: "POST", authority, path: &path, query: None, body: &[1, 2, 3] };
    let nonce = Nonce::from_bytes([1; 16]);
    for (name, signer) in
        [("identity", Signer::Identity(agent)), ("mailbox", Signer::Mailbox(key.public().clone()))]
    {
        let sign = |base: &Context| Ok(key.sign(base));
        let signed = signature::sign(&request, NOW, &nonce, &signer.key_id(), sign)?;
        let SignedHeaders { content_digest, signature_input, signature } = signed;
        let text =
            format!("{content_digest}\n{signature_input}\n{signature}\nPOST\n{authority}\n{path}");
        around("relay_signature", name, text.as_bytes())?;
        for (what, from, to) in [
            ("query", "acks", "acks\na=b"),
            ("tag", "relay-v1", "relay-v2"),
            ("algorithm", ";tag", ";alg=\"ed25519\";tag"),
            ("stale", "1800000000", "1800000061"),
            ("label", "sig1=:", "sig2=:"),
        ] {
            let text = text.replace(from, to);
            seed("relay_signature", &format!("{name}-{what}"), text.as_bytes())?;
        }
    }
    Ok(())
}

/// As [`around`], behind the byte that picks the decoder.
fn picked(target: &str, name: &str, first: u8, bytes: &[u8]) -> io::Result<()> {
    let bytes = [&[first], bytes].concat();
    seed(target, name, &bytes)?;
    seed(target, &format!("{name}-cut"), &bytes[..bytes.len() - 1])?;
    seed(target, &format!("{name}-trailing"), &[&bytes[..], &[0]].concat())?;
    seed(target, &format!("{name}-version"), &[&[first, bytes[1] ^ 3], &bytes[2..]].concat())
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
