//! The provider for AWS KMS, against a KMS in a few lines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64ct::{Base64, Encoding};
use sealwire_custody::kms::{AwsCredentials, AwsKms, AwsSettings};
use sealwire_envelope::kms::{Kms, KmsError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    contract::{Service, dek, kms_contract, unwrapped, w},
    fake::{Asked, Fake, Fault, Told},
    faults::{self, Faulty, kms_faults},
};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// KMS with one key.
struct Keys {
    material: u8,
    /// Whether the service tells key material apart.
    tells: bool,
    state: &'static str,
    wraps: HashMap<String, (Value, Value)>,
}

impl Keys {
    fn serve(&mut self, asked: &Asked) -> Told {
        let signed = asked.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKID/");
        if !signed || asked.header("x-amz-security-token") != "session" {
            return refusal("UnrecognizedClientException");
        }
        let json = asked.json();
        let target = asked.header("x-amz-target").strip_prefix("TrentService.").expect("a target");
        let key = json.get("KeyId").or(json.get("DestinationKeyId")).expect("a key");
        if ![ARN, "alias/agents", "1234abcd"].contains(&key.as_str().expect("a text")) {
            return refusal("NotFoundException");
        }
        if target == "DescribeKey" {
            return self.describe();
        }
        assert_eq!(key, ARN, "an alias was used");
        match self.state {
            "Enabled" => {}
            "Disabled" => return refusal("DisabledException"),
            _ => return refusal("KMSInvalidStateException"),
        }
        match target {
            "Encrypt" => self.wrap(json["Plaintext"].clone(), &json["EncryptionContext"]),
            "Decrypt" => match self.find(&json, "EncryptionContext") {
                Some(plaintext) => Told::new(200, json!({"KeyId": ARN, "Plaintext": plaintext})),
                None => refusal("InvalidCiphertextException"),
            },
            "ReEncrypt" => match self.find(&json, "SourceEncryptionContext") {
                Some(plaintext) => self.wrap(plaintext, &json["DestinationEncryptionContext"]),
                None => refusal("InvalidCiphertextException"),
            },
            other => panic!("{other} was asked"),
        }
    }

    fn describe(&self) -> Told {
        let mut metadata = json!({
            "Arn": ARN, "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": self.state,
        });
        if self.tells {
            metadata["CurrentKeyMaterialId"] = json!(self.name());
        }
        Told::new(200, json!({"KeyMetadata": metadata}))
    }

    fn name(&self) -> String {
        format!("{:02x}", self.material).repeat(32)
    }

    fn find(&self, json: &Value, context: &str) -> Option<Value> {
        let wrap = json["CiphertextBlob"].as_str().expect("a text");
        let (plaintext, bound) = self.wraps.get(wrap)?;
        (*bound == json[context]).then(|| plaintext.clone())
    }

    fn wrap(&mut self, plaintext: Value, context: &Value) -> Told {
        assert_eq!(context.as_object().expect("pairs").len(), 3);
        let mut bytes = [self.material; 120];
        bytes[..8].copy_from_slice(&self.wraps.len().to_be_bytes());
        let text = Base64::encode_string(&bytes);
        self.wraps.insert(text.clone(), (plaintext, context.clone()));
        let mut told = json!({"KeyId": ARN, "CiphertextBlob": text});
        if self.tells {
            told["DestinationKeyMaterialId"] = json!(self.name());
        }
        Told::new(200, told)
    }
}

fn refusal(kind: &str) -> Told {
    Told::new(400, json!({"__type": format!("com.amazonaws.kms#{kind}"), "message": "x"}))
}

struct FakeAws {
    kms: AwsKms,
    fake: Fake,
    keys: Arc<Mutex<Keys>>,
}

fn service(tells: bool) -> (Fake, Arc<Mutex<Keys>>) {
    let keys = Keys { material: 1, tells, state: "Enabled", wraps: HashMap::new() };
    let keys = Arc::new(Mutex::new(keys));
    let own = keys.clone();
    (Fake::start(move |asked| own.lock().expect("lock").serve(asked)), keys)
}

