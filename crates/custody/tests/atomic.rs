//! Replacing and creating files other than keys.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    thread,
};

use sealwire_custody::{
    Error,
    atomic::{FileLock, create_atomic, create_private_directory, write_atomic},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o7777
}

fn only(directory: &Path, name: &str) -> bool {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("entry").file_name()).eq([name])
}

#[test]
fn a_file_is_made_and_replaced_with_the_mode_that_is_asked_for() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("card");
    for (content, wanted) in [(&b"one"[..], 0o644), (b"", 0o600), (b"three", 0o640)] {
        write_atomic(&path, content, wanted).expect("written");
        assert_eq!((fs::read(&path).expect("file"), mode(&path)), (content.to_vec(), wanted));
        assert!(only(home.path(), "card"));
    }
}

#[test]
fn a_link_is_replaced_and_its_target_stays() {
    let home = tempfile::tempdir().expect("directory");
    let (target, link) = (home.path().join("target"), home.path().join("link"));
    fs::write(&target, b"target").expect("written");
    symlink(&target, &link).expect("linked");
    write_atomic(&link, b"new", 0o600).expect("written");
    assert_eq!(fs::read(&target).expect("target"), b"target");
    assert_eq!(fs::read(&link).expect("link"), b"new");
    // Nor does a link in the place of the temporary file lead anywhere.
    symlink(&target, home.path().join(".link.tmp")).expect("linked");
    write_atomic(&link, b"newer", 0o600).expect("written");
    assert_eq!(fs::read(&target).expect("target"), b"target");
    // A link in the place of the lock is refused.
    symlink(&target, home.path().join(".link.lock")).expect("linked");
    assert!(matches!(write_atomic(&link, b"newest", 0o600), Err(Error::Io { .. })));
    assert_eq!(fs::read(&link).expect("link"), b"newer");
}

// KEY-14
#[test]
fn creating_never_overwrites() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("pins");
    create_atomic(&path, b"first", 0o600).expect("created");
    assert!(matches!(create_atomic(&path, b"second", 0o600), Err(Error::Exists(_))));
    assert_eq!(fs::read(&path).expect("file"), b"first");
    assert!(only(home.path(), "pins"));
}

// KEY-16
#[test]
fn changes_under_the_lock_are_all_kept() {
    const THREADS: usize = 8;
    const CHANGES: usize = 20;
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("log");
    write_atomic(&path, b"", 0o600).expect("written");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CHANGES {
                    let lock = FileLock::acquire(&path).expect("locked");
                    let mut content = fs::read(&path).expect("file");
                    content.push(b'.');
                    lock.replace(&content, 0o600).expect("replaced");
                }
            });
        }
    });
    assert_eq!(fs::read(&path).expect("file").len(), THREADS * CHANGES);
    assert!(only(home.path(), "log"));
}

// KEY-15
#[test]
fn a_reader_sees_one_whole_content_or_the_other() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("file");
    write_atomic(&path, &[0; 9000], 0o600).expect("written");
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=50 {
                write_atomic(&path, &[round; 9000], 0o600).expect("written");
            }
        });
        while !writer.is_finished() {
            let content = fs::read(&path).expect("is always there");
            assert!(content.len() == 9000 && content.iter().all(|byte| *byte == content[0]));
        }
    });
}

#[test]
fn a_step_that_fails_leaves_the_old_content_and_no_litter() {
    let home = tempfile::tempdir().expect("directory");
    // A directory cannot be replaced by a file.
    let path = home.path().join("taken");
    fs::create_dir(&path).expect("made");
    let sentence = write_atomic(&path, b"new", 0o600).expect_err("refused").to_string();
    assert!(sentence.starts_with(&format!("cannot replace {}: ", path.display())), "{sentence}");
    assert!(only(home.path(), "taken"));
    for nameless in ["/", "..", ""] {
        assert!(matches!(write_atomic(Path::new(nameless), b"", 0o600), Err(Error::Misuse(_))));
    }
}

#[test]
fn missing_directories_are_private_and_others_stay_as_they_are() {
    let home = tempfile::tempdir().expect("directory");
    let shared = home.path().join("shared");
    fs::create_dir(&shared).expect("made");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).expect("chmod");
    let deep = shared.join("a/b");
    for _ in 0..2 {
        create_private_directory(&deep).expect("made");
        assert_eq!(
            [&shared, &shared.join("a"), &deep].map(|path| mode(path)),
            [0o755, 0o700, 0o700]
        );
    }
    create_private_directory(Path::new("")).expect("the current directory");
}
