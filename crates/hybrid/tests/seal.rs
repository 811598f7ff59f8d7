//! Sealing through its public API: another implementation, stored keys, bad input.
#![expect(clippy::unwrap_used, reason = "helpers fail the test that calls them")]

use std::sync::Mutex;

use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::XWing, single_shot_open, single_shot_seal_with_rng,
};
use proptest::prelude::*;
use sealwire_core::{
    Error, KeyStore, MemoryKeyStore, Suite,
    kem::{KemCiphertext, SharedSecret},
    keys::{Signature, VerifyingKey, X25519Public},
    keystore::{ExchangePublics, KeySeeds, KeyUse, KxId},
    label::{Context, Label},
    secret::Secret,
};
use sealwire_hybrid::{
    CIPHERTEXT_LEN, OVERHEAD, Recipient, StoredKey, XWingPublic, XWingSecret, open_from, seal_to,
};
use sealwire_testkit::{
    rng::{BrokenRng, Fault, SeededRng},
    zero_shared_secret_publics,
};

const AAD: &[u8] = b"header";
const TEXT: &[u8] = b"meet at noon";

fn key(seed: u8) -> XWingSecret {
    XWingSecret::from_seed(&Secret::init_with(|out| out.fill(seed))).unwrap()
}

fn info(field: &[u8]) -> Context {
    Label::RECORD_KEY.context(None, &[field]).unwrap()
}

fn sealed_to(public: &XWingPublic) -> Vec<u8> {
    seal_to(public, &info(b"a"), AAD, TEXT, &mut SeededRng::new(1)).unwrap()
}

/// A store whose set 1 has the X-Wing key of `seed`.
fn store(seed: u8) -> MemoryKeyStore {
    let bytes = [&[1, 0, 1][..], &[70; 32], &[0, 0, 0, 1], &[71; 32], &[72; 64], &[seed; 32]];
    MemoryKeyStore::from_seeds(&KeySeeds::from_bytes(&bytes.concat()).unwrap()).unwrap()
}

#[test]
fn both_directions_agree_with_the_crate_hpke() {
    for seed in 0..32u8 {
        let (ours, info) = (key(seed), info(&[seed]));
        let text = vec![seed; usize::from(seed) * 37];
        let their_secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(&[seed; 32]).unwrap();
        let their_public =
            <XWing as hpke::Kem>::PublicKey::from_bytes(&ours.public().to_bytes()).unwrap();

        let (enc, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &their_public,
            info.as_bytes(),
            &text,
            AAD,
            &mut SeededRng::new(seed.into()),
        )
        .unwrap();
        let theirs = [&enc.to_bytes()[..], &ciphertext].concat();
        assert_eq!(*open_from(&ours, &info, AAD, &theirs).unwrap(), text);

        // From the same randomness both make the same bytes.
        let sealed =
            seal_to(ours.public(), &info, AAD, &text, &mut SeededRng::new(seed.into())).unwrap();
        assert_eq!(sealed, theirs);

        let sealed = seal_to(ours.public(), &info, AAD, &text, &mut SeededRng::new(999)).unwrap();
        let (enc, ciphertext) = sealed.split_at(CIPHERTEXT_LEN);
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &their_secret,
            &<XWing as hpke::Kem>::EncappedKey::from_bytes(enc).unwrap(),
            info.as_bytes(),
            ciphertext,
            AAD,
        );
        assert_eq!(opened.unwrap(), text);
    }
}

#[test]
fn a_sealed_message_is_longer_by_the_overhead() {
    let key = key(1);
    for len in [0, 1, 63, 64, 65, 100_000] {
        let text = vec![0xA5; len];
        let sealed = seal_to(key.public(), &info(b""), b"", &text, &mut SeededRng::new(1)).unwrap();
        assert_eq!(sealed.len(), len + OVERHEAD);
        assert_eq!(*open_from(&key, &info(b""), b"", &sealed).unwrap(), text);
    }
}