fn settings(address: &str, key: &str) -> AwsSettings {
    let mut settings = AwsSettings::new(key);
    settings.endpoint = Some(address.to_owned());
    settings.credentials = AwsCredentials::Fixed {
        key_id: "AKID".to_owned(),
        secret_key: Zeroizing::new("secret".to_owned()),
        session_token: Some(Zeroizing::new("session".to_owned())),
    };
    settings.http = faults::quick();
    settings
}

async fn aws() -> FakeAws {
    let (fake, keys) = service(true);
    let kms = AwsKms::connect(settings(&fake.address, ARN)).await.expect("connects");
    fake.asked();
    FakeAws { kms, fake, keys }
}

impl Service for FakeAws {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    async fn rotate(&mut self) {
        self.keys.lock().expect("lock").material += 1;
    }

    async fn retire(&mut self) {
        panic!("AWS keeps all key material of a key");
    }

    async fn disable(&mut self) {
        self.keys.lock().expect("lock").state = "Disabled";
    }
}

impl Faulty for FakeAws {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    fn fake(&self) -> &Fake {
        &self.fake
    }
}

kms_contract!(aws:
    comes_back a_wrapped_key_comes_back,
    bound a_wrap_opens_with_its_binding_alone,
    changed a_changed_wrap_is_refused,
    another_key another_key_is_never_used,
    rewraps wraps_are_rewrapped_in_order,
    rotates old_wraps_survive_a_rotation,
    disabled a_disabled_key_is_named,
);
kms_faults!(aws);

// KMS-21
#[tokio::test]
async fn an_alias_is_refused_with_the_key_behind_it() {
    let (fake, _) = service(true);
    for name in ["alias/agents", "1234abcd"] {
        let refused = AwsKms::connect(settings(&fake.address, name)).await.expect_err("no region");
        assert!(refused.to_string().contains("is no ARN"), "{refused}");
        let mut named = settings(&fake.address, name);
        named.region = Some("eu-central-1".to_owned());
        let refused = AwsKms::connect(named).await.expect_err("refused");
        assert!(matches!(refused, KmsError::Settings(_)), "{refused}");
        assert!(refused.to_string().ends_with(ARN), "{refused}");
    }
    let other = ARN.replace("1234abcd", "0000abcd");
    let refused = AwsKms::connect(settings(&fake.address, &other)).await.expect_err("refused");
    assert_eq!(refused, KmsError::NotFound(other));
}

// KMS-22: a label may be too old, and is never too new.
#[tokio::test]
async fn a_wrap_is_labelled_with_a_version_that_was_read_before() {
    let mut service = aws().await;
    let first = service.kms.version().await.expect("a version");
    service.rotate().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    assert_eq!(wrapped.version, first, "read less than a minute ago");
    let rewrapped = service.kms.rewrap(&[(wrapped, w())]).await.expect("rewraps");
    let rewrapped = rewrapped[0].as_ref().expect("rewrapped");
    assert_eq!(rewrapped.version.as_str(), "02".repeat(32));
}

// KMS-22
#[tokio::test]
async fn key_material_that_is_not_told_apart_has_one_name() {
    let (fake, keys) = service(false);
    let kms = AwsKms::connect(settings(&fake.address, ARN)).await.expect("connects");
    assert_eq!(kms.version().await.expect("a version").as_str(), "unversioned");
    keys.lock().expect("lock").material += 1;
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    assert_eq!(wrapped.version.as_str(), "unversioned");
    assert_eq!(unwrapped(&kms, &wrapped, &w()).await, [7; 32]);
}

