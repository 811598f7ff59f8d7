//! The servers, what whoever administers them asks of them, and what a user is told.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

/// The account of every Azurite.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

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

/// The address of a server.
fn address(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; run: cargo xtask ci --only services"))
}

/// A name that no other test has.
fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks a server, and gives the body of its answer.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let host = address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(host).expect("connects");
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n");
    let len = body.len();
    write!(stream, "{head}Content-Length: {len}\r\n{headers}\r\n{body}").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{answer}");
    body.to_owned()
}

fn bucket(variable: &str) -> String {
    let bucket = unique("sealwire-cli");
    ask(&address(variable), "PUT", &format!("/{bucket}"), "", "");
    bucket
}

pub(crate) fn moto_bucket() -> String {
    bucket("SEALWIRE_TEST_MOTO")
}

pub(crate) fn seaweedfs_bucket() -> String {
    bucket("SEALWIRE_TEST_SEAWEEDFS")
}

fn s3(variable: &str) -> Vec<Variable> {
    vec![
        ("AWS_ENDPOINT_URL", address(variable)),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

pub(crate) fn moto() -> Vec<Variable> {
    s3("SEALWIRE_TEST_MOTO")
}

pub(crate) fn seaweedfs() -> Vec<Variable> {
    s3("SEALWIRE_TEST_SEAWEEDFS")
}

/// Where keys of AWS are, which are not where its buckets are.
pub(crate) fn aws() -> Vec<Variable> {
    vec![("SEALWIRE_STORAGE_AWS_ENDPOINT", address("SEALWIRE_TEST_MOTO"))]
}

/// Makes a key, and gives its ARN.
pub(crate) fn aws_key() -> String {
    let scope = "Credential=a/20260101/eu-central-1/kms/aws4_request";
    let headers = format!(
        "x-amz-target: TrentService.CreateKey\r\ncontent-type: application/x-amz-json-1.1\r\n\
         authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0\r\n"
    );
    let body = json!({"KeyUsage": "ENCRYPT_DECRYPT"}).to_string();
    let made = ask(&address("SEALWIRE_TEST_MOTO"), "POST", "/", &headers, &body);
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
    let (path, address) = (format!("/v1/{path}"), address("SEALWIRE_TEST_OPENBAO"));
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
        address("SEALWIRE_TEST_OPENBAO")
    }

    pub(crate) fn settings(&self) -> Vec<Variable> {
        vec![("SEALWIRE_STORAGE_VAULT_ADDRESS", self.address()), ("BAO_TOKEN", self.token())]
    }
}

pub(crate) fn azurite() -> Vec<Variable> {
    vec![
        ("AZURE_STORAGE_ENDPOINT", format!("{}/{ACCOUNT}", address("SEALWIRE_TEST_AZURITE"))),
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
    ]
}

/// Makes a container. The request is signed with the key of the account, as Azure wants it.
pub(crate) fn azurite_container() -> String {
    let container = unique("sealwire-cli");
    let (date, version) = ("Fri, 01 Jan 2027 00:00:00 GMT", "2021-08-06");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container");
    let empty = "\n".repeat(12);
    let signed = format!("PUT{empty}x-ms-date:{date}\nx-ms-version:{version}\n{resource}");
    let key = Base64::decode_vec(ACCOUNT_KEY).expect("a key");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("any length");
    mac.update(signed.as_bytes());
    let signature = Base64::encode_string(&mac.finalize().into_bytes());
    let headers = format!(
        "x-ms-date: {date}\r\nx-ms-version: {version}\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\n"
    );
    let path = format!("/{ACCOUNT}/{container}?restype=container");
    ask(&address("SEALWIRE_TEST_AZURITE"), "PUT", &path, &headers, "");
    container
}
