//! Streams over TCP loopback: plain, TLS 1.3 of rustls, Noise of snowstorm.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::TLS13,
};
use sealwire_bench::{Failure, Request, tcp::throughput};
use snowstorm::{Builder, NoiseStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub fn measure(request: &Request) -> Result<f64, Failure> {
    match request.peer.as_str() {
        "plain" => throughput(request.bytes, async |stream| Ok(stream), async |stream| Ok(stream)),
        "rustls" => tls(request.bytes),
        "snowstorm" => snowstorm(request.bytes),
        _ => Err(request.unknown()),
    }
}

/// TLS 1.3 with what rustls prefers: X25519MLKEM768 and AES-256-GCM.
fn tls(bytes: u64) -> Result<f64, Failure> {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    let (connector, acceptor) =
        (TlsConnector::from(Arc::new(client)), TlsAcceptor::from(Arc::new(server)));
    throughput(
        bytes,
        async move |stream| {
            Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
        },
        async move |stream| Ok(acceptor.accept(stream).await?),
    )
}

fn snowstorm(bytes: u64) -> Result<f64, Failure> {
    let name = "Noise_XX_25519_AESGCM_SHA256";
    let builder = || -> Result<_, Failure> {
        let key = Builder::new(name.parse()?).generate_keypair()?.private;
        Ok((Builder::new(name.parse()?), key))
    };
    throughput(
        bytes,
        async move |stream| {
            let (builder, key) = builder()?;
            let state = builder.local_private_key(&key).build_initiator()?;
            Ok(NoiseStream::handshake(stream, state).await?)
        },
        async move |stream| {
            let (builder, key) = builder()?;
            let state = builder.local_private_key(&key).build_responder()?;
            Ok(NoiseStream::handshake(stream, state).await?)
        },
    )
}
