//! What reaches the disk, and in which order; and a process that fails or is killed at each
//! step. strace shows the system calls of the example `replace`, and makes them fail.
//!
//! Runs only with `SEALWIRE_STRACE`, for strace is not everywhere: `1` or `all`, which is the
//! same here.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Once,
};

use sealwire_core::KeyStore;
use sealwire_custody::{FileKeyStore, KeyFile, Params, Passphrase, system_rng};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
/// More system calls of one kind than the example makes.
const MOST_CALLS: usize = 40;

/// Whether the tests of this file were asked for. Says so once when they were not, to stderr
/// itself: what a test prints is shown only when it fails.
fn enabled() -> bool {
    static SAY: Once = Once::new();
    let enabled =
        env::var_os("SEALWIRE_STRACE").is_some_and(|value| value == "1" || value == "all");
    if !enabled {
        let enable = "SEALWIRE_STRACE=1 cargo test -p sealwire-custody --test durability";
        SAY.call_once(|| drop(writeln!(io::stderr(), "skipped; with strace: {enable}")));
    }
    enabled
}

/// The example, built into the target directory that this test runs from.
fn example() -> PathBuf {
    let this = env::current_exe().expect("this test");
    let profile = this.ancestors().nth(2).expect("target/PROFILE/deps/durability");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "sealwire-custody", "--example", "replace"]);
    build.arg("--target-dir").arg(profile.parent().expect("target"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success());
    profile.join("examples/replace")
}

/// A directory with a key file of one set, and the program that replaces it.
struct Scene {
    home: TempDir,
    example: PathBuf,
}

impl Scene {
    fn new(example: &Path) -> Self {
        let scene =
            Self { home: tempfile::tempdir().expect("directory"), example: example.to_owned() };
        FileKeyStore::create_with(scene.keys(), &passphrase(), Params::MIN, &mut system_rng())
            .expect("created");
        scene
    }

    fn empty(example: &Path) -> Self {
        Self { home: tempfile::tempdir().expect("directory"), example: example.to_owned() }
    }

    fn keys(&self) -> PathBuf {
        // As the store names it, for strace compares paths.
        fs::canonicalize(self.home.path()).expect("directory").join("keys")
    }

    fn temporary(&self) -> PathBuf {
        self.keys().with_file_name(".keys.tmp")
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.keys()).expect("the key file")
    }

    fn newest(&self) -> u32 {
        FileKeyStore::open(self.keys(), &passphrase()).expect("opens").newest().get()
    }

    /// Runs the example under strace with these arguments.
    fn strace(&self, arguments: &[&str]) -> Output {
        let mut strace = Command::new("strace");
        strace.arg("-f").args(arguments).arg("--").arg(&self.example).arg(self.keys());
        strace.env("SEALWIRE_PASSPHRASE", PASSPHRASE).stdin(Stdio::null());
        strace.output().expect("strace runs; it is in the Debian package of that name")
    }

    /// Runs it and makes system calls fail as `fault` says. The trace goes nowhere, so that
    /// what is on stderr is the program's.
    fn inject(&self, fault: &str) -> Output {
        let (calls, _) = fault.split_once(':').expect("system calls and what befalls them");
        let (trace, inject) = (format!("trace={calls}"), format!("inject={fault}"));
        self.strace(&["-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
    }

    /// A sound run after a fault: it finds keys, changes them, and cleans up.
    fn recovers(&self, what: &str) {
        let before = self.newest();
        let mut store = FileKeyStore::open(self.keys(), &passphrase()).expect("opens");
        let rotated = store.rotate_exchange_keys(&passphrase(), &mut system_rng());
        assert_eq!(rotated.expect("rotated").get(), before + 1, "{what}");
        assert_eq!(self.names(), ["keys"], "{what}");
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path()).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }
}

fn passphrase() -> Passphrase {
    Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("long enough")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The calls of a trace that touch these files, in short: `open-tmp`, `write`, `fsync-file`.
fn steps(trace: &str, scene: &Scene) -> Vec<&'static str> {
    let directory = format!("<{}>", scene.keys().parent().expect("directory").display());
    let temporary = scene.temporary().display().to_string();
    let step = |line: &str| {
        let call = line.split_once('(').map(|(head, _)| head.split(' ').next_back())??;
        let on_temporary = line.contains(&temporary);
        match call {
            "openat" if on_temporary => {
                assert!(line.contains("O_CREAT") && line.contains("O_EXCL"), "{line}");
                assert!(line.contains("0600"), "{line}");
                Some("open-tmp")
            }
            "write" | "pwrite64" if on_temporary => Some("write"),
            "fsync" | "fdatasync" if on_temporary => Some("fsync-file"),
            "rename" | "renameat" | "renameat2" if on_temporary => Some("rename"),
            "linkat" if on_temporary => Some("link"),
            "fsync" if line.contains(&directory) => Some("fsync-directory"),
            _ => None,
        }
    };
    trace.lines().filter(|line| !line.contains("unfinished")).filter_map(step).collect()
}

