//! What every provider does, whatever stands behind it.

use sealwire_envelope::{
    Dek, ObjectId, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Provider, Wrapped},
};

/// A provider, and the hands of who administers its service.
pub(crate) trait Service {
    /// The provider, set up.
    fn kms(&self) -> &dyn Kms;

    /// Gives the key a new version, which wraps from then on.
    async fn rotate(&mut self);

    /// Does away with every version but the newest.
    async fn retire(&mut self);

    /// Makes the key unusable.
    async fn disable(&mut self);
}

pub(crate) fn dek(byte: u8) -> Dek {
    Dek::from_unwrapped(&[byte; Dek::LEN]).expect("32 bytes")
}

pub(crate) fn binding(object: u8, tenant: &str, header: &[u8]) -> WrapBinding {
    WrapBinding::new(ObjectId::from_bytes([object; 16]), tenant, header).expect("a binding")
}

/// The binding of most tests.
pub(crate) fn w() -> WrapBinding {
    binding(1, "tenant", b"header")
}

pub(crate) async fn unwrapped(kms: &dyn Kms, wrapped: &Wrapped, w: &WrapBinding) -> Vec<u8> {
    kms.unwrap(wrapped, w).await.expect("opens").expose().to_vec()
}

async fn refused(kms: &dyn Kms, wrapped: &Wrapped, w: &WrapBinding) -> KmsError {
    match kms.unwrap(wrapped, w).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

// KMS-1
pub(crate) async fn comes_back(service: &mut impl Service) {
    let kms = service.kms();
    for byte in [0, 7, 0xff] {
        let wrapped = kms.wrap(&dek(byte), &w()).await.expect("wraps");
        assert_eq!(&wrapped.key, kms.key());
        assert_eq!(wrapped.version, kms.version().await.expect("a version"));
        assert!(!wrapped.algorithm.is_empty());
        assert!(wrapped.ciphertext.len() <= Wrapped::MAX_CIPHERTEXT_LEN);
        assert!(!wrapped.ciphertext.windows(Dek::LEN).any(|part| part == [byte; Dek::LEN]));
        assert_eq!(unwrapped(kms, &wrapped, &w()).await, [byte; Dek::LEN]);
        let again = kms.wrap(&dek(byte), &w()).await.expect("wraps again");
        assert_ne!(wrapped.ciphertext, again.ciphertext, "two wraps of one key look alike");
        assert_eq!(unwrapped(kms, &again, &w()).await, [byte; Dek::LEN]);
    }
}

// attack T12
// KMS-10
pub(crate) async fn bound(service: &mut impl Service) {
    let kms = service.kms();
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    for (name, other) in [
        ("another object", binding(2, "tenant", b"header")),
        ("another tenant", binding(1, "tenant2", b"header")),
        ("another header", binding(1, "tenant", b"header2")),
    ] {
        assert_eq!(refused(kms, &wrapped, &other).await, KmsError::Open, "{name}");
        let rewrapped = kms.rewrap(&[(wrapped.clone(), other)]).await.expect("asked");
        assert_eq!(rewrapped, [Err(KmsError::Open)], "{name}");
    }
}

// attack T12, T27
// KMS-6
pub(crate) async fn changed(service: &mut impl Service) {
    let kms = service.kms();
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    let len = wrapped.ciphertext.len();
    for at in [0, 1, len / 2, len - 2, len - 1] {
        let mut other = wrapped.clone();
        other.ciphertext[at] ^= 1;
        let error = refused(kms, &other, &w()).await;
        let fits = matches!(error, KmsError::Open | KmsError::Version(_) | KmsError::Denied(_));
        assert!(fits, "byte {at}: {error}");
    }
    for (name, ciphertext) in [
        ("empty", vec![]),
        ("cut", wrapped.ciphertext[..len - 1].to_vec()),
        ("longer", [&wrapped.ciphertext[..], b"A"].concat()),
        ("huge", vec![b'A'; Wrapped::MAX_CIPHERTEXT_LEN]),
    ] {
        let other = Wrapped { ciphertext, ..wrapped.clone() };
        let error = refused(kms, &other, &w()).await;
        assert!(matches!(error, KmsError::Open | KmsError::Denied(_)), "{name}: {error}");
    }
}

// attack T12
// KMS-6: whoever writes key records may name a key of their own.
pub(crate) async fn another_key(service: &mut impl Service) {
    let kms = service.kms();
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    let name = format!("{}x", kms.key().key());
    let named = KeyRef::new(kms.key().provider(), &name).expect("a name");
    let provider = Provider::ALL.into_iter().find(|provider| *provider != kms.key().provider());
    let elsewhere = KeyRef::new(provider.expect("another"), kms.key().key()).expect("a name");
    for key in [named, elsewhere] {
        let other = Wrapped { key: key.clone(), ..wrapped.clone() };
        assert_eq!(refused(kms, &other, &w()).await, KmsError::NotFound(key.to_string()));
        let rewrapped = kms.rewrap(&[(other, w())]).await.expect("asked");
        assert_eq!(rewrapped, [Err(KmsError::NotFound(key.to_string()))]);
    }
    let other = Wrapped { algorithm: "none".to_owned(), ..wrapped };
    assert_eq!(refused(kms, &other, &w()).await, KmsError::Open);
}

// KMS-14
pub(crate) async fn rewraps(service: &mut impl Service) {
    let kms = service.kms();
    assert_eq!(kms.rewrap(&[]).await, Ok(vec![]));
    let mut wraps = Vec::new();
    for object in 0..70 {
        let w = binding(object, "tenant", b"header");
        wraps.push((kms.wrap(&dek(object), &w).await.expect("wraps"), w));
    }
    let wrong = binding(99, "tenant", b"header");
    wraps[3].1 = wrong;
    wraps[66].0.algorithm = "none".to_owned();
    let rewrapped = kms.rewrap(&wraps).await.expect("rewraps");
    assert_eq!(rewrapped.len(), wraps.len());
    for (object, ((old, w), new)) in wraps.iter().zip(&rewrapped).enumerate() {
        if object == 3 || object == 66 {
            assert_eq!(*new, Err(KmsError::Open), "{object}");
            continue;
        }
        let new = new.as_ref().expect("rewrapped");
        assert_ne!(new.ciphertext, old.ciphertext);
        let byte = u8::try_from(object).expect("small");
        assert_eq!(unwrapped(kms, new, w).await, [byte; Dek::LEN], "{object}");
    }
}

// KMS-12, KMS-22
pub(crate) async fn rotates(service: &mut impl Service) {
    let old = service.kms().wrap(&dek(7), &w()).await.expect("wraps");
    let before = service.kms().version().await.expect("a version");
    service.rotate().await;
    let kms = service.kms();
    let after = kms.version().await.expect("a version");
    assert_ne!(before, after);
    assert_eq!(unwrapped(kms, &old, &w()).await, [7; Dek::LEN], "an old wrap opens");

    let new = kms.wrap(&dek(8), &w()).await.expect("wraps");
    assert_eq!(new.version, after);
    let rewrapped = kms.rewrap(&[(old.clone(), w()), (new, w())]).await.expect("rewraps");
    for (byte, wrapped) in [7, 8].into_iter().zip(&rewrapped) {
        let wrapped = wrapped.as_ref().expect("rewrapped");
        assert_eq!(wrapped.version, after);
        assert_eq!(unwrapped(kms, wrapped, &w()).await, [byte; Dek::LEN]);
    }
}

// KMS-12: the version stands twice, and whoever changes one is found out.
pub(crate) async fn versions_agree(service: &mut impl Service) {
    service.rotate().await;
    let kms = service.kms();
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    for version in ["1", "3", "02", "x"] {
        let version = KeyVersion::new(version).expect("a version");
        let other = Wrapped { version, ..wrapped.clone() };
        let error = refused(kms, &other, &w()).await;
        assert!(matches!(error, KmsError::Open | KmsError::Version(_)), "{error}");
    }
}

// KMS-13
pub(crate) async fn retires(service: &mut impl Service) {
    let old = service.kms().wrap(&dek(7), &w()).await.expect("wraps");
    service.rotate().await;
    let new = service.kms().wrap(&dek(8), &w()).await.expect("wraps");
    service.retire().await;
    let kms = service.kms();
    let gone = KmsError::Version(old.version.as_str().to_owned());
    assert_eq!(refused(kms, &old, &w()).await, gone);
    let rewrapped = kms.rewrap(&[(old, w()), (new.clone(), w())]).await.expect("asked");
    assert_eq!(rewrapped[0], Err(gone));
    assert!(rewrapped[1].is_ok());
    assert_eq!(unwrapped(kms, &new, &w()).await, [8; Dek::LEN]);
}

// KMS-13, KMS-24
pub(crate) async fn disabled(service: &mut impl Service) {
    let wrapped = service.kms().wrap(&dek(7), &w()).await.expect("wraps");
    service.disable().await;
    let kms = service.kms();
    let disabled = KmsError::Disabled(kms.key().key().to_owned());
    assert_eq!(kms.version().await, Err(disabled.clone()));
    assert_eq!(kms.wrap(&dek(7), &w()).await, Err(disabled.clone()));
    assert_eq!(refused(kms, &wrapped, &w()).await, disabled);
    let rewrapped = kms.rewrap(&[(wrapped, w())]).await;
    let first = rewrapped.and_then(|mut each| each.remove(0));
    assert_eq!(first, Err(disabled));
}

/// The contract, of `$make`, an async function that gives a [`Service`] of its own to each test.
macro_rules! kms_contract {
    ($make:path: $($rule:ident $name:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $name() {
            $crate::contract::$rule(&mut $make().await).await;
        }
    )* };
}
pub(crate) use kms_contract;
