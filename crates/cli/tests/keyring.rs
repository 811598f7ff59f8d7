//! Keys that wrap data keys, from their first day to their last, by the built command.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails panics")]

mod common;
mod keep;

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use sealwire::core::Timestamp;
use sealwire::custody::{Passphrase, system_rng};
use sealwire_custody::kms::KekFile;
use sealwire_envelope::{
    Context, KeyRecord, Pairs,
    store::{Access, Plan, Store},
};
use serde_json::Value;

use common::{Agent, Done, PASSPHRASE, sealwire};

/// Two batches of a rewrap, which has 128 in each, and some.
const OBJECTS: usize = 300;

/// After so many more records a rewrap is killed, each time: the second time in another batch.
const KILLED_AFTER: [usize; 3] = [3, 150, 1];

/// An agent, a key file, and a folder with objects under it.
struct Office {
    agent: Agent,
    key: PathBuf,
    word: String,
    folder: PathBuf,
}

impl Office {
    fn new() -> Self {
        let agent = Agent::new();
        let (key, folder) = (agent.file("archive.kek"), agent.file("store"));
        fs::create_dir(&folder).unwrap();
        let word = format!("file:{}", key.display());
        let office = Self { agent, key, word, folder };
        let made = office.ok(&["keyring", "init", &office.word]);
        assert_eq!((&made["version"], &made["made"]), (&"1".into(), &true.into()));
        office
    }

