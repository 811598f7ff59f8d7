//! A key of our own, in its file.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use sealwire_core::Error as CoreError;
use sealwire_custody::{
    Error, FileKeyStore, KeyFile, Params, Passphrase, kms::KekFile, system_rng,
};
use sealwire_envelope::{
    Error as EnvelopeError,
    kms::{Kms, KmsError},
};
use sealwire_testkit::rng::{BrokenRng, Fault};
use tempfile::TempDir;

use crate::contract::{Service, dek, kms_contract, unwrapped, w};

fn passphrase() -> Passphrase {
    Passphrase::from_bytes(b"correct horse battery staple").expect("long enough")
}

/// At the lowest cost, so that the tests spend their time elsewhere.
fn create(path: &Path) -> KekFile {
    KekFile::create_with(path, "archive", &passphrase(), Params::MIN, &mut system_rng())
        .expect("created")
}

fn refused(path: &Path) -> String {
    KekFile::open(path, &passphrase()).expect_err("refused").to_string()
}

/// A key in a file, and the service over it: anew after each change, as a process would.
struct Local {
    file: KekFile,
    kms: Box<dyn Kms>,
    home: TempDir,
}

impl Local {
    fn reopen(&mut self) {
        let path = self.home.path().join("kek");
        self.file = KekFile::open(path, &passphrase()).expect("opens");
        self.kms = Box::new(self.file.kms(system_rng()));
    }
}

async fn local() -> Local {
    let home = tempfile::tempdir().expect("directory");
    let file = create(&home.path().join("kek"));
    Local { kms: Box::new(file.kms(system_rng())), file, home }
}

impl Service for Local {
    fn kms(&self) -> &dyn Kms {
        &*self.kms
    }

    async fn rotate(&mut self) {
        self.file.rotate(&passphrase(), &mut system_rng()).expect("rotates");
        self.reopen();
    }

    async fn retire(&mut self) {
        let kms = self.file.kms(system_rng());
        let versions = kms.keys().versions().expect("versions");
        let (_, old) = versions.split_last().expect("one at least");
        for version in old {
            self.file.remove(version, &passphrase(), &mut system_rng()).expect("removed");
        }
        self.reopen();
    }

    async fn disable(&mut self) {
        panic!("a file is there or not");
    }
}

kms_contract!(local:
    comes_back a_wrapped_key_comes_back,
    bound a_wrap_opens_with_its_binding_alone,
    changed a_changed_wrap_is_refused,
    another_key another_key_is_never_used,
    rewraps wraps_are_rewrapped_in_order,
    rotates old_wraps_survive_a_rotation,
    versions_agree a_wrap_under_another_version_is_refused,
    retires a_retired_version_is_named,
);

// KEK-1
// attack T32
#[test]
fn only_a_kek_file_opens_as_one() {
    let home = tempfile::tempdir().expect("directory");
    let (path, keys) = (home.path().join("kek"), home.path().join("keys"));
    let file = create(&path);
    FileKeyStore::create_with(&keys, &passphrase(), Params::MIN, &mut system_rng()).expect("keys");
    assert_eq!(refused(&keys), "KEK file: it does not begin like one");
    let bytes = fs::read(&path).expect("read");
    let other = KeyFile::from_bytes(&bytes).expect_err("refused").to_string();
    assert_eq!(other, "key file: it does not begin like one");

    // The magic is sealed too: a file of one kind is none of the other with eight other bytes.
    let renamed = [b"sealkeks", &fs::read(&keys).expect("read")[8..]].concat();
    for (name, bad, sentence) in [
        ("renamed", renamed, "the passphrase is wrong, or the file was changed"),
        ("cut", bytes[..bytes.len() - 1].to_vec(), "KEK file: the input ends too early"),
        ("longer", [&bytes[..], &[0]].concat(), "KEK file: bytes follow the end"),
        ("huge", vec![0; 20_000], "KEK file: it does not begin like one"),
        ("huge, and like one", [&bytes[..], &[0; 20_000]].concat(), "KEK file: longer than 9810"),
    ] {
        fs::write(&path, bad).expect("written");
        let said = refused(&path);
        assert!(said.starts_with(sentence), "{name}: {said}");
    }
    drop(file);
}

// KEK-2
#[test]
fn a_file_that_others_may_read_is_refused() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("deep/kek");
    let _ = create(&path);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("opened to others");
    assert!(refused(&path).contains("chmod 600"));
    let again = KekFile::create(&path, "archive", &passphrase(), &mut system_rng());
    assert!(matches!(again, Err(Error::Exists(_))));
}

// KEK-3
#[tokio::test]
async fn versions_that_others_added_are_taken_over() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("kek");
    let mut one = create(&path);
    let mut two = KekFile::open(&path, &passphrase()).expect("opens");
    let new = Passphrase::from_bytes(b"another passphrase").expect("long enough");
    assert_eq!(one.rotate(&passphrase(), &mut system_rng()).expect("rotates").as_str(), "2");
    assert_eq!(two.rotate(&passphrase(), &mut system_rng()).expect("rotates").as_str(), "3");
    two.change_passphrase(&passphrase(), &new, &mut system_rng()).expect("changed");

    let wrapped = one.kms(system_rng()).wrap(&dek(7), &w()).await.expect("wraps");
    let opened = KekFile::open(&path, &new).expect("opens").kms(system_rng());
    assert_eq!(unwrapped(&opened, &wrapped, &w()).await, [7; 32]);
    assert!(matches!(KekFile::open(&path, &passphrase()), Err(Error::Open)));
    assert!(matches!(one.rotate(&passphrase(), &mut system_rng()), Err(Error::Open)));
}

// KEK-3
#[test]
fn another_key_is_not_written_over() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("kek");
    let mut first = create(&path);
    fs::remove_file(&path).expect("removed");
    KekFile::create_with(&path, "other", &passphrase(), Params::MIN, &mut system_rng())
        .expect("created");
    let before = fs::read(&path).expect("read");
    assert!(matches!(first.rotate(&passphrase(), &mut system_rng()), Err(Error::OtherKey(_))));
    assert_eq!(fs::read(&path).expect("read"), before);
}

// attack T31
#[test]
fn a_broken_generator_changes_nothing() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("kek");
    let mut file = create(&path);
    let before = fs::read(&path).expect("read");
    for fault in [Fault::Always, Fault::Once(0), Fault::Once(1), Fault::Repeating, Fault::Zero] {
        let failed = file.rotate(&passphrase(), &mut BrokenRng::new(fault));
        let is_randomness = matches!(
            failed,
            Err(Error::Core(CoreError::Randomness) | Error::Envelope(EnvelopeError::Randomness))
        );
        assert!(is_randomness, "{fault:?}: {failed:?}");
        assert_eq!(fs::read(&path).expect("read"), before);
    }
    let name = KekFile::create(home.path().join("x"), "a\nb", &passphrase(), &mut system_rng());
    assert!(matches!(name, Err(Error::Envelope(EnvelopeError::Kms(KmsError::Settings(_))))));
}
