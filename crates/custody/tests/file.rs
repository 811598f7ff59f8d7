//! The file key store from outside: what it refuses, and that nothing is ever lost.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::{
    fs::{self, Permissions},
    num::NonZeroU32,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sealwire_core::{
    Error as CoreError, KeyStore, MemoryKeyStore, keys::StaticSecret, keystore::KeyUse,
    label::Label,
};
use sealwire_custody::{Error, FileKeyStore, KeyFile, Params, Passphrase, system_rng};
use sealwire_testkit::rng::{BrokenRng, Fault, SeededRng};

fn passphrase() -> Passphrase {
    Passphrase::from_bytes(b"correct horse battery staple").expect("long enough")
}

/// At the lowest cost, so that the tests spend their time elsewhere.
fn create(path: &Path) -> FileKeyStore {
    FileKeyStore::create_with(path, &passphrase(), Params::MIN, &mut system_rng()).expect("created")
}

fn refused(path: &Path) -> String {
    FileKeyStore::open(path, &passphrase()).expect_err("refused").to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn kx(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("from 1")
}

#[test]
fn an_opened_store_does_what_the_created_one_did() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("deep/agent/keys");
    let created =
        FileKeyStore::create(&path, &passphrase(), &mut SeededRng::new(1)).expect("created");
    let opened = FileKeyStore::open(&path, &passphrase()).expect("opened");
    // The same generator without a file: the store adds nothing and changes nothing.
    let memory = MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("generated");

    let file = KeyFile::from_bytes(&fs::read(&path).expect("file")).expect("key file");
    assert_eq!(file.params(), Params::default());
    let message = Label::CARD.context(None, &[b"signed"]).expect("short");
    let peer = StaticSecret::generate(&mut system_rng()).expect("generated");
    for store in [&created as &dyn KeyStore, &opened] {
        assert_eq!(store.identity(), memory.identity());
        assert_eq!(store.newest(), memory.newest());
        assert_eq!(store.public(kx(1)), memory.public(kx(1)));
        assert_eq!(store.sign(&message), memory.sign(&message));
        for usage in [KeyUse::Handshake, KeyUse::Envelope] {
            let agreed = store.agree(kx(1), usage, peer.public()).expect("agrees");
            assert!(agreed == memory.agree(kx(1), usage, peer.public()).expect("agrees"));
        }
        assert!(matches!(store.public(kx(2)), Err(CoreError::KeyStore(_))));
    }
}

// KEY-12
#[test]
fn the_file_is_for_its_owner_alone() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("agent/keys");
    let mut store = create(&path);
    assert_eq!((mode(&path), mode(&home.path().join("agent"))), (0o600, 0o700));
    store.rotate_exchange_keys(&passphrase(), &mut system_rng()).expect("rotated");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(names(&home.path().join("agent")), ["keys"]);

    for open in [0o640, 0o604, 0o660, 0o610, 0o644] {
        fs::set_permissions(&path, Permissions::from_mode(open)).expect("chmod");
        let path = fs::canonicalize(&path).expect("is there");
        let path = path.display();
        assert_eq!(
            refused(&home.path().join("agent/keys")),
            format!("{path} is open to others (mode {open:04o}); run: chmod 600 '{path}'")
        );
        let rotated = store.rotate_exchange_keys(&passphrase(), &mut system_rng());
        assert!(matches!(rotated, Err(Error::Permissions { mode, .. }) if mode == open));
    }
    // What the error says to do helps, also for a file that nobody may write.
    for closed in [0o600, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(closed)).expect("chmod");
        assert!(FileKeyStore::open(&path, &passphrase()).is_ok());
    }
}

// KEY-14
#[test]
fn nothing_that_exists_is_overwritten() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    fs::write(&path, b"something else").expect("written");
    let dangling = home.path().join("dangling");
    symlink(home.path().join("nowhere"), &dangling).expect("linked");
    for path in [path.as_path(), &dangling, home.path()] {
        let created =
            FileKeyStore::create_with(path, &passphrase(), Params::MIN, &mut system_rng());
        let error = created.expect_err("exists");
        assert!(matches!(error, Error::Exists(_)));
        let path = path.display();
        assert_eq!(error.to_string(), format!("{path} already exists and is not overwritten"));
    }
    assert_eq!(fs::read(&path).expect("still there"), b"something else");
    assert_eq!(names(home.path()), ["dangling", "keys"]);
}