// attack T28
// KEY-15
#[test]
fn the_system_calls_come_in_their_order() {
    if !enabled() {
        return;
    }
    let example = example();
    let calls =
        "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,linkat,unlink";
    for (scene, files) in [(Scene::new(&example), 1), (Scene::empty(&example), 0)] {
        assert_eq!(scene.names().len(), files);
        let output = scene.strace(&["-y", "-s", "8", "-e", calls]);
        assert!(output.status.success(), "{}", stderr(&output));
        let expected = ["open-tmp", "write", "fsync-file", "rename", "fsync-directory"];
        assert_eq!(steps(&stderr(&output), &scene), expected, "{}", stderr(&output));
        assert_eq!(scene.names(), ["keys"]);
    }
}

// attack T28
// KEY-15
#[test]
fn a_step_that_fails_leaves_the_old_keys() {
    if !enabled() {
        return;
    }
    let example = example();
    for (fault, reason) in [
        ("write:error=ENOSPC:when=1", "No space left on device"),
        ("write:error=EIO:when=1", "Input/output error"),
        ("write:error=EDQUOT:when=1", "quota exceeded"),
        ("write:retval=0:when=1", "failed to write whole buffer"),
        ("fsync:error=EIO:when=1", "Input/output error"),
        ("fsync:error=ENOSPC:when=1", "No space left on device"),
        ("rename,renameat,renameat2:error=EIO", "Input/output error"),
        ("rename,renameat,renameat2:error=EROFS", "Read-only file system"),
        ("fchmod:error=EPERM", "Operation not permitted"),
    ] {
        let scene = Scene::new(&example);
        let before = scene.read();
        let output = scene.inject(fault);
        assert_eq!(output.status.code(), Some(1), "{fault}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{fault}: {}", stderr(&output));
        assert_eq!(scene.read(), before, "{fault}");
        assert_eq!(scene.newest(), 1, "{fault}");
        assert_eq!(scene.names(), ["keys"], "{fault}");
        scene.recovers(fault);
    }
}

// KEY-16: without the lock nothing is written. Its file stays, for another may hold it.
#[test]
fn a_file_system_without_locks_is_named() {
    if !enabled() {
        return;
    }
    let scene = Scene::new(&example());
    let before = scene.read();
    let output = scene.inject("flock:error=ENOLCK");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("No locks available"), "{}", stderr(&output));
    assert_eq!(scene.read(), before);
    scene.recovers("no locks");
}