    fn place(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Runs a command that ends, with no grace for old versions.
    fn run(&self, args: &[&str]) -> Done {
        self.command(args).run(b"")
    }

    fn command(&self, args: &[&str]) -> common::Sealwire {
        let args = [args, &["--json"]].concat();
        sealwire(self.agent.home(), &args).env("SEALWIRE_STORAGE_GRACE_DAYS", "0")
    }

    fn ok(&self, args: &[&str]) -> Value {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        done.json()
    }

    fn kek(&self) -> KekFile {
        KekFile::open(&self.key, &Passphrase::from_bytes(PASSPHRASE.as_bytes()).unwrap()).unwrap()
    }

    fn versions(&self) -> Vec<String> {
        let versions = self.kek().kms(system_rng()).keys().versions().unwrap();
        versions.iter().map(|version| version.as_str().to_owned()).collect()
    }

    fn seal(&self, from: usize, to: usize) {
        let kms = self.kek().kms(system_rng());
        let context = Context::new([("tenant", "acme")]).unwrap();
        let store = Store::local(&self.folder, "").unwrap();
        for number in from..to {
            let name = number.to_string();
            let plan = Plan::new(&context).kms(&kms);
            let now = Timestamp::from_secs(1_800_000_000);
            let mut rng = system_rng();
            wait(store.seal(&name, &plan, name.as_bytes(), now, &mut rng)).unwrap();
        }
    }

    fn all_open(&self, objects: usize) {
        let kms = self.kek().kms(system_rng());
        let required = Pairs::new([("tenant", "acme")]).unwrap();
        let store = Store::local(&self.folder, "").unwrap();
        for number in 0..objects {
            let name = number.to_string();
            let access = Access::kms(&kms, &required);
            let opened = wait(async { store.open(&name, &access).await?.read().await });
            assert_eq!(*opened.unwrap(), name.as_bytes());
        }
    }

    /// The versions that the key records refer to, as they are on disk.
    fn on_disk(&self) -> Vec<String> {
        let records = files(&self.folder);
        let version = |path: &PathBuf| {
            // Not what a kill leaves beside one.
            let name = path.strip_prefix(&self.folder).ok()?.to_str()?;
            KeyRecord::object_of(name)?;
            let record = KeyRecord::from_bytes(&fs::read(path).ok()?).ok()?;
            Some(record.slots()[0].wrapped().version.as_str().to_owned())
        };
        records.iter().filter_map(version).collect()
    }

    fn rewrapped(&self) -> usize {
        self.on_disk().iter().filter(|version| *version == "2").count()
    }

    fn keyring(&self) -> PathBuf {
        let root = self.agent.file("keyring");
        let mut found = fs::read_dir(root).unwrap();
        let only = found.next().unwrap().unwrap().path();
        assert!(found.next().is_none());
        only
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

fn count(done: &Value, name: &str) -> usize {
    usize::try_from(done[name].as_u64().unwrap()).unwrap()
}

// attack T27
#[test]
fn a_key_is_rotated_and_retired_though_the_rewrap_is_killed_again_and_again() {
    let office = Office::new();
    office.seal(0, OBJECTS - 11);
    // One by the command, as all could be.
    let name = (OBJECTS - 11).to_string();
    let place = office.folder.join(&name);
    let place = place.to_str().unwrap();
    let key = ["--kms", &office.word, "--context", "tenant=acme"];
    let sealed = office.command(&[&["seal", "-", place][..], &key].concat()).run(name.as_bytes());
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    let rotated = office.ok(&["keyring", "rotate"]);
    assert_eq!((&rotated["from"], &rotated["to"]), (&"1".into(), &"2".into()));
    office.seal(OBJECTS - 10, OBJECTS);
    assert_eq!(office.rewrapped(), 10);

    let dry = office.ok(&["keyring", "rewrap", office.place(), "--dry-run"]);
    assert_eq!((count(&dry, "rewrapped"), count(&dry, "current")), (OBJECTS - 10, 10));
    assert_eq!(office.rewrapped(), 10);
    let retire = ["keyring", "retire", office.place()];
    office.run(&retire).assert_failed(1, "no rewrap has seen");

    killed_rewraps(&office);
    let ended = office.ok(&["keyring", "rewrap", office.place()]);
    assert_eq!(ended["resumed"], true);
    let (rewrapped, current) = (count(&ended, "rewrapped"), count(&ended, "current"));
    assert_eq!((rewrapped + current, count(&ended, "scanned")), (OBJECTS, OBJECTS));
    for nothing in ["conflict", "excluded", "failed"] {
        assert_eq!(count(&ended, nothing), 0, "{nothing}");
    }
    // Of a batch that was done and not noted when its run was killed, the next one says "current".
    assert!((1..=OBJECTS - 10).contains(&rewrapped), "{rewrapped}");
    assert_eq!(office.rewrapped(), OBJECTS);
    let again = office.ok(&["keyring", "rewrap", office.place()]);
    assert_eq!((&again["resumed"], count(&again, "current")), (&false.into(), OBJECTS));

    let retired = office.ok(&retire);
    assert_eq!(
        (&retired["retired"][0], office.versions()),
        (&"1".into(), vec!["1".into(), "2".into()])
    );
    let destroyed = office.ok(&["keyring", "retire", office.place(), "1", "--destroy"]);
    assert_eq!((&destroyed["destroyed"][0], office.versions()), (&"1".into(), vec!["2".into()]));
    office.all_open(OBJECTS);
    let opened = office.agent.run(&[&["open", place][..], &key].concat());
    assert_eq!((opened.code, opened.text()), (0, name), "{}", opened.stderr);
    what_was_done_is_in_the_log(&office, rewrapped);
}

/// Kills a rewrap after some records, several times.
fn killed_rewraps(office: &Office) {
    for more in KILLED_AFTER {
        let goal = office.rewrapped() + more;
        let mut running = office.command(&["keyring", "rewrap", office.place()]).start(Some(b""));
        let reached = (0..60_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            office.rewrapped() >= goal
        });
        assert!(reached, "it rewraps nothing");
        running.kill();
        assert_eq!(running.wait().code, -1, "it was killed before its end");
        let done = office.rewrapped();
        assert!(done >= goal && done < OBJECTS, "{done}");
        assert_eq!(office.on_disk().len(), OBJECTS, "no record is lost");
        office.all_open(OBJECTS);
        assert_eq!(office.ok(&["keyring", "audit", "--verify"])["whole"], true);
        let status = office.ok(&["keyring", "status", office.place()]);
        let outdated = count(&status["keys"][0], "outdated");
        assert_eq!(outdated, OBJECTS - done);
        let refused = office.run(&["keyring", "retire", office.place()]);
        let why = refused.json()["refused"][0]["why"].as_str().unwrap().to_owned();
        assert!(refused.code == 1 && why.contains("key records refer to it; rewrap them"), "{why}");
    }
}

fn what_was_done_is_in_the_log(office: &Office, rewrapped: usize) {
    let log = office.ok(&["keyring", "audit", "--last", "1000"]);
    assert_eq!(log["unsigned"], 0);
    let events: Vec<&Value> =
        log["events"].as_array().unwrap().iter().map(|it| &it["event"]).collect();
    let kinds = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((kinds("rotated"), kinds("rewrap-ended"), kinds("retired")), (1, 2, 1));
    let lines = events.iter().filter(|event| event["kind"] == "rewrapped");
    let objects: BTreeSet<&str> = lines.map(|event| event["object"].as_str().unwrap()).collect();
    // One for each that was done, but for those of a batch that was killed before it was noted.
    assert!((rewrapped..=OBJECTS - 10).contains(&objects.len()), "{}", objects.len());

    // Cut below a checkpoint that somebody kept, and changed.
    let kept = log["checkpoint"].as_str().unwrap().to_owned();
    office.ok(&["keyring", "audit", "--done", "--findings", "2"]);
    let verify = ["keyring", "audit", "--verify", "--since", &kept];
    assert_eq!(office.ok(&verify)["whole"], true);
    let path = office.keyring().join("audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() - 4].join("\n") + "\n";
    for (bad, said) in [
        (cut, "the log ends before the checkpoint that was kept"),
        (text.replace("\"findings\":2", "\"findings\":0"), "it was changed"),
    ] {
        fs::write(&path, bad).unwrap();
        office.run(&verify).assert_failed(1, said);
        office.run(&["keyring", "rotate"]).assert_failed(1, said);
    }
    fs::write(&path, &text).unwrap();
    assert_eq!(office.versions(), ["2"], "a log that is not whole stops a rotation");
}

#[test]
fn what_is_kept_is_for_the_owner_alone_and_holds_no_key() {
    let office = Office::new();
    for path in files(&office.agent.file("keyring")) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    let mode = fs::metadata(office.keyring()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    // Not twice, and the key file is never overwritten.
    let before = fs::read(&office.key).unwrap();
    let again = office.run(&["keyring", "init", &office.word]);
    again.assert_failed(1, "has a ring already, which is not overwritten");
    assert_eq!(fs::read(&office.key).unwrap(), before);
    // A key file that was moved keeps its ring.
    office.ok(&["keyring", "rotate"]);
    let moved = office.agent.file("moved.kek");
    fs::rename(&office.key, &moved).unwrap();
    office.run(&["keyring", "rotate"]).assert_failed(1, "cannot open");
    let word = format!("file:{}", moved.display());
    assert_eq!(office.ok(&["keyring", "init", &word])["version"], "2");
    assert_eq!(office.ok(&["keyring", "rotate", "--kms", &word])["to"], "3");
    let status = office.ok(&["keyring", "status"]);
    assert_eq!((&status["keys"][0]["key"], &status["keys"][1]), (&word.into(), &Value::Null));
}

// attack T27
#[test]
fn an_old_copy_of_the_key_file_wraps_nothing() {
    let office = Office::new();
    let old = fs::read(&office.key).unwrap();
    office.ok(&["keyring", "rotate"]);
    let newest = fs::read(&office.key).unwrap();
    fs::write(&office.key, &old).unwrap();
    for args in [&["keyring", "rotate"][..], &["keyring", "rewrap", office.place()]] {
        office.run(args).assert_failed(5, "which is older than");
    }
    assert_eq!(fs::read(&office.key).unwrap(), old);
    // Of a rotation that was killed before the ring was written: it is taken up, not repeated.
    let ring = office.keyring().join("ring");
    fs::write(&office.key, &newest).unwrap();
    let before = fs::read(&ring).unwrap();
    office.ok(&["keyring", "rotate"]);
    fs::write(&ring, before).unwrap();
    assert_eq!(office.ok(&["keyring", "rotate"])["to"], "3");
    assert_eq!(office.versions(), ["1", "2", "3"]);
}

#[test]
fn a_version_in_grace_is_not_retired_and_no_place_is_forgotten() {
    let office = Office::new();
    office.seal(0, 3);
    let rotated = sealwire(office.agent.home(), &["keyring", "rotate"]).run(b"");
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    let other = office.agent.file("other");
    fs::create_dir(&other).unwrap();
    let other = other.to_str().unwrap();
    office.ok(&["keyring", "rewrap", office.place(), "--verify"]);
    office.ok(&["keyring", "rewrap", other]);

    let retire = ["keyring", "retire", office.place()];
    office.run(&retire).assert_failed(1, "has objects under this key too, and was not looked at");
    let both = [&retire[..], &["--also", other]].concat();
    let refused = office.run(&both);
    refused.assert_failed(1, "no version can be retired now");
    refused.assert_failed(1, "the grace of version 1 ends on");
    let named = office.run(&[&retire[..], &["1", "--also", other]].concat());
    let why = named.json()["refused"][0]["why"].as_str().unwrap().to_owned();
    assert!(named.code == 1 && why.contains("its grace has not ended"), "{why}");
    office.run(&[&retire[..], &["7", "--also", other]].concat()).assert_failed(2, "no version 7");
    office.run(&[&retire[..], &["--gone", "/srv"]].concat()).assert_failed(2, "no rewrap has seen");
    office
        .run(&[&retire[..], &["--gone", other]].concat())
        .assert_failed(1, "the grace of version");

    let status = office.ok(&["keyring", "status", office.place()]);
    let key = &status["keys"][0];
    assert_eq!((count(key, "outdated"), &key["versions"][0]["state"]), (0, &"decrypt_only".into()));
    let doctor = office.agent.run(&["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    let said = checks.iter().find(|check| check["name"] == "keyring").unwrap();
    assert!(said["said"].as_str().unwrap().contains("version 2 wraps; rotation is due on"));
}

// attack T28
#[test]
fn a_torn_line_is_mended_and_two_commands_do_not_interleave() {
    let office = Office::new();
    let path = office.keyring().join("audit.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"seq\":3,\"ti"].concat()).unwrap();
    let shown = office.ok(&["keyring", "audit"]);
    assert_eq!((&shown["torn"], &shown["whole"]), (&12.into(), &true.into()));
    let rotated = office.run(&["keyring", "rotate"]);
    assert_eq!(rotated.event("mended")["event"], "mended");
    assert_eq!(office.ok(&["keyring", "audit"])["torn"], 0);

    let lock = fs::File::open(office.keyring().join("lock")).unwrap();
    lock.lock().unwrap();
    office.run(&["keyring", "rotate"]).assert_failed(6, "another command is at work");
    // Looking does not need it.
    office.ok(&["keyring", "status"]);
    office.ok(&["keyring", "audit"]);
    drop(lock);
    assert_eq!(office.ok(&["keyring", "rotate"])["to"], "3");
}

#[test]
fn an_agent_without_an_identity_has_a_ring_that_nobody_signs() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("archive.kek");
    let word = format!("file:{}", key.display());
    let run = |args: &[&str]| {
        let done = sealwire(home.path(), &[args, &["--json"]].concat()).run(b"");
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.json()
    };
    run(&["keyring", "init", &word, "--name", "archive"]);
    run(&["keyring", "rotate"]);
    let log = run(&["keyring", "audit"]);
    assert_eq!((&log["last"], &log["unsigned"]), (&1.into(), &2.into()));
    assert!(log.get("checkpoint").is_none());
    // The key file of somebody who moves to another machine.
    fs::remove_dir_all(home.path().join("keyring")).unwrap();
    let taken = run(&["keyring", "init", &word]);
    assert_eq!((&taken["version"], &taken["made"]), (&"2".into(), &false.into()));
    let versions = run(&["keyring", "status"])["keys"][0]["versions"].clone();
    assert_eq!(versions.as_array().unwrap().len(), 2);
}

/// A transit engine that has one key, `agents`, and no objects. It ends with the process.
struct Transit {
    address: String,
    versions: Arc<AtomicU32>,
    may_rotate: Arc<AtomicBool>,
}

impl Transit {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let versions = Arc::new(AtomicU32::new(1));
        let may_rotate = Arc::new(AtomicBool::new(true));
        let (own, may) = (Arc::clone(&versions), Arc::clone(&may_rotate));
        common::background(move || {
            for stream in listener.incoming() {
                drop(serve(stream.unwrap(), &own, &may));
            }
        });
        Self { address, versions, may_rotate }
    }
}

fn serve(mut stream: TcpStream, versions: &AtomicU32, may_rotate: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, body) = match first.as_str() {
        "POST /v1/transit/keys/agents/rotate HTTP/1.1\r\n" if may_rotate.load(Ordering::SeqCst) => {
            versions.fetch_add(1, Ordering::SeqCst);
            (200, "{}".to_owned())
        }
        "GET /v1/transit/keys/agents HTTP/1.1\r\n" => {
            let latest = versions.load(Ordering::SeqCst);
            let key = "\"type\":\"aes256-gcm96\",\"derived\":true,\"latest_version\"";
            (200, format!("{{\"data\":{{{key}:{latest}}}}}"))
        }
        _ => (403, "{\"errors\":[\"permission denied\"]}".to_owned()),
    };
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[test]
fn the_ring_of_a_service_follows_the_service() {
    let (home, transit) = (tempfile::tempdir().unwrap(), Transit::start());
    let run = |args: &[&str]| {
        sealwire(home.path(), &[args, &["--json"]].concat())
            .env("SEALWIRE_STORAGE_VAULT_ADDRESS", &transit.address)
            .env("VAULT_TOKEN", "s.hunter2-token")
            .run(b"")
    };
    let missing = run(&["keyring", "init", "vault:others"]);
    assert_ne!(missing.code, 0);
    assert_eq!(run(&["keyring", "init", "vault:agents"]).json()["name"], "transit/agents");
    let rotated = run(&["keyring", "rotate"]).json();
    assert_eq!((&rotated["from"], &rotated["to"]), (&"1".into(), &"2".into()));
    // It was rotated there: that is taken up, and nothing is made.
    transit.versions.store(4, Ordering::SeqCst);
    let rotated = run(&["keyring", "rotate"]).json();
    assert_eq!((&rotated["from"], &rotated["to"]), (&"2".into(), &"4".into()));
    assert_eq!(transit.versions.load(Ordering::SeqCst), 4);
    transit.versions.store(5, Ordering::SeqCst);
    fs::create_dir(home.path().join("store")).unwrap();
    let store = home.path().join("store");
    let rewrap = ["keyring", "rewrap", store.to_str().unwrap()];
    let rewrapped = run(&rewrap);
    assert_eq!(rewrapped.event("followed")["to"], "5");
    assert_eq!(rewrapped.json()["version"], "5");
    // Whoever may not is told what to have run, and nothing changes.
    transit.may_rotate.store(false, Ordering::SeqCst);
    let denied = run(&["keyring", "rotate"]);
    denied.assert_failed(1, "vault write -f transit/keys/agents/rotate");
    // Somebody put the service back from a backup.
    transit.versions.store(2, Ordering::SeqCst);
    for args in [&["keyring", "rotate"][..], &rewrap] {
        let refused = run(args);
        refused.assert_failed(5, "which is older than");
        assert!(!refused.stderr.contains("hunter2"));
    }
    let status = run(&["keyring", "status"]).json();
    let versions = status["keys"][0]["versions"].as_array().unwrap();
    let versions: Vec<&str> = versions.iter().map(|it| it["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["1", "2", "4", "5"]);
}