// KEY-14
#[test]
fn of_several_creators_one_wins() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("agent/keys");
    let results = thread::scope(|scope| {
        let create =
            || FileKeyStore::create_with(&path, &passphrase(), Params::MIN, &mut system_rng());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|result| matches!(result, Err(Error::Exists(_)))), "{lost:?}");
    let winner = won.into_iter().next().expect("one").expect("created");
    let opened = FileKeyStore::open(&path, &passphrase()).expect("opens");
    assert_eq!(opened.identity(), winner.identity());
    assert_eq!(names(&home.path().join("agent")), ["keys"]);
}

// KEY-9, KEY-10
#[test]
fn the_passphrase_changes_and_the_keys_stay() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    let mut store = create(&path);
    let before = fs::read(&path).expect("file");
    let new = Passphrase::from_string("another good passphrase".into()).expect("long enough");

    let wrong = store.change_passphrase(&new, &new, &mut system_rng()).expect_err("wrong");
    assert_eq!(wrong.to_string(), "the passphrase is wrong, or the file was changed");
    assert!(matches!(store.rotate_exchange_keys(&new, &mut system_rng()), Err(Error::Open)));
    assert_eq!(fs::read(&path).expect("file"), before);

    store.change_passphrase(&passphrase(), &new, &mut system_rng()).expect("changed");
    let after = fs::read(&path).expect("file");
    // Everything from the salt on is new, but for the two bytes of the length.
    assert!(before[19..35] != after[19..35] && before[35..59] != after[35..59]);
    assert_eq!(before[..19], after[..19]);
    assert_eq!(refused(&path), "the passphrase is wrong, or the file was changed");
    let opened = FileKeyStore::open(&path, &new).expect("opens");
    assert_eq!(opened.identity(), store.identity());
    assert_eq!(opened.public(kx(1)), store.public(kx(1)));
}

#[test]
fn rotation_adds_a_set_and_keeps_the_others() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    let mut store = create(&path);
    let (identity, first) = (store.identity().clone(), store.public(kx(1)).expect("first"));
    for number in 2..=4 {
        let rotated = store.rotate_exchange_keys(&passphrase(), &mut system_rng());
        assert_eq!(rotated.expect("rotated").get(), number);
    }
    let opened = FileKeyStore::open(&path, &passphrase()).expect("opens");
    for store in [&store, &opened] {
        assert_eq!((store.identity(), store.newest()), (&identity, kx(4)));
        assert_eq!(store.public(kx(1)).expect("first"), first);
        let sets: Vec<_> = (1..=4).map(|n| store.public(kx(n)).expect("a set")).collect();
        assert!((1..4).all(|n| !sets[..n].contains(&sets[n])));
    }
}