// attack T27
// KMS-23: an alias that was moved, or another account's key.
#[tokio::test]
async fn the_answer_of_another_key_is_refused() {
    let service = aws().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    let other = Fault::Garble(vec![(ARN.to_owned(), ARN.replace("1111", "9999"))]);
    service.fake.fail_always(other);
    let fits = |error: Option<KmsError>| assert!(matches!(error, Some(KmsError::Answer(_))));
    fits(service.kms.version().await.err());
    fits(service.kms.wrap(&dek(7), &w()).await.err());
    fits(service.kms.unwrap(&wrapped, &w()).await.err());
    let one = Fault::Garble(vec![(ARN.to_owned(), ARN.replace("1111", "9999"))]);
    service.fake.fail_always(Fault::Garble(vec![]));
    service.fake.fail([Fault::Garble(vec![]), one]);
    let rewrapped = service.kms.rewrap(&[(wrapped, w())]).await.expect("asked");
    fits(rewrapped[0].clone().err());
}

// KMS-12
#[tokio::test]
async fn answers_that_do_not_fit_are_refused() {
    let service = aws().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    for (name, wrap) in [
        ("an empty wrap", String::new()),
        ("a short wrap", Base64::encode_string(&[7; 31])),
        ("a long wrap", Base64::encode_string(&[7; 2000])),
        ("no base64", "?".to_owned()),
    ] {
        let told = json!({"KeyId": ARN, "CiphertextBlob": wrap});
        service.fake.fail([Fault::Instead(Told::new(200, told))]);
        let answer = service.kms.wrap(&dek(7), &w()).await;
        assert!(matches!(answer, Err(KmsError::Answer(_))), "{name}: {answer:?}");
    }
    for (name, key) in [("an empty key", ""), ("a short key", "AAAA"), ("no base64", "?")] {
        let told = json!({"KeyId": ARN, "Plaintext": key});
        service.fake.fail([Fault::Instead(Told::new(200, told))]);
        let answer = service.kms.unwrap(&wrapped, &w()).await.err();
        assert!(matches!(answer, Some(KmsError::Answer(_))), "{name}: {answer:?}");
    }
}

// KMS-9, KMS-24
#[tokio::test]
async fn its_own_word_for_throttling_is_understood() {
    let service = aws().await;
    service.fake.fail([
        Fault::Instead(refusal("ThrottlingException")),
        Fault::Instead(refusal("KMSInternalException")),
        Fault::Instead(refusal("DependencyTimeoutException")),
    ]);
    service.kms.wrap(&dek(7), &w()).await.expect("wraps at the fourth call");
    assert_eq!(service.fake.asked().len(), 4);
    service.fake.fail_always(Fault::Instead(refusal("ThrottlingException")));
    let error = service.kms.wrap(&dek(7), &w()).await.expect_err("refused");
    assert_eq!(error, KmsError::Throttled(None));
}

// KMS-15: what a service that is away did before is kept, and it is not asked for the rest.
#[tokio::test]
async fn a_rewrap_ends_with_a_service_that_goes_away() {
    let service = aws().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    let wraps = vec![(wrapped, w()); 5];
    let fine = || Fault::Garble(vec![]);
    service.fake.fail([fine(), fine(), fine()]);
    service.fake.fail_always(Fault::Instead(Told::new(429, "").with("retry-after", 3600)));
    let rewrapped = service.kms.rewrap(&wraps).await.expect("the first two");
    assert_eq!(rewrapped.iter().filter(|result| result.is_ok()).count(), 2);
    assert_eq!(rewrapped[4], Err(KmsError::Throttled(Some(Duration::from_secs(60)))));
    service.fake.asked();
}

#[tokio::test]
async fn wrong_credentials_are_named_and_not_printed() {
    let (fake, _) = service(true);
    let mut wrong = settings(&fake.address, ARN);
    wrong.credentials = AwsCredentials::Fixed {
        key_id: "OTHER".to_owned(),
        secret_key: Zeroizing::new("wJalrXUtnFEMI".to_owned()),
        session_token: None,
    };
    let refused = AwsKms::connect(wrong).await.expect_err("refused");
    assert!(matches!(refused, KmsError::Denied(_)), "{refused}");
    assert!(!format!("{:?}", aws().await.kms).contains("secret"));
}