#[test]
fn every_message_has_a_key_of_its_own() {
    let (key, mut rng) = (key(1), SeededRng::new(1));
    let one = seal_to(key.public(), &info(b""), b"", &[0; 64], &mut rng).unwrap();
    let two = seal_to(key.public(), &info(b""), b"", &[0; 64], &mut rng).unwrap();
    assert_ne!(one[..CIPHERTEXT_LEN], two[..CIPHERTEXT_LEN]);
    assert_ne!(one[CIPHERTEXT_LEN..], two[CIPHERTEXT_LEN..]);
}

#[test]
fn another_info_aad_or_recipient_does_not_open() {
    let bob = key(1);
    let sealed = sealed_to(bob.public());
    assert_eq!(*open_from(&bob, &info(b"a"), AAD, &sealed).unwrap(), TEXT);

    let another_label = Label::CARD.context(None, &[b"a"]).unwrap();
    let another_suite = Label::RECORD_KEY.context(Some(Suite::ChaChaPoly), &[b"a"]).unwrap();
    let refused = [
        ("info", open_from(&bob, &info(b"b"), AAD, &sealed)),
        ("empty info", open_from(&bob, &info(b""), AAD, &sealed)),
        ("label", open_from(&bob, &another_label, AAD, &sealed)),
        ("suite", open_from(&bob, &another_suite, AAD, &sealed)),
        ("aad", open_from(&bob, &info(b"a"), b"Header", &sealed)),
        ("empty aad", open_from(&bob, &info(b"a"), b"", &sealed)),
        ("recipient", open_from(&key(2), &info(b"a"), AAD, &sealed)),
    ];
    for (name, result) in refused {
        assert_eq!(result, Err(Error::Open), "{name}");
    }
}

#[test]
fn a_changed_bit_does_not_open() {
    let bob = key(1);
    let sealed = sealed_to(bob.public());
    for index in (0..CIPHERTEXT_LEN - 32).step_by(9).chain(CIPHERTEXT_LEN - 32..sealed.len()) {
        let mut changed = sealed.clone();
        changed[index] ^= 1 << (index % 8);
        assert_eq!(open_from(&bob, &info(b"a"), AAD, &changed), Err(Error::Open), "{index}");
    }
}

