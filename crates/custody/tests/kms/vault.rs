//! The provider for Vault, against a transit engine in a few lines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64ct::{Base64, Encoding};
use sealwire_custody::kms::{VaultKms, VaultSettings, VaultToken};
use sealwire_envelope::kms::{Kms, KmsError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    contract::{self, Service, dek, kms_contract, w},
    fake::{Asked, Fake, Fault, Told},
    faults::{self, Faulty, kms_faults},
};

/// A transit engine with one key.
struct Transit {
    derived: bool,
    versions: u32,
    oldest: u32,
    deleted: bool,
    wraps: HashMap<String, (Value, Value, u32)>,
}

impl Transit {
    fn serve(&mut self, asked: &Asked) -> Told {
        if asked.header("x-vault-token") != "root" {
            return Told::new(403, json!({"errors": ["permission denied"]}));
        }
        let data = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/v1/transit/keys/agents") => json!({
                "type": "aes256-gcm96", "derived": self.derived, "latest_version": self.versions,
                "min_decryption_version": self.oldest, "soft_deleted": self.deleted,
            }),
            ("POST", "/v1/transit/keys/agents/rotate") => {
                self.versions += 1;
                return Told::new(204, "");
            }
            ("POST", path) => {
                let operation = path.strip_prefix("/v1/transit/").expect("the engine");
                let operation = operation.strip_suffix("/agents").expect("the key");
                let items = asked.json()["batch_input"].as_array().expect("a batch").clone();
                let each = items.iter().map(|item| self.one(operation, item));
                json!({"batch_results": each.collect::<Vec<_>>()})
            }
            _ => return Told::new(404, json!({"errors": []})),
        };
        let failed = data["batch_results"]
            .as_array()
            .is_some_and(|results| results.iter().any(|result| result.get("error").is_some()));
        // As OpenBao: a batch to rewrap is 200 whatever is in it.
        let status = if failed && !asked.path.contains("rewrap") { 400 } else { 200 };
        Told::new(status, json!({"data": data}))
    }

    fn one(&mut self, operation: &str, item: &Value) -> Value {
        let (context, error) = (item["context"].clone(), |text: &str| json!({"error": text}));
        if self.deleted {
            return error("refusing to use soft-deleted key");
        }
        if operation == "encrypt" {
            return self.wrap(item["plaintext"].clone(), context);
        }
        let ciphertext = item["ciphertext"].as_str().expect("a text");
        let number = ciphertext["vault:v".len()..].split(':').next().expect("a version");
        let version: u32 = number.parse().expect("a number");
        if version > self.versions {
            return error("invalid ciphertext: version is too new");
        }
        if version < self.oldest {
            return error("ciphertext or signature version is disallowed by policy (too old)");
        }
        match self.wraps.get(ciphertext) {
            Some((plaintext, bound, _)) if *bound == context => match operation {
                "decrypt" => json!({"plaintext": plaintext}),
                _ => self.wrap(plaintext.clone(), context),
            },
            _ => error("cipher: message authentication failed"),
        }
    }

    fn wrap(&mut self, plaintext: Value, context: Value) -> Value {
        let mut bytes = [0; 60];
        bytes[..8].copy_from_slice(&self.wraps.len().to_be_bytes());
        let text = format!("vault:v{}:{}", self.versions, Base64::encode_string(&bytes));
        self.wraps.insert(text.clone(), (plaintext, context, self.versions));
        json!({"ciphertext": text, "key_version": self.versions})
    }
}

struct FakeVault {
    kms: VaultKms,
    fake: Fake,
    transit: Arc<Mutex<Transit>>,
}

fn engine(derived: bool) -> (Fake, Arc<Mutex<Transit>>) {
    let wraps = HashMap::new();
    let transit = Transit { derived, versions: 1, oldest: 1, deleted: false, wraps };
    let transit = Arc::new(Mutex::new(transit));
    let own = transit.clone();
    (Fake::start(move |asked| own.lock().expect("lock").serve(asked)), transit)
}

fn settings(address: &str, token: &str) -> VaultSettings {
    let token = VaultToken::Fixed(Zeroizing::new(token.to_owned()));
    let mut settings = VaultSettings::new(address, "agents", token);
    settings.http = faults::quick();
    settings
}

