//! Files that are sealed into folders and buckets, and what may stand there when they are opened.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod away;
mod bucket;
mod common;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use bucket::Bucket;
use common::{Agent, Done, PASSPHRASE, Sealwire, content, file, friends, sealwire};
use rustix::process::Signal;
use sealwire::custody::{Params, Passphrase, system_rng};
use sealwire_custody::kms::KekFile;
use serde_json::Value;
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;

/// A directory without an agent, with a key file and a folder of objects.
struct Archive {
    directory: TempDir,
}

impl Archive {
    fn new() -> Self {
        Self::with_key("archive")
    }

    fn with_key(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        key_file(&directory.path().join("kek"), name);
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }

    /// The command, with the key and the tenant of the archive as settings.
    fn command(&self, args: &[&str]) -> Sealwire {
        sealwire(self.directory.path(), args)
            .env("SEALWIRE_STORAGE_KMS", &format!("file:{}", self.text("kek")))
            .env("SEALWIRE_STORAGE_TENANT", "acme")
    }

    fn run(&self, args: &[&str]) -> Done {
        self.command(args).run(b"")
    }

    /// Seals content as `store/NAME`, and gives that place.
    fn seal(&self, name: &str, content: &[u8]) -> String {
        let place = self.text(&format!("store/{name}"));
        let sealed = self.command(&["seal", "-", &place]).run(content);
        assert_eq!(sealed.code, 0, "{}", sealed.stderr);
        place
    }

    /// The key record of an object.
    fn record(&self, place: &str) -> PathBuf {
        let found = self.run(&["inspect", place, "--json"]).json();
        self.path("store").join(found["key_record"].as_str().expect("a name"))
    }

    /// All files below the folder of objects.
    fn files(&self) -> Vec<PathBuf> {
        files(&self.path("store"))
    }
}

/// A key file that opens with the passphrase of the tests, at the least cost.
fn key_file(path: &Path, name: &str) {
    let passphrase = Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("a passphrase");
    KekFile::create_with(path, name, &passphrase, Params::MIN, &mut system_rng()).expect("made");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => vec![entry.path()],
        })
        .collect()
}

