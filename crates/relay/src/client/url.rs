//! Where a relay is.

use core::{fmt, net::Ipv6Addr};

use sealwire_core::{DecodeError, DecodeReason};

/// Where a relay is: `https://relay.example`, `http://127.0.0.1:7007`, `https://[::1]:8443`.
/// Scheme, host and port, and nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayUrl {
    secure: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl RelayUrl {
    /// The longest, in bytes: a host name has at most 253.
    pub const MAX_LEN: usize = 272;

    /// Reads the text form. Upper case, a default port and one `/` at the end are taken, and not
    /// given back.
    ///
    /// # Errors
    /// [`DecodeError`] that says what a relay's URL has to be.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new("URL of a relay", reason);
        let invalid = |rule| error(DecodeReason::Invalid(rule));
        if text.len() > Self::MAX_LEN {
            return Err(error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        let text = text.to_ascii_lowercase();
        let (secure, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(invalid("begins with https:// or http://")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if !is_host(host) {
            return Err(invalid("names a host, and nothing behind it but a port"));
        }
        let port = match port {
            None => default_port(secure),
            Some(digits) => {
                let port = digits.parse().ok().filter(|port: &u16| *port != 0);
                let port = port.filter(|port| port.to_string() == digits);
                port.ok_or(invalid("has a port between 1 and 65535"))?
            }
        };
        Ok(Self { secure, host: host.to_owned(), port })
    }

    /// Whether it is spoken to over TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The name or address to connect to.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port as the header `host` has them, and the signature component `@authority`.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.secure) {
            return self.host.clone();
        }
        format!("{}:{}", self.host, self.port)
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            host.len() <= 253 && host.split('.').all(is_label)
        }
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for (given, expected, host, authority) in [
            ("https://relay.example", "https://relay.example", "relay.example", "relay.example"),
            (
                "HTTPS://Relay.Example:443/",
                "https://relay.example",
                "relay.example",
                "relay.example",
            ),
            ("http://localhost:80", "http://localhost", "localhost", "localhost"),
            ("http://127.0.0.1:7007", "http://127.0.0.1:7007", "127.0.0.1", "127.0.0.1:7007"),
            ("https://[::1]:8443/", "https://[::1]:8443", "::1", "[::1]:8443"),
            ("https://[::1]", "https://[::1]", "::1", "[::1]"),
        ] {
            let url = RelayUrl::parse(given).expect(given);
            assert_eq!(url.to_string(), expected);
            assert_eq!((url.host(), url.authority().as_str()), (host, authority));
            assert_eq!(RelayUrl::parse(expected).expect(expected), url);
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for (what, text) in [
            ("nothing", ""),
            ("no scheme", "relay.example"),
            ("another scheme", "ftp://relay.example"),
            ("no host", "https://"),
            ("no host but a port", "https://:443"),
            ("a path", "https://relay.example/v1"),
            ("two slashes", "https://relay.example//"),
            ("a query", "https://relay.example?x"),
            ("a fragment", "https://relay.example#x"),
            ("a user", "https://user@relay.example"),
            ("a user and a password", "https://user:word@relay.example"),
            ("port 0", "https://relay.example:0"),
            ("an empty port", "https://relay.example:"),
            ("a port with a zero before it", "https://relay.example:0443"),
            ("a port with a sign", "https://relay.example:+443"),
            ("a port that is too high", "https://relay.example:65536"),
            ("an empty label", "https://relay..example"),
            ("a space", "https://relay .example"),
            ("a line break", "https://relay.example\r\nx: y"),
            ("an address of IPv6 without brackets", "https://::1"),
            ("half a bracket", "https://[::1"),
            ("a zone", "https://[fe80::1%25eth0]"),
            ("an IP address that is none", "https://[::g]"),
        ] {
            assert!(RelayUrl::parse(text).is_err(), "{what}");
        }
        let long = format!("https://{}", "a.".repeat(140));
        assert!(RelayUrl::parse(&long).is_err());
        let label = format!("https://{}.example", "a".repeat(64));
        assert!(RelayUrl::parse(&label).is_err());
    }
}
