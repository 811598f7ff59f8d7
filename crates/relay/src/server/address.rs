//! Whom limits count for: addresses of clients, which are neither stored nor logged.

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName};

/// What holds the address of a client behind proxies.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is counted as one: an IPv4 address, or the /64 that an IPv6 host has to itself.
// REL-31
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(u64);

// Logs show no addresses.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin(..)")
    }
}

impl Origin {
    /// The origin of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Below 2^32, where the first half of no global IPv6 address lies.
            IpAddr::V4(address) => Self(u64::from(u32::from(address))),
            IpAddr::V6(address) => Self(high_half(address)),
        }
    }
}

fn high_half(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Addresses with a common beginning, as `192.0.2.0/24`, `2001:db8::/32` or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    v4: bool,
    bits: u32,
}

/// A text that is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: an IP address, or one with a slash and the number of leading bits")]
#[non_exhaustive]
pub struct NotANetwork;

impl Network {
    /// Whether this address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = bits_of(address);
        v4 == self.v4 && masked(bits, self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (address, v4) = bits_of(address);
        let width = if v4 { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| NotANetwork)?,
            None => width,
        };
        if length > width {
            return Err(NotANetwork);
        }
        // An IPv4 address takes the upper 32 bits, so that one mask serves both.
        Ok(Self { address: masked(address, length), v4, bits: length })
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

fn masked(address: u128, bits: u32) -> u128 {
    address & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = if self.v4 {
            IpAddr::V4(u32::try_from(self.address >> 96).unwrap_or_default().into())
        } else {
            IpAddr::V6(self.address.into())
        };
        write!(f, "{address}/{}", self.bits)
    }
}

/// The address of whoever sent a request: the peer of the connection, or, when that is a trusted
/// proxy, the last address in `X-Forwarded-For` that is not one. What stands before it anyone
/// may have written.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let values: Vec<&str> =
        headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Ok(address) = entry.trim().parse() else { return client };
        client = address;
        if !is_trusted(address) {
            return client;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_contains_what_begins_as_it_does() {
        for (network, address, inside) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ] {
            let parsed: Network = network.parse().expect("a network");
            assert_eq!(parsed.contains(ip(address)), inside, "{address} in {network}");
        }
        for text in ["", "192.0.2.0/33", "::/129", "192.0.2/24", "192.0.2.0/", "a", "1.1.1.1/-1"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
        assert_eq!("10.9.9.9/8".parse::<Network>().expect("a network").to_string(), "10.0.0.0/8");
        assert_eq!("2001:db8::1/64".parse::<Network>().expect("").to_string(), "2001:db8::/64");
    }

    // attack T21: whoever has one IPv6 network is counted once, not 2^64 times.
    #[test]
    fn hosts_of_one_ipv6_network_are_counted_together() {
        let same = [ip("2001:db8::1"), ip("2001:db8::ffff:ffff:ffff:ffff")];
        assert_eq!(Origin::of(same[0]), Origin::of(same[1]));
        assert_ne!(Origin::of(same[0]), Origin::of(ip("2001:db8:0:1::1")));
        assert_ne!(Origin::of(ip("192.0.2.1")), Origin::of(ip("192.0.2.2")));
        assert_eq!(Origin::of(ip("192.0.2.1")), Origin::of(ip("::ffff:192.0.2.1")));
    }

    #[test]
    fn a_forwarded_address_is_believed_only_from_a_trusted_proxy() {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        for (name, peer, forwarded, client_is) in [
            ("no proxy", "203.0.113.5", &["192.0.2.1"][..], "203.0.113.5"),
            ("one proxy", "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("invented before it", "10.0.0.1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
            ("two proxies", "10.0.0.1", &["198.51.100.1, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("two headers", "10.0.0.1", &["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
            ("only proxies", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("no header", "10.0.0.1", &[], "10.0.0.1"),
            ("not an address", "10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED, HeaderValue::from_static(value));
            }
            assert_eq!(client(ip(peer), &headers, &trusted), ip(client_is), "{name}");
        }
    }
}
