//! No data key, no key of a stream and no local key stays in memory once it is of no use.
//!
//! A child process seals, opens, rewraps and reseals objects, and stops at the places below. This
//! process does the same, derives every key by itself, and looks for each in the child's memory
//! at each place.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use sealwire_core::{KeyStore, MemoryKeyStore, Suite, keys::VerifyingKey, label::Label};
use sealwire_envelope::{
    Draft, Head, KeyRecord, Sealers,
    kms::Wrapped,
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store},
};
use sealwire_hybrid::StoredKey;
use sealwire_testkit::memory::{self, Child, Drawn, Findings, Notes};
use sha2::Sha512;
use support::{NOW, context, now_or_never, tenant};

#[path = "api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

/// Seeds of what is drawn.
const KEYS: u64 = 1;
const WRAPS: u64 = 2;
const DRAFT: u64 = 3;
const AGENT: u64 = 4;
const TO_AGENT: u64 = 5;
const STORED: u64 = 6;
const RESEALED: u64 = 7;
const LEAKED: u64 = 8;

/// Where the child stops, in this order.
const PLACES: [&str; 14] = [
    "keys",
    "draft",
    "wrapped",
    "sealing",
    "sealed",
    "unlocked",
    "opened",
    "agent",
    "stored",
    "reading",
    "rewrapped",
    "resealed",
    "dropped",
    "leaked",
];

type Kek = LocalKek<Drawn>;

