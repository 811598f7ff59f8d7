//! The agreements of the frozen conversations, which an independent implementation made.

use std::sync::Arc;

use sealwire_core::{
    KeyStore, MemoryKeyStore, SuiteSet, Timestamp, kdf,
    keystore::{ExchangePublics, KeySeeds},
};
use sealwire_ratchet::{
    agreement::{self, FirstMessage, Initiated, Introduction, Local, PeerIdentity, ReplyTo},
    prekey::{
        Bundle, Contact, Kind, OneTimeKeys, PeerKeys, PrekeyId, Prekeys, Publisher, RowKey,
        UnverifiedBundle,
    },
};
use sealwire_testkit::{
    rng::FixedRng,
    vectors::{bytes, json, passed},
};
use serde_json::Value;

const VECTORS: [&str; 4] = [
    include_str!("../vectors/conversation-aes-256-gcm.json"),
    include_str!("../vectors/conversation-chacha20-poly1305.json"),
    include_str!("../vectors/last-resort-aes-256-gcm.json"),
    include_str!("../vectors/last-resort-chacha20-poly1305.json"),
];

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn number32(value: &Value) -> u32 {
    number(value).try_into().expect("32 bits")
}

/// A side of a vector.
struct Side {
    local: Local,
    keys: Arc<MemoryKeyStore>,
    publics: ExchangePublics,
    id: Vec<u8>,
    device: u32,
    card_hash: [u8; 32],
}

impl Side {
    fn new(party: &Value) -> Self {
        // version | one set | identity | number | X25519 | ML-KEM | X-Wing, the last not used
        let seeds = [
            &[1, 0, 1][..],
            &bytes(&party["identity_seed"]),
            &number32(&party["kx_id"]).to_be_bytes(),
            &bytes(&party["exchange_secret"]),
            &bytes(&party["card_seeds"]["card_kem"]),
            &[1; 32],
        ];
        let seeds = KeySeeds::from_bytes(&seeds.concat()).expect("seeds");
        let keys = Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"));
        let id = party["agent_id"].as_str().expect("text").as_bytes().to_vec();
        let (device, card) = (number32(&party["device"]), bytes(&party["card"]));
        let card_hash = kdf::sha256(&[&card]);
        assert_eq!(card_hash[..], bytes(&party["card_hash"]));
        let introduction =
            Introduction { id: id.clone(), device, card, log: None, evidence: Vec::new() };
        let store = Arc::clone(&keys) as Arc<dyn KeyStore>;
        let publics = keys.public(keys.newest()).expect("a set");
        let local = Local::new(store, keys.newest(), introduction);
        Self { local, keys, publics, id, device, card_hash }
    }

    fn peer_keys(&self) -> PeerKeys<'_> {
        PeerKeys {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
            kx: self.keys.newest(),
            card_hash: self.card_hash,
        }
    }
}

/// The rows that the responder of a vector has stored before it signs its bundle.
fn rows(vector: &Value, device: u32) -> Vec<(RowKey, Vec<u8>)> {
    let now = number(&vector["now"]).to_be_bytes();
    let bundle = &vector["prekeys"]["bundle"];
    let pages = vector["prekeys"]["pages"].as_array().expect("pages");
    let last = |kind: u64| {
        let of_kind = pages.iter().filter(|page| number(&page["kind"]) == kind);
        let last = of_kind.map(|page| {
            number32(&page["base"]) + u32::try_from(secrets(page).len()).expect("few") - 1
        });
        last.max().unwrap_or(0)
    };
    let [spk_id, kem_id] = ["spk_id", "kem_id"].map(|id| number32(&bundle[id]));
    let signed = [
        &[1][..],
        &device.to_be_bytes(),
        &spk_id.to_be_bytes(),
        &last(1).to_be_bytes(),
        &last(2).max(kem_id).to_be_bytes(),
        &(number(&bundle["sequence"]) - 1).to_be_bytes(),
        &[0, 1],
        &spk_id.to_be_bytes(),
        &bytes(&bundle["signed_prekey_secret"]),
        &kem_id.to_be_bytes(),
        &bytes(&bundle["last_resort_seed"]),
        &now,
    ];
    let mut rows = vec![(RowKey::Signed, signed.concat())];
    for page in pages {
        let kind = u8::try_from(number(&page["kind"])).expect("a kind");
        let base = number32(&page["base"]);
        let secrets = secrets(page);
        let held = (1u8 << secrets.len()) - 1;
        let count = u16::try_from(secrets.len()).expect("few").to_be_bytes();
        let head =
            [&[1, kind][..], &device.to_be_bytes(), &base.to_be_bytes(), &now, &count, &[held]];
        let row = [head.concat(), secrets.concat()].concat();
        let base = PrekeyId::new(base).expect("from 1");
        rows.push((RowKey::Page(Kind::from_u8(kind).expect("a kind"), base), row));
    }
    rows
}

fn secrets(page: &Value) -> Vec<Vec<u8>> {
    page["secrets"].as_array().expect("secrets").iter().map(bytes).collect()
}