async fn vault() -> FakeVault {
    let (fake, transit) = engine(true);
    let kms = VaultKms::connect(settings(&fake.address, "root")).await.expect("connects");
    fake.asked();
    FakeVault { kms, fake, transit }
}

impl Service for FakeVault {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    async fn rotate(&mut self) {
        self.transit.lock().expect("lock").versions += 1;
    }

    async fn retire(&mut self) {
        let mut transit = self.transit.lock().expect("lock");
        transit.oldest = transit.versions;
    }

    async fn disable(&mut self) {
        self.transit.lock().expect("lock").deleted = true;
    }
}

impl Faulty for FakeVault {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }
}

kms_contract!(vault:
    comes_back a_wrapped_key_comes_back,
    bound a_wrap_opens_with_its_binding_alone,
    changed a_changed_wrap_is_refused,
    another_key another_key_is_never_used,
    rewraps wraps_are_rewrapped_in_order,
    rotates old_wraps_survive_a_rotation,
    versions_agree a_wrap_under_another_version_is_refused,
    retires a_retired_version_is_named,
    disabled a_disabled_key_is_named,
);
kms_faults!(vault);

// KMS-11
#[tokio::test]
async fn a_key_that_binds_nothing_is_refused() {
    let (fake, _) = engine(false);
    let refused = VaultKms::connect(settings(&fake.address, "root")).await.expect_err("refused");
    assert!(refused.to_string().contains("derived=true"), "{refused}");
}

// KMS-11: also when a key of the same name takes its place.
#[tokio::test]
async fn a_key_that_stops_binding_is_refused() {
    let FakeVault { kms, transit, .. } = vault().await;
    transit.lock().expect("lock").derived = false;
    assert!(matches!(kms.version().await, Err(KmsError::Settings(_))));
}

#[tokio::test]
async fn a_wrong_token_and_a_missing_key_are_named() {
    let (fake, _) = engine(true);
    let refused = VaultKms::connect(settings(&fake.address, "guess")).await.expect_err("refused");
    assert!(matches!(refused, KmsError::Denied(_)), "{refused}");
    let mut other = settings(&fake.address, "root");
    other.key = "others".to_owned();
    let refused = VaultKms::connect(other).await.expect_err("refused");
    assert_eq!(refused, KmsError::NotFound("transit/others".to_owned()));
    fake.fail([Fault::Instead(Told::new(503, json!({"errors": ["Vault is sealed"]})))]);
    let mut hasty = settings(&fake.address, "root");
    hasty.http.deadline = Duration::ZERO;
    let refused = VaultKms::connect(hasty).await.expect_err("refused");
    assert!(matches!(refused, KmsError::Unavailable(_)), "{refused}");
}

// KMS-12, KMS-14
#[tokio::test]
async fn answers_that_do_not_fit_are_refused() {
    let mut service = vault().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    let garble = |from: &str, to: &str| Fault::Garble(vec![(from.to_owned(), to.to_owned())]);
    for (name, fault) in [
        ("another version than in the wrap", garble("\"key_version\":1", "\"key_version\":2")),
        ("a wrap of no version", garble("vault:v1:", "vault:v:")),
        ("a wrap of another kind", garble("vault:v1:", "v1.")),
        ("a short wrap", garble("AAAAAAAAAAAA", "")),
        ("no wrap", garble("ciphertext", "text")),
        ("no result", garble("batch_results", "results")),
    ] {
        service.fake.fail([fault]);
        let answer = service.kms.wrap(&dek(7), &w()).await;
        assert!(matches!(answer, Err(KmsError::Answer(_))), "{name}: {answer:?}");
    }
    for (name, told) in [
        ("no results", json!({"data": {"batch_results": []}})),
        ("two results", json!({"data": {"batch_results": [{}, {}]}})),
        ("no key", json!({"data": {"batch_results": [{}]}})),
        ("an empty key", json!({"data": {"batch_results": [{"plaintext": ""}]}})),
        ("a short key", json!({"data": {"batch_results": [{"plaintext": "AAAA"}]}})),
    ] {
        service.fake.fail([Fault::Instead(Told::new(200, told))]);
        let answer = service.kms.unwrap(&wrapped, &w()).await.err();
        assert!(matches!(answer, Some(KmsError::Answer(_))), "{name}: {answer:?}");
    }
    service.rotate().await;
    let newer = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    let older = json!({"ciphertext": String::from_utf8_lossy(&wrapped.ciphertext)});
    let told = json!({"data": {"batch_results": [older]}});
    service.fake.fail([Fault::Instead(Told::new(200, told))]);
    let rewrapped = service.kms.rewrap(&[(newer, w())]).await.expect("asked");
    assert!(matches!(rewrapped[..], [Err(KmsError::Answer(_))]), "{rewrapped:?}");
}