// KEY-16
#[test]
fn rotations_side_by_side_lose_nothing() {
    const THREADS: u32 = 4;
    const ROTATIONS: u32 = 3;
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    create(&path);
    let mut numbers: Vec<u32> = thread::scope(|scope| {
        let rotate = || {
            let mut store = FileKeyStore::open(&path, &passphrase()).expect("opens");
            let mut rotate = || store.rotate_exchange_keys(&passphrase(), &mut system_rng());
            (0..ROTATIONS).map(|_| rotate().expect("rotated").get()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(rotate)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=1 + THREADS * ROTATIONS).collect::<Vec<_>>());
    let opened = FileKeyStore::open(&path, &passphrase()).expect("opens");
    assert!((1..=1 + THREADS * ROTATIONS).all(|number| opened.public(kx(number)).is_ok()));
    assert_eq!(names(home.path()), ["keys"]);
}

// KEY-16
#[test]
fn the_keys_of_another_agent_are_not_taken_over() {
    let home = tempfile::tempdir().expect("directory");
    let (path, other) = (home.path().join("keys"), home.path().join("other"));
    let mut store = create(&path);
    create(&other);
    fs::rename(&other, &path).expect("renamed");
    let before = fs::read(&path).expect("file");
    let rotated = store.rotate_exchange_keys(&passphrase(), &mut system_rng());
    assert!(matches!(rotated, Err(Error::OtherIdentity(_))));
    assert_eq!(fs::read(&path).expect("file"), before);
    assert_eq!(store.newest(), kx(1));
}

#[test]
fn a_link_leads_to_the_file_that_is_replaced() {
    let home = tempfile::tempdir().expect("directory");
    let (path, link) = (home.path().join("keys"), home.path().join("link"));
    create(&path);
    symlink("keys", &link).expect("linked");
    let mut store = FileKeyStore::open(&link, &passphrase()).expect("opens");
    store.rotate_exchange_keys(&passphrase(), &mut system_rng()).expect("rotated");
    assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
    assert_eq!(FileKeyStore::open(&path, &passphrase()).expect("opens").newest(), kx(2));
}

// KEY-1, KEY-6
#[test]
#[expect(clippy::disallowed_methods, reason = "shows that nothing slow is done")]
fn what_is_no_key_file_is_refused_at_once_and_left_alone() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    create(&path);
    let whole = fs::read(&path).expect("file");
    let cut = "key file: the input ends too early; it was only partly written or copied";
    let greedy = [&whole[..10], &[0xFF; 9], &whole[19..]].concat();
    for (bytes, sentence) in [
        (&whole[..whole.len() / 2], cut),
        (&whole[..whole.len() - 1], cut),
        (b"", cut),
        (b"# not a key file", "key file: it does not begin like one"),
        (&[&whole[..], b"\n"].concat(), "key file: bytes follow the end"),
        (&greedy, "key file: the memory of Argon2id is outside 19 MiB to 1 GiB"),
    ] {
        fs::write(&path, bytes).expect("written");
        let started = Instant::now();
        assert_eq!(refused(&path), sentence);
        assert!(started.elapsed() < Duration::from_secs(20), "{sentence}");
        assert_eq!(fs::read(&path).expect("still there"), bytes);
    }
    fs::write(&path, &whole).expect("written");
    assert!(FileKeyStore::open(&path, &passphrase()).is_ok());
}

// KEY-2: the file is 1 TiB long and takes no memory.
#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    create(&path);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_len(1 << 40).expect("a sparse file");
    assert_eq!(refused(&path), "key file: longer than 4336 bytes");
}

// KEY-8, KEY-10: through the file, with the real derivation; the pure layer flips every bit.
#[test]
fn a_changed_file_is_refused() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    create(&path);
    let whole = fs::read(&path).expect("file");
    // One byte in each field, and some of the sealed part: ciphertext and tag.
    for index in [0, 8, 9, 13, 17, 18, 19, 34, 35, 58, 60, 61, 100, 200, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        fs::write(&path, &changed).expect("written");
        assert!(FileKeyStore::open(&path, &passphrase()).is_err(), "byte {index}");
    }
}

#[test]
fn other_kinds_of_file_are_refused() {
    let home = tempfile::tempdir().expect("directory");
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for path in [pipe.as_path(), home.path(), Path::new("/dev/null")] {
        let error = FileKeyStore::open(path, &passphrase()).expect_err("no file");
        assert!(matches!(error, Error::NotAFile(_)), "{error}");
        assert!(error.to_string().ends_with("is not a regular file"));
    }
    let missing = refused(&home.path().join("missing"));
    assert!(missing.starts_with("cannot open ") && missing.contains("No such file"), "{missing}");
    let nameless = FileKeyStore::create("/", &passphrase(), &mut system_rng());
    assert!(matches!(nameless, Err(Error::Misuse(_))));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().expect("directory");
    let file = home.path().join("file");
    fs::write(&file, b"").expect("written");
    let create = |path: &Path| {
        FileKeyStore::create_with(path, &passphrase(), Params::MIN, &mut system_rng())
            .expect_err("cannot be written")
            .to_string()
    };
    let below_a_file = create(&file.join("keys"));
    assert!(below_a_file.contains("Not a directory"), "{below_a_file}");
    let sentence = create(Path::new("/proc/agent/keys"));
    assert!(sentence.starts_with("cannot create the directory /proc/agent: "), "{sentence}");
    // In a directory that is there, and binds the superuser too.
    let sentence = create(Path::new("/proc/keys-of-an-agent"));
    assert!(sentence.starts_with("cannot lock /proc/keys-of-an-agent: "), "{sentence}");

    let path = home.path().join("agent/keys");
    let mut store = self::create(&path);
    let directory = home.path().join("agent");
    fs::set_permissions(&directory, Permissions::from_mode(0o555)).expect("chmod");
    if fs::write(directory.join("probe"), b"").is_err() {
        let before = fs::read(&path).expect("file");
        let rotated = store.rotate_exchange_keys(&passphrase(), &mut system_rng());
        let sentence = rotated.expect_err("cannot be written").to_string();
        assert!(sentence.contains("Permission denied"), "{sentence}");
        assert_eq!(fs::read(&path).expect("file"), before);
        assert_eq!(store.newest(), kx(1));
    }
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("chmod");
}