/// Is shown what is at hand on the way.
trait Look {
    fn at(&mut self, place: &'static str);
    fn keys(&mut self, _name: &str, _keys: &LocalKeys) {}
    fn draft(&mut self, _draft: &Draft) {}
    fn wrapped(&mut self, _kek: &Kek, _wrapped: &Wrapped, _record: &KeyRecord) {}
    fn stored(&mut self, _name: &str, _objects: &InMemory, _kek: &Kek) {}
}

/// The child's: it stops, and looks at nothing.
struct Silent;

impl Look for Silent {
    fn at(&mut self, place: &'static str) {
        memory::stop(place);
    }
}

struct Accepted(VerifyingKey);

impl Sealers for Accepted {
    fn key(&self, _: &[u8], _: &[u8; 32]) -> Option<VerifyingKey> {
        Some(self.0.clone())
    }
}

/// Content of two chunks and a half.
fn content() -> Vec<u8> {
    support::content(40_000)
}

fn kek(versions: u64, look: &mut impl Look) -> Kek {
    let mut draws = Drawn::new(KEYS);
    let mut keys = LocalKeys::generate("test", &mut draws).unwrap();
    look.keys("local key 1", &keys);
    if versions > 1 {
        keys.rotate(&mut draws).unwrap();
        look.keys("local key 2", &keys);
    }
    LocalKek::new(Arc::new(keys), Drawn::new(WRAPS))
}

fn play(suite: Suite, look: &mut impl Look) {
    let agent = MemoryKeyStore::generate(&mut Drawn::new(AGENT)).unwrap();
    let first = kek(1, look);
    look.at("keys");
    in_memory(suite, &first, &agent, look);
    drop(agent);
    let objects = in_a_store(suite, &first, look);
    drop(first);
    rotation(suite, objects, look);
    look.at("dropped");
}

/// An object that is sealed piece by piece, and opened by a local key and by an agent.
fn in_memory(suite: Suite, kek: &Kek, agent: &MemoryKeyStore, look: &mut impl Look) {
    let draft = Draft::new(suite, &context(), &mut Drawn::new(DRAFT)).unwrap();
    look.draft(&draft);
    look.at("draft");
    let key = StoredKey::new(agent, agent.newest()).unwrap();
    let mut record = now_or_never(KeyRecord::wrap(&draft, kek, NOW)).unwrap();
    look.wrapped(kek, record.slots()[0].wrapped(), &record);
    let to_agent =
        KeyRecord::wrap_to(&draft, key.public(), agent.newest(), &mut Drawn::new(TO_AGENT));
    record.add(to_agent.unwrap(), NOW).unwrap();
    record.sign(&draft, agent, b"agent", &[5; 32]).unwrap();
    look.at("wrapped");
    let (mut body, content) = (Vec::new(), content());
    let mut sealer = draft.into_sealer(&record, &mut body).unwrap();
    sealer.push(&content[..20_000], &mut body).unwrap();
    look.at("sealing");
    sealer.push(&content[20_000..], &mut body).unwrap();
    sealer.finish(&mut body).unwrap();
    look.at("sealed");
    let (head, _) = Head::split(&body).unwrap();
    let required = tenant("acme");
    let unlocked = now_or_never(record.unlock(kek, &head, &required, &())).unwrap();
    look.at("unlocked");
    assert!(*unlocked.open(&body).unwrap() == content);
    drop(unlocked);
    look.at("opened");
    let sealers = Accepted(agent.identity().clone());
    let unlocked = record.unlock_as(&key, &head, &required, &sealers).unwrap();
    assert!(*unlocked.open(&body).unwrap() == content);
    drop(unlocked);
    look.at("agent");
}

/// An object in a store, read as a whole and in part.
fn in_a_store(suite: Suite, kek: &Kek, look: &mut impl Look) -> Arc<InMemory> {
    let objects = Arc::new(InMemory::new());
    let store = Store::new(Arc::clone(&objects) as Arc<dyn ObjectStore>, "").unwrap();
    let (required, context) = (tenant("acme"), context());
    let plan = Plan::new(&context).kms(kek).suite(suite);
    let draws = &mut Drawn::new(STORED);
    now_or_never(store.seal("a", &plan, &content(), NOW, draws)).unwrap();
    look.stored("stored", &objects, kek);
    look.at("stored");
    let object = now_or_never(store.open("a", &Access::kms(kek, &required))).unwrap();
    assert!(*now_or_never(object.read_range(16_000..33_000)).unwrap() == content()[16_000..33_000]);
    assert!(*now_or_never(object.read()).unwrap() == content());
    look.at("reading");
    drop(object);
    objects
}

/// The local key gets a second version, and the object another data key.
fn rotation(suite: Suite, objects: Arc<InMemory>, look: &mut impl Look) {
    let rotated = kek(2, look);
    let store = Store::new(Arc::clone(&objects) as Arc<dyn ObjectStore>, "").unwrap();
    let run = Rewrap::new(&rotated).verified();
    let done = now_or_never(store.rewrap_all(&run, None, NOW, &mut ())).unwrap();
    assert_eq!(done.counts().rewrapped, 1);
    look.at("rewrapped");
    let (required, context) = (tenant("acme"), context());
    let plan = Plan::new(&context).kms(&rotated).suite(suite);
    let (access, draws) = (Access::kms(&rotated, &required), &mut Drawn::new(RESEALED));
    now_or_never(store.reseal("a", &access, &plan, NOW, draws)).unwrap();
    look.stored("resealed", &objects, &rotated);
    look.at("resealed");
}

/// The child of every test in this file.
#[test]
fn child() {
    let Some(argument) = memory::argument() else { return };
    let suite = { [Suite::AesGcm, Suite::ChaChaPoly].into_iter() }
        .find(|suite| format!("{suite:?}") == argument)
        .unwrap();
    play(suite, &mut Silent);
    // The control: this is found, so what is not found is not there.
    let leaked = Drawn::new(LEAKED).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

/// Every key of the same run, and where it is held.
#[derive(Default)]
struct Keys {
    notes: Notes,
    fates: Vec<(String, &'static [&'static str])>,
}

impl Keys {
    fn add(&mut self, name: String, key: &[u8], held: &'static [&'static str]) {
        self.notes.add(name.clone(), key);
        self.fates.push((name, held));
    }

