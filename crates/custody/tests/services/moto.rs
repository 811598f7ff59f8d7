//! moto, which imitates AWS. It checks no signature and tells no key material apart.

use sealwire_custody::kms::{AwsCredentials, AwsKms, AwsSettings};
use sealwire_envelope::kms::{Kms, KmsError};
use sealwire_testkit::services::{MOTO, address, unique};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    ask,
    contract::{Service, kms_contract},
};

/// One key.
struct Moto {
    kms: AwsKms,
    /// moto administers a key by its id alone.
    id: String,
}

async fn administer(operation: &str, body: Value) -> Value {
    let request = reqwest::Client::new().post(address(MOTO));
    let scope = "Credential=a/20260101/eu-central-1/kms/aws4_request";
    let signed = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    let request = request
        .header("x-amz-target", format!("TrentService.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", signed);
    ask(request.body(body.to_string())).await
}

async fn key(body: Value) -> (String, String) {
    let made = administer("CreateKey", body).await;
    let text = |name: &str| made["KeyMetadata"][name].as_str().expect("a text").to_owned();
    (text("Arn"), text("KeyId"))
}

fn settings(key: &str) -> AwsSettings {
    let mut settings = AwsSettings::new(key);
    settings.endpoint = Some(address(MOTO));
    settings.region = Some("eu-central-1".to_owned());
    settings.credentials = AwsCredentials::Fixed {
        key_id: "AKIDEXAMPLE".to_owned(),
        secret_key: Zeroizing::new("secret".to_owned()),
        session_token: None,
    };
    settings
}

async fn moto() -> Moto {
    let (arn, id) = key(json!({"KeyUsage": "ENCRYPT_DECRYPT"})).await;
    Moto { kms: AwsKms::connect(settings(&arn)).await.expect("connects"), id }
}

impl Service for Moto {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    async fn rotate(&mut self) {
        administer("RotateKeyOnDemand", json!({"KeyId": self.id})).await;
    }

    async fn retire(&mut self) {
        panic!("AWS keeps all key material of a key");
    }

    async fn disable(&mut self) {
        administer("DisableKey", json!({"KeyId": self.id})).await;
    }
}

kms_contract!(moto:
    comes_back a_wrapped_key_comes_back,
    bound a_wrap_opens_with_its_binding_alone,
    changed a_changed_wrap_is_refused,
    another_key another_key_is_never_used,
    rewraps wraps_are_rewrapped_in_order,
);

// KMS-21
#[tokio::test]
async fn an_alias_is_refused_with_the_key_behind_it() {
    let (arn, id) = key(json!({"KeyUsage": "ENCRYPT_DECRYPT"})).await;
    let alias = format!("alias/{}", unique("agents"));
    administer("CreateAlias", json!({"AliasName": alias, "TargetKeyId": id})).await;
    for name in [&alias, &id] {
        let refused = AwsKms::connect(settings(name)).await.expect_err("refused");
        assert!(refused.to_string().ends_with(&arn), "{refused}");
    }
}

// KMS-21
#[tokio::test]
async fn keys_that_cannot_wrap_are_refused() {
    let (disabled, id) = key(json!({"KeyUsage": "ENCRYPT_DECRYPT"})).await;
    administer("DisableKey", json!({"KeyId": id})).await;
    let refused = AwsKms::connect(settings(&disabled)).await.expect_err("refused");
    assert_eq!(refused, KmsError::Disabled(disabled.clone()));

    let (rsa, _) = key(json!({"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "RSA_2048"})).await;
    let refused = AwsKms::connect(settings(&rsa)).await.expect_err("refused");
    assert!(matches!(refused, KmsError::Settings(_)), "{refused}");

    let missing = disabled.replace(&id, "00000000-0000-0000-0000-000000000000");
    let refused = AwsKms::connect(settings(&missing)).await.expect_err("refused");
    assert_eq!(refused, KmsError::NotFound(missing));
}
