//! Who a service has to be.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sealwire_custody::kms::{VaultKms, VaultSettings, VaultToken};
use sealwire_envelope::kms::{Kms, KmsError};
use serde_json::json;
use zeroize::Zeroizing;

use crate::fake::{Fake, Told};

/// A service whose certificate is for `name`, and its authority in PEM.
fn service(name: &str) -> (Fake, Vec<u8>) {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let authority = authority.expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    let metadata = json!({"type": "aes256-gcm96", "derived": true, "latest_version": 3});
    let fake = Fake::start_tls(config, move |_| Told::new(200, json!({"data": metadata})));
    (fake, authority.pem().into_bytes())
}

async fn connect(fake: &Fake, ca_pem: Option<&[u8]>) -> Result<VaultKms, KmsError> {
    let token = VaultToken::Fixed(Zeroizing::new("root".to_owned()));
    let mut settings = VaultSettings::new(&fake.address, "agents", token);
    settings.http.ca_pem = ca_pem.map(<[u8]>::to_vec);
    VaultKms::connect(settings).await
}

// KMS-2
#[tokio::test]
async fn an_authority_that_was_named_is_trusted() {
    let (fake, authority) = service("127.0.0.1");
    let kms = connect(&fake, Some(&authority)).await.expect("connects");
    assert_eq!(kms.version().await.expect("a version").as_str(), "3");
}

// KMS-2
#[tokio::test]
async fn a_service_that_proves_nothing_is_told_nothing() {
    let (fake, _) = service("127.0.0.1");
    let (elsewhere, authority) = service("127.0.0.2");
    for (name, refused) in [
        ("an unknown authority", connect(&fake, None).await),
        ("the authority of another", connect(&fake, Some(&authority)).await),
        ("another name", connect(&elsewhere, Some(&authority)).await),
    ] {
        let error = refused.expect_err(name);
        assert!(matches!(&error, KmsError::Settings(_)), "{name}: {error}");
        assert!(error.to_string().contains("is not trusted"), "{name}: {error}");
    }
    assert!(fake.asked().is_empty() && elsewhere.asked().is_empty(), "a token was sent");
}
