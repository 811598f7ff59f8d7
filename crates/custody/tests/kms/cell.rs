//! A value in the KV engine of Vault, against an engine in a few lines.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sealwire_custody::kms::{VaultCell, VaultSettings, VaultToken};
use sealwire_envelope::kms::KmsError;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    fake::{Asked, Fake, Fault, Told},
    faults,
};

/// The versions of one value, of which the newest may be deleted.
#[derive(Default)]
struct Engine {
    versions: Vec<Value>,
    deleted: bool,
}

impl Engine {
    fn serve(&mut self, asked: &Asked) -> Told {
        if asked.header("x-vault-token") != "root" {
            return Told::new(403, json!({"errors": ["permission denied"]}));
        }
        if !asked.path.starts_with("/v1/secret/data/agents/alice") {
            return Told::new(404, json!({"errors": ["no handler for route"]}));
        }
        let version = self.versions.len();
        let metadata = json!({"version": version, "destroyed": false});
        match asked.method.as_str() {
            "GET" if self.deleted => {
                Told::new(404, json!({"data": {"data": null, "metadata": metadata}}))
            }
            "GET" => match self.versions.last() {
                None => Told::new(404, json!({"errors": []})),
                Some(data) => Told::new(200, json!({"data": {"data": data, "metadata": metadata}})),
            },
            "POST" => {
                let body = asked.json();
                if body["options"]["cas"] != json!(version) {
                    let said = "check-and-set parameter did not match the current version";
                    return Told::new(400, json!({"errors": [said]}));
                }
                self.versions.push(body["data"].clone());
                Told::new(200, json!({"data": {"version": version + 1}}))
            }
            _ => Told::new(405, json!({"errors": []})),
        }
    }
}

fn settings(fake: &Fake) -> VaultSettings {
    let token = VaultToken::Fixed(Zeroizing::new("root".to_owned()));
    let mut settings = VaultSettings::new(&fake.address, "agents/alice", token);
    settings.mount = "secret".to_owned();
    settings.http = faults::quick();
    settings
}

fn cell() -> (VaultCell, Fake, Arc<Mutex<Engine>>) {
    let engine = Arc::new(Mutex::new(Engine::default()));
    let own = engine.clone();
    let fake = Fake::start(move |asked| own.lock().expect("lock").serve(asked));
    (VaultCell::new(settings(&fake)).expect("settings"), fake, engine)
}

// KMS-30, KMS-31
#[tokio::test]
async fn a_value_changes_from_what_it_is_and_from_nothing_else() {
    let (cell, _, engine) = cell();
    assert_eq!(cell.name(), "secret/agents/alice");
    assert_eq!(cell.read().await, Ok((0, None)));
    assert_eq!(cell.write(1, b"too far").await, Ok(false));
    assert_eq!(cell.write(0, b"one").await, Ok(true));
    assert_eq!(cell.read().await, Ok((1, Some(b"one".to_vec()))));
    for version in [0, 2, u64::MAX] {
        assert_eq!(cell.write(version, b"two").await, Ok(false), "{version}");
    }
    assert_eq!(cell.write(1, b"").await, Ok(true));
    assert_eq!(cell.read().await, Ok((2, Some(Vec::new()))));
    assert_eq!(engine.lock().expect("lock").versions.len(), 2);
    let long = cell.write(2, &[0; 1025]).await;
    assert!(matches!(long, Err(KmsError::Settings(_))), "{long:?}");
}

// attack T27
// KMS-31
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_written_once() {
    for fault in [Fault::DropAfterApply, Fault::CutAnswer] {
        let (cell, fake, engine) = cell();
        fake.fail([fault.clone()]);
        assert_eq!(cell.write(0, b"one").await, Ok(true), "{fault:?}");
        assert_eq!(engine.lock().expect("lock").versions.len(), 1);
        // Somebody else's value in the place of the one that may have been written.
        let other = json!({"value": "b3RoZXI="});
        engine.lock().expect("lock").versions.push(other);
        fake.fail([fault.clone()]);
        assert_eq!(cell.write(1, b"two").await, Ok(false), "{fault:?}");
        assert_eq!(engine.lock().expect("lock").versions.len(), 2);
    }
}

// KMS-30
#[tokio::test]
async fn what_is_missing_deleted_or_refused_is_named() {
    let (cell, fake, engine) = cell();
    assert_eq!(cell.write(0, b"one").await, Ok(true));
    engine.lock().expect("lock").deleted = true;
    let deleted = cell.read().await.expect_err("deleted");
    assert!(deleted.to_string().contains("was deleted; undelete it"), "{deleted}");

    let mut other = settings(&fake);
    other.key = "others".to_owned();
    let missing = VaultCell::new(other).expect("settings").read().await;
    assert_eq!(missing, Err(KmsError::NotFound("secret/others".to_owned())));
    let mut other = settings(&fake);
    other.token = VaultToken::Fixed(Zeroizing::new("guess".to_owned()));
    let other = VaultCell::new(other).expect("settings");
    assert!(matches!(other.read().await, Err(KmsError::Denied(_))));
    assert!(matches!(other.write(1, b"two").await, Err(KmsError::Denied(_))));
    for path in ["", "/alice", "alice/", "a//b", "../sys", "a?b", "a%2fb"] {
        let mut other = settings(&fake);
        other.key = path.to_owned();
        let refused = VaultCell::new(other).map(|_| "taken");
        assert!(matches!(refused, Err(KmsError::Settings(_))), "{path}");
    }
}

// attack T27
// KMS-4, KMS-5, KMS-30, KMS-31
#[tokio::test]
async fn answers_that_do_not_fit_are_refused() {
    let (cell, fake, _) = cell();
    assert_eq!(cell.write(0, b"one").await, Ok(true));
    let garble = |from: &str, to: &str| Fault::Garble(vec![(from.to_owned(), to.to_owned())]);
    for (name, fault) in [
        ("no base64", garble("b25l", "????")),
        ("another kind of value", garble("\"value\"", "\"other\"")),
        ("no version", garble("\"version\":1", "\"version\":\"one\"")),
        ("a page", Fault::Instead(Told::new(200, "<html>"))),
        ("a redirect", Fault::Instead(Told::new(307, "").with("location", "http://127.0.0.1:1"))),
        ("a refusal", Fault::Instead(Told::new(400, json!({"errors": ["c2VjcmV0"]})))),
    ] {
        fake.fail([fault]);
        let error = cell.read().await.expect_err(name);
        assert!(matches!(error, KmsError::Answer(_)), "{name}: {error:?}");
        assert!(!format!("{error:?}").contains("c2VjcmV0"), "{error:?}");
    }
    fake.fail([garble("\"version\":2", "\"version\":3")]);
    let error = cell.write(1, b"two").await.expect_err("another version");
    assert!(matches!(error, KmsError::Answer(_)), "{error:?}");
}

// attack T27
// KMS-9
#[tokio::test]
async fn a_server_that_is_away_is_said_to_be() {
    let (cell, fake, _) = cell();
    fake.fail_always(Fault::Instead(Told::new(503, json!({"errors": ["Vault is sealed"]}))));
    for error in [cell.read().await.err(), cell.write(0, b"one").await.err()] {
        assert!(error.as_ref().is_some_and(KmsError::is_temporary), "{error:?}");
    }
    let mut hasty = settings(&fake);
    hasty.http.deadline = Duration::ZERO;
    let hasty = VaultCell::new(hasty).expect("settings");
    assert!(hasty.read().await.expect_err("away").is_temporary());
    assert!(!format!("{hasty:?}").contains("root"));
}
