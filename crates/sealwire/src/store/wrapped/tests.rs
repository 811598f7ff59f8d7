use std::{
    env, fs,
    path::Path,
    sync::{Arc, Mutex},
};

use super::*;
use sealwire_core::{MemoryKeyStore, keystore::KeySeeds};
use sealwire_envelope::{
    kms::Pending,
    local::{LocalKek, LocalKeys},
};
use sealwire_testkit::{
    leak,
    rng::{BrokenRng, Fault, SeededRng},
};

fn seeds(seed: u64) -> KeySeeds {
    KeySeeds::generate(&mut SeededRng::new(seed)).expect("randomness")
}

fn keys(seed: u64) -> MemoryKeyStore {
    MemoryKeyStore::from_seeds(&seeds(seed)).expect("keys")
}

fn kek(name: &str, versions: usize) -> LocalKek<SeededRng> {
    let mut rng = SeededRng::new(20);
    let mut keys = LocalKeys::generate(name, &mut rng).expect("a key");
    for _ in 1..versions {
        keys.rotate(&mut rng).expect("a version");
    }
    LocalKek::new(Arc::new(keys), SeededRng::new(21))
}

/// A local key is at hand: nothing here waits.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut task) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a local key is at hand"),
    }
}

fn generate(kms: &dyn Kms, seed: u64) -> Result<(StateKey, WrappedStateKey), StateKeyError> {
    wait(WrappedStateKey::generate(&keys(1), kms, &mut SeededRng::new(seed)))
}

fn made() -> (StateKey, WrappedStateKey) {
    generate(&kek("agents", 1), 5).expect("made")
}

fn opened(file: &WrappedStateKey, kms: &dyn Kms) -> Result<StateKey, StateKeyError> {
    wait(file.open(&keys(1), kms))
}

// STA-19, STA-20
#[test]
fn the_agent_and_the_key_service_open_it_together() {
    let (key, file) = made();
    let read = WrappedStateKey::read(&keys(1), file.as_bytes()).expect("reads");
    assert!(read == file);
    assert!(opened(&read, &kek("agents", 1)).expect("opens") == key);
    assert!(file.as_bytes().len() <= WrappedStateKey::MAX_LEN);
    assert!(generate(&kek("agents", 1), 6).expect("made").0 != key);
}

// attack T38
// STA-19, STA-20
#[test]
fn a_file_of_version_2_opens_for_ever() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let frozen = vectors.join("wrapped-state-key-2.txt");
    if env::var_os("SEALWIRE_WRITE_FIXTURE").is_some() {
        let (key, file) = made();
        let lines = format!("{}\n{}\n", hex::encode(file.as_bytes()), hex::encode(key.expose()));
        fs::write(&frozen, lines).expect("written");
    }
    let text = fs::read_to_string(frozen).expect("there");
    let lines: Vec<_> = text.lines().map(|line| hex::decode(line).expect("hex")).collect();
    let file = WrappedStateKey::read(&keys(1), &lines[0]).expect("reads");
    assert_eq!(opened(&file, &kek("agents", 1)).expect("opens").expose()[..], lines[1]);
}

// STA-20: neither share alone is the key, and none of the three stands in the file.
#[test]
fn neither_share_opens_it_alone() {
    let (key, file) = made();
    let (own, service) = wait(file.shares(&keys(1), &kek("agents", 1))).expect("opens");
    for share in [own.expose(), service.expose(), key.expose()] {
        assert!(!file.as_bytes().windows(KEY_LEN).any(|part| part == share));
    }
    assert!(own.expose() != service.expose());
    let zeros = Dek::from_unwrapped(&[0; KEY_LEN]).expect("32 bytes");
    let guesses = [
        combine(&keys(1), file.id, &own, &zeros),
        combine(&keys(1), file.id, &Secret::init_with(|out| out.fill(0)), &service),
        combine(&keys(2), file.id, &own, &service),
        combine(&keys(1), ObjectId::from_bytes([7; 16]), &own, &service),
    ];
    for (number, guess) in guesses.into_iter().enumerate() {
        assert!(guess.expect("short") != key, "{number}");
    }
    // Who has the disk and the passphrase has these keys, and no key service.
    let refused = StateKey::open(&keys(1), file.as_bytes()).expect_err("it takes both");
    assert!(matches!(refused, StateKeyError::Wrapped), "{refused}");
    // Who runs the key service has it, and other keys.
    let refused = WrappedStateKey::read(&keys(2), file.as_bytes()).expect_err("another agent");
    assert!(matches!(refused, StateKeyError::OtherAgent), "{refused}");
}

// STA-19
#[test]
fn every_changed_or_missing_byte_is_refused() {
    let (_, file) = made();
    let bytes = file.as_bytes();
    for index in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[index] ^= 1;
        assert!(WrappedStateKey::read(&keys(1), &changed).is_err(), "{index}");
    }
    for len in 0..bytes.len() {
        let refused = WrappedStateKey::read(&keys(1), &bytes[..len]).expect_err("cut");
        assert!(matches!(refused, StateKeyError::Decode(_)), "{len}: {refused}");
    }
    assert!(WrappedStateKey::read(&keys(1), &[bytes, &[0]].concat()).is_err());
    let long = vec![0; WrappedStateKey::MAX_LEN + 1];
    assert!(WrappedStateKey::read(&keys(1), &long).is_err());
}

