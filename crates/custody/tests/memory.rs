//! No passphrase, no key made of one, and no private key stays in memory once the key file is
//! closed: a child process opens and changes one, and this process searches its memory.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

use std::{fs, path::Path};

use argon2::{Algorithm, Argon2, Version};
use sealwire_custody::{FileKeyStore, Params, Passphrase};
use sealwire_testkit::memory::{self, Child, Drawn, Notes};
use zeroize::Zeroize;

/// Seeds of what is drawn: the passphrase, the first keys, the next ones.
const PASSPHRASE: u64 = 1;
const FIRST: u64 = 2;
const NEXT: u64 = 3;

fn passphrase() -> Passphrase {
    let mut bytes = Drawn::new(PASSPHRASE).block();
    let passphrase = Passphrase::from_bytes(&bytes).expect("32 bytes");
    bytes.zeroize();
    passphrase
}

/// The child.
#[test]
fn child() {
    let Some(path) = memory::argument() else { return };
    let passphrase = passphrase();
    let mut keys = FileKeyStore::open(path, &passphrase).expect("it opens");
    memory::stop("open");
    keys.rotate_exchange_keys(&passphrase, &mut Drawn::new(NEXT)).expect("it rotates");
    memory::stop("rotated");
    drop(passphrase);
    memory::stop("passphrase dropped");
    drop(keys);
    memory::stop("dropped");
    let leaked = Drawn::new(PASSPHRASE).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

/// The key that seals the file now: docs/spec/key-file.md says where its salt is.
fn sealing_key(path: &Path) -> Vec<u8> {
    let file = fs::read(path).expect("a key file");
    let params = argon2::Params::new(Params::MIN.memory_kib(), Params::MIN.passes(), 1, Some(32));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("in bounds"));
    let mut key = vec![0; 32];
    let passphrase = Drawn::new(PASSPHRASE).block();
    argon2.hash_password_into(&passphrase, &file[19..35], &mut key).expect("derives");
    key
}

// attack T35
#[test]
fn a_closed_key_file_leaves_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("keys");
    FileKeyStore::create_with(&path, &passphrase(), Params::MIN, &mut Drawn::new(FIRST))
        .expect("created");

    let mut notes = Notes::default();
    notes.add("passphrase", &Drawn::new(PASSPHRASE).block());
    notes.add("key of the file", &sealing_key(&path));
    let (mut first, mut next) = (Drawn::new(FIRST), Drawn::new(NEXT));
    for name in ["identity", "s", "d", "z", "X-Wing"] {
        notes.add(name, &first.block());
    }
    for name in ["next s", "next d", "next z", "next X-Wing"] {
        notes.add(name, &next.block());
    }
    // libcrux forgets d, ml-kem keeps it; an X-Wing seed is only expanded.
    let mut opened = vec!["identity", "passphrase", "s", "z"];
    let mut rotated = vec!["identity", "next s", "next z", "passphrase", "s", "z"];
    if !cfg!(feature = "fast") {
        opened.insert(0, "d");
        rotated.splice(0..1, ["d", "identity", "next d"]);
    }
    let mut child = Child::start("child", path.to_str().expect("text"));
    let names =
        |child: &Child, notes: &Notes| -> Vec<String> { child.search(notes).into_keys().collect() };
    assert_eq!(child.at("open", |child| names(child, &notes)), opened);
    let found = child.at("rotated", |child| {
        notes.add("next key of the file", &sealing_key(&path));
        names(child, &notes)
    });
    assert_eq!(found, rotated);
    rotated.retain(|name| *name != "passphrase");
    assert_eq!(child.at("passphrase dropped", |child| names(child, &notes)), rotated);
    assert_eq!(child.at("dropped", |child| names(child, &notes)), [""; 0]);
    assert_eq!(child.at("leaked", |child| names(child, &notes)), ["passphrase"]);
    child.end();
}
