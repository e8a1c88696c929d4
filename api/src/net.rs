//! Whose address a request has: the peer's, or what trusted proxies say.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The canonical form of an address: an IPv4 address mapped into IPv6 is unwrapped.
pub(crate) fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// What counts as one source for limits: an IPv4 address, or the /64 of an IPv6 one.
pub(crate) fn source(ip: IpAddr) -> IpAddr {
    match canonical(ip) {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The client's address: from the right of `X-Forwarded-For`, the first that no trusted proxy has.
///
/// What stands left of it was written by the client and may be anything. An entry that is no address ends the
/// walk at the proxy that passed it on.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut at = canonical(peer);
    if !is_trusted(at) {
        return at;
    }
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(ip) = address(entry.trim()) else { break };
        at = canonical(ip);
        if !is_trusted(at) {
            break;
        }
    }
    at
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(peer: &str, header: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", header.parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(forwarded("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(forwarded("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(forwarded("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(forwarded("::ffff:10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(forwarded("10.0.0.1", "203.0.113.9, garbage"), "10.0.0.1");
    }

    #[test]
    fn a_source_is_a_64() {
        assert_eq!(source("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::");
    }
}