#[test]
fn another_length_does_not_open() {
    let bob = key(1);
    let sealed = sealed_to(bob.public());
    for len in 0..sealed.len() {
        assert_eq!(open_from(&bob, &info(b"a"), AAD, &sealed[..len]), Err(Error::Open), "{len}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert_eq!(open_from(&bob, &info(b"a"), AAD, &longer), Err(Error::Open));
}

// attack T1: the encapsulated key of a sealed message has a share of small order. Its error
// is that of any message that does not open.
#[test]
fn a_share_of_small_order_does_not_open() {
    let bob = key(1);
    let sealed = sealed_to(bob.public());
    for zero in zero_shared_secret_publics() {
        let mut forged = sealed.clone();
        forged[CIPHERTEXT_LEN - 32..CIPHERTEXT_LEN].copy_from_slice(&zero);
        assert_eq!(open_from(&bob, &info(b"a"), AAD, &forged), Err(Error::Open), "{zero:02x?}");
    }
}

// attack T31: a generator that fails, repeats itself or gives zeros.
#[test]
fn broken_randomness_seals_nothing() {
    let bob = key(1);
    for fault in [Fault::Always, Fault::Once(0), Fault::Once(1), Fault::Repeating, Fault::Zero] {
        let refused = seal_to(bob.public(), &info(b"a"), AAD, TEXT, &mut BrokenRng::new(fault));
        assert_eq!(refused, Err(Error::Randomness), "{fault:?}");
    }
}

#[test]
fn a_stored_key_is_the_key_of_its_seed() {
    let (stores, secret) = (store(5), key(5));
    let stored = StoredKey::new(&stores, KxId::MIN).unwrap();
    assert_eq!(stored.public(), secret.public());
    let (ciphertext, shared) = secret.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    assert_eq!(stored.decapsulate(&ciphertext).unwrap(), shared);

    let sealed = sealed_to(stored.public());
    for recipient in [&stored as &dyn Recipient, &secret] {
        assert_eq!(*open_from(recipient, &info(b"a"), AAD, &sealed).unwrap(), TEXT);
    }
    let missing = StoredKey::new(&stores, KxId::MIN.saturating_add(1));
    assert!(matches!(missing, Err(Error::KeyStore(_))));
}

/// A store that notes what its keys were used for, and that can fail.
#[derive(Debug)]
struct Watched {
    keys: MemoryKeyStore,
    uses: Mutex<Vec<KeyUse>>,
    agree_fails: Option<Error>,
    decapsulate_fails: Option<Error>,
}

impl Watched {
    fn new(agree_fails: Option<Error>, decapsulate_fails: Option<Error>) -> Self {
        let uses = Mutex::default();
        Self { keys: store(5), uses, agree_fails, decapsulate_fails }
    }
}

impl KeyStore for Watched {
    fn identity(&self) -> &VerifyingKey {
        self.keys.identity()
    }

    fn newest(&self) -> KxId {
        self.keys.newest()
    }

    fn public(&self, kx: KxId) -> Result<ExchangePublics, Error> {
        self.keys.public(kx)
    }

    fn sign(&self, message: &Context) -> Result<Signature, Error> {
        self.keys.sign(message)
    }

    fn agree(&self, kx: KxId, usage: KeyUse, peer: &X25519Public) -> Result<SharedSecret, Error> {
        self.uses.lock().unwrap().push(usage);
        self.agree_fails.clone().map_or_else(|| self.keys.agree(kx, usage, peer), Err)
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, Error> {
        self.uses.lock().unwrap().push(usage);
        let opened = || self.keys.decapsulate(kx, usage, ciphertext);
        self.decapsulate_fails.clone().map_or_else(opened, Err)
    }
}

#[test]
fn a_stored_key_is_used_for_envelopes_only() {
    let keys = Watched::new(None, None);
    let stored = StoredKey::new(&keys, keys.newest()).unwrap();
    let sealed = sealed_to(stored.public());
    assert!(open_from(&stored, &info(b"a"), AAD, &sealed).is_ok());
    assert_eq!(*keys.uses.lock().unwrap(), [KeyUse::Envelope; 2]);
}

#[test]
fn only_failures_of_the_store_itself_are_told_from_a_bad_message() {
    let locked = Error::KeyStore("locked");
    let cases = [
        (Some(locked.clone()), None, locked.clone()),
        (None, Some(locked.clone()), locked),
        (Some(Error::NonContributory), None, Error::Open),
        (None, Some(Error::Open), Error::Open),
        (None, Some(Error::Unreachable("a bug")), Error::Unreachable("a bug")),
    ];
    for (agree, decapsulate, expected) in cases {
        let keys = Watched::new(agree, decapsulate);
        let stored = StoredKey::new(&keys, keys.newest()).unwrap();
        let sealed = sealed_to(stored.public());
        assert_eq!(open_from(&stored, &info(b"a"), AAD, &sealed), Err(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens(
        seed: [u8; 32],
        randomness: u64,
        field in proptest::collection::vec(any::<u8>(), 0..200),
        aad in proptest::collection::vec(any::<u8>(), 0..200),
        text in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let secret = XWingSecret::from_seed(&Secret::from_slice(&seed).unwrap()).unwrap();
        let mut rng = SeededRng::new(randomness);
        let sealed = seal_to(secret.public(), &info(&field), &aad, &text, &mut rng).unwrap();
        let opened = open_from(&secret, &info(&field), &aad, &sealed).unwrap();
        prop_assert_eq!(&*opened, &text);
    }

    #[test]
    fn arbitrary_bytes_do_not_open(
        bytes in proptest::collection::vec(any::<u8>(), 0..OVERHEAD + 100),
    ) {
        prop_assert_eq!(open_from(&key(1), &info(b"a"), AAD, &bytes), Err(Error::Open));
    }
}
