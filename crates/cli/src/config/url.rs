//! Where a relay is, and what it is called.

use std::net::IpAddr;

use sealwire_relay::client::RelayUrl;

use crate::error::Failure;

/// The relay of this machine, where one listens when nothing else is said.
pub(super) fn local(port: u16) -> Result<RelayUrl, Failure> {
    let url = RelayUrl::parse(&format!("http://127.0.0.1:{port}"));
    url.map_err(|error| Failure::other(format!("internal error: {error}")))
}

/// Whether whoever is on the way could read and change what is asked and answered.
pub(super) fn is_exposed(url: &RelayUrl) -> bool {
    let host = url.host();
    let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    !url.is_secure() && !local
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