// attack T28
#[test]
fn a_directory_that_turns_read_only_is_named() {
    if !enabled() {
        return;
    }
    let scene = Scene::new(&example());
    let (before, temporary) = (scene.read(), scene.temporary().display().to_string());
    let fault = ["-e", "trace=openat", "-e", "inject=openat:error=EROFS"];
    let output =
        scene.strace(&[&["-qq", "-o", "/dev/null", "-P", &temporary], &fault[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    assert_eq!(scene.read(), before);
    scene.recovers("read-only");
}

// attack T28
#[test]
fn a_directory_that_cannot_be_flushed_is_reported_and_the_new_keys_are_there() {
    if !enabled() {
        return;
    }
    let scene = Scene::new(&example());
    let output = scene.inject("fsync:error=EIO:when=2");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Input/output error"), "{}", stderr(&output));
    assert_eq!(scene.newest(), 2);
    scene.recovers("directory");
}

// attack T28
#[test]
fn an_interrupted_call_is_tried_again() {
    if !enabled() {
        return;
    }
    let example = example();
    for fault in [
        "write:error=EINTR:when=1..3",
        "fsync:error=EINTR:when=1..3",
        "flock:error=EINTR:when=1..3",
    ] {
        let scene = Scene::new(&example);
        let output = scene.inject(fault);
        assert!(output.status.success(), "{fault}: {}", stderr(&output));
        assert_eq!(scene.newest(), 2, "{fault}");
        assert_eq!(scene.names(), ["keys"], "{fault}");
    }
}

// attack T28
// The limit lets the first part of the file through and refuses the rest.
#[test]
fn a_short_write_leaves_the_old_keys() {
    if !enabled() {
        return;
    }
    let scene = Scene::new(&example());
    let mut store = FileKeyStore::open(scene.keys(), &passphrase()).expect("opens");
    for _ in 0..5 {
        store.rotate_exchange_keys(&passphrase(), &mut system_rng()).expect("rotated");
    }
    let before = scene.read();
    assert!(before.len() > 512 + 256, "longer than the limit of one block of 512 bytes");
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "trap '' XFSZ; ulimit -f 1; exec strace -f -o /dev/fd/1 -e trace=write -- \"$0\" \"$1\"",
    ]);
    limited.arg(&scene.example).arg(scene.keys()).env("SEALWIRE_PASSPHRASE", PASSPHRASE);
    let output = limited.output().expect("sh runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let trace = String::from_utf8_lossy(&output.stdout);
    assert!(trace.contains("= 512\n"), "a short write: {trace}");
    assert!(stderr(&output).contains("File too large"), "{}", stderr(&output));
    assert_eq!(scene.read(), before);
    assert_eq!(scene.names(), ["keys"]);
    scene.recovers("short write");
}

// attack T28
// KEY-15: killed before each system call that the replacing makes.
#[test]
fn a_killed_process_leaves_old_or_new_keys() {
    if !enabled() {
        return;
    }
    let example = example();
    let (mut old, mut new) = (0, 0);
    for calls in ["write", "fsync", "rename,renameat,renameat2", "unlink", "fchmod", "flock"] {
        for when in 1..=MOST_CALLS {
            let scene = Scene::new(&example);
            let before = scene.read();
            let output = scene.inject(&format!("{calls}:signal=SIGKILL:when={when}"));
            if output.status.success() {
                assert!(when > 1, "{calls}: the process was never killed");
                break;
            }
            assert_eq!(output.status.code(), None, "{calls}: {}", stderr(&output));
            match scene.newest() {
                1 => assert_eq!((scene.read(), { old += 1 }), (before, ())),
                newest => assert_eq!((newest, { new += 1 }), (2, ())),
            }
            scene.recovers(calls);
        }
    }
    println!("killed: {old} times the old keys were there, {new} times the new ones");
    assert!(old >= 6 && new >= 2, "before the rename and after it");
}

// attack T28
// KEY-14, KEY-15
#[test]
fn a_process_killed_while_creating_leaves_nothing_or_a_whole_file() {
    if !enabled() {
        return;
    }
    let example = example();
    for calls in ["write", "fsync", "rename,renameat,renameat2", "unlink", "fchmod"] {
        for when in 1..=MOST_CALLS {
            let scene = Scene::empty(&example);
            let output = scene.inject(&format!("{calls}:signal=SIGKILL:when={when}"));
            if output.status.success() {
                assert!(when > 1, "{calls}: the process was never killed");
                break;
            }
            assert_eq!(output.status.code(), None, "{calls}: {}", stderr(&output));
            if !scene.keys().exists() {
                let again = scene.strace(&["-qq", "-o", "/dev/null"]);
                assert!(again.status.success(), "{calls}: tried again");
            }
            assert_eq!(scene.newest(), 1, "{calls}");
            scene.recovers(calls);
        }
    }
}

// KEY-14: NFS and others do not know the flag by which a rename refuses to overwrite.
#[test]
fn without_a_refusing_rename_a_link_creates_the_file() {
    if !enabled() {
        return;
    }
    let scene = Scene::empty(&example());
    let output = scene.inject("renameat2:error=EINVAL");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((scene.newest(), scene.names()), (1, vec!["keys".to_owned()]));
    KeyFile::from_bytes(&scene.read()).expect("a key file");
}

// KEY-16
#[test]
fn processes_side_by_side_lose_nothing() {
    if !enabled() {
        return;
    }
    let scene = Scene::new(&example());
    let run = || {
        let mut replace = Command::new(&scene.example);
        replace.arg(scene.keys()).env("SEALWIRE_PASSPHRASE", PASSPHRASE);
        replace.spawn().expect("starts")
    };
    let children: Vec<_> = (0..6).map(|_| run()).collect();
    for mut child in children {
        assert!(child.wait().expect("ends").success());
    }
    assert_eq!(scene.newest(), 7);
    assert_eq!(scene.names(), ["keys"]);
}
