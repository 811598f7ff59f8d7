//! Files sealed into real stores under real keys: `cargo xtask ci --only services`.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

#[path = "../common/mod.rs"]
mod common;
mod rotation;
mod server;

use std::fs;

use common::{Done, Sealwire, content, sealwire};
use sealwire_testkit::services::{MOTO, SEAWEEDFS, azurite_container, bucket};
use serde_json::json;
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;

/// Who seals and opens: a directory without an agent, a key, and what a store asks for.
struct User {
    home: TempDir,
    settings: Vec<(String, String)>,
}

impl User {
    fn new(settings: &[&[(&str, String)]]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let settings = settings.concat();
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { home, settings }
    }

    fn command(&self, args: &[&str]) -> Sealwire {
        let command = sealwire(self.home.path(), args).env("SEALWIRE_STORAGE_TENANT", "acme");
        let env = |command: Sealwire, (name, value): &(String, String)| command.env(name, value);
        self.settings.iter().fold(command, env)
    }

    fn run(&self, args: &[&str]) -> Done {
        self.command(args).run(b"")
    }
}

/// What holds of a file in every store, whatever its key.
fn holds(user: &User, store: &str) {
    let long = content(20 * MIB + 3, 1);
    for (name, content) in
        [("a/short.txt", &long[..11]), ("a/none", &[]), ("a/long.bin", &long[..])]
    {
        let place = format!("{store}/{name}");
        let sealed = user.command(&["seal", "-", &place, "--json"]).run(content);
        assert_eq!(sealed.code, 0, "{place}: {}", sealed.stderr);
        assert_eq!(sealed.json()["bytes"].as_u64(), Some(content.len() as u64));
        let opened = user.run(&["open", &place]);
        assert_eq!(opened.code, 0, "{place}: {}", opened.stderr);
        assert!(opened.stdout == content, "{place}");
        let again = user.command(&["seal", "-", &place]).run(content);
        again.assert_failed(1, "there is an object of this name already");
        let other = user.run(&["open", &place, "--context", "tenant=other"]);
        other.assert_failed(1, "does not open");
        assert!(other.stdout.is_empty());
    }
    let place = format!("{store}/a/long.bin");
    let range = user.run(&["open", &place, "--range", "16380..10000000"]);
    assert!(range.stdout == long.get(16_380..10_000_000).expect("so long"), "{}", range.stderr);
    let out = user.home.path().join("out").to_str().expect("text").to_owned();
    assert_eq!(user.run(&["open", &place, "--out", &out]).code, 0);
    assert!(fs::read(&out).expect("written") == long);
    user.run(&["open", &format!("{store}/a/gone")]).assert_failed(1, "there is no object");

    let shown = user.run(&["inspect", &place, "--json"]).json();
    assert_eq!(shown["content_bytes"].as_u64(), Some(long.len() as u64));
    let record = shown["key_record"].as_str().expect("a name");
    let record = user.run(&["inspect", &format!("{store}/a/{record}"), "--json"]).json();
    assert_eq!((&record["kind"], &record["object"]), (&json!("key_record"), &shown["object"]));

    for (name, content) in [("a/short.txt", &long[..11]), ("a/long.bin", &long[..])] {
        let place = format!("{store}/{name}");
        let resealed = user.run(&["reseal", &place, "--json"]);
        assert_eq!(resealed.code, 0, "{place}: {}", resealed.stderr);
        assert!(user.run(&["open", &place]).stdout == content, "{place}");
        let swept = user.run(&["keyring", "sweep", &format!("{store}/a"), "--json"]).json();
        assert_eq!((&swept["young"], &swept["bodies"]), (&json!([]), &json!([])), "{swept}");
        assert_eq!(user.run(&["erase", &place]).code, 0, "{place}");
        user.run(&["open", &place]).assert_failed(1, "there is no object");
    }
    let swept = user.run(&["keyring", "sweep", &format!("{store}/a"), "--json"]).json();
    assert_eq!((&swept["young"], &swept["bodies"]), (&json!([]), &json!([])), "{swept}");
}

#[test]
fn moto_with_a_key_of_aws() {
    let (bucket, arn) = (bucket(MOTO), server::aws_key());
    let user = User::new(&[&server::moto(), &server::aws(), &[("SEALWIRE_STORAGE_KMS", arn)]]);
    holds(&user, &format!("s3://{bucket}"));
}

#[test]
fn seaweedfs_with_a_key_of_openbao() {
    let (bucket, vault) = (bucket(SEAWEEDFS), server::vault());
    let key = ("SEALWIRE_STORAGE_KMS", vault.key());
    let user = User::new(&[&server::seaweedfs(), &vault.settings(), &[key]]);
    holds(&user, &format!("s3://{bucket}"));
}

#[test]
fn azurite_with_a_key_of_openbao_and_its_token_in_a_file() {
    let (container, vault) = (azurite_container(), server::vault());
    let token = tempfile::NamedTempFile::new().expect("a file");
    fs::write(token.path(), vault.token()).expect("written");
    let file = token.path().to_str().expect("text").to_owned();
    let user = User::new(&[
        &server::azurite(),
        &[
            ("SEALWIRE_STORAGE_VAULT_ADDRESS", vault.address()),
            ("SEALWIRE_STORAGE_VAULT_TOKEN_FILE", file),
            ("SEALWIRE_STORAGE_KMS", vault.key()),
        ],
    ]);
    holds(&user, &format!("az://{container}"));
}

#[test]
fn an_object_under_two_keys_opens_with_either_and_each_says_what_is_wrong() {
    let (bucket, vault, arn) = (bucket(MOTO), server::vault(), server::aws_key());
    let user = User::new(&[&server::moto(), &server::aws(), &vault.settings()]);
    let place = format!("s3://{bucket}/report.txt");
    let args = ["seal", "-", &place, "--kms", &vault.key(), "--kms", &arn, "--json"];
    let sealed = user.command(&args).run(b"all is well");
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    for key in [&vault.key(), &arn] {
        let opened = user.run(&["open", &place, "--kms", key]);
        assert_eq!(opened.stdout, b"all is well", "{}", opened.stderr);
    }
    let other = server::vault();
    let user = User::new(&[&server::moto(), &other.settings()]);
    user.run(&["open", &place, "--kms", &other.key()]).assert_failed(1, "no slot for this key");
    let denied = user.run(&["open", &place, "--kms", &vault.key()]);
    denied.assert_failed(1, "the key service refuses");
    assert!(!denied.stderr.contains(&other.token()));
    let alias = "arn:aws:kms:eu-central-1:123456789012:alias/none";
    let aliased =
        User::new(&[&server::moto(), &server::aws()]).run(&["open", &place, "--kms", alias]);
    assert!([1, 2].contains(&aliased.code), "{}", aliased.stderr);
    user.run(&["open", &place]).assert_failed(1, "there is no key to open the object with");
}
