//! Connections: TCP, and TLS 1.3 over it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ClientError, RelayUrl, Settings};

/// What bytes go over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection, and how it came about.
pub(super) struct Connected {
    pub(super) io: Box<dyn Io>,
    pub(super) facts: Facts,
}

/// How a connection came about.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsFacts>,
}

/// What TLS agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The protocol, as `TLSv1_3`.
    pub version: String,
    /// How keys were exchanged, as `X25519MLKEM768`.
    pub key_exchange: String,
}

/// Connects to one relay.
pub(super) struct Connector {
    url: RelayUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    plain_http_anywhere: bool,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(url: RelayUrl, settings: &Settings) -> Result<Self, ClientError> {
        let tls = if url.is_secure() { Some(tls(&url, settings)?) } else { None };
        let Settings { plain_http_anywhere, connect: timeout, .. } = *settings;
        Ok(Self { url, tls, plain_http_anywhere, timeout })
    }

    pub(super) async fn connect(&self) -> Result<Connected, ClientError> {
        tokio::time::timeout(self.timeout, self.dial())
            .await
            .unwrap_or_else(|_| Err(ClientError::timed_out("connecting took too long")))
    }

    async fn dial(&self) -> Result<Connected, ClientError> {
        let found = tokio::net::lookup_host((self.url.host(), self.url.port())).await;
        let mut addresses: Vec<SocketAddr> = found.map_err(ClientError::Unresolved)?.collect();
        if addresses.is_empty() {
            return Err(ClientError::Unresolved(io::Error::other("it has no address")));
        }
        if self.tls.is_none() && !self.plain_http_anywhere {
            // REL-30: a name may say that it is this machine, and be another.
            addresses.retain(|address| address.ip().is_loopback());
            if addresses.is_empty() {
                return Err(ClientError::Plain);
            }
        }
        let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let address = tcp.peer_addr().map_err(unreachable)?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Connected { io: Box::new(tcp), facts: Facts { address, tls: None } });
        };
        let stream = connector.connect(name.clone(), tcp).await.map_err(classify)?;
        let facts = Facts { address, tls: Some(tls_facts(&stream)) };
        Ok(Connected { io: Box::new(stream), facts })
    }
}

fn tls(
    url: &RelayUrl,
    settings: &Settings,
) -> Result<(TlsConnector, ServerName<'static>), ClientError> {
    let roots = roots(settings.ca_pem.as_deref())?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| ClientError::Misuse("this build has no TLS 1.3"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|_| ClientError::Misuse("the relay's host cannot be the name in a certificate"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// The roots of the system, and those given beside them.
fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be read are no reason to do without the others.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(pem) = ca_pem else { return Ok(roots) };
    let bad = |_| ClientError::Misuse("the file of certificates of authorities cannot be read");
    let mut given = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(bad)?).map_err(|_| {
            ClientError::Misuse("a certificate of an authority cannot be used as such")
        })?;
        given = given.saturating_add(1);
    }
    if given == 0 {
        return Err(ClientError::Misuse("the file of certificates of authorities has none"));
    }
    Ok(roots)
}

fn tls_facts(stream: &TlsStream<TcpStream>) -> TlsFacts {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map(|version| format!("{version:?}"));
    let group = session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    TlsFacts { version: version.unwrap_or_default(), key_exchange: group.unwrap_or_default() }
}

fn unreachable(error: io::Error) -> ClientError {
    ClientError::Unreachable(error)
}

/// Whose fault it is that TLS did not come about.
fn classify(error: io::Error) -> ClientError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => ClientError::Untrusted(error),
        Some(rustls::Error::InvalidMessage(_)) => {
            ClientError::Protocol("it does not speak TLS at this port")
        }
        _ => ClientError::Unreachable(error),
    }
}
