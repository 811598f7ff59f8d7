//! TLS, and HTTP/2 over it and without it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use sealwire_relay::{
    server::Certificate,
    wire::{Body as _, MailboxKind, Messages},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    connections::{number, until},
    http::{Ask, Http},
    people::{Owner, Signs, deposit},
    rig::{Rig, frame},
};

const NAME: &str = "relay.example";

/// A certificate, and what trusts it alone.
fn certificate() -> (Certificate, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let key = made.signing_key.serialize_pem().into_bytes().into();
    (Certificate { chain: made.cert.pem().into_bytes(), key }, roots)
}

async fn with_tls() -> (Rig, RootCertStore) {
    let (certificate, roots) = certificate();
    let rig = Rig::with(|settings| {
        settings.tls = Some(certificate);
        settings.authorities = vec![NAME.to_owned()];
        settings.times.handshake = Duration::from_millis(300);
    });
    let mut rig = rig.await;
    NAME.clone_into(&mut rig.host);
    (rig, roots)
}

async fn connect(
    rig: &Rig,
    roots: &RootCertStore,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config =
        ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(rig.address).await?;
    let name = ServerName::try_from(NAME).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn agents_are_served_over_tls_13_with_a_post_quantum_exchange() {
    let (rig, roots) = with_tls().await;
    let stream = connect(&rig, &roots, b"http/1.1").await.expect("a handshake");
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().expect("a group").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    let mut connection = Http::over(stream, NAME);
    let owner = Owner::new(MailboxKind::Pairwise);
    let create = sealwire_relay::wire::Operation::CreateMailbox(owner.receive);
    let ask = owner.ask(NAME, rig.now(), &create, &owner.mailbox());
    connection.ask(&ask).await.is(201);
    let leave = deposit(owner.send, &owner.capability(1, rig.now()), &frame(7));
    connection.ask(&leave).await.is(202);
    let fetch = connection.ask(&rig.signed(&owner, &owner.fetch(0, 1, 0), &[])).await;
    let messages = Messages::from_bytes(&fetch.is(200).body).expect("a body").messages;
    assert_eq!(messages[0].frame, frame(7));
}

// attack T6: nothing older is agreed to.
#[tokio::test]
async fn an_older_tls_is_refused() {
    let (rig, _) = with_tls().await;
    // A hello of TLS 1.2 without the extension that names newer versions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xC0, 0x2F, 1, 0]);
    let mut stream = TcpStream::connect(rig.address).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hello).await.expect("written");
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.expect("closed");
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    until(&rig, "handshakes_failed_total", 1).await;
}

// attack T24: a handshake that does not go on, or is none.
#[tokio::test]
async fn handshakes_that_do_not_end_hold_nobody_up() {
    let (rig, roots) = with_tls().await;
    let mut silent = Vec::new();
    for bytes in [&b""[..], b"\x16", b"GET / HTTP/1.1\r\nhost: relay.example\r\n\r\n"] {
        let mut connection = Http::connect(rig.address).await;
        connection.write(bytes).await;
        silent.push(connection);
    }
    connect(&rig, &roots, b"http/1.1").await.expect("a handshake beside them");
    for mut connection in silent {
        connection.closed().await;
    }
    until(&rig, "handshakes_failed_total", 3).await;
}

#[tokio::test]
async fn another_certificate_is_served_once_it_is_loaded() {
    let (rig, old) = with_tls().await;
    let mut before = Http::over(connect(&rig, &old, b"http/1.1").await.expect("a handshake"), NAME);
    let (certificate, new) = certificate();
    rig.relay.reload_certificate(&certificate).expect("loaded");
    let bad = Certificate { chain: b"chain".to_vec(), key: b"key".to_vec().into() };
    rig.relay.reload_certificate(&bad).expect_err("no certificate");
    connect(&rig, &old, b"http/1.1").await.expect_err("the old one is not served any more");
    connect(&rig, &new, b"http/1.1").await.expect("a handshake");
    // What stood before goes on.
    let nowhere = Ask {
        method: "GET".to_owned(),
        target: "/v1".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    assert_eq!(before.ask(&nowhere).await.status, 404);
}

/// A client over HTTP/2.
async fn http2_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    window: u32,
) -> http2::SendRequest<Full<Bytes>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(65_535);
    let (client, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a preface");
    tokio::task::spawn(connection);
    client
}

