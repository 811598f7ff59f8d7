//! HTTP, as far as a key service needs it: one request, one answer of bounded length and time.

use core::{error::Error as StdError, time::Duration};
use std::{io, net::IpAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, header::RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Url, redirect::Policy, tls::Version};
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::kms::KmsError;

use super::{
    answer::{Answer, retry_after},
    retry::Attempts,
};

/// The longest answer, in bytes: that to a batch is the longest.
const MAX_ANSWER_LEN: usize = 64 * 1024;
/// How a key service is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Longest time to connect. Default: 5 s.
    pub connect: Duration,
    /// Longest time for one answer, the connection included. Default: 10 s.
    pub answer: Duration,
    /// Longest time for a call with all its repetitions. Default: 30 s.
    pub deadline: Duration,
    /// PEM certificates of authorities that are trusted beside those of the system.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            ca_pem: None,
        }
    }
}

/// A service at one address.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    answer: Duration,
    deadline: Duration,
}

/// What is sent. Its body may hold a data key, and is wiped once it is sent.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A body that is wiped when its last holder lets go of it.
pub(super) fn body(bytes: WipedVec) -> Bytes {
    Bytes::from_owner(bytes)
}

impl Http {
    // KMS-2, KMS-3
    pub(super) fn new(address: &str, settings: &HttpSettings) -> Result<Self, KmsError> {
        let (base, is_plain) = parse(address)?;
        let HttpSettings { connect, answer, deadline, ca_pem } = settings;
        let mut builder = Client::builder()
            .redirect(Policy::none()) // Another address would get the data key.
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tls_version_min(Version::TLS_1_2)
            .connect_timeout(*connect);
        if is_plain {
            builder = builder.no_proxy(); // It would see everything.
        }
        if let Some(pem) = ca_pem {
            builder = with_authorities(builder, pem)?;
        }
        let client = builder.build().map_err(|_| {
            KmsError::Settings("the settings of TLS for the key service are not usable".to_owned())
        })?;
        Ok(Self { client, base, answer: *answer, deadline: *deadline })
    }

    /// Host and port, as they stand in a request.
    #[cfg(feature = "aws")]
    pub(super) fn authority(&self) -> &str {
        self.base.authority()
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts::within(self.deadline)
    }

    /// Asks once.
    pub(super) async fn ask(&self, request: Request, left: Duration) -> Result<Answer, KmsError> {
        let Request { method, path, headers, body } = request;
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let request = self.client.request(method, url).headers(headers).body(body);
        let sent = request.timeout(self.answer.min(left)).send().await;
        let mut response = sent.map_err(|error| self.judge(error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let mut body = WipedVec::with_capacity(MAX_ANSWER_LEN);
        while let Some(part) = response.chunk().await.map_err(|error| self.judge(error))? {
            if part.len() > MAX_ANSWER_LEN.saturating_sub(body.len()) {
                return Err(KmsError::Answer("it is longer than it may be")); // KMS-4
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status: response.status(), body, retry_after })
    }

    /// What went wrong, without what was sent.
    fn judge(&self, error: reqwest::Error) -> KmsError {
        let authority = self.base.authority();
        if error.is_timeout() {
            return KmsError::Unavailable(format!("{authority} did not answer in time"));
        }
        let error = error.without_url();
        if let Some(rustls::Error::InvalidCertificate(cause)) = tls(&error) {
            return KmsError::Settings(format!(
                "the certificate of {authority} is not trusted: {cause:?}; name its authority's file"
            ));
        }
        if error.is_connect() {
            return KmsError::Unavailable(format!("{authority} cannot be reached"));
        }
        let why = format!("the connection to {authority} broke before its answer was whole");
        KmsError::Unavailable(why)
    }
}

/// The first error of TLS below an error.
fn tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An error of I/O passes over what it holds.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// An address, and whether it is plain HTTP, which is for this machine alone.
fn parse(address: &str) -> Result<(Url, bool), KmsError> {
    let wrong = |what: &str| Err(KmsError::Settings(format!("the key service's address {what}")));
    let Ok(url) = Url::parse(address) else {
        return wrong("is no URL, such as https://vault.example:8200");
    };
    let has_more = url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
        return wrong("has no user, query or fragment");
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match url.scheme() {
        "https" => Ok((url, false)),
        // A name may say that it is this machine, and be another.
        "http" if host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) => Ok((url, true)),
        "http" => wrong("is https, or http with 127.0.0.1 or [::1]"),
        _ => wrong("begins with https://"),
    }
}

fn with_authorities(builder: ClientBuilder, pem: &[u8]) -> Result<ClientBuilder, KmsError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(builder.tls_certs_merge(certificates)),
        _ => Err(KmsError::Settings(
            "the file of certificates of authorities has none that can be read".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // KMS-2
    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for good in [
            "https://vault.example:8200",
            "https://vault.example/prefix/",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
        ] {
            assert!(Http::new(good, &HttpSettings::default()).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("vault.example", "is no URL"),
            ("http://vault.example", "is https, or http with 127.0.0.1"),
            ("http://localhost:8200", "is https, or http with 127.0.0.1"),
            ("http://127.0.0.1.example", "is https, or http with 127.0.0.1"),
            ("http://10.0.0.1", "is https, or http with 127.0.0.1"),
            ("ftp://127.0.0.1", "begins with https://"),
            ("https://user@vault.example", "has no user"),
            ("https://:secret@vault.example", "has no user"),
            ("https://vault.example?x=1", "has no user, query"),
            ("https://vault.example#x", "has no user, query"),
        ] {
            let error = Http::new(bad, &HttpSettings::default()).expect_err(bad).to_string();
            assert!(error.contains(why), "{bad}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn authorities_that_cannot_be_read_are_refused() {
        for pem in [&b""[..], b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            let settings = HttpSettings { ca_pem: Some(pem.to_vec()), ..HttpSettings::default() };
            let refused = Http::new("https://vault.example", &settings).expect_err("refused");
            assert!(matches!(refused, KmsError::Settings(_)), "{refused}");
        }
    }
}