/// The claimed keys of the vector; every other key of its pages is one that a claimer takes.
fn claimed(vector: &Value, bundle: &Bundle, now: Timestamp) -> OneTimeKeys {
    let mut keys = OneTimeKeys::default();
    for page in vector["prekeys"]["pages"].as_array().expect("pages") {
        let header = bytes(&page["header"]);
        let blobs: Vec<Vec<u8>> =
            page["blobs"].as_array().expect("blobs").iter().map(bytes).collect();
        let claimed = usize::try_from(number(&page["claimed"])).expect("few");
        if number(&page["kind"]) == 1 {
            let key = |blob: &Vec<u8>| bundle.one_time_x25519(&header, blob, now).expect("sound");
            keys.x25519 = blobs.iter().map(key).nth(claimed);
        } else {
            let key = |blob: &Vec<u8>| bundle.one_time_kem(&header, blob, now).expect("sound");
            keys.kem = blobs.iter().map(key).nth(claimed);
        }
    }
    if vector["agreement"]["one_time"] == true { keys } else { OneTimeKeys::default() }
}

// PRE-6, PRE-10, PRE-11: the owner signs the same bundle, and the claimer takes its pages.
fn publish(vector: &Value, b: &Side, prekeys: &Prekeys, now: Timestamp) -> Bundle {
    let expected = &vector["prekeys"]["bundle"];
    let publisher = Publisher { keys: &*b.keys, id: &b.id, card_hash: b.card_hash };
    let [mailbox, capability] = ["mailbox", "capability"].map(|field| bytes(&expected[field]));
    let contact = Contact { mailbox, capability };
    let (bundle, _) = prekeys.bundle(&publisher, &contact, now).expect("a bundle");
    assert_eq!(bundle, bytes(&expected["bytes"]));
    let bundle = UnverifiedBundle::from_bytes(&bundle).expect("sound");
    bundle.verify(&b.peer_keys(), b.device, None, now).expect("sound")
}

/// The initiator comes to the same bytes from the same randomness.
fn initiate(vector: &Value, a: &Side, bundle: &Bundle, now: Timestamp) -> Initiated {
    let expected = &vector["agreement"];
    let draws = expected["draws"].as_array().expect("draws");
    let random: Vec<u8> = draws.iter().take(2).flat_map(|draw| bytes(&draw["value"])).collect();
    let keys = claimed(vector, bundle, now);
    let suite = SuiteSet::all().iter().find(|suite| vector["suite"] == suite.id());
    let suite = suite.expect("a suite");
    let rng = &mut FixedRng::new(&random);
    let sent = agreement::initiate(&a.local, bundle, keys, suite, reply(expected), now, rng)
        .expect("an agreement");
    assert_eq!(sent.prefix, bytes(&expected["prefix"]));
    assert_eq!(sent.agreed.secret().expose()[..], bytes(&expected["values"]["sk"]));
    assert_eq!(sent.agreed.transcript()[..], bytes(&expected["values"]["h_ad"]));
    sent
}

fn reply(expected: &Value) -> ReplyTo {
    let [mailbox, capability] = ["reply_mailbox", "reply_capability"]
        .map(|field| (!expected[field].is_null()).then(|| bytes(&expected[field])));
    ReplyTo { mailbox, capability }
}

// AGR-5, AGR-6, AGR-7, AGR-8, AGR-9, AGR-10, AGR-20
#[test]
fn frozen_agreements() {
    for vector in VECTORS.map(json) {
        let now = Timestamp::from_secs(number(&vector["now"]));
        let [a, b] = ["initiator", "responder"].map(|role| {
            let parties = vector["parties"].as_array().expect("parties");
            Side::new(parties.iter().find(|party| party["role"] == role).expect("both"))
        });
        let prekeys = rows(&vector, b.device);
        let prekeys = prekeys.iter().map(|(key, row)| (*key, row.as_slice()));
        let prekeys = Prekeys::from_rows(prekeys).expect("rows");
        let bundle = publish(&vector, &b, &prekeys, now);
        let sent = initiate(&vector, &a, &bundle, now);

        let events = vector["events"].as_array().expect("events");
        let written = events.iter().find(|event| event["by"] == "initiator").expect("one");
        let frame = bytes(&written["frame"]);
        let first = FirstMessage::from_frame(&frame).expect("a frame");
        assert_eq!(first.prefix(), sent.prefix);
        let found = prekeys.find(&first, now).expect("held");
        let claim = agreement::respond(&b.local, &[b.card_hash], &first, &found).expect("opens");
        let key = a.keys.identity();
        let peer = PeerIdentity { id: &a.id, key, static_key: &a.publics.handshake };
        let accepted = claim.prove(peer).expect("signed");
        assert!(accepted.agreed.secret() == sent.agreed.secret(), "{}", vector["name"]);
        let expected = &vector["agreement"];
        assert_eq!(accepted.reply, reply(expected));
        assert_eq!(accepted.replay.is_some(), expected["one_time"] == false);
        if let Some(replay) = accepted.replay {
            assert_eq!(replay.to_bytes()[5..], bytes(&expected["values"]["replay_entry"]));
        }
    }
    passed("frozen agreements", VECTORS.len());
}