// KMS-15: two requests for 70 wraps; the first of them is kept when the second fails.
#[tokio::test]
async fn a_batch_that_fails_takes_none_before_it_along() {
    let service = vault().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    let wraps = vec![(wrapped, w()); 70];
    service.fake.asked();
    assert!(service.kms.rewrap(&wraps).await.expect("rewraps").iter().all(Result::is_ok));
    assert_eq!(service.fake.asked().len(), 2);

    let denied = Told::new(403, json!({"errors": ["permission denied"]}));
    service.fake.fail([Fault::Garble(vec![]), Fault::Instead(denied.clone())]);
    let rewrapped = service.kms.rewrap(&wraps).await.expect("the first batch");
    let failed = rewrapped.iter().filter(|result| result.is_err()).count();
    assert_eq!((rewrapped.len(), failed), (70, 6));
    service.fake.fail([Fault::Instead(denied)]);
    assert!(matches!(service.kms.rewrap(&wraps).await, Err(KmsError::Denied(_))));
}

// KMS-16
#[tokio::test]
async fn another_version_is_asked_for_once_and_looked_for_where_the_answer_is_lost() {
    let service = vault().await;
    let rotated = service.kms.rotate().await.expect("rotates");
    assert_eq!((rotated.as_str(), service.fake.asked().len()), ("2", 3));
    let sealed = Told::new(503, json!({"errors": ["Vault is sealed"]}));
    let denied = Told::new(403, json!({"errors": ["permission denied"]}));
    let unavailable = |error: &KmsError| matches!(error, KmsError::Unavailable(_));
    for (name, fault, made) in [
        ("the answer is lost", Fault::DropAfterApply, Ok("3")),
        ("it is sealed", Fault::Instead(sealed), Err(unavailable as fn(&KmsError) -> bool)),
        ("not allowed", Fault::Instead(denied), Err(|error| matches!(error, KmsError::Denied(_)))),
        (
            "nothing is done",
            Fault::Instead(Told::new(204, "")),
            Err(|error| matches!(error, KmsError::Answer(_))),
        ),
    ] {
        // What comes first is a look at the key.
        service.fake.fail([Fault::Garble(vec![]), fault]);
        match (service.kms.rotate().await, made) {
            (Ok(version), Ok(expected)) => assert_eq!(version.as_str(), expected, "{name}"),
            (Err(error), Err(expected)) => assert!(expected(&error), "{name}: {error}"),
            (rotated, _) => panic!("{name}: {rotated:?}"),
        }
        let asked = service.fake.asked();
        let posts = asked.iter().filter(|asked| asked.method == "POST").count();
        assert_eq!(posts, 1, "{name}");
    }
    assert_eq!(service.kms.version().await.expect("a version").as_str(), "3");
}

// KMS-7
#[tokio::test]
async fn the_namespace_and_the_token_go_along() {
    let service = vault().await;
    let mut settings = settings(&service.fake.address, "root");
    settings.namespace = Some("team".to_owned());
    let kms = VaultKms::connect(settings).await.expect("connects");
    assert_eq!(kms.key().key(), "team/transit/agents");
    for asked in service.fake.asked() {
        assert_eq!(asked.header("x-vault-namespace"), "team");
        assert_eq!(asked.header("x-vault-request"), "true");
    }
    assert!(!format!("{kms:?}").contains("root"));
    contract::comes_back(&mut { service }).await;
}
