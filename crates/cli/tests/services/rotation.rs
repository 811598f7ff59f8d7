//! Keys of services from their first day to their last, over buckets.

use sealwire_testkit::services::{MOTO, SEAWEEDFS, bucket};
use serde_json::{Value, json};

use crate::{User, common::content, server};

const OBJECTS: u64 = 12;

fn ok(user: &User, args: &[&str]) -> Value {
    let done = user.run(&[args, &["--json"]].concat());
    assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
    done.json()
}

fn seal(user: &User, store: &str, from: u64, to: u64) {
    for number in from..to {
        let place = format!("{store}/{number}");
        let sealed = user.command(&["seal", "-", &place]).run(&content(100, number));
        assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    }
}

fn all_open(user: &User, store: &str) {
    for number in 0..OBJECTS {
        let opened = user.run(&["open", &format!("{store}/{number}")]);
        assert_eq!(opened.code, 0, "{}", opened.stderr);
        assert!(opened.stdout == content(100, number));
    }
}

// attack T27
#[test]
fn a_key_of_openbao_is_rotated_over_a_bucket_of_seaweedfs() {
    let (bucket, vault) = (bucket(SEAWEEDFS), server::vault());
    let key = [("SEALWIRE_STORAGE_KMS", vault.key()), ("SEALWIRE_STORAGE_GRACE_DAYS", "0".into())];
    let user = User::new(&[&server::seaweedfs(), &vault.settings(), &key]);
    let store = &format!("s3://{bucket}/archive");
    assert_eq!(ok(&user, &["keyring", "init", &vault.key()])["version"], "1");
    seal(&user, store, 0, OBJECTS - 2);

    let denied = user.run(&["keyring", "rotate"]);
    denied.assert_failed(1, &format!("vault write -f {}/keys/agents/rotate", vault.mount()));
    vault.let_rotate();
    let rotated = ok(&user, &["keyring", "rotate"]);
    assert_eq!((&rotated["from"], &rotated["to"]), (&json!("1"), &json!("2")));
    seal(&user, store, OBJECTS - 2, OBJECTS);
    let dry = ok(&user, &["keyring", "rewrap", store, "--dry-run"]);
    assert_eq!((&dry["rewrapped"], &dry["current"]), (&json!(OBJECTS - 2), &json!(2)));

    let mut killed = user.command(&["keyring", "rewrap", store, "--json"]).start(Some(b""));
    killed.event("progress");
    killed.kill();
    killed.wait();
    all_open(&user, store);
    let ended = ok(&user, &["keyring", "rewrap", store]);
    let sum =
        |names: [&str; 2]| names.iter().map(|name| ended[*name].as_u64().expect("a count")).sum();
    assert_eq!((sum(["current", "rewrapped"]), sum(["conflict", "failed"])), (OBJECTS, 0_u64));
    let status = ok(&user, &["keyring", "status", store]);
    assert_eq!(status["keys"][0]["outdated"], 0);
    assert_eq!(status["keys"][0]["versions"][1]["references"], OBJECTS);

    let retired = ok(&user, &["keyring", "retire", store]);
    assert_eq!(retired["retired"], json!(["1"]));
    let next = retired["next"].as_str().expect("what is left to do");
    assert!(next.contains(&format!("{}/keys/agents/config", vault.mount())), "{next}");
    vault.refuse_before(2);
    all_open(&user, store);
    assert_eq!(ok(&user, &["keyring", "audit", "--verify"])["whole"], true);
}

#[test]
fn a_key_of_aws_is_looked_after_over_a_bucket_of_moto() {
    let (bucket, arn) = (bucket(MOTO), server::aws_key());
    let key = [("SEALWIRE_STORAGE_KMS", arn.clone())];
    let user = User::new(&[&server::moto(), &server::aws(), &key]);
    let store = &format!("s3://{bucket}");
    assert_eq!(ok(&user, &["keyring", "init", &arn])["name"], arn.as_str());
    seal(&user, store, 0, OBJECTS);
    let same = user.run(&["keyring", "rotate"]);
    same.assert_failed(1, &format!("aws kms rotate-key-on-demand --key-id {arn}"));
    assert_eq!(ok(&user, &["keyring", "rewrap", store, "--verify"])["current"], OBJECTS);
    all_open(&user, store);
}
