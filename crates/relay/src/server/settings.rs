//! What an operator may set.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{Network, PerMinute, tls::TlsError};

/// How a relay runs. The default serves agents on this machine.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever reads a configuration")]
pub struct Settings {
    /// Where agents connect. 127.0.0.1:7600.
    pub listen: SocketAddr,
    /// Where the operator connects: health, metrics and the status page, without TLS.
    /// 127.0.0.1:7601; none without.
    pub admin: Option<SocketAddr>,
    /// Whether `admin` may be another address than loopback: what it shows names nobody, but
    /// tells how much goes on. No.
    pub admin_anywhere: bool,
    /// The certificate to serve TLS with. None: plain HTTP.
    pub tls: Option<Certificate>,
    /// Whether plain HTTP may be served on another address than loopback, as behind a proxy that
    /// ends TLS. No.
    pub plain_http_anywhere: bool,
    /// The names of this relay, as they stand in the URLs that agents use: `relay.example` or
    /// `relay.example:8443`. A signature covers the name, and a request under any other is
    /// refused: otherwise one that was signed for another relay would do here. When empty, which
    /// only loopback may be, the address that was connected to and `localhost`.
    pub authorities: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed, and whose connections are not counted. None.
    pub trusted_proxies: Vec<Network>,
    /// Whether the clock is right although it is more than a day ahead of, or behind, the latest
    /// time this relay has seen. No: then a clock that is far ahead deletes no more than a day's
    /// worth before its time, and one that was set back is not followed.
    pub clock_confirmed: bool,
    /// How often somebody may do something.
    pub rates: Rates,
    /// How much at a time.
    pub bounds: Bounds,
    /// How long.
    pub times: Times,
}

/// How often somebody may do something. `None` is without limit.
// REL-31
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever reads a configuration")]
pub struct Rates {
    /// Claims of one agent. 10.
    pub claims_per_caller: Option<PerMinute>,
    /// Claims of one device's keys. 60.
    pub claims_per_target: Option<PerMinute>,
    /// Claims from one address: agents cost nothing to make. 60.
    pub claims_per_address: Option<PerMinute>,
    /// Mailboxes made from one address. 30.
    pub mailboxes_per_address: Option<PerMinute>,
    /// Bundles and pages published from one address. 120.
    pub publications_per_address: Option<PerMinute>,
    /// Frames left in contact mailboxes from one address: everybody has their capability. 120.
    pub contacts_per_address: Option<PerMinute>,
}

/// How much at a time.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever reads a configuration")]
pub struct Bounds {
    /// Connections. 16,384.
    pub connections: usize,
    /// Connections from one address. 512.
    pub connections_per_address: usize,
    /// Bytes of bodies that are arriving, wait to be stored, or wait to be read, in bytes; an
    /// eighth of it for one address. 256 MiB.
    pub bodies: usize,
    /// Frames that wait to be stored; an eighth of it for one address. 8192.
    pub waiting_deposits: usize,
    /// Readers that wait on one mailbox. 16.
    pub waiting_readers: usize,
}

/// How long.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "written out by whoever reads a configuration")]
pub struct Times {
    /// For a TLS handshake. 10 s.
    pub handshake: Duration,
    /// For the head of a request, from the end of the request before it; so also how long an
    /// HTTP/1.1 connection may be idle. 30 s.
    pub head: Duration,
    /// For the body of a request. 30 s.
    pub body: Duration,
    /// For an answer to be taken. 60 s.
    pub answer: Duration,
    /// Between signs of life that a stream, or an HTTP/2 connection, is asked for. One that
    /// gives none for as long again is closed. 30 s.
    pub ping: Duration,
    /// For what is going on when the relay is to end. 10 s.
    pub drain: Duration,
    /// Between sweeps of what has expired: nonces of signatures do so within minutes. 10 s.
    pub sweep: Duration,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "the contents of two files")]
