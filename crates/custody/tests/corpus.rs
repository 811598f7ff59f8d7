//! What holds for every input of the decoder of key files, and for every answer of a key service.
//! The fuzz targets of the same names include this file, and the tests at its foot replay their
//! corpora.

use sealwire_custody::{KeyFile, Params};

#[cfg(feature = "hazmat")]
pub use kms::{kms_aws, kms_vault};

/// A key file is read only from the bytes that it is written as, with bounded parameters.
/// Says whether it was read.
pub fn key_file(bytes: &[u8]) -> bool {
    let Ok(file) = KeyFile::from_bytes(bytes) else { return false };
    assert_eq!(file.to_bytes(), bytes);
    assert!(bytes.len() <= KeyFile::MAX_LEN);
    let params = file.params();
    assert!(Params::new(params.memory_kib(), params.passes(), params.lanes()).is_ok());
    true
}

/// Answers of key services: who was asked for what, status and pause, then the body.
#[cfg(feature = "hazmat")]
#[expect(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]
mod kms {
    use core::time::Duration;
    use std::sync::LazyLock;

    use sealwire_custody::kms::hazmat::{Asked, AwsKey, Heard, Hears, Told, VaultKey, retry_after};
    use sealwire_envelope::kms::{KeyRef, KeyVersion, KmsError, Provider, Wrapped};
    use sealwire_testkit::leak::shows;

    const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/cbd39630";

    static VAULT: LazyLock<(VaultKey, Wrapped)> = LazyLock::new(|| {
        let (name, algorithm) = ("transit/agents", "aes256-gcm96");
        let wrapped = wrapped(Provider::Vault, name, "2", algorithm);
        (VaultKey::new(name, algorithm).expect("a key"), wrapped)
    });
    static AWS: LazyLock<(AwsKey, Wrapped)> = LazyLock::new(|| {
        let wrapped = wrapped(Provider::Aws, ARN, "unversioned", "SYMMETRIC_DEFAULT");
        (AwsKey::new(ARN).expect("a key"), wrapped)
    });

    /// What was wrapped before.
    fn wrapped(provider: Provider, key: &str, version: &str, algorithm: &str) -> Wrapped {
        let key = KeyRef::new(provider, key).expect("a key");
        let version = KeyVersion::new(version).expect("a version");
        Wrapped { key, version, algorithm: algorithm.to_owned(), ciphertext: vec![7; 60] }
    }

    /// The transit engine of Vault or OpenBao.
    pub fn kms_vault(bytes: &[u8]) -> bool {
        let (key, old) = &*VAULT;
        answer(key, old, bytes, |told, new| {
            // What was taken once is taken again, also as what comes after itself.
            let again = key.hear(Asked::Rewrap(new), told).map(into_wrapped);
            assert_eq!(again.as_ref(), Ok(&Some(new.clone())));
        })
    }

    /// AWS KMS.
    pub fn kms_aws(bytes: &[u8]) -> bool {
        let (key, old) = &*AWS;
        answer(key, old, bytes, |told, new| {
            let again = key.hear(Asked::Wrap, told).map(into_wrapped);
            let again = again.expect("the same answer").expect("a wrap");
            assert_eq!(again.ciphertext, new.ciphertext);
        })
    }

    fn into_wrapped(heard: Heard) -> Option<Wrapped> {
        if let Heard::Wrapped(wrapped) = heard { Some(wrapped) } else { None }
    }

    /// Whether an answer was taken for one to what was asked. What it says is bounded, and an
    /// error has none of its words.
    fn answer(
        key: &impl Hears,
        old: &Wrapped,
        bytes: &[u8],
        again: impl Fn(&Told<'_>, &Wrapped),
    ) -> bool {
        let [asked, high, low, pause, rest @ ..] = bytes else { return false };
        let Some((pause, body)) = rest.split_at_checked(usize::from(*pause)) else { return false };
        let told = Told {
            status: u16::from_be_bytes([*high, *low]),
            retry_after: (!pause.is_empty()).then_some(pause),
            body,
        };
        assert!(retry_after(pause).is_none_or(|pause| pause <= Duration::from_secs(60)));
        let asked = match asked {
            0 => Asked::Key,
            1 => Asked::Wrap,
            2 => Asked::Unwrap(old),
            3 => Asked::Rewrap(old),
            _ => return false,
        };
        let heard = key.hear(asked, &told).map_err(|error| check(&error, asked, old));
        let taken = heard.is_ok();
        match (asked, heard) {
            (_, Err(())) => {}
            (Asked::Key, Ok(Heard::Version(_))) => {}
            (Asked::Wrap | Asked::Rewrap(_), Ok(Heard::Wrapped(new))) => {
                assert_eq!((&new.key, &new.algorithm), (&old.key, &old.algorithm));
                assert!((32..=1024).contains(&new.ciphertext.len()));
                again(&told, &new);
            }
            (Asked::Unwrap(_), Ok(Heard::Dek(dek))) => {
                let text = String::from_utf8_lossy(body);
                // JSON may write its letters in other ways.
                assert!(text.contains('\\') || shows(&text, dek.expose()));
            }
            _ => panic!("it answers another question"),
        }
        taken
    }

    /// An error names our key, or the old wrap's version, and nothing that the service chose but
    /// the type of a key.
    fn check(error: &KmsError, asked: Asked<'_>, old: &Wrapped) {
        let shown = error.to_string();
        assert!(shown.len() < 300 && !shown.contains(char::is_control), "{shown:?}");
        let dek: Vec<u8> = (0..32_u8).map(|i| i.wrapping_mul(167).wrapping_add(73)).collect();
        assert!(!shows(&format!("{shown} {error:?}"), &dek), "{shown}");
        match error {
            KmsError::Disabled(key) | KmsError::NotFound(key) => assert_eq!(key, old.key.key()),
            KmsError::Version(version) => {
                assert!(version.is_empty() || version == old.version.as_str());
            }
            KmsError::Throttled(told) => assert!(*told <= Some(Duration::from_secs(60))),
            KmsError::Settings(_) => assert!(matches!(asked, Asked::Key), "{shown}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn key_files() {
        replay("key_file", super::key_file);
    }

    // attack T32
    // KMS-4, KMS-5
    #[cfg(feature = "hazmat")]
    #[test]
    fn answers_of_vault() {
        replay("kms_vault", super::kms_vault);
    }

    // attack T32
    // KMS-4, KMS-5
    #[cfg(feature = "hazmat")]
    #[test]
    fn answers_of_aws() {
        replay("kms_aws", super::kms_aws);
    }
}