/// A file with these fields, signed by `signer`.
fn forged(signer: &MemoryKeyStore, change: impl FnOnce(&mut WrappedStateKey)) -> Vec<u8> {
    let (_, mut file) = made();
    change(&mut file);
    let mut bytes = before_sealed(&keys(1), file.id, file.kx);
    bytes.extend_from_slice(&file.sealed);
    write_wrapped(&mut bytes, &file.wrapped).expect("short");
    let signature = signer.sign(&signed(&bytes).expect("short")).expect("signs");
    bytes.extend_from_slice(signature.as_bytes());
    bytes
}

// STA-19: anyone can seal to a public key and wrap with a service that they may use.
#[test]
fn a_file_that_someone_else_made_for_the_agent_is_refused() {
    let file = WrappedStateKey::read(&keys(1), &forged(&keys(1), |_| {})).expect("the control");
    assert!(opened(&file, &kek("agents", 1)).is_ok(), "the control");
    let refused = WrappedStateKey::read(&keys(1), &forged(&keys(2), |_| {})).expect_err("forged");
    assert!(matches!(refused, StateKeyError::Changed), "{refused}");
}

// attack T12
// STA-20: what is wrapped for one state opens no other, even if the agent itself mixes them up.
#[test]
fn parts_of_two_files_do_not_make_one() {
    let (_, other) = generate(&kek("agents", 1), 6).expect("made");
    type Change = Box<dyn FnOnce(&mut WrappedStateKey)>;
    let parts: [(&str, Change); 4] = [
        (
            "the wrap of another",
            Box::new({
                let wrapped = other.wrapped.clone();
                move |file| file.wrapped = wrapped
            }),
        ),
        (
            "the seal of another",
            Box::new({
                let sealed = other.sealed.clone();
                move |file| file.sealed = sealed
            }),
        ),
        ("the id of another", Box::new(move |file| file.id = other.id)),
        ("a changed wrap", Box::new(|file| file.wrapped.ciphertext[70] ^= 1)),
    ];
    for (name, change) in parts {
        let file = WrappedStateKey::read(&keys(1), &forged(&keys(1), change)).expect(name);
        let refused = opened(&file, &kek("agents", 1)).expect_err(name);
        let fits = matches!(refused, StateKeyError::Changed | StateKeyError::Kms(KmsError::Open));
        assert!(fits, "{name}: {refused}");
    }
}

#[test]
fn bad_files_are_named() {
    let changed = |index: usize, byte: u8| {
        let mut bytes = made().1.as_bytes().to_vec();
        bytes[index] = byte;
        bytes
    };
    let no_number = {
        let mut bytes = made().1.as_bytes().to_vec();
        bytes[57..61].fill(0);
        bytes
    };
    let provider = HEADER_LEN + 4 + SEALED_LEN;
    for (bytes, sentence) in [
        (changed(0, b'x'), "wrapped state key: not a sealed state key"),
        (changed(8, 1), "wrapped state key: unknown version 1; a newer release may read it"),
        (changed(9, !made().1.as_bytes()[9]), "the state key is sealed to another agent"),
        (no_number, "wrapped state key: key numbers begin at 1"),
        (changed(70, !made().1.as_bytes()[70]), "the sealed state key was changed"),
        (changed(provider, 1), "wrapped state key: longer than 16 bytes"),
        (changed(provider + 2, b'L'), "wrapped state key: a provider that is not known"),
        (changed(provider + 2, 0xFF), "wrapped state key: names are UTF-8"),
        (changed(provider + 9, 0), "wrapped state key: the name of a key"),
        (changed(provider + 17, 7), "wrapped state key: the version of a key"),
    ] {
        let refused = WrappedStateKey::read(&keys(1), &bytes).expect_err(sentence);
        assert_eq!(refused.to_string(), sentence);
    }
}

// STA-22
#[test]
fn another_key_is_named_and_never_asked() {
    let (_, file) = made();
    let refused = opened(&file, &kek("others", 1)).expect_err("another key");
    assert_eq!(
        refused.to_string(),
        "the state key is wrapped by the key local:agents, not by local:others"
    );
    // The same name, and another key.
    let mut rng = SeededRng::new(99);
    let same = LocalKeys::generate("agents", &mut rng).expect("a key");
    let refused = opened(&file, &LocalKek::new(Arc::new(same), rng)).expect_err("another key");
    assert!(matches!(refused, StateKeyError::Kms(KmsError::Open)), "{refused}");
}

