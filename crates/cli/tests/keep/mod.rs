//! What keeps a store in order: erasing, sealing anew, sweeping.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use sealwire::custody::{Params, Passphrase, system_rng};
use sealwire_custody::kms::KekFile;
use sealwire_envelope::KeyRecord;
use serde_json::{Value, json};

use crate::{
    Office,
    common::{Agent, PASSPHRASE, friends},
    files,
};

impl Office {
    fn object(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// What an object says of itself.
    fn inspect(&self, name: &str) -> Value {
        self.ok(&["inspect", &self.object(name)])
    }

    fn record(&self, name: &str) -> PathBuf {
        self.folder.join(self.inspect(name)["key_record"].as_str().unwrap())
    }

    /// Opens an object with a key, to standard output.
    fn open(&self, name: &str, key: &str, more: &[&str]) -> crate::Done {
        let object = self.object(name);
        let args = ["open", &object, "--kms", key, "--context", "tenant=acme"];
        self.agent.run(&[&args[..], more].concat())
    }

    /// The events in the log of the key, of one kind.
    fn logged(&self, kind: &str) -> Vec<Value> {
        let log = self.ok(&["keyring", "audit", "--last", "1000"]);
        assert_eq!(log["unsigned"], 0);
        let events = log["events"].as_array().unwrap().iter().map(|line| line["event"].clone());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

/// As if it had been written long ago.
fn age(path: &Path) {
    File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

/// The key records, and not what is on its way to become one.
fn records(office: &Office) -> Vec<PathBuf> {
    let mut found = files(&office.folder);
    found.retain(|path| {
        let name = path.strip_prefix(&office.folder).ok().and_then(Path::to_str);
        name.is_some_and(|name| KeyRecord::object_of(name).is_some())
    });
    found
}

// ENV-41
#[test]
fn what_a_killed_seal_and_a_deleted_object_leave_is_swept_and_nothing_else() {
    let office = Office::new();
    office.seal(0, 3);
    let deleted = (office.record("1"), office.inspect("1")["object"].clone());
    fs::remove_file(office.object("1")).unwrap();
    fs::remove_file(office.record("2")).unwrap();
    fs::write(office.object("note.txt"), "a note").unwrap();
    let before = records(&office);
    let key = ["--kms", &office.word, "--context", "tenant=acme"];
    let place = office.object("killed");
    let mut killed = office.command(&[&["seal", "-", &place][..], &key].concat()).start(None);
    let begun = (0..6000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        records(&office).len() > before.len()
    });
    assert!(begun, "its key record is the first that is written");
    killed.kill();
    killed.wait();
    let left: Vec<PathBuf> =
        records(&office).into_iter().filter(|path| !before.contains(path)).collect();

    let sweep = ["keyring", "sweep", office.place()];
    let delete = [&sweep[..], &["--delete"]].concat();
    for young in [office.ok(&sweep), office.ok(&delete)] {
        assert_eq!((&young["records"], young["young"].as_array().unwrap().len()), (&json!([]), 2));
    }
    age(&deleted.0);
    let dry = office.ok(&sweep);
    let found = &dry["records"][0];
    assert_eq!((&dry["dry_run"], &found["object"]), (&json!(true), &deleted.1));
    assert!(found["keys"][0].as_str().unwrap().starts_with("local:archive-"), "{dry}");
    assert_eq!((&dry["bodies"], &dry["foreign"]), (&json!(["2"]), &json!(["note.txt"])));
    let text = office.agent.run(&sweep).text();
    assert!(text.contains("records         1  that no object has: would be deleted"), "{text}");
    assert!(deleted.0.exists());

    let swept = office.ok(&delete);
    assert_eq!((&swept["dry_run"], &swept["records"][0]["object"]), (&json!(false), &deleted.1));
    assert_eq!((&swept["logs"], &swept["young"][1]), (&json!([office.word]), &Value::Null));
    assert!(!deleted.0.exists() && left.iter().all(|path| path.exists()) && left.len() == 1);
    assert_eq!(office.logged("erased")[0]["object"], deleted.1);
    age(&left[0]);
    assert_eq!(office.ok(&delete)["records"].as_array().unwrap().len(), 1);
    assert_eq!((records(&office).len(), office.logged("erased").len()), (1, 2));
    office.all_open(1);
    assert!(
        Path::new(&office.object("2")).exists() && Path::new(&office.object("note.txt")).exists()
    );
}

// ENV-42
#[test]
fn what_is_erased_opens_no_more_nor_does_any_copy_of_it() {
    let office = Office::new();
    office.seal(0, 5);
    fs::copy(office.object("0"), office.object("copy")).unwrap();
    fs::write(office.object("note.txt"), "a note").unwrap();
    assert_eq!(office.open("copy", &office.word, &[]).stdout, b"0");
    let [first, second, third] = ["0", "1", "2"].map(|name| office.object(name));
    // All or none, as far as can be seen before.
    for (other, code, said) in [
        ("gone", 1, "there is no object of this name"),
        ("note.txt", 1, "is no sealed object"),
        (".keys", 2, "where key records stand"),
    ] {
        let refused = office.run(&["erase", &first, &office.object(other)]);
        refused.assert_failed(code, said);
        assert!(refused.stdout.is_empty() && Path::new(&first).exists());
    }
    let objects = ["0", "1"].map(|name| office.inspect(name)["object"].clone());
    let erased = office.ok(&["erase", &first, &second]);
    assert_eq!(erased["erased"][0], json!({"place": first, "object": objects[0]}));
    assert_eq!(
        (&erased["erased"][1]["object"], &erased["logs"]),
        (&objects[1], &json!([office.word]))
    );
    assert!(!Path::new(&first).exists() && records(&office).len() == 3);
    let copy = office.open("copy", &office.word, &[]);
    copy.assert_failed(1, "no key record");
    assert!(copy.stdout.is_empty());
    let logged = office.logged("erased");
    assert_eq!([&logged[0]["object"], &logged[1]["object"]], [&objects[0], &objects[1]]);

    // In a store that was not named its key record would stay, and its copies would open.
    fs::remove_file(office.record("2")).unwrap();
    let refused = office.run(&["erase", &third]);
    refused.assert_failed(1, "has no key record beside it, and nothing was erased");
    let text = office.agent.run(&["erase", &third, "--without-record"]).text();
    assert!(text.starts_with(&format!("erased  {third}\nobject  ")), "{text}");
    assert_eq!((records(&office).len(), office.logged("erased").len()), (2, 2));
    // What cannot be read as a key record says nothing of its keys, and goes.
    fs::write(office.record("3"), b"damaged").unwrap();
    assert_eq!(office.ok(&["erase", &office.object("3")])["logs"], json!([]));
    assert_eq!(records(&office).len(), 1);
    assert_eq!(office.open("4", &office.word, &[]).stdout, b"4");
}

fn key_file(path: &Path, name: &str) -> String {
    let passphrase = Passphrase::from_bytes(PASSPHRASE.as_bytes()).unwrap();
    KekFile::create_with(path, name, &passphrase, Params::MIN, &mut system_rng()).unwrap();
    format!("file:{}", path.display())
}

// attack T12
#[test]
fn what_is_resealed_opens_for_those_that_are_named_and_copies_of_before_for_nobody() {
    let office = Office::new();
    let other = key_file(&office.agent.file("other.kek"), "other");
    let case = ["--context", "case=7"];
    let place = office.object("report");
    let args = ["seal", "-", &place, "--kms", &office.word, "--context", "tenant=acme"];
    let args = [&args[..], &case, &["--require", "case", "--context", "type=text"]].concat();
    assert_eq!(office.command(&args).run(b"all is well").code, 0);
    let (before, record) = (office.inspect("report"), office.record("report"));
    let old_record = fs::read(&record).unwrap();
    fs::copy(&place, office.object("copy")).unwrap();

    let reseal = ["reseal", &place, "--context", "tenant=acme"];
    let to_other = [&reseal[..], &case, &["--kms", &other]].concat();
    for (args, code, said) in [
        (&reseal[..], 2, "for whom the object is has not been said"),
        (&to_other, 1, "there is no key to open the object with"),
        (&[&to_other[..], &["--with", &other]].concat(), 1, "name one of them with --with"),
        (&[&reseal[..], &["--kms", &office.word]].concat(), 1, "does not open"),
        (&[&to_other[..], &["--from", "z6Mk"]].concat(), 1, "not sealed for this agent"),
    ] {
        office.run(args).assert_failed(code, said);
        assert_eq!(
            (office.inspect("report"), records(&office).len()),
            (before.clone(), 1),
            "{said}"
        );
    }
    let resealed = office.ok(&[&to_other[..], &["--with", &office.word]].concat());
    assert_eq!((&resealed["before"], &resealed["bytes"]), (&before["object"], &json!(11)));
    assert_eq!(
        (&resealed["keys"], &resealed["logs"]),
        (&json!(["local:other"]), &json!([office.word]))
    );
    assert!(resealed["left_out"][0].as_str().unwrap().starts_with("local:archive-"), "{resealed}");
    let after = office.inspect("report");
    assert_eq!((&after["object"], &after["context"]), (&resealed["object"], &before["context"]));
    assert_eq!(office.open("report", &other, &case).stdout, b"all is well");
    office.open("report", &office.word, &case).assert_failed(1, "no slot for this key");
    office.open("copy", &office.word, &case).assert_failed(1, "no key record");
    assert_eq!((record.exists(), records(&office).len()), (false, 1));
    let logged = office.logged("resealed");
    assert_eq!((&logged[0]["from"], &logged[0]["to"]), (&before["object"], &after["object"]));

    // The key that is named is one that opens it, and the data key is another one each time.
    let again = office.ok(&to_other);
    assert_eq!((&again["left_out"], &again["before"]), (&json!([]), &after["object"]));
    // Who kept the record of before opens what was before, and nothing that came after.
    fs::write(office.folder.join(KeyRecord::name(id(&again["object"]))), old_record).unwrap();
    office.open("report", &office.word, &case).assert_failed(1, "does not open");
}

fn id(hex: &Value) -> sealwire_envelope::ObjectId {
    sealwire_envelope::ObjectId::from_hex(hex.as_str().unwrap()).unwrap()
}

#[test]
fn an_agent_seals_anew_for_another_what_was_sealed_for_it() {
    let (alice, bob) = friends();
    let place = alice.file("report").to_str().unwrap().to_owned();
    let tenant = ["--context", "tenant=acme"];
    let run = |agent: &Agent, args: &[&str], stdin: &[u8]| {
        agent.run_with(&[args, &tenant[..]].concat(), stdin)
    };
    assert_eq!(run(&alice, &["seal", "-", &place, "--to", &alice.id], b"for bob").code, 0);
    let text = run(&alice, &["reseal", &place, "--to", &bob.id], b"");
    assert_eq!(text.code, 0, "{}", text.stderr);
    let said = text.text();
    assert!(
        said.contains(&format!("for     {}", bob.id)) && said.contains("not for agent:"),
        "{said}"
    );
    assert_eq!(run(&bob, &["open", &place], b"").stdout, b"for bob");
    run(&alice, &["open", &place], b"").assert_failed(1, "there is no key");
}
