//! The address of a relay: scheme, host and port, and nothing else.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Where a relay is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RelayUrl {
    text: String,
    /// Without TLS, and not on this machine.
    exposed: bool,
}

impl RelayUrl {
    /// The longest: it travels inside an address of a mailbox.
    const MAX_LEN: usize = 128;

    /// The one on this machine, where a relay listens when nothing else is said.
    pub(crate) fn local() -> Self {
        Self { text: "http://127.0.0.1:7600".to_owned(), exposed: false }
    }

    /// Reads an address, and gives it in one form: in lower case, without a slash at its end.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_LEN {
            return None;
        }
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix('/').unwrap_or(&text);
        let (tls, authority) = match text.split_once("://")? {
            ("https", authority) => (true, authority),
            ("http", authority) => (false, authority),
            _ => return None,
        };
        let local = match split(authority)? {
            Host::Name(name) => name == "localhost",
            Host::Ip(ip) => ip.is_loopback(),
        };
        Some(Self { text: text.to_owned(), exposed: !tls && !local })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether whoever is on the way could read and change what is asked and answered.
    pub(crate) fn is_exposed(&self) -> bool {
        self.exposed
    }
}

/// The name of a relay: what stands behind `https://` in its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority(String);

impl Authority {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        split(&text)?;
        Some(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

enum Host<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

/// The host of an authority, which has no user and may have a port.
fn split(authority: &str) -> Option<Host<'_>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            (Host::Ip(ip.into()), port)
        }
        None => {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let ip = name.parse::<IpAddr>().map(Host::Ip);
            (ip.ok().or_else(|| is_name(name).then_some(Host::Name(name)))?, port)
        }
    };
    (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(host)
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits alone is an IP address that was written wrong.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_port(port: &str) -> bool {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_relays_have_one_form() {
        for (given, text, exposed) in [
            ("http://127.0.0.1:7600", "http://127.0.0.1:7600", false),
            ("HTTP://LocalHost:7600/", "http://localhost:7600", false),
            ("http://[::1]:80", "http://[::1]:80", false),
            ("https://relay.example", "https://relay.example", false),
            ("https://192.0.2.1:8443", "https://192.0.2.1:8443", false),
            ("http://relay.example", "http://relay.example", true),
            ("http://192.0.2.1", "http://192.0.2.1", true),
            ("http://localhost.example", "http://localhost.example", true),
        ] {
            let url = RelayUrl::parse(given).expect(given);
            assert_eq!((url.as_str(), url.is_exposed()), (text, exposed), "{given}");
            assert_eq!(RelayUrl::parse(text), Some(url), "{given}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_relay_is_refused() {
        for given in [
            "",
            "relay.example",
            "relay.example:443",
            "ftp://relay.example",
            "https://",
            "https:///",
            "https://user:word@relay.example",
            "https://relay.example/path",
            "https://relay.example//",
            "https://relay.example?query",
            "https://relay.example#part",
            "https://relay.example:",
            "https://relay.example:0",
            "https://relay.example:65536",
            "https://relay.example:+80",
            "https://-relay.example",
            "https://relay..example",
            "https://1.2.3",
            "https://1.2.3.256",
            "https://::1",
            "https://[::1",
            "https://[::1]x",
            "https://[relay]",
            "https://relay example",
            "https://rel\u{e4}y.example",
            "https://relay.example\n",
            &format!("https://{}.example", "a".repeat(128)),
        ] {
            assert_eq!(RelayUrl::parse(given), None, "{given}");
        }
    }
}
