//! Real servers that tests talk to, and what whoever administers them asks of them.
//!
//! `cargo xtask ci --only services` starts them and says in the environment where they listen.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};

/// Where OpenBao listens.
pub const OPENBAO: &str = "SEALWIRE_TEST_OPENBAO";
/// Where moto listens, as AWS KMS and as S3.
pub const MOTO: &str = "SEALWIRE_TEST_MOTO";
/// Where SeaweedFS listens, as S3.
pub const SEAWEEDFS: &str = "SEALWIRE_TEST_SEAWEEDFS";
/// Where Azurite listens, as Azure Blob.
pub const AZURITE: &str = "SEALWIRE_TEST_AZURITE";

/// The account of every Azurite. Both are in its documentation.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// The key of that account.
pub const AZURITE_ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The address of the server that the environment has under this name: `http://HOST:PORT`.
///
/// # Panics
/// When it has none.
pub fn address(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; run: cargo xtask ci --only services"))
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks the server at `address`, and gives the body of its answer. `headers` end with a line
/// break each.
///
/// # Panics
/// When it does not answer with success.
pub fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
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

/// Makes a bucket at the server that the environment has under this name.
pub fn bucket(variable: &str) -> String {
    let bucket = unique("sealwire");
    ask(&address(variable), "PUT", &format!("/{bucket}"), "", "");
    bucket
}

/// Makes a container in Azurite. The request is signed with the key of the account, as Azure
/// wants it.
pub fn azurite_container() -> String {
    let container = unique("sealwire");
    let (date, version) = ("Fri, 01 Jan 2027 00:00:00 GMT", "2021-08-06");
    let resource = format!("/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{container}\nrestype:container");
    let empty = "\n".repeat(12);
    let signed = format!("PUT{empty}x-ms-date:{date}\nx-ms-version:{version}\n{resource}");
    let key = Base64::decode_vec(AZURITE_ACCOUNT_KEY).expect("a key");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("any length");
    mac.update(signed.as_bytes());
    let signature = Base64::encode_string(&mac.finalize().into_bytes());
    let headers = format!(
        "x-ms-date: {date}\r\nx-ms-version: {version}\r\n\
         Authorization: SharedKey {AZURITE_ACCOUNT}:{signature}\r\n"
    );
    let path = format!("/{AZURITE_ACCOUNT}/{container}?restype=container");
    ask(&address(AZURITE), "PUT", &path, &headers, "");
    container
}