#[test]
fn what_is_sealed_opens_again_whatever_its_length() {
    let archive = Archive::new();
    for len in [0, 1, 16 * 1024, 100_000, 9 * MIB + 5] {
        let content = content(len, 7);
        let source = file(archive.directory.path(), "source", &content);
        let place = archive.text(&format!("store/deep/{len}.bin"));
        let sealed = archive.run(&["seal", &source, &place, "--json"]);
        assert_eq!(sealed.code, 0, "{len}: {}", sealed.stderr);
        let said = sealed.json();
        assert_eq!(said["bytes"].as_u64(), Some(len as u64));
        assert_eq!(said["chunks"].as_u64(), Some(len as u64 / (16 * 1024) + 1));
        assert_eq!(
            (&said["place"], &said["keys"][0]),
            (&place.clone().into(), &"local:archive".into())
        );

        let stdout = archive.run(&["open", &place]);
        assert_eq!((stdout.code, stdout.stderr.as_str()), (0, ""));
        assert!(stdout.stdout == content, "{len}");
        let out = archive.text(&format!("out-{len}"));
        let opened = archive.run(&["open", &place, "--out", &out, "--json"]);
        assert_eq!(opened.code, 0, "{}", opened.stderr);
        assert_eq!(
            (&opened.json()["object"], &opened.json()["out"]),
            (&said["object"], &out.clone().into())
        );
        assert!(fs::read(&out).expect("written") == content);
        let mode = fs::metadata(&out).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Each has its body and its record, and nothing else.
    assert_eq!(archive.files().len(), 10);
}

#[test]
fn a_place_may_be_a_url_and_the_store_may_begin_above_it() {
    let archive = Archive::new();
    let root = archive.text("store");
    let place = format!("file://{root}/2026/may/report.txt");
    let done = archive.command(&["seal", "-", &place, "--store", &root]).run(b"all is well");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(archive.path("store/.keys").is_dir() && !archive.path("store/2026/may/.keys").exists());
    assert_eq!(archive.run(&["open", &place, "--store", &root]).stdout, b"all is well");
    // Without it the key record is looked for beside the object.
    archive.run(&["open", &place]).assert_failed(1, "no key record");
    archive.run(&["open", &place, "--store", "/etc"]).assert_failed(2, "is not below /etc");
}

#[test]
fn content_on_standard_output_leaves_room_for_a_program_to_be_told() {
    let archive = Archive::new();
    let place = archive.seal("report.txt", b"all is well");
    let opened = archive.run(&["open", &place, "--json"]);
    assert_eq!((opened.code, opened.stdout.as_slice()), (0, &b"all is well"[..]));
    let event = opened.event("opened");
    assert_eq!((event["bytes"].as_u64(), &event["keys"][0]), (Some(11), &"local:archive".into()));
}

#[test]
fn a_range_is_cut_out_of_an_object_and_at_its_end() {
    let archive = Archive::new();
    let content = content(5 * MIB, 3);
    let place = archive.seal("big", &content);
    for (range, expected) in [
        ("0..10", &content[..10]),
        ("16380..16390", &content[16_380..16_390]),
        ("5242870..", &content[5_242_870..]),
        ("5242870..9999999", &content[5_242_870..]),
        ("..3", &content[..3]),
        ("7..7", &[][..]),
        ("5242880..", &[]),
        ("1..4800000", &content[1..4_800_000]),
    ] {
        let done = archive.run(&["open", &place, "--range", range]);
        assert_eq!(done.code, 0, "{range}: {}", done.stderr);
        assert!(done.stdout == expected, "{range}");
    }
    for (range, said) in [
        ("5242881..", "the range begins behind them"),
        ("3..2", "ends before it begins"),
        ("3", "write A..B"),
        ("-1..3", "write A..B"),
        ("a..b", "with whole numbers"),
    ] {
        archive.run(&["open", &place, &format!("--range={range}")]).assert_failed(2, said);
    }
    // attack T12: a part of an object that was cut is not given either.
    let body = fs::read(&place).expect("there");
    fs::write(&place, &body[..body.len() - 16_400]).expect("written");
    let cut = archive.run(&["open", &place, "--range", "0..10"]);
    cut.assert_failed(1, "does not open");
    assert!(cut.stdout.is_empty());
}

#[test]
fn what_is_required_is_known_to_whoever_opens_and_stands_nowhere() {
    let archive = Archive::new();
    let place = archive.text("store/case.txt");
    let args = ["seal", "-", &place, "--context", "case=secret-7", "--require", "case"];
    let args = [&args[..], &["--context", "type=text/plain"]].concat();
    assert_eq!(archive.command(&args).run(b"all is well").code, 0);
    let stored: Vec<u8> =
        archive.files().iter().flat_map(|it| fs::read(it).expect("there")).collect();
    let has = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
    assert!(has(b"text/plain") && !has(b"secret-7") && !has(b"acme"));

    let open = |pairs: &[&str]| {
        let pairs = pairs.iter().flat_map(|pair| ["--context", pair]);
        archive.run(&["open", &place].into_iter().chain(pairs).collect::<Vec<_>>())
    };
    assert_eq!(open(&["case=secret-7"]).stdout, b"all is well");
    assert_eq!(open(&["case=secret-7", "type=text/plain"]).stdout, b"all is well");
    for (pairs, code, said) in [
        (&[][..], 1, "does not open"),
        (&["case=secret-8"], 1, "does not open"),
        (&["case=secret-7", "more=1"], 1, "does not open"),
        (&["case=secret-7", "tenant=other"], 1, "does not open"),
        (&["case=secret-7", "type=text/html"], 1, "the object has type=text/plain"),
        (&["case"], 2, "write NAME=VALUE"),
        (&["=x"], 2, "a name stands before the ="),
        (&["case=1", "case=2"], 2, "no name stands twice"),
    ] {
        let refused = open(pairs);
        refused.assert_failed(code, said);
        assert!(refused.stdout.is_empty(), "{pairs:?}");
    }
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() {
    let archive = Archive::new();
    let place = archive.text("store/x");
    let source = file(archive.directory.path(), "source", b"x");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).expect("its owner");
    for (args, said) in [
        (&["seal", &source, "-"][..], "standard output cannot take an object"),
        (&["seal", &source, "s3://key:word@acme/x"], "names no user"),
        (&["seal", &source, "http://acme.example/x"], "is no kind of place"),
        (&["seal", &source, &format!("{place}/")], "the name of one is missing"),
        (&["seal", &source, &archive.text("store/.keys")], "where key records stand"),
        (&["seal", &source, &place, "--require", "case"], "there is no --context case="),
        (&["seal", &source, &place, "--context", "case"], "write NAME=VALUE"),
        (&["seal", &source, &place, "--kms", "kek"], "a key is file:PATH"),
        (&["seal", &source, &place, "--kms", "vault:agents"], "storage.vault_address"),
        (&["seal", &source, &place, "--to", "z6Mk"], "no pinned agent"),
        (&["seal", &source, "s3://acme/x", "--store", "s3://other"], "is not below s3://other/"),
        (&["open", &place, "--force"], "--out"),
        (&["open", "-"], "standard output cannot take an object"),
    ] {
        archive.run(args).assert_failed(2, said);
    }
    for (args, said) in [
        (&["seal", &archive.text("gone"), &place][..], "No such file"),
        (&["seal", &archive.text(""), &place], "is a folder"),
        (
            &["seal", &source, &place, "--kms", &format!("file:{}", archive.text("gone"))],
            "no key file",
        ),
        (&["seal", &source, &place, "--kms", &format!("file:{source}")], "KEK file"),
        (&["open", &archive.text("nowhere/x")], "cannot look into"),
    ] {
        archive.run(args).assert_failed(1, said);
    }
    let bare = |args: &[&str]| sealwire(archive.directory.path(), args).run(b"");
    bare(&["seal", &source, &place, "--kms", "file:kek"]).assert_failed(2, "whose object it is");
    bare(&["seal", &source, &place, "--context", "tenant=acme"]).assert_failed(2, "for whom");
    assert!(!archive.path("store").exists() && !archive.path("nowhere").exists());
}

#[test]
fn nothing_is_sealed_over_what_is_there() {
    let archive = Archive::new();
    let place = archive.seal("x", b"the first");
    let files = archive.files().len();
    for content in [&b"the second"[..], &content(9 * MIB, 1)] {
        let again = archive.command(&["seal", "-", &place]).run(content);
        again.assert_failed(1, "there is an object of this name already");
    }
    assert_eq!(archive.run(&["open", &place]).stdout, b"the first");
    assert_eq!(archive.files().len(), files, "no key record is left of what was not sealed");
}

#[test]
fn an_object_for_an_agent_opens_for_it_alone_and_says_who_sealed_it() {
    let (alice, bob) = friends();
    let (mallory, store) = (Agent::new(), tempfile::tempdir().expect("a directory"));
    let place = store.path().join("report.txt").to_str().expect("text").to_owned();
    let tenant = ["--context", "tenant=acme"];
    let open =
        |agent: &Agent, more: &[&str]| agent.run(&[&["open", &place], &tenant[..], more].concat());

    let bobs = bob.id.get(8..20).expect("long enough");
    let seal = [&["seal", "-", &place, "--to", bobs, "--json"], &tenant[..]].concat();
    let sealed = alice.run_with(&seal, b"for bob");
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    assert_eq!(sealed.json()["keys"], serde_json::json!([bob.id]));
    assert_eq!(open(&bob, &[]).stdout, b"for bob");
    assert_eq!(open(&bob, &["--from", &alice.id]).stdout, b"for bob");
    assert_eq!(
        bob.run(&[&["open", &place, "--json"], &tenant[..]].concat()).event("opened")["keys"][0],
        bob.id
    );

    // Whoever sealed it is no exception.
    open(&alice, &[]).assert_failed(1, "there is no key");
    open(&mallory, &[]).assert_failed(1, "its key record names agent:");
    open(&bob, &["--from", &bob.id]).assert_failed(5, "no accepted agent has signed");
    open(&bob, &["--context", "tenant=x"]).assert_failed(2, "no name stands twice");
    let other = bob.run(&["open", &place, "--context", "tenant=other"]);
    other.assert_failed(1, "does not open");

    // attack T7: anyone can seal for an agent, and it opens what those sealed that it knows.
    let forged = store.path().join("forged.txt").to_str().expect("text").to_owned();
    let card = file(mallory.home(), "bob.card", bob.card().as_bytes());
    let seal = [&["seal", "-", &forged, "--to", &card], &tenant[..]].concat();
    assert_eq!(mallory.run_with(&seal, b"forged").code, 0);
    let refused = bob.run(&[&["open", &forged], &tenant[..]].concat());
    refused.assert_failed(5, "no accepted agent has signed");
    assert!(refused.stdout.is_empty());
    // Signed by one and passed off as another's: the name in the record is not what is believed.
    bob.pin(&mallory);
    assert_eq!(bob.run(&[&["open", &forged], &tenant[..]].concat()).stdout, b"forged");
    let named = bob.run(&[&["open", &forged, "--from", &alice.id], &tenant[..]].concat());
    named.assert_failed(5, "no accepted agent has signed");
}

#[test]
fn one_object_is_for_several_agents_and_keys() {
    let (alice, bob) = friends();
    let archive = Archive::new();
    let place = archive.text("store/shared");
    let kek = format!("file:{}", archive.text("kek"));
    let args = ["seal", "-", &place, "--to", &bob.id, "--to", &alice.id, "--kms", &kek, "--json"];
    let args = [&args[..], &["--context", "tenant=acme"]].concat();
    let sealed = alice.run_with(&args, b"for all");
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    assert_eq!(sealed.json()["keys"], serde_json::json!(["local:archive", bob.id, alice.id]));
    for agent in [&alice, &bob] {
        let opened = agent.run(&["open", &place, "--context", "tenant=acme"]);
        assert_eq!(opened.stdout, b"for all", "{}", opened.stderr);
    }
    assert_eq!(archive.run(&["open", &place]).stdout, b"for all");
    let other = Archive::with_key("other");
    let refused = other.run(&["open", &place]);
    refused.assert_failed(1, "no slot for this key");
    assert!(refused.stderr.contains("local:archive, version 1"), "{}", refused.stderr);
    // A signature is asked for where an agent's key opens, and nowhere else.
    let args = ["open", &place, "--from", &alice.id, "--kms", &kek];
    alice.run(&args).assert_failed(2, "--from");
}

/// Something that was done to what is stored, its name, and what is said of it.
type Damage = (&'static str, fn(&Archive, &str), &'static str);

/// What may stand in a store that others write to.
const DAMAGES: [Damage; 14] = [
    ("body empty", |_, place| fs::write(place, b"").expect("written"), "is no sealed object"),
    ("body cut in its head", |_, place| cut(place, 40), "is no sealed object"),
    ("body cut behind its head", |_, place| cut(place, 100), "does not open"),
    ("body cut in a chunk", |_, place| cut(place, 20_000), "does not open"),
    ("body cut between chunks", |_, place| cut(place, 100 + 2 * 16_400), "does not open"),
    ("body without its last byte", |_, place| cut(place, length(place) - 1), "does not open"),
    ("body with a byte more", |_, place| edit(place, |body| body.push(0)), "does not open"),
    ("tenant in the header", |_, place| edit(place, |body| body[34] ^= 1), "does not open"),
    (
        "body of another object",
        |archive, place| {
            let other = archive.seal("other", &content(60_000, 2));
            fs::copy(other, place).map(drop).expect("copied");
        },
        "",
    ),
    (
        "record of another object",
        |archive, place| {
            let other = archive.seal("other", &content(60_000, 2));
            fs::copy(archive.record(&other), archive.record(place)).map(drop).expect("copied");
        },
        "does not open",
    ),
    (
        "record of another tenant",
        |archive, place| {
            let other = archive.text("store/theirs");
            let args = ["seal", "-", &other, "--context", "tenant=theirs"];
            assert_eq!(archive.command(&args).run(b"theirs").code, 0);
            fs::copy(archive.record(&other), archive.record(place)).map(drop).expect("copied");
        },
        "does not open",
    ),
    (
        "record empty",
        |archive, place| fs::write(archive.record(place), b"").expect("written"),
        "cannot be read",
    ),
    (
        "record changed",
        |archive, place| {
            let record = archive.record(place);
            edit(record.to_str().expect("text"), |bytes| {
                let at = bytes.len() - 20;
                bytes[at] ^= 1;
            });
        },
        "does not open",
    ),
    (
        "record gone",
        |archive, place| fs::remove_file(archive.record(place)).expect("removed"),
        "no key record",
    ),
];

fn edit(path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("there");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn length(path: &str) -> usize {
    fs::read(path).expect("there").len()
}

fn cut(path: &str, len: usize) {
    edit(path, |body| body.truncate(len));
}

// attack T12, T40
#[test]
fn what_was_changed_in_the_store_gives_nothing_and_leaves_nothing() {
    for (name, damage, said) in DAMAGES {
        let archive = Archive::new();
        let place = archive.text("store/report");
        let args = ["seal", "-", &place, "--context", "type=text"];
        assert_eq!(archive.command(&args).run(&content(60_000, 1)).code, 0);
        damage(&archive, &place);
        let out = archive.text("out/report");
        fs::create_dir(archive.path("out")).expect("made");
        let (stdout, file) =
            (archive.run(&["open", &place]), archive.run(&["open", &place, "--out", &out]));
        if said.is_empty() {
            // An object in the place of another is that other one, whole: names are not bound.
            assert!(stdout.stdout == content(60_000, 2), "{name}");
            continue;
        }
        for done in [&stdout, &file] {
            assert_eq!(done.code, 1, "{name}: {}", done.stderr);
            assert!(done.stderr.contains(said), "{name}: {}", done.stderr);
            assert!(done.stdout.is_empty(), "{name}");
        }
        assert!(files(&archive.path("out")).is_empty(), "{name}");
    }
}

// attack T12
#[test]
fn of_an_object_that_fails_half_way_the_beginning_is_printed_and_said_to_be_one() {
    let archive = Archive::new();
    let content = content(MIB, 1);
    let place = archive.seal("report", &content);
    edit(&place, |body| body[600_000] ^= 1);
    let printed = archive.run(&["open", &place]);
    printed.assert_failed(1, "is authentic and not all of it");
    let len = printed.stdout.len();
    assert!(len > 0 && len < 600_000 && content.starts_with(&printed.stdout), "{len}");
    let out = archive.text("out");
    archive.run(&["open", &place, "--out", &out]).assert_failed(1, "nothing was written");
    assert!(!archive.path("out").exists());
}

#[test]
fn an_older_key_record_opens_while_its_key_is_there() {
    let archive = Archive::new();
    let place = archive.seal("report", b"all is well");
    let kek = archive.path("kek");
    let passphrase = Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("a passphrase");
    let mut keys = KekFile::open(&kek, &passphrase).expect("opens");
    keys.rotate(&passphrase, &mut system_rng()).expect("rotated");
    assert_eq!(archive.run(&["open", &place]).stdout, b"all is well");
    let versions = sealwire_envelope::kms::KeyVersion::new("1").expect("a version");
    keys.remove(&versions, &passphrase, &mut system_rng()).expect("removed");
    let gone = archive.run(&["open", &place]);
    gone.assert_failed(1, "no usable version 1");
    assert!(gone.stdout.is_empty());
}

#[test]
fn a_file_that_is_there_stays_unless_it_may_be_replaced() {
    let archive = Archive::new();
    let place = archive.seal("report", b"all is well");
    let (out, elsewhere) = (archive.text("out"), archive.text("elsewhere"));
    fs::write(&out, b"mine").expect("written");
    fs::write(&elsewhere, b"mine too").expect("written");
    let link = archive.text("link");
    symlink(&elsewhere, &link).expect("linked");
    let dangling = archive.text("dangling");
    symlink(archive.text("nothing"), &dangling).expect("linked");
    fs::create_dir(archive.path("folder")).expect("made");
    for name in [&out, &link, &dangling, &archive.text("folder"), "/dev/null"] {
        archive.run(&["open", &place, "--out", name]).assert_failed(1, "is there already");
    }
    assert_eq!(fs::read(&out).expect("there"), b"mine");
    for name in [&archive.text("folder"), "/dev/null"] {
        let args = ["open", &place, "--force", "--out", name];
        archive.run(&args).assert_failed(2, "is not a file");
    }
    for name in [&out, &link, &dangling] {
        let done = archive.run(&["open", &place, "--force", "--out", name]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(fs::read(name).expect("there"), b"all is well");
        assert!(
            fs::symlink_metadata(name).expect("there").is_file(),
            "the link itself is replaced"
        );
    }
    assert_eq!(fs::read(&elsewhere).expect("there"), b"mine too");
    assert!(!archive.path("nothing").exists());
    archive
        .run(&["open", &place, "--out", &archive.text("no/out")])
        .assert_failed(1, "No such file");
}

#[test]
fn a_signal_while_sealing_leaves_nothing() {
    let archive = Archive::new();
    let place = archive.text("store/report");
    let mut running = archive.command(&["seal", "-", &place]).start(None);
    let mut stdin = running.stdin.take().expect("it was left open");
    std::io::Write::write_all(&mut stdin, &content(20 * MIB, 1)).expect("it reads");
    assert!(!archive.path("store/report").exists() && !archive.files().is_empty());
    running.signal(Signal::INT);
    let done = running.wait();
    done.assert_failed(1, "stopped by a signal");
    assert!(done.stderr.contains("nothing was sealed"), "{}", done.stderr);
    assert_eq!(archive.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_signal_while_opening_leaves_nothing() {
    let archive = Archive::new();
    let content = content(4 * MIB, 1);
    archive.seal("report", &content);
    let bucket = Bucket::serve(archive.path("store"));
    bucket.stall_after(2 * MIB);
    fs::create_dir(archive.path("out")).expect("made");
    let out = archive.text("out/report");
    let open = bucket.access(archive.command(&["open", "s3://acme/report", "--out", &out]));
    let running = open.start(Some(b""));
    bucket.wait_for_stall();
    assert_eq!(files(&archive.path("out")).len(), 1, "it has begun");
    running.signal(Signal::TERM);
    let done = running.wait();
    done.assert_failed(1, "stopped by a signal; nothing was written");
    assert!(files(&archive.path("out")).is_empty());

    // What goes to standard output is the beginning, and is said to be no more.
    let open = bucket.access(archive.command(&["open", "s3://acme/report"]));
    let running = open.start(Some(b""));
    bucket.wait_for_stall();
    thread::sleep(Duration::from_millis(300));
    running.signal(Signal::INT);
    let done = running.wait();
    done.assert_failed(1, "not all of it");
    assert!(content.starts_with(&done.stdout) && done.stdout.len() < content.len());
}

#[test]
fn a_store_behind_http_is_read_and_looked_at() {
    let archive = Archive::new();
    let content = content(300_000, 1);
    let place = archive.seal("report", &content);
    let bucket = Bucket::serve(archive.path("store"));
    let run = |args: &[&str]| bucket.access(archive.command(args)).run(b"");
    assert!(run(&["open", "s3://acme/report"]).stdout == content);
    assert_eq!(
        run(&["open", "s3://acme/report", "--range", "100..103"]).stdout,
        &content[100..103]
    );
    run(&["open", "s3://acme/gone"]).assert_failed(1, "there is no object of this name");
    let here = archive.run(&["inspect", &place, "--json"]).json();
    let there = run(&["inspect", "s3://acme/report", "--json"]).json();
    assert_eq!(here, there);
    let record = here["key_record"].as_str().expect("a name");
    let record = run(&["inspect", &format!("s3://acme/{record}"), "--json"]).json();
    assert_eq!(
        (&record["kind"], &record["slots"]),
        (&"key_record".into(), &here["record"]["slots"])
    );
    run(&["inspect", "s3://acme/gone"]).assert_failed(1, "there is no object");
}

#[test]
fn what_an_object_says_of_itself_is_shown_as_a_claim() {
    let (alice, bob) = friends();
    let archive = Archive::new();
    let place = archive.text("store/report");
    let args = ["seal", "-", &place, "--to", &bob.id, "--context", "tenant=acme"];
    let args = [&args[..], &["--context", "type=\u{1b}[2J"]].concat();
    assert_eq!(alice.run_with(&args, &content(40_000, 1)).code, 0);
    let text = archive.run(&["inspect", &place]).text();
    for said in [
        "nothing of this is authenticated",
        "40000 of content in 3 chunks",
        "key            agent:",
        "HPKE-X-Wing",
        &format!("signed by      {}", alice.id),
        r"context        type=\u{1b}[2J",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("acme") && !text.contains('\u{1b}'), "{text}");
    let object: Value = archive.run(&["inspect", &place, "--json"]).json();
    assert_eq!((&object["kind"], &object["authenticated"]), (&"object".into(), &false.into()));
    assert_eq!(object["record"]["sealer"]["id"], alice.id);
    let record = archive.record(&place);
    let shown = archive.run(&["inspect", record.to_str().expect("text")]).text();
    assert!(
        shown.contains("nothing of this is authenticated until its object is opened"),
        "{shown}"
    );
    cut(&place, 40);
    archive.run(&["inspect", &place]).assert_failed(1, "begins as a sealed object does");
    cut(&place, 5);
    archive.run(&["inspect", &place]).assert_failed(1, "is not a card");
}

/// Runs the command in a shell, with its arguments behind a script.
fn shell(archive: &Archive, script: &str, args: &[&str], stdin: &[u8]) -> Done {
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_sealwire")]).args(args);
    command.env("SEALWIRE_HOME", archive.directory.path()).env("SEALWIRE_PASSPHRASE", PASSPHRASE);
    command.env("SEALWIRE_STORAGE_KMS", format!("file:{}", archive.text("kek")));
    command.env("SEALWIRE_STORAGE_TENANT", "acme");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    common::background(move || drop(std::io::Write::write_all(&mut pipe, &stdin)));
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8(output.stderr).expect("text");
    Done { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
}

// attack T28
#[test]
fn a_full_disk_leaves_nothing() {
    let archive = Archive::new();
    let place = archive.seal("report", &content(MIB, 1));
    let full = shell(&archive, "exec \"$0\" \"$@\" > /dev/full", &["open", &place], b"");
    full.assert_failed(1, "cannot write to standard output");
    fs::create_dir(archive.path("out")).expect("made");
    let out = archive.text("out/report");
    // The limit is one of 512 or 1024 bytes each, as the shell has it.
    let limited = "ulimit -f 100; exec \"$0\" \"$@\"";
    let done = shell(&archive, limited, &["open", &place, "--out", &out], b"");
    done.assert_failed(1, "cannot write");
    assert!(files(&archive.path("out")).is_empty());
    let before = archive.files();
    let other = archive.text("store/other");
    for len in [MIB, 20 * MIB] {
        let done = shell(&archive, limited, &["seal", "-", &other], &content(len, 1));
        assert_eq!(done.code, 1, "{}", done.stderr);
        let mut after = archive.files();
        after.retain(|path| !before.contains(path));
        assert_eq!(after, Vec::<PathBuf>::new(), "{}", done.stderr);
    }
}

#[test]
fn a_reader_that_leaves_is_no_news() {
    let archive = Archive::new();
    let place = archive.seal("report", &content(4 * MIB, 1));
    let done = shell(&archive, "\"$0\" \"$@\" | head -c 10", &["open", &place], b"");
    assert_eq!((done.stdout.len(), done.stderr.as_str()), (10, ""));
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let archive = Archive::new();
    let run = |variable: &str, place: &str, more: &[(&str, &str)]| {
        let command = archive.command(&["open", place]).env(variable, "http://store.example:9000");
        let command = command.env("AWS_ALLOW_HTTP", "true").env("AWS_SKIP_SIGNATURE", "true");
        more.iter().fold(command, |command, (name, value)| command.env(name, value)).run(b"")
    };
    for (variable, place) in [
        ("AWS_ENDPOINT_URL", "s3://acme/x"),
        ("AWS_ENDPOINT_URL_S3", "s3://acme/x"),
        ("AWS_ENDPOINT", "s3://acme/x"),
        ("AZURE_STORAGE_ENDPOINT", "az://acme/x"),
        ("GOOGLE_BASE_URL", "gs://acme/x"),
    ] {
        let refused = run(variable, place, &[]);
        refused.assert_failed(2, "http://store.example:9000 is not on this machine");
        assert!(refused.stderr.contains("storage.plain_http_anywhere"), "{}", refused.stderr);
    }
    let refused =
        run("AWS_ENDPOINT_URL", "s3://acme/x", &[("AWS_ENDPOINT_URL", "https://me:hunter2@x")]);
    refused.assert_failed(2, "is no address");
    assert!(!refused.stderr.contains("hunter2"));
    for variable in ["SEALWIRE_STORAGE_VAULT_ADDRESS", "SEALWIRE_STORAGE_AWS_ENDPOINT"] {
        let refused =
            run(variable, "s3://acme/x", &[("SEALWIRE_STORAGE_PLAIN_HTTP_ANYWHERE", "true")]);
        refused.assert_failed(2, "takes the data keys");
    }
}

#[test]
fn a_key_service_that_does_not_answer_is_tried_for_a_while_and_named() {
    let archive = Archive::new();
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let token = "hvs.aVeryPrivateToken";
    let command = archive
        .command(&["seal", "-", &archive.text("store/x"), "--kms", "vault:agents"])
        .env("SEALWIRE_STORAGE_VAULT_ADDRESS", &format!("http://{address}"));
    command.env("VAULT_TOKEN", "").run(b"").assert_failed(2, "there is no token for Vault");
    let command = archive
        .command(&["seal", "-", &archive.text("store/x"), "--kms", "vault:agents"])
        .env("SEALWIRE_STORAGE_VAULT_ADDRESS", &format!("http://{address}"))
        .env("SEALWIRE_STORAGE_PATIENCE_SECONDS", "1")
        .env("VAULT_TOKEN", token);
    let down = command.run(b"all is well");
    down.assert_failed(6, &format!("{address} cannot be reached"));
    assert!(!down.stderr.contains(token));
    assert!(archive.files().is_empty());
}
