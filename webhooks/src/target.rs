//! Addresses that may be given, checked when they are given and again before each request: settings may have changed.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use crate::address::Networks;

/// More is no address that a person was given.
const LONGEST: usize = 2_000;

/// An address that was checked.
#[derive(Clone)]
pub struct Checked {
    pub(crate) url: Url,
}

impl Checked {
    /// The whole address, in one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// As much of it as people may see: path and query of many receivers are their secret.
    #[must_use]
    pub fn shown(&self) -> String {
        let rest = if self.url.path() == "/" && self.url.query().is_none() { "" } else { "…" };
        format!("{}/{rest}", self.url.origin().ascii_serialization())
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }
}

/// Reads the address of a webhook. Where a name leads is looked at when it is resolved, each time.
///
/// # Errors
/// A sentence that begins with `url`.
pub fn check(text: &str, networks: &Networks) -> Result<Checked, String> {
    if text.len() > LONGEST {
        return Err(format!("url must be at most {LONGEST} bytes long"));
    }
    let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let url = url.ok_or("url must be an address such as https://example.org/alerts")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url must not hold a user name or a password: messages are signed, check that".to_owned());
    }
    if url.fragment().is_some() {
        return Err("url must not have a fragment (#…): it would not be sent".to_owned());
    }
    let checked = Checked { url };
    if let Some(ip) = literal(&checked.url) {
        if !networks.names(ip) && !networks.permit(ip, true) {
            return Err(format!(
                "url leads to {ip}, which is no public address; to allow it, add its network to \
                 WEBHOOK_ALLOWED_NETWORKS"
            ));
        }
        if !networks.permit(ip, checked.is_encrypted()) {
            return Err(PLAIN.to_owned());
        }
    } else if !checked.is_encrypted() && networks.is_empty() {
        return Err(PLAIN.to_owned());
    }
    Ok(checked)
}

const PLAIN: &str = "url must begin with https://; http:// is for networks in WEBHOOK_ALLOWED_NETWORKS only";

/// The IP address that stands in an address, or that a name means everywhere.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?.trim_end_matches('.');
    // RFC 6761: never anything but loopback.
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, networks: &Networks) -> String {
        match check(url, networks) {
            Ok(checked) => panic!("{url} is taken as {}", checked.as_str()),
            Err(said) => said,
        }
    }

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1:8443/x",
            "https://017700000001/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.8/",
            "https://[fd00::1]/",
            "http://192.168.1.1/",
            "https://１２７.0.0.1/",
        ] {
            let said = refused(url, &Networks::default());
            assert!(said.starts_with("url") && said.contains("WEBHOOK_ALLOWED_NETWORKS"), "{url}: {said}");
        }
    }

    #[test]
    fn what_is_no_address_for_a_webhook_is_refused_in_words() {
        let none = Networks::default();
        for (url, why) in [
            ("", "such as https://"),
            ("example.org/x", "such as https://"),
            ("ftp://example.org/", "such as https://"),
            ("file:///etc/passwd", "such as https://"),
            ("https://", "such as https://"),
            ("http://example.org/", "must begin with https://"),
            ("http://8.8.8.8/", "must begin with https://"),
            ("https://ann:pass@example.org/", "user name"),
            ("https://ann@example.org/", "user name"),
            ("https://example.org/#x", "fragment"),
        ] {
            let said = refused(url, &none);
            assert!(said.starts_with("url") && said.contains(why) && !said.contains("pass@"), "{url}: {said}");
        }
        assert!(refused(&format!("https://example.org/{}", "x".repeat(2_000)), &none).contains("2000"));
    }

    #[test]
    fn what_is_shown_ends_before_the_secret() {
        for (url, shown) in [
            ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
            ("https://example.org", "https://example.org/"),
            ("https://example.org:8443/?token=secret", "https://example.org:8443/…"),
        ] {
            let checked = check(url, &Networks::default()).unwrap_or_else(|said| panic!("{url}: {said}"));
            assert_eq!(checked.shown(), shown);
        }
    }

    #[test]
    fn networks_that_were_named_may_be_given_with_and_without_tls() {
        let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
        for url in ["http://127.0.0.1:9/x", "https://127.0.0.1/", "http://localhost:9/", "http://receiver.internal/"] {
            assert!(check(url, &networks).is_ok(), "{url}");
        }
        assert!(refused("http://8.8.8.8/", &networks).contains("https://"));
        assert!(refused("https://10.0.0.1/", &networks).contains("10.0.0.1"));
    }
}