// STA-24
#[test]
fn a_rewrap_keeps_the_key_and_follows_both_rotations() {
    let (key, file) = made();
    let (old, new) = (kek("agents", 1), kek("agents", 2));
    let mut seeds = seeds(1);
    seeds.add_set(&mut SeededRng::new(6)).expect("a second set");
    let rotated = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    let rewrapped = wait(file.rewrap(&rotated, &new, &mut SeededRng::new(7))).expect("rewrapped");
    assert_eq!((file.wrapped.version.as_str(), file.kx.get()), ("1", 1));
    assert_eq!((rewrapped.wrapped.version.as_str(), rewrapped.kx.get()), ("2", 2));
    let read = WrappedStateKey::read(&rotated, rewrapped.as_bytes()).expect("reads");
    assert!(wait(read.open(&rotated, &new)).expect("opens") == key);
    assert!(opened(&file, &new).expect("the old version is there") == key);
    let refused = wait(read.open(&rotated, &old)).expect_err("no such version there");
    assert!(matches!(refused, StateKeyError::Kms(KmsError::Version(_))), "{refused}");
}

/// A key service that lies, or fails.
#[derive(Debug)]
struct Liar {
    kek: LocalKek<SeededRng>,
    how: Lie,
    calls: Mutex<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Down,
    Disabled,
    WrapsAnotherKey,
    WrapsAnotherShare,
    RewrapsNothing,
    RewrapsAnotherShare,
}

impl Liar {
    fn new(how: Lie) -> Self {
        Self { kek: kek("agents", 1), how, calls: Mutex::new(0) }
    }

    fn down<T>(&self) -> Option<Result<T, KmsError>> {
        *self.calls.lock().expect("lock") += 1;
        match self.how {
            Lie::Down => Some(Err(KmsError::Unavailable("down".into()))),
            Lie::Disabled => Some(Err(KmsError::Disabled("agents".into()))),
            _ => None,
        }
    }
}

impl Kms for Liar {
    fn key(&self) -> &KeyRef {
        self.kek.key()
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.kek.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        Box::pin(async move {
            if let Some(down) = self.down() {
                return down;
            }
            let other = Dek::from_unwrapped(&[9; Dek::LEN]).expect("32 bytes");
            let wraps = if self.how == Lie::WrapsAnotherShare { &other } else { dek };
            let mut wrapped = self.kek.wrap_now(wraps, binding)?;
            if self.how == Lie::WrapsAnotherKey {
                wrapped.key = KeyRef::new(Provider::Local, "others")?;
            }
            Ok(wrapped)
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(async move {
            if let Some(down) = self.down() {
                return down;
            }
            self.kek.unwrap_now(wrapped, binding)
        })
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        Box::pin(async move {
            let other = Dek::from_unwrapped(&[9; Dek::LEN]).expect("32 bytes");
            let one = |(_, w): &(Wrapped, WrapBinding)| self.kek.wrap_now(&other, w);
            match self.how {
                Lie::RewrapsNothing => Ok(Vec::new()),
                _ => Ok(wraps.iter().map(one).collect()),
            }
        })
    }
}

// attack T27
// STA-21
#[test]
fn a_service_that_lies_or_fails_loses_nothing() {
    for (how, sentence) in [
        (Lie::Down, "the key service cannot be used now: down"),
        (Lie::Disabled, "the key agents is disabled or about to be deleted"),
        (Lie::WrapsAnotherKey, "does not fit: it wrapped with another key"),
        (Lie::WrapsAnotherShare, "does not fit: it does not give back what it wrapped"),
    ] {
        let liar = Liar::new(how);
        let refused = generate(&liar, 5).expect_err(sentence);
        assert!(refused.to_string().contains(sentence), "{refused}");
        assert!(*liar.calls.lock().expect("lock") > 0);
    }
    let (_, file) = made();
    for (how, sentence) in [
        (Lie::Down, "cannot be used now"),
        (Lie::Disabled, "is disabled"),
        (Lie::RewrapsNothing, "it rewrapped nothing"),
        (Lie::RewrapsAnotherShare, "it does not give back what it wrapped"),
    ] {
        let (keys, liar, mut rng) = (keys(1), Liar::new(how), SeededRng::new(7));
        let refused = wait(file.rewrap(&keys, &liar, &mut rng)).expect_err(sentence);
        assert!(refused.to_string().contains(sentence), "{refused}");
    }
    assert!(opened(&file, &Liar::new(Lie::RewrapsNothing)).is_ok(), "the control");
}

// attack T31, T34
#[test]
fn a_broken_generator_gives_no_key_and_debug_shows_none() {
    for fault in [Fault::Always, Fault::Zero, Fault::Repeating] {
        let (keys, kek, mut rng) = (keys(1), kek("agents", 1), BrokenRng::new(fault));
        let made = WrappedStateKey::generate(&keys, &kek, &mut rng);
        let refused = wait(made).expect_err("no randomness");
        assert!(matches!(refused, StateKeyError::Core(CoreError::Randomness)), "{refused}");
    }
    let (key, file) = made();
    let (own, service) = wait(file.shares(&keys(1), &kek("agents", 1))).expect("opens");
    let shown = format!("{file:?} {key:?}");
    for secret in [key.expose(), own.expose(), service.expose()] {
        assert!(!leak::shows(&shown, secret), "{shown}");
    }
}
