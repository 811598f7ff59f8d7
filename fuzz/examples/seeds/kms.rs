//! Seeds of the targets that read answers of key services: what OpenBao 2.7.2 and moto 5.2.5
//! answered, without what nobody reads, and what AWS documents.

use std::io;

use crate::seed;

const KEY: u8 = 0;
const WRAP: u8 = 1;
const UNWRAP: u8 = 2;
const REWRAP: u8 = 3;

/// Who was asked for what, status and pause, then the body.
fn answer(
    target: &str,
    name: &str,
    asked: u8,
    (status, pause): (u16, &str),
    body: &str,
) -> io::Result<()> {
    let pause_len = u8::try_from(pause.len()).map_err(io::Error::other)?;
    let [high, low] = status.to_be_bytes();
    let head = [asked, high, low, pause_len];
    seed(target, name, &[&head[..], pause.as_bytes(), body.as_bytes()].concat())
}

pub(crate) fn vault() -> io::Result<()> {
    let told = |name: &str, asked, status, data: &str| {
        let body = format!(
            r#"{{"request_id":"efc7969b-84d2-486a-6013-6c1f440f753c","lease_id":"","renewable":false,"lease_duration":0,"data":{data},"wrap_info":null,"warnings":null,"auth":null}}"#
        );
        answer("kms_vault", name, asked, (status, ""), &body)
    };
    let key = |kind: &str, derived, deleted| {
        format!(
            r#"{{"derived":{derived},"kdf":"hkdf_sha256","keys":{{"1":1795368216,"2":1795368217}},"latest_version":2,"min_decryption_version":1,"name":"agents","soft_deleted":{deleted},"type":"{kind}"}}"#
        )
    };
    told("key", KEY, 200, &key("aes256-gcm96", true, false))?;
    told("key-not-derived", KEY, 200, &key("aes256-gcm96", false, false))?;
    told("key-deleted", KEY, 200, &key("aes256-gcm96", true, true))?;
    told("key-for-signatures", KEY, 200, &key("ed25519", true, false))?;
    told("key-for-a-terminal", KEY, 200, &key("\\u001b[2J", true, false))?;
    let batch = |result: &str| format!(r#"{{"batch_results":[{result}]}}"#);
    let wrap = |version: u32| {
        batch(&format!(
            r#"{{"ciphertext":"vault:v{version}:EwemU7y8yETP6ISamnmhRzcYYGb03enqDWf61I+snAu1TMP6E9ZvhjozY6rosiHtiMIGKvsVvzsjSpX9","key_version":{version},"reference":""}}"#
        ))
    };
    told("wrap", WRAP, 200, &wrap(1))?;
    told("rewrap", REWRAP, 200, &wrap(2))?;
    told("rewrap-newer", REWRAP, 200, &wrap(u32::MAX))?;
    told("rewrap-older", REWRAP, 200, &wrap(1))?;
    told("wrap-two-versions", WRAP, 200, &wrap(1).replace("n\":1", "n\":2"))?;
    told("wrap-version-0", WRAP, 200, &wrap(0))?;
    told("wrap-none", WRAP, 200, &batch(""))?;
    let plaintext =
        r#"{"plaintext":"SfCXPuWMM9qBKM92HcRrErlgB65V/KNK8Zg/5o0024I=","reference":""}"#;
    told("unwrap", UNWRAP, 200, &batch(plaintext))?;
    told("unwrap-two", UNWRAP, 200, &batch(&format!("{plaintext},{plaintext}")))?;
    told("unwrap-short", UNWRAP, 200, &batch(&plaintext.replace("24I=", "")))?;
    for (name, error) in [
        ("other-context", "cipher: message authentication failed"),
        ("too-old", "ciphertext or signature version is disallowed by policy (too old)"),
        ("too-new", "invalid ciphertext: version is too new"),
        ("not-known", "SfCXPuWMM9qBKM92HcRrErlgB65V/KNK8Zg/5o0024I="),
    ] {
        let result = format!(r#"{{"plaintext":"","error":"{error}","reference":""}}"#);
        told(&format!("unwrap-{name}"), UNWRAP, 400, &batch(&result))?;
    }
    let plain = |name: &str, status, body: &str| answer("kms_vault", name, WRAP, status, body);
    plain("missing", (404, ""), r#"{"errors":[]}"#)?;
    plain("denied", (403, ""), r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#)?;
    plain("sealed", (503, ""), r#"{"errors":["Vault is sealed"]}"#)?;
    plain("throttled", (429, "7"), r#"{"errors":["request path is rate limited"]}"#)?;
    plain("throttled-for-ever", (503, "18446744073709551615"), "")?;
    plain("throttled-to-a-date", (429, "Wed, 21 Oct 2015 07:28:00 GMT"), "")?;
    plain("redirect", (307, ""), "")?;
    plain("page", (502, ""), "<html>")
}

const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/cbd39630";

pub(crate) fn aws() -> io::Result<()> {
    let told = |name: &str, asked, body: &str| answer("kms_aws", name, asked, (200, ""), body);
    let key = |arn: &str, spec: &str, state: &str, material: &str| {
        format!(
            r#"{{"KeyMetadata": {{"AWSAccountId": "123456789012", "Arn": "{arn}", "CreationDate": 1795368221.17952, "CustomerMasterKeySpec": "{spec}", "KeySpec": "{spec}", "Description": "", "Enabled": true, "EncryptionAlgorithms": ["{spec}"], "KeyId": "cbd39630", "KeyManager": "CUSTOMER", "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "{state}", "MultiRegion": null, "Origin": "AWS_KMS", {material}"SigningAlgorithms": null}}}}"#
        )
    };
    let material = r#""CurrentKeyMaterialId": "a1b2c3d4", "#;
    told("key", KEY, &key(ARN, "SYMMETRIC_DEFAULT", "Enabled", ""))?;
    told("key-with-material", KEY, &key(ARN, "SYMMETRIC_DEFAULT", "Enabled", material))?;
    told(
        "key-with-bad-material",
        KEY,
        &key(ARN, "SYMMETRIC_DEFAULT", "Enabled", &material.replace("a1", "\\n")),
    )?;
    told("key-of-another", KEY, &key("arn:other", "SYMMETRIC_DEFAULT", "Enabled", ""))?;
    told("key-rsa", KEY, &key(ARN, "RSA_4096", "Enabled", ""))?;
    told("key-disabled", KEY, &key(ARN, "SYMMETRIC_DEFAULT", "PendingDeletion", ""))?;
    let wrap = |arn: &str, more: &str| {
        format!(
            r#"{{"CiphertextBlob": "Y2JkMzk2MzAtZDBkNy00NTk4LWIyNzAtODQ3OTM4ZTVhZDc3kjXx41S61wIUrJG37h1H7WARM16I8LVaO8WQoIQ0sI1VcN76kUnMjE4SaL2CFwLp5vCVu2l5fFr3cWK6", "KeyId": "{arn}"{more}}}"#
        )
    };
    told("wrap", WRAP, &wrap(ARN, ""))?;
    told("wrap-by-another", WRAP, &wrap("arn:other", ""))?;
    told("rewrap", REWRAP, &wrap(ARN, r#", "DestinationKeyMaterialId": "a1b2c3d4""#))?;
    told("rewrap-without-material", REWRAP, &wrap(ARN, ""))?;
    told("wrap-short", WRAP, &wrap(ARN, "").replace("NzAtODQ3OTM4ZTVhZDc3kjXx41S61wIUrJG37h1H7WARM16I8LVaO8WQoIQ0sI1VcN76kUnMjE4SaL2CFwLp5vCVu2l5fFr3cWK6", ""))?;
    let plaintext = "SfCXPuWMM9qBKM92HcRrErlgB65V/KNK8Zg/5o0024I=";
    let unwrap = format!(r#"{{"Plaintext": "{plaintext}", "KeyId": "{ARN}"}}"#);
    told("unwrap", UNWRAP, &unwrap)?;
    told("unwrap-short", UNWRAP, &unwrap.replace("24I=", ""))?;
    for (name, kind) in [
        ("open", "InvalidCiphertextException"),
        ("key", "com.amazonaws.kms#IncorrectKeyException:http://internal.amazon.com/"),
        ("disabled", "DisabledException"),
        ("missing", "NotFoundException"),
        ("denied", "AccessDeniedException"),
        ("credentials", "UnrecognizedClientException"),
        ("throttled", "ThrottlingException"),
        ("internal", "KMSInternalException"),
        ("not-known", plaintext),
    ] {
        let body = format!(r#"{{"__type": "{kind}", "message": "{plaintext}"}}"#);
        answer("kms_aws", &format!("refusal-{name}"), WRAP, (400, "3"), &body)?;
    }
    answer("kms_aws", "page", WRAP, (502, ""), "<html>")
}
