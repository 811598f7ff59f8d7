//! Where relays and services are, and what a relay is called.

use std::{fmt, net::IpAddr};

use sealwire_relay::client::RelayUrl;

use crate::error::Failure;

/// The relay of this machine, where one listens when nothing else is said.
pub(super) fn local(port: u16) -> Result<RelayUrl, Failure> {
    let url = RelayUrl::parse(&format!("http://127.0.0.1:{port}"));
    url.map_err(|error| Failure::other(format!("internal error: {error}")))
}

/// Whether whoever is on the way could read and change what is asked and answered.
pub(super) fn is_exposed(url: &RelayUrl) -> bool {
    !url.is_secure() && !is_local(url.host())
}

/// Whether a host, an IPv6 address without its brackets, is this machine.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Where a service listens: `https://host:8200`, and a path where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceUrl {
    text: String,
    secure: bool,
    local: bool,
}

impl ServiceUrl {
    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The same rule for a host as for that of a relay: neither a user nor anything odd.
        let name = RelayUrl::parse(&format!("https://{authority}")).ok()?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\\"<>".contains(&byte);
        let host = name.host();
        path.bytes().all(is_plain).then(|| Self {
            text: text.to_owned(),
            secure,
            local: is_local(host.trim_matches(['[', ']'])),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is another machine that is reached without TLS.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.secure && !self.local
    }

    /// Whether it is reached without TLS.
    pub(crate) fn is_plain_http(&self) -> bool {
        !self.secure
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of a relay: what stands behind `https://` in its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority(String);

impl Authority {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Nothing but a name may stand there, so no slash at its end either.
        let name = Some(text).filter(|text| !text.contains('/'))?;
        RelayUrl::parse(&format!("https://{name}")).ok()?;
        Some(Self(name.to_ascii_lowercase()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relays_of_this_machine_are_reached_in_clear() {
        for (url, exposed) in [
            ("http://127.0.0.1:7600", false),
            ("http://LocalHost:7600/", false),
            ("http://[::1]:80", false),
            ("https://relay.example", false),
            ("http://relay.example", true),
            ("http://192.0.2.1", true),
            ("http://localhost.example", true),
        ] {
            assert_eq!(is_exposed(&RelayUrl::parse(url).expect(url)), exposed, "{url}");
        }
    }

    #[test]
    fn an_address_of_a_service_has_a_host_and_no_secret() {
        for (text, exposed) in [
            ("https://vault.example:8200", Some(false)),
            ("https://vault.example/prefix/", Some(false)),
            ("HTTP://127.0.0.1:8200", Some(false)),
            ("http://[::1]:8200/x", Some(false)),
            ("http://localhost", Some(false)),
            ("http://vault.example", Some(true)),
            ("http://127.0.0.1.example", Some(true)),
            ("http://10.0.0.1/", Some(true)),
            ("vault.example", None),
            ("ftp://vault.example", None),
            ("https://", None),
            ("https:///path", None),
            ("https://me:word@vault.example", None),
            ("https://vault.example/a@b", None),
            ("https://vault.example?token=x", None),
            ("https://vault.example/#x", None),
            ("https://vault.example/a b", None),
            ("http://127.0.0.1\\@vault.example", None),
        ] {
            assert_eq!(ServiceUrl::parse(text).map(|url| url.is_exposed()), exposed, "{text}");
        }
    }

    #[test]
    fn a_name_is_what_stands_in_an_address() {
        for (name, good) in [
            ("relay.example", true),
            ("Relay.Example:8443", true),
            ("[2001:db8::1]:80", true),
            ("", false),
            ("https://relay.example", false),
            ("relay.example/", false),
            ("relay example", false),
        ] {
            assert_eq!(Authority::parse(name).is_some(), good, "{name}");
        }
    }
}
