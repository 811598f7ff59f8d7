//! The certificate that a relay serves TLS with: TLS 1.3 only, post-quantum key exchange first.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};

use super::Certificate;

/// HTTP/2 and what is older, in the order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The chain is no PEM, or empty.
    #[error("the certificate file holds no certificate in PEM")]
    Chain,
    /// The key is no PEM.
    #[error("the key file holds no private key in PEM")]
    Key,
    /// They do not belong together, or are of a kind that TLS 1.3 does not take.
    #[error("the certificate cannot be used: {0}")]
    Refused(rustls::Error),
}

/// What a relay answers handshakes with.
pub(super) fn config(certificate: &Certificate) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate.chain)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Chain)?;
    if chain.is_empty() {
        return Err(TlsError::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(&certificate.key).map_err(|_| TlsError::Key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Refused)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // Nothing that is sent before the handshake ends: it could be replayed.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn certificate() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).expect("made");
        Certificate {
            chain: made.cert.pem().into_bytes(),
            key: Zeroizing::new(made.signing_key.serialize_pem().into_bytes()),
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        config(&certificate()).expect("a certificate and its key");
        let (one, other) = (certificate(), certificate());
        for (name, chain, key) in [
            ("no chain", &b""[..], &one.key[..]),
            ("no key", &one.chain, b""),
            ("not PEM", b"certificate", &one.key),
            ("the key in place of the chain", &one.key, &one.key),
            ("the chain in place of the key", &one.chain, &one.chain),
            ("another key", &one.chain, &other.key),
        ] {
            let pair = Certificate { chain: chain.to_vec(), key: Zeroizing::new(key.to_vec()) };
            assert!(config(&pair).is_err(), "{name}");
        }
    }

    #[test]
    fn post_quantum_key_exchange_comes_first() {
        let config = config(&certificate()).expect("a certificate and its key");
        let groups = &config.crypto_provider().kx_groups;
        assert_eq!(
            groups.first().map(|group| group.name()),
            Some(rustls::NamedGroup::X25519MLKEM768)
        );
    }
}
