//! No log of any dependency, at its most talkative, shows a data key or a credential.

use std::sync::Mutex;

use base64ct::{Base64, Encoding};
use sealwire_custody::{
    Params, Passphrase,
    kms::{AwsCredentials, AwsKms, AwsSettings, KekFile, VaultKms, VaultSettings, VaultToken},
    system_rng,
};
use sealwire_envelope::{Dek, kms::Kms};
use sealwire_testkit::{leak::shows, logs};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    contract::w,
    fake::{Asked, Fake, Fault, Told},
    faults,
};

/// A service that gives back whatever key it was sent.
fn echo(asked: &Asked) -> Told {
    static SENT: Mutex<String> = Mutex::new(String::new());
    let json = asked.json();
    let item = &json["batch_input"][0];
    for plaintext in [&item["plaintext"], &json["Plaintext"]].iter().filter_map(|v| v.as_str()) {
        *SENT.lock().expect("lock") = plaintext.to_owned();
    }
    let key = SENT.lock().expect("lock").clone();
    let wrap = "A".repeat(80);
    Told::new(
        200,
        json!({
            "data": {
                "type": "aes256-gcm96", "derived": true, "latest_version": 1,
                "batch_results": [if item["ciphertext"].is_null() {
                    json!({"ciphertext": format!("vault:v1:{wrap}")})
                } else {
                    json!({"plaintext": key})
                }],
            },
            "KeyId": ARN, "CiphertextBlob": wrap, "Plaintext": key,
            "KeyMetadata": {
                "Arn": ARN, "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT",
                "KeyState": "Enabled",
            },
        }),
    )
}

const ARN: &str = "arn:aws:kms:eu-central-1:1:key/1234";
const TOKEN: &str = "hvs.0e8dc4bb2a9f";
const PASSPHRASE: &str = "correct horse battery staple";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

// attack T34
// KMS-5
#[tokio::test]
async fn no_log_shows_a_key_or_a_credential() {
    logs::keep();
    let mut said = Vec::new();

    let fake = Fake::start(echo);
    let token = VaultToken::Fixed(Zeroizing::new(TOKEN.to_owned()));
    let mut settings = VaultSettings::new(&fake.address, "agents", token);
    settings.http = faults::quick();
    let vault = VaultKms::connect(settings);
    let mut settings = AwsSettings::new(ARN);
    settings.endpoint = Some(fake.address.clone());
    settings.http = faults::quick();
    settings.credentials = AwsCredentials::Fixed {
        key_id: "AKIDEXAMPLE".to_owned(),
        secret_key: Zeroizing::new(SECRET.to_owned()),
        session_token: Some(Zeroizing::new(TOKEN.to_owned())),
    };
    let providers: [Box<dyn Kms>; 2] = [
        Box::new(vault.await.expect("connects")),
        Box::new(AwsKms::connect(settings).await.expect("connects")),
    ];
    let secret: Vec<u8> = (0..32_u8).map(|i| i.wrapping_mul(167).wrapping_add(73)).collect();
    let dek = Dek::from_unwrapped(&secret).expect("32 bytes");
    for kms in &providers {
        let wrapped = kms.wrap(&dek, &w()).await.expect("wraps");
        let unwrapped = kms.unwrap(&wrapped, &w()).await.expect("unwraps");
        assert_eq!(unwrapped.expose(), dek.expose());
        said.push(format!("{kms:?} {wrapped:?}"));
        // Refused, by a service that quotes what it was sent.
        let quoted = Base64::encode_string(&secret);
        let quoted = format!(r#"{{"errors":["{quoted} {TOKEN}"],"__type":"{quoted} {TOKEN}"}}"#);
        for status in [200, 302, 400, 403, 404, 418, 500] {
            fake.fail_always(Fault::Instead(Told::new(status, &quoted)));
            let (w, wraps) = (w(), [(wrapped.clone(), w())]);
            let refused = tokio::join!(
                kms.version(),
                kms.wrap(&dek, &w),
                async { kms.unwrap(&wrapped, &w).await.map(drop) },
                kms.rewrap(&wraps)
            );
            said.push(format!("{refused:?}"));
        }
        fake.fail_always(Fault::Garble(Vec::new()));
    }
    let home = tempfile::tempdir().expect("a directory");
    let passphrase = Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("long enough");
    let path = home.path().join("kek");
    let params = Params::MIN;
    KekFile::create_with(&path, "test", &passphrase, params, &mut system_rng()).expect("created");
    let wrong = Passphrase::from_bytes(b"another passphrase").expect("long enough");
    let refused = KekFile::open(&path, &wrong).map(drop);
    let opened = KekFile::open(&path, &passphrase).expect("opens");
    said.push(format!("{refused:?} {opened:?} {passphrase:?}"));

    let log = logs::kept();
    assert!(log.contains("hyper") || log.contains("reqwest"), "nothing was logged: {log}");
    let log = log + &said.join("\n");
    assert!(!shows(&log, &secret));
    for credential in [TOKEN, SECRET, PASSPHRASE] {
        assert!(!log.contains(credential) && !shows(&log, credential.as_bytes()), "{credential}");
    }
    // The control: what is logged is found.
    tracing::trace!(key = ?secret);
    assert!(shows(&logs::kept(), &secret));
}