pub struct Certificate {
    /// The chain, the relay's own certificate first.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Plain HTTP to other machines.
    #[error(
        "plain HTTP on {0}, which other machines reach, shows them who talks to whom: set a TLS \
         certificate, listen on 127.0.0.1, or allow it with plain_http_anywhere, behind a proxy \
         that ends TLS"
    )]
    PlainHttp(SocketAddr),
    /// The operator's pages to other machines.
    #[error(
        "the pages for the operator would be served to other machines on {0}: listen on \
         127.0.0.1, or allow it with admin_anywhere"
    )]
    AdminAnywhere(SocketAddr),
    /// No name, and not on loopback.
    #[error(
        "a relay that other machines reach needs its name: set authorities to what stands in its \
         URL, as in relay.example or relay.example:8443"
    )]
    Nameless,
    /// Not a name.
    #[error("not a name as it stands in a URL: {0:?}; one is relay.example or relay.example:8443")]
    Authority(String),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl Settings {
    /// Whether a relay may run like this.
    // REL-30
    pub(super) fn check(&self) -> Result<(), StartError> {
        let local = self.listen.ip().is_loopback();
        if self.tls.is_none() && !local && !self.plain_http_anywhere {
            return Err(StartError::PlainHttp(self.listen));
        }
        if let Some(admin) = self.admin.filter(|admin| !admin.ip().is_loopback())
            && !self.admin_anywhere
        {
            return Err(StartError::AdminAnywhere(admin));
        }
        if self.authorities.is_empty() && !local {
            return Err(StartError::Nameless);
        }
        let is_name = |name: &&String| name.parse::<http::uri::Authority>().is_err();
        match self.authorities.iter().find(is_name) {
            Some(name) => Err(StartError::Authority(name.clone())),
            None => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            listen: local(7600),
            admin: Some(local(7601)),
            admin_anywhere: false,
            tls: None,
            plain_http_anywhere: false,
            authorities: Vec::new(),
            trusted_proxies: Vec::new(),
            clock_confirmed: false,
            rates: Rates::default(),
            bounds: Bounds::default(),
            times: Times::default(),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            claims_per_caller: Some(PerMinute(10)),
            claims_per_target: Some(PerMinute(60)),
            claims_per_address: Some(PerMinute(60)),
            mailboxes_per_address: Some(PerMinute(30)),
            publications_per_address: Some(PerMinute(120)),
            contacts_per_address: Some(PerMinute(120)),
        }
    }
}

impl Rates {
    /// Without any limit, for measuring.
    pub const fn none() -> Self {
        Self {
            claims_per_caller: None,
            claims_per_target: None,
            claims_per_address: None,
            mailboxes_per_address: None,
            publications_per_address: None,
            contacts_per_address: None,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 512,
            bodies: 256 * 1024 * 1024,
            waiting_deposits: 8192,
            waiting_readers: 16,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            ping: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            sweep: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(listen: &str) -> Settings {
        Settings { listen: listen.parse().expect("an address"), ..Settings::default() }
    }

    // REL-30
    #[test]
    fn plain_http_stays_on_this_machine_unless_told_otherwise() {
        for listen in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:7600"] {
            on(listen).check().expect(listen);
        }
        for listen in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            let error = on(listen).check().expect_err(listen);
            assert!(matches!(error, StartError::PlainHttp(_)), "{error}");
            assert!(error.to_string().contains("plain_http_anywhere"), "{error}");
            let mut told = Settings { plain_http_anywhere: true, ..on(listen) };
            assert!(matches!(told.check(), Err(StartError::Nameless)));
            told.authorities.push("relay.example".to_owned());
            told.check().expect(listen);
        }
    }

    #[test]
    fn the_operators_pages_stay_on_this_machine_unless_told_otherwise() {
        let admin = Some("0.0.0.0:7601".parse().expect("an address"));
        let mut settings = Settings { admin, ..Settings::default() };
        assert!(matches!(settings.check(), Err(StartError::AdminAnywhere(_))));
        settings.admin_anywhere = true;
        settings.check().expect("told");
    }

    #[test]
    fn a_name_is_one_of_a_url() {
        for (name, good) in [
            ("relay.example", true),
            ("relay.example:8443", true),
            ("[2001:db8::1]:80", true),
            ("https://relay.example", false),
            ("relay example", false),
            ("relay.example/path", false),
            ("", false),
        ] {
            let settings = Settings { authorities: vec![name.to_owned()], ..Settings::default() };
            assert_eq!(settings.check().is_ok(), good, "{name}");
        }
    }
}
