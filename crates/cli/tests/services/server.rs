//! The servers, what whoever administers them asks of them, and what a user is told.

use sealwire_testkit::services::{
    AZURITE, AZURITE_ACCOUNT, AZURITE_ACCOUNT_KEY, MOTO, OPENBAO, SEAWEEDFS, address, ask, unique,
};
use serde_json::{Value, json};

/// As docs/kms.md has it, of who writes and reads, for one key.
const POLICY: &str = r#"
path "MOUNT/keys/agents" { capabilities = ["read"] }
path "MOUNT/encrypt/agents" { capabilities = ["update"] }
path "MOUNT/decrypt/agents" { capabilities = ["update"] }
"#;

/// Of who rotates, in addition.
const ROTATES: &str = r#"
path "MOUNT/keys/agents/rotate" { capabilities = ["update"] }
path "MOUNT/rewrap/agents" { capabilities = ["update"] }
"#;

/// A setting in the environment.
type Variable = (&'static str, String);

fn s3(variable: &str) -> Vec<Variable> {
    vec![
        ("AWS_ENDPOINT_URL", address(variable)),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

pub(crate) fn moto() -> Vec<Variable> {
    s3(MOTO)
}

pub(crate) fn seaweedfs() -> Vec<Variable> {
    s3(SEAWEEDFS)
}

/// Where keys of AWS are, which are not where its buckets are.
pub(crate) fn aws() -> Vec<Variable> {
    vec![("SEALWIRE_STORAGE_AWS_ENDPOINT", address(MOTO))]
}

/// Makes a key, and gives its ARN.
pub(crate) fn aws_key() -> String {
    let scope = "Credential=a/20260101/eu-central-1/kms/aws4_request";
    let headers = format!(
        "x-amz-target: TrentService.CreateKey\r\ncontent-type: application/x-amz-json-1.1\r\n\
         authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0\r\n"
    );
    let body = json!({"KeyUsage": "ENCRYPT_DECRYPT"}).to_string();
    let made = ask(&address(MOTO), "POST", "/", &headers, &body);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    made.pointer("/KeyMetadata/Arn").and_then(Value::as_str).expect("an ARN").to_owned()
}

/// A key of a transit engine of its own, and a token that may use it.
pub(crate) struct Vault {
    mount: String,
    token: String,
}

/// Makes one.
pub(crate) fn vault() -> Vault {
    let mount = unique("transit");
    administer(&format!("sys/mounts/{mount}"), &json!({"type": "transit"}));
    administer(&format!("{mount}/keys/agents"), &json!({"type": "aes256-gcm96", "derived": true}));
    allow(&mount, POLICY);
    let made = administer("auth/token/create", &json!({"policies": [mount]}));
    let token = made.pointer("/auth/client_token").and_then(Value::as_str).expect("a token");
    Vault { token: token.to_owned(), mount }
}

fn allow(mount: &str, policy: &str) {
    let policy = policy.replace("MOUNT", mount);
    administer(&format!("sys/policies/acl/{mount}"), &json!({"policy": policy}));
}

fn administer(path: &str, body: &Value) -> Value {
    let (path, address) = (format!("/v1/{path}"), address(OPENBAO));
    let answer = ask(&address, "POST", &path, "x-vault-token: root\r\n", &body.to_string());
    serde_json::from_str(&answer).unwrap_or_default()
}

impl Vault {
    pub(crate) fn key(&self) -> String {
        format!("vault:{}/agents", self.mount)
    }

    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    /// The token may rotate the key from now on, and rewrap.
    pub(crate) fn let_rotate(&self) {
        allow(&self.mount, &format!("{POLICY}{ROTATES}"));
    }

    /// What older versions wrapped opens no more.
    pub(crate) fn refuse_before(&self, version: u32) {
        let path = format!("{}/keys/agents/config", self.mount);
        administer(&path, &json!({"min_decryption_version": version}));
    }

    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    pub(crate) fn address(&self) -> String {
        address(OPENBAO)
    }

    pub(crate) fn settings(&self) -> Vec<Variable> {
        vec![("SEALWIRE_STORAGE_VAULT_ADDRESS", self.address()), ("BAO_TOKEN", self.token())]
    }
}

pub(crate) fn azurite() -> Vec<Variable> {
    vec![
        ("AZURE_STORAGE_ENDPOINT", format!("{}/{AZURITE_ACCOUNT}", address(AZURITE))),
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_ACCOUNT_KEY.to_owned()),
    ]
}
