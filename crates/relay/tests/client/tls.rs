//! TLS: with certificates that are trusted, and a key exchange that is post-quantum.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use sealwire_relay::{Problem, client::ClientError, client::Settings};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::scripted::{Reply, Scripted, client, problem, settings};

/// An authority, and a server with a certificate of it for this name.
async fn server(name: &str) -> (String, u16, JoinSet<()>) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a configuration");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let Reply::Answer(answer) = problem(Problem::NotFound) else { continue };
            // The request is not read: it is the only one.
            stream.write_all(&answer).await.expect("written");
            stream.flush().await.expect("written");
            let mut rest = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
        }
    });
    (authority.pem(), port, tasks)
}

fn trusting(pem: &str) -> Settings {
    let mut settings = settings();
    settings.ca_pem = Some(pem.as_bytes().to_vec());
    settings
}

#[tokio::test]
async fn a_trusted_relay_is_reached_with_a_post_quantum_key_exchange() {
    let (pem, port, _tasks) = server("localhost").await;
    let relay = client(&format!("https://localhost:{port}"), trusting(&pem));
    let tls = relay.probe().await.expect("a relay").tls.expect("TLS");
    assert_eq!((tls.version.as_str(), tls.key_exchange.as_str()), ("TLSv1_3", "X25519MLKEM768"));
}

#[tokio::test]
async fn certificates_that_are_not_trusted_are_refused() {
    let (pem, port, _tasks) = server("localhost").await;
    let (others, _, _) = server("localhost").await;
    for (what, url, settings) in [
        ("the system's authorities", format!("https://localhost:{port}"), settings()),
        ("another authority", format!("https://localhost:{port}"), trusting(&others)),
        ("another name", format!("https://127.0.0.1:{port}"), trusting(&pem)),
    ] {
        let error = client(&url, settings).probe().await.expect_err(what);
        assert!(matches!(error, ClientError::Untrusted(_)), "{what}: {error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_port_without_tls_is_told_as_such() {
    let plain = Scripted::new(|_| Reply::Cut).await;
    let relay = client(&format!("https://127.0.0.1:{}", plain.port), settings());
    let error = relay.probe().await.expect_err("no TLS");
    assert!(!matches!(error, ClientError::Untrusted(_)), "{error:?}");
}

#[test]
fn a_file_of_authorities_that_has_none_is_refused() {
    let url = sealwire_relay::client::RelayUrl::parse("https://relay.example").expect("a URL");
    for (what, pem) in [
        ("nothing", ""),
        ("no PEM", "certificate"),
        ("a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("cut off", "-----BEGIN CERTIFICATE-----\nAAAA\n"),
    ] {
        let refused = sealwire_relay::client::Client::new(url.clone(), None, trusting(pem));
        assert!(matches!(refused, Err(ClientError::Misuse(_))), "{what}");
    }
}
