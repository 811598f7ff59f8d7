//! What holds in every store, against real servers: `cargo xtask ci --only services`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

#[path = "../store/conformance.rs"]
mod conformance;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use object_store::{ObjectStore, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder};
use sealwire_envelope::store::Store;

/// What S3 asks of all parts but the last.
const PART_LEN: usize = 5 * 1024 * 1024;

/// The account of every Azurite.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The address of a server.
fn address(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; run: cargo xtask ci --only services"))
}

/// A name that no other run has.
fn unique() -> String {
    format!("sealwire-{}", std::process::id())
}

/// What whoever administers a server asks of it.
fn ask(address: &str, method: &str, path: &str, headers: &str) {
    let host = address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(host).expect("connects");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: 0\r\n{headers}\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

async fn conforms(objects: impl ObjectStore) {
    let store = Store::new(Arc::new(objects), "tenants/acme").unwrap();
    conformance::conforms(&store, PART_LEN).await;
}

async fn s3_conforms(variable: &str) {
    let (address, bucket) = (address(variable), unique());
    ask(&address, "PUT", &format!("/{bucket}"), "");
    let s3 = AmazonS3Builder::new()
        .with_endpoint(address)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_access_key_id("AKIDEXAMPLE")
        .with_secret_access_key("secret");
    conforms(s3.build().expect("settings")).await;
}

#[tokio::test]
async fn moto_conforms() {
    s3_conforms("SEALWIRE_TEST_MOTO").await;
}

#[tokio::test]
async fn seaweedfs_conforms() {
    s3_conforms("SEALWIRE_TEST_SEAWEEDFS").await;
}

#[tokio::test]
async fn azurite_conforms() {
    let (address, container) = (address("SEALWIRE_TEST_AZURITE"), unique());
    make_container(&address, &container);
    let azure = MicrosoftAzureBuilder::new()
        .with_account(ACCOUNT)
        .with_access_key(ACCOUNT_KEY)
        .with_endpoint(format!("{address}/{ACCOUNT}"))
        .with_allow_http(true)
        .with_container_name(container);
    conforms(azure.build().expect("settings")).await;
}

/// Signed with the key of the account, as Azure wants it.
fn make_container(address: &str, container: &str) {
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
    ask(address, "PUT", &path, &headers);
}
