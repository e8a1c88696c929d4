//! Addresses as they are written.

use std::net::{IpAddr, Ipv4Addr};

/// An address, canonical: one of IPv4 that was mapped into IPv6 is one of IPv4.
pub(super) fn read(text: &str) -> Option<IpAddr> {
    if let Some(address) = dotted(text) {
        return Some(IpAddr::V4(address));
    }
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// `192.0.2.1`, in a third of the steps that a reader of all kinds of addresses takes. `None` says nothing.
fn dotted(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let (mut place, mut number, mut digits) = (0, 0_u16, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                number = number * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if place < 3 => {
                octets[place] = octet(number, digits)?;
                place += 1;
                (number, digits) = (0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = octet(number, digits)?;
    (place == 3).then(|| Ipv4Addr::from(octets))
}

/// Without zeros before it: to some, those mean octal.
fn octet(number: u16, digits: usize) -> Option<u8> {
    let least = *[u16::MAX, 0, 10, 100].get(digits)?;
    u8::try_from(number).ok().filter(|_| number >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_and_the_general_one_agree() {
        let parts = ["", "0", "00", "7", "07", "10", "99", "100", "255", "256", "999", "1000", "a", "-1", " 1", ":"];
        let of = |at: usize| parts[at % parts.len()];
        for at in 0..parts.len().pow(4) {
            let (a, b, c, d) = (of(at), of(at / 16), of(at / 256), of(at / 4096));
            for text in [format!("{a}.{b}.{c}.{d}"), format!("{a}.{b}.{c}"), format!("{a}.{b}.{c}.{d}.1")] {
                let general = text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
                assert_eq!(read(&text), general, "{text}");
            }
        }
        assert_eq!(read("::ffff:192.0.2.1"), read("192.0.2.1"));
        assert_eq!(read("2001:DB8:0::1").map(|address| address.to_string()).as_deref(), Some("2001:db8::1"));
    }
}