    /// Key and base nonce of a stream, derived as C2SP has it, with its commitment as the proof.
    fn stream(
        &mut self,
        name: &str,
        (aead, prk): (&str, &[u8]),
        (salt, ctx, commitment): (&[u8], &[u8], &[u8]),
        held: &'static [&'static str],
    ) {
        let prefix = b"c2sp.org/chunked-encryption@v1+";
        let info = [&prefix[..], aead.as_bytes(), &[0], salt, ctx].concat();
        let block = |before: &[u8], number: u8| {
            let mac = Hmac::<Sha512>::new_from_slice(prk).unwrap();
            mac.chain_update(before).chain_update(&info).chain_update([number]).finalize()
        };
        let first = block(&[], 1).into_bytes();
        let output = [&first[..], &block(&first, 2).into_bytes()].concat();
        assert_eq!(&output[44..76], commitment, "{name}");
        self.add(format!("key of {name}"), &output[..32], held);
        self.add(format!("base nonce of {name}"), &output[32..44], held);
    }

    /// An object's data key, and what its stream is sealed with.
    fn object(
        &mut self,
        name: &str,
        head: &Head,
        dek: &[u8; 32],
        [dek_held, held]: [&'static [&'static str]; 2],
    ) {
        self.add(format!("data key of {name}"), dek, dek_held);
        let header = head.header();
        let aead = match header.suite() {
            Suite::AesGcm => "AEAD_AES_256_GCM",
            _ => "AEAD_CHACHA20_POLY1305",
        };
        let fields = [header.as_bytes(), &tenant("acme").to_bytes()];
        let ctx = Label::ENVELOPE_BODY.context(Some(header.suite()), &fields).unwrap();
        let public = (&head.salt()[..], ctx.as_bytes(), &head.commitment()[..]);
        self.stream(&format!("the stream of {name}"), (aead, dek), public, held);
    }

    /// What a local key wrapped a data key with.
    fn wrap(&mut self, name: &str, kek: &Kek, wrapped: &Wrapped, record: &KeyRecord) {
        let w = record.binding().to_context().unwrap();
        let (key, version) = (wrapped.key.key().as_bytes(), wrapped.version.as_str().as_bytes());
        let ctx = Label::ENVELOPE_LOCAL.context(None, &[key, version, w.as_bytes()]).unwrap();
        let keys = kek.keys().to_bytes();
        let (salt, rest) = wrapped.ciphertext.split_at(24);
        let public = (salt, ctx.as_bytes(), &rest[..32]);
        self.stream(name, ("AEAD_AES_256_GCM", &keys[keys.len() - 32..]), public, &[]);
    }

    fn differs(&self, place: &str, found: &Findings) -> Vec<String> {
        let differs = self.fates.iter().filter_map(|(name, held)| {
            let found = found.get(name);
            (found.is_some() != held.contains(&place))
                .then(|| format!("{name} at `{place}`: {found:?}"))
        });
        differs.collect()
    }
}

impl Look for Keys {
    fn at(&mut self, _: &'static str) {}

    fn keys(&mut self, name: &str, keys: &LocalKeys) {
        if self.fates.iter().any(|(known, _)| known == name) {
            return;
        }
        let held: &[&str] = match keys.versions().unwrap().len() {
            1 => &PLACES[..12],
            _ => &PLACES[10..12],
        };
        let bytes = keys.to_bytes();
        self.add(name.to_owned(), &bytes[bytes.len() - 32..], held);
    }

    fn draft(&mut self, draft: &Draft) {
        const HELD: &[&str] = &["draft", "wrapped", "sealing", "unlocked"];
        self.object("a draft", draft.head(), draft.dek().expose(), [&HELD[..2], HELD]);
    }

    fn wrapped(&mut self, kek: &Kek, wrapped: &Wrapped, record: &KeyRecord) {
        self.wrap("the wrap of a draft", kek, wrapped, record);
    }

    fn stored(&mut self, name: &str, objects: &InMemory, kek: &Kek) {
        let get = |path: &str| {
            now_or_never(async { objects.get(&Path::from(path)).await.unwrap().bytes().await })
                .unwrap()
        };
        let body = get("a");
        let (head, _) = Head::split(&body).unwrap();
        let record = get(&KeyRecord::name(head.header().object()));
        let record = KeyRecord::from_bytes(&record).unwrap();
        let wrapped = record.slots()[0].wrapped();
        let dek = kek.unwrap_now(wrapped, record.binding()).unwrap();
        let held: &[&str] = if name == "stored" { &["reading"] } else { &[] };
        self.object(name, &head, dek.expose(), [&[], held]);
        self.wrap(&format!("the wrap of {name}"), kek, wrapped, &record);
    }
}

fn look_everywhere(suite: Suite) {
    let mut keys = Keys::default();
    play(suite, &mut keys);
    keys.add("leaked".to_owned(), &Drawn::new(LEAKED).block(), &["leaked"]);
    let mut child = Child::start("child", &format!("{suite:?}"));
    let mut wrong = Vec::new();
    for place in PLACES {
        let found = child.at(place, |child| child.search(&keys.notes));
        wrong.extend(keys.differs(place, &found));
    }
    child.end();
    assert!(wrong.is_empty(), "of {} keys:\n{}", keys.fates.len(), wrong.join("\n"));
}

// attack T35
#[test]
fn objects_with_aes_leave_nothing() {
    look_everywhere(Suite::AesGcm);
}

// attack T35
#[test]
fn objects_with_chacha_leave_nothing() {
    look_everywhere(Suite::ChaChaPoly);
}