async fn ask(
    client: &mut http2::SendRequest<Full<Bytes>>,
    scheme: &str,
    host: &str,
    ask: &Ask,
) -> http::Response<hyper::body::Incoming> {
    let mut request = http::Request::builder()
        .method(ask.method.as_str())
        .uri(format!("{scheme}://{host}{}", ask.target));
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(ask.body.clone()))).expect("a request");
    client.ready().await.expect("a connection");
    client.send_request(request).await.expect("an answer")
}

async fn serve_over_http2(rig: &Rig, scheme: &str, client: &mut http2::SendRequest<Full<Bytes>>) {
    let owner = Owner::new(MailboxKind::Pairwise);
    let create = sealwire_relay::wire::Operation::CreateMailbox(owner.receive);
    let create = owner.ask(&rig.host, rig.now(), &create, &owner.mailbox());
    assert_eq!(ask(client, scheme, &rig.host, &create).await.status(), 201);
    let capability = owner.capability(1, rig.now());
    for byte in 0..20 {
        let leave = deposit(owner.send, &capability, &vec![byte; 65_536]);
        assert_eq!(ask(client, scheme, &rig.host, &leave).await.status(), 202);
    }
    let fetch = rig.signed(&owner, &owner.fetch(0, 100, 0), &[]);
    let answer = ask(client, scheme, &rig.host, &fetch).await;
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let messages = Messages::from_bytes(&body).expect("messages");
    assert!(messages.messages.len() >= 15 && messages.more);
    let small = deposit(owner.send, &capability, &[1]);
    assert_eq!(ask(client, scheme, &rig.host, &small).await.status(), 422);
}

#[tokio::test]
async fn agents_are_served_over_http2_with_tls_and_without() {
    let (rig, roots) = with_tls().await;
    let stream = connect(&rig, &roots, b"h2").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    serve_over_http2(&rig, "https", &mut http2_over(stream, 65_535).await).await;
    let rig = Rig::start().await;
    let stream = TcpStream::connect(rig.address).await.expect("a connection");
    serve_over_http2(&rig, "http", &mut http2_over(stream, 65_535).await).await;
}

// attack T24: over HTTP/2 a client can leave each answer unread by itself.
#[tokio::test]
async fn answers_that_are_not_read_end_an_http2_connection_and_are_bounded() {
    let rig = Rig::with(|settings| {
        settings.times.answer = Duration::from_millis(800);
        settings.bounds.bodies = 8 * 4 * 1024 * 1024;
    })
    .await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..15 {
        rig.deposit(&owner, &vec![byte; 65_536]).await.is(202);
    }
    until(&rig, "connections", 0).await;
    let stream = TcpStream::connect(rig.address).await.expect("a connection");
    let mut client = http2_over(stream, 1024).await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        let fetch = rig.signed(&owner, &owner.fetch(0, 100, 0), &[]);
        unread.push(ask(&mut client, "http", &rig.host, &fetch).await);
    }
    // Four of almost a megabyte are what one address may have waiting.
    let refused = unread.iter().filter(|answer| answer.status() == 503).count();
    assert!((4..8).contains(&refused), "{refused}");
    assert!(number(&rig, "body_bytes").await <= 4 * 1024 * 1024);
    until(&rig, "connections", 0).await;
    until(&rig, "body_bytes", 0).await;
}

#[tokio::test]
async fn http2_connections_end_with_the_relay() {
    let rig = Rig::start().await;
    let stream = TcpStream::connect(rig.address).await.expect("a connection");
    let client = http2_over(stream, 65_535).await;
    until(&rig, "connections", 1).await;
    let Rig { relay, log, .. } = rig;
    relay.shutdown().await;
    let last = log.0.lock().expect("a lock").last().cloned();
    assert_eq!(last, Some(sealwire_relay::server::Event::Stopped { cut_off: 0 }));
    drop(client);
}