// attack T28
// KEY-15
#[test]
fn what_a_crash_left_is_ignored_and_removed() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    let mut store = create(&path);
    let leave = || {
        fs::write(home.path().join(".keys.tmp"), b"half a fi").expect("written");
        fs::write(home.path().join(".keys.lock"), b"").expect("written");
    };
    leave();
    assert_eq!(FileKeyStore::open(&path, &passphrase()).expect("opens").newest(), kx(1));
    store.rotate_exchange_keys(&passphrase(), &mut system_rng()).expect("rotated");
    assert_eq!(names(home.path()), ["keys"]);
    // A crash while creating: there is no key file, and nothing stands in its way.
    fs::remove_file(&path).expect("removed");
    leave();
    create(&path);
    assert_eq!(names(home.path()), ["keys"]);
}

// attack T31
// KEY-9
#[test]
fn a_broken_generator_leaves_everything_as_it_was() {
    let home = tempfile::tempdir().expect("directory");
    let mut sound = BrokenRng::new(Fault::Once(u32::MAX));
    let path = home.path().join("count");
    FileKeyStore::create_with(&path, &passphrase(), Params::MIN, &mut sound).expect("created");
    fs::remove_file(&path).expect("removed");

    let broken = [Fault::Always, Fault::Repeating, Fault::Zero];
    let faults: Vec<Fault> = (0..sound.calls()).map(Fault::Once).chain(broken).collect();
    assert!(faults.len() >= 3 + 7, "an identity, four seeds, salt and nonce");
    for fault in &faults {
        let path = home.path().join("agent/keys");
        let mut rng = BrokenRng::new(*fault);
        let created = FileKeyStore::create_with(&path, &passphrase(), Params::MIN, &mut rng);
        assert!(matches!(created, Err(Error::Core(CoreError::Randomness))), "{fault:?}");
        assert!(names(home.path()).is_empty(), "{fault:?}");
    }

    let path = home.path().join("keys");
    let mut store = create(&path);
    let before = fs::read(&path).expect("file");
    for fault in broken.into_iter().chain((0..4).map(Fault::Once)) {
        let rotated = store.rotate_exchange_keys(&passphrase(), &mut BrokenRng::new(fault));
        assert!(matches!(rotated, Err(Error::Core(CoreError::Randomness))), "{fault:?}");
        assert_eq!(store.newest(), kx(1));
        assert_eq!(fs::read(&path).expect("file"), before);
        assert_eq!(names(home.path()), ["keys"]);
    }
}

// attack T31
// KEY-9: a generator that starts again from the same state, as after restoring a machine.
#[test]
fn a_repeated_salt_is_refused() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    let mut store = create(&path);
    let mut change =
        |seed| store.change_passphrase(&passphrase(), &passphrase(), &mut SeededRng::new(seed));
    change(1).expect("first time");
    let before = fs::read(&path).expect("file");
    assert!(matches!(change(1), Err(Error::Core(CoreError::Randomness))));
    assert_eq!(fs::read(&path).expect("file"), before);
    change(2).expect("other salt");
}

// attack T34
#[test]
fn debug_of_the_store_shows_its_path_only() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("keys");
    let store = create(&path);
    let path = store.path().display();
    assert_eq!(format!("{store:?}"), format!("FileKeyStore {{ path: \"{path}\", .. }}"));
}
