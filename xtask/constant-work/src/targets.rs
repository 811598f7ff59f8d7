//! Every operation whose work must not depend on a secret, under inputs that are accepted and
//! inputs that are refused.

use std::{convert::Infallible, hint::black_box};

use rand_core::{TryCryptoRng, TryRng};
use sealwire_core::{
    KeyStore, MemoryKeyStore, Timestamp,
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
use sealwire_relay::{Capability, SendId, Token};

use crate::mark::{hide, secret, show, shown};

/// A named operation.
pub(crate) type Target = (&'static str, fn());

// attack T36: what the handshake, the records, the key file and a relay do with a secret.
pub(crate) const TARGETS: [Target; 15] = [
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
];

/// The control: a comparison that stops at the first difference. It must be reported.
pub(crate) const CONTROL: Target = ("control", leaky_comparison);

/// Where a byte of `len` is changed: nowhere, at the start, in the middle, at the end.
fn changes(len: usize) -> [Option<usize>; 4] {
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
    let [first, second] = rng::draw_distinct::<2>(&mut HiddenRng(1)).expect("two blocks");
    assert!(!shown(first == second), "the generator counts");
}

/// A generator whose bytes are hidden.
struct HiddenRng(u8);

impl TryRng for HiddenRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        self.0 = self.0.wrapping_add(1);
        hide(out);
        Ok(())
    }
}

impl TryCryptoRng for HiddenRng {}

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
    let gate = kdf::hmac(&gate_key(&public), &[&head, &MESSAGE]);
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
fn gate_key(responder: &KemPublic) -> [u8; 32] {
    let context = Label::NOISE_GATE.context(None, &[responder.as_bytes()]).expect("short");
    kdf::sha256(&[context.as_bytes()])
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
            use_seeds(&mut file);
        }
    }
}

/// version, count, identity, then the number of the set and its three seeds.
fn sealed_seeds(header: &[u8]) -> Vec<u8> {
    let secrets = secret::<{ 32 + 32 + 64 + 32 }>(5);
    let (identity, exchange) = secrets.expose().split_at(32);
    let mut seeds = [&[1, 0, 1][..], identity, &[0, 0, 0, 1], exchange].concat();
    aead::xchacha_seal(&secret(1), &[3; 24], header, &mut seeds).expect("short");
    show(&seeds);
    seeds
}

fn use_seeds(seeds: &mut [u8]) {
    show(&seeds[..3]);
    show(&seeds[35..39]);
    let seeds = KeySeeds::from_bytes(seeds).expect("seeds");
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
    let ours = secret::<32>(1);
    for (first, good) in [(1, true), (2, false)] {
        let capability =
            Capability::mint(&secret::<32>(first), &send, &token, expiry).expect("in range");
        assert_eq!(shown(capability.check(&ours, &send, expiry)), good);
    }
}
