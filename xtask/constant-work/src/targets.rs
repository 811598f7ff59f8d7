//! Every operation whose work must not depend on a secret, under inputs that are accepted and
//! inputs that are refused.

use std::hint::black_box;

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, Timestamp,
    aead::{self, AeadKey, Algorithm},
    kdf,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemPublic, KemSecret},
    keys::{SigningKey, StaticSecret},
    keystore::{KeySeeds, KeyUse},
    label::Label,
    rng,
    secret::{self, Secret},
};
use sealwire_hybrid::{Recipient, XWingCiphertext, XWingSecret};
use sealwire_noise::{GateKey, Preamble};
use sealwire_relay::{Capability, ReceiveId, SendId, Token, store::Entrance, wire::MailboxKind};

use crate::keys::{self, Rng};
use crate::mark::{hide, is_public, secret, show, shown};
use crate::{handshake, objects, offline};

/// A named operation.
pub(crate) type Target = (&'static str, fn());

// attack T36: what handshakes, records, offline messages, objects at rest, the key file and a relay
// do with a secret.
pub(crate) const TARGETS: [Target; 24] = [
    ("Secret ==", key_comparison),
    ("secret::equal", byte_comparison),
    ("drawing of secrets", drawing),
    ("HMAC and HKDF", key_derivation),
    ("gate of the handshake", gate),
    ("AES-256-GCM seal", || seal(Algorithm::Aes256Gcm)),
    ("AES-256-GCM open", || open(Algorithm::Aes256Gcm)),
    ("ChaCha20-Poly1305 seal", || seal(Algorithm::ChaCha20Poly1305)),
    ("ChaCha20-Poly1305 open", || open(Algorithm::ChaCha20Poly1305)),
    ("X25519 key and agreement", exchange),
    ("Ed25519 key and signature", signature),
    ("ML-KEM-768 key and both directions", kem),
    ("X-Wing key and decapsulation", xwing),
    ("unsealing of a key file", unsealing),
    ("check of a capability", capability),
    ("XX and records, AES-256-GCM", || handshake::xx(Suite::AesGcm)),
    ("IK and records, ChaCha20-Poly1305", || handshake::ik(Suite::ChaChaPoly)),
    ("agreement, AES-256-GCM", offline::agreement),
    ("ratchet, AES-256-GCM", || offline::conversation(Suite::AesGcm)),
    ("ratchet, ChaCha20-Poly1305", || offline::conversation(Suite::ChaChaPoly)),
    ("wrap by a local key", objects::local_key),
    ("object, AES-256-GCM", || objects::object(Suite::AesGcm)),
    ("object, ChaCha20-Poly1305", || objects::object(Suite::ChaChaPoly)),
    ("object for an agent", objects::agent_slot),
];

/// The control: a comparison that stops at the first difference. It must be reported.
pub(crate) const CONTROL: Target = ("control", leaky_comparison);

/// Where a byte of `len` is changed: nowhere, at the start, in the middle, at the end.
pub(crate) fn changes(len: usize) -> [Option<usize>; 4] {
    [None, Some(0), Some(len / 2), Some(len - 1)]
}

fn leaky_comparison() {
    let (ours, theirs) = (secret::<32>(1), secret::<32>(1));
    let equal = ours.expose().iter().zip(theirs.expose()).all(|(a, b)| a == b);
    assert!(shown(equal), "equal secrets");
}

fn key_comparison() {
    for change in changes(32) {
        let (ours, theirs) = (secret::<32>(1), changed(&secret(1), change));
        assert_eq!(shown(ours == theirs), change.is_none(), "{change:?}");
    }
}

fn byte_comparison() {
    for change in changes(32) {
        let (ours, theirs) = (secret::<32>(1), changed(&secret(1), change));
        // Of a length that the compiler does not know, or it would compare them at one stroke.
        let equal = secret::equal(black_box(&ours.expose()[..]), black_box(theirs.expose()));
        assert_eq!(shown(equal), change.is_none(), "{change:?}");
    }
}

fn drawing() {
    let [first, second] = rng::draw_distinct::<2>(&mut Rng::hidden(1)).expect("two blocks");
    assert!(!shown(first == second), "the generator counts");
}

fn key_derivation() {
    let info = Label::RECORD_KEY.context(None, &[]).expect("short");
    let key: Secret<32> = kdf::hkdf(&[], secret::<32>(1).expose(), &info);
    kdf::hmac(key.expose(), &[b"a message"]);
}

/// The key of the gate is hidden by hiding the public key that it is made from.
fn gate() {
    const MESSAGE: [u8; 200] = [5; 200];
    let responder = KemSecret::from_seed(&Secret::init_with(|seed| seed.fill(3)));
    let public = KemPublic::from_bytes(responder.public().as_bytes()).expect("a key");
    hide(public.as_bytes());
    let key = GateKey::new(&public).expect("a key");
    let head = preamble_before_gate();
    let gate = gate_of(&public, &head, &MESSAGE);
    show(&gate);
    for change in changes(gate.len()) {
        let mut gate = gate;
        if let Some(index) = change {
            gate[index] ^= 1;
        }
        let preamble = Preamble::from_bytes(&[&head[..], &gate].concat()).expect("a preamble");
        let passed = shown(preamble.check_gate(&key, &MESSAGE).is_ok());
        assert_eq!(passed, change.is_none(), "{change:?}");
    }
}

/// version, suite, IK, one suite, the number of the exchange keys, a ciphertext.
fn preamble_before_gate() -> Vec<u8> {
    [&[1, 1, 2, 1, 1, 0, 0, 0, 1][..], &[7; CIPHERTEXT_LEN]].concat()
}

/// As in docs/spec/handshake.md.
pub(crate) fn gate_of(responder: &KemPublic, head: &[u8], message: &[u8]) -> [u8; 32] {
    let context = Label::NOISE_GATE.context(None, &[responder.as_bytes()]).expect("short");
    kdf::hmac(&kdf::sha256(&[context.as_bytes()]), &[head, message])
}

fn seal(algorithm: Algorithm) {
    sealed(algorithm, 1);
    sealed(algorithm, 300);
}

/// Key, ciphertext and tag of a hidden message under a hidden key; the last two are public.
fn sealed(algorithm: Algorithm, len: usize) -> (AeadKey, Vec<u8>, [u8; aead::TAG_LEN]) {
    let key = AeadKey::new(algorithm, &secret(1)).expect("a key");
    let mut message = vec![9; len];
    hide(&message);
    let tag = key.seal_detached(&[2; 12], b"header", &mut message).expect("short");
    show(&message);
    show(&tag);
    (key, message, tag)
}

fn open(algorithm: Algorithm) {
    for change in changes(aead::TAG_LEN) {
        let (key, mut message, mut tag) = sealed(algorithm, 300);
        if let Some(index) = change {
            tag[index] ^= 1;
        }
        let opened = key.open_detached(&[2; 12], b"header", &mut message, &tag);
        assert_eq!(shown(opened.is_ok()), change.is_none(), "{change:?}");
    }
}

fn exchange() {
    let peer = StaticSecret::from_seed(&Secret::init_with(|seed| seed.fill(4))).expect("32 bytes");
    let ours = StaticSecret::from_seed(&secret(1)).expect("32 bytes");
    show(ours.public().as_bytes());
    ours.agree(peer.public()).expect("not zero");
}

fn signature() {
    let key = SigningKey::from_seed(&secret(1));
    let message = Label::CARD.context(None, &[b"a card"]).expect("short");
    let signature = key.sign(&message);
    show(signature.as_bytes());
    show(key.public().as_bytes());
}

fn kem() {
    let key = KemSecret::from_seed(&secret(1));
    let public = *key.public().as_bytes();
    show(&public);
    let public = KemPublic::from_bytes(&public).expect("a key");
    let (ciphertext, sent) = public.encapsulate_with(secret(6));
    show(ciphertext.as_bytes());
    for change in changes(CIPHERTEXT_LEN) {
        let received = key.decapsulate(&altered(&ciphertext, change));
        let same = secret::equal(received.expose(), sent.expose());
        assert_eq!(shown(same), change.is_none(), "{change:?}");
    }
}

fn altered(ciphertext: &KemCiphertext, change: Option<usize>) -> KemCiphertext {
    let mut bytes = *ciphertext.as_bytes();
    if let Some(index) = change {
        bytes[index] ^= 1;
    }
    KemCiphertext::from_bytes(&bytes).expect("1,088 bytes")
}

fn xwing() {
    let key = XWingSecret::from_seed(&secret(1)).expect("32 bytes");
    let mut bytes = [7; sealwire_hybrid::CIPHERTEXT_LEN];
    let peer = StaticSecret::from_seed(&Secret::init_with(|seed| seed.fill(4))).expect("32 bytes");
    if let Some(end) = bytes.last_chunk_mut::<32>() {
        *end = *peer.public().as_bytes();
    }
    let ciphertext = XWingCiphertext::from_bytes(&bytes).expect("a ciphertext");
    key.decapsulate(&ciphertext).expect("not zero");
}

/// What sealwire-custody does once Argon2id has given it a key.
fn unsealing() {
    const HEADER: [u8; 61] = [8; 61];
    for change in changes(sealed_seeds(&HEADER).len()) {
        let mut file = sealed_seeds(&HEADER);
        if let Some(index) = change {
            file[index] ^= 1;
        }
        let opened = aead::xchacha_open(&secret(1), &[3; 24], &HEADER, &mut file);
        assert_eq!(shown(opened.is_ok()), change.is_none(), "{change:?}");
        if change.is_none() {
            use_seeds();
        }
    }
}

fn sealed_seeds(header: &[u8]) -> Vec<u8> {
    let mut seeds = keys::seeds(5);
    aead::xchacha_seal(&secret(1), &[3; 24], header, &mut seeds).expect("short");
    show(&seeds);
    seeds
}

/// With hidden seeds: those that were opened are not.
fn use_seeds() {
    let seeds = KeySeeds::from_bytes(&keys::seeds(5)).expect("seeds");
    let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    let message = Label::CARD.context(None, &[b"a card"]).expect("short");
    keys.sign(&message).expect("a key in memory");
    let ciphertext = KemCiphertext::from_bytes(&[7; CIPHERTEXT_LEN]).expect("1,088 bytes");
    keys.decapsulate(keys.newest(), KeyUse::Handshake, &ciphertext).expect("a key in memory");
}

fn changed(secret: &Secret<32>, change: Option<usize>) -> Secret<32> {
    Secret::init_with(|bytes| {
        *bytes = *secret.expose();
        if let Some(index) = change {
            bytes[index] ^= 1;
        }
    })
}

/// Secret and MAC are hidden; whose capability it is and when it ends are not.
fn capability() {
    let (send, token) = (SendId::from_bytes([2; 16]), Token::from_bytes([3; 16]));
    let expiry = Timestamp::from_secs(1_800_000_000);
    let entrance = |revoked| Entrance {
        mailbox: ReceiveId::from_bytes([4; 16]),
        kind: MailboxKind::Pairwise,
        secret: secret::<32>(1),
        revoked,
    };
    let (standing, revoked) = (entrance(Vec::new()), entrance(vec![token]));
    for (first, good) in [(1, true), (2, false)] {
        let capability =
            Capability::mint(&secret::<32>(first), &send, &token, expiry).expect("in range");
        assert_eq!(shown(capability.check(&standing.secret, &send, expiry)), good);
        assert_eq!(capability.admit(Some(&standing), &send, expiry).is_ok(), good);
        assert!(capability.admit(Some(&revoked), &send, expiry).is_err(), "revoked");
        assert!(capability.admit(None, &send, expiry).is_err(), "no mailbox");
    }
}

/// Whether what was opened is public, for each function that opens: opened.c rests on how the
/// compiler calls them.
pub(crate) fn opened_is_public() -> bool {
    let (raw, nonce) = (secret::<32>(1), [2; 12]);
    let (key, mut message, tag) = sealed(Algorithm::Aes256Gcm, 300);
    let mut other = vec![0; message.len()];
    let into = key.open_into(&nonce, b"header", &message, &tag, &mut other);
    let detached = key.open_detached(&nonce, b"header", &mut message, &tag);
    let mut file = sealed_seeds(b"header");
    let blob = aead::xchacha_open(&raw, &[3; 24], b"header", &mut file);
    let opened = into.is_ok() && detached.is_ok() && blob.is_ok();
    opened && [&message, &other, &file].into_iter().all(|bytes| is_public(bytes))
}
