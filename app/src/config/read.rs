//! Text → value, one function for each type of setting. An error continues after the setting's name and a colon.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use chrono_tz::Tz;
use domain::{DAY, HOUR, MINUTE, SECOND};
use ipnet::IpNet;

use super::{Database, LogFormat, Secret};

type Read<T> = Result<T, String>;

pub(super) fn address(text: &str) -> Read<SocketAddr> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| "is no address with a port; write it like 127.0.0.1:5000 or [::]:5000".to_owned())
}

pub(super) fn path(text: &str) -> Read<PathBuf> {
    if text.contains('\0') { Err("is no path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn paths(text: &str) -> Read<Vec<PathBuf>> {
    list(text).map(path).collect()
}

pub(super) fn switch(text: &str) -> Read<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Read<LogFormat> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

/// `mysql+pymysql://` is how existing .env files write it.
pub(super) fn database(text: &str) -> Read<Database> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("is no URL; write it like mysql://user:password@host/database".to_owned());
    };
    match scheme {
        "mysql" | "mysql+pymysql" | "mariadb" | "mariadb+pymysql" => {
            let (_, database) = rest.rsplit_once('/').unwrap_or_default();
            if database.split('?').next().unwrap_or_default().is_empty() {
                return Err("names no database; write it like mysql://user:password@host/database".to_owned());
            }
            Ok(Database::MySql(Secret::new(format!("mysql://{rest}"))))
        }
        "sqlite" => Err("SQLite needs no URL: remove the setting, and name the place with DATA_DIR".to_owned()),
        _ => Err("must begin with mysql://; without this setting everything is kept in SQLite".to_owned()),
    }
}

/// A URL with its password masked.
#[must_use]
pub fn masked_url(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let (login, place) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    };
    masked().unwrap_or_else(|| if text.contains('@') { "***".to_owned() } else { text.to_owned() })
}

pub(super) fn brokers(text: &str) -> Read<String> {
    let brokers: Vec<_> = list(text).collect();
    let valid = |broker: &&str| {
        broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if brokers.is_empty() || !brokers.iter().all(valid) {
        return Err("must be brokers with their ports, such as kafka-1:9092,kafka-2:9092".to_owned());
    }
    Ok(brokers.join(","))
}

pub(super) fn number_within<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: T,
    most: T,
) -> Read<T> {
    let number = text.parse().ok().filter(|number| least <= *number && *number <= most);
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// A part of the name of a topic or of a group's member.
pub(super) fn prefix(text: &str) -> Read<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= 100 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("may have up to 100 letters, digits, dots, hyphens and underscores".to_owned())
}

pub(super) fn kafka_settings(text: &str) -> Read<Vec<(String, Secret)>> {
    let one = |part: &str| match part.split_once('=') {
        Some((name, _)) if bus::kafka::Settings::is_ours(name.trim()) => Err(format!("{} is ours to set", name.trim())),
        Some((name, value)) => Ok((name.trim().to_owned(), Secret::new(value.trim().to_owned()))),
        None => {
            Err("must be settings of librdkafka like security.protocol=SASL_SSL, separated by semicolons".to_owned())
        }
    };
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

pub(super) fn origins(text: &str) -> Read<Vec<String>> {
    list(text)
        .map(|origin| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            match (origin, host) {
                ("*" | "null", _) => Err(format!(
                    "`{origin}` would let every page on the web act for whoever is logged in; name the origins"
                )),
                (_, Some(host)) if !host.is_empty() && !host.contains(['/', '*', ' ', '@']) => Ok(origin.to_owned()),
                _ => Err(format!("`{origin}` is no origin; write it like https://app.example.org, without a path")),
            }
        })
        .collect()
}

pub(super) fn networks(text: &str) -> Read<Vec<IpNet>> {
    list(text)
        .map(|network| {
            let address = || network.parse::<IpAddr>().map(IpNet::from);
            network
                .parse::<IpNet>()
                .or_else(|_| address())
                .map_err(|_| format!("`{network}` is no network; write it like 10.0.0.0/8 or 192.0.2.7"))
        })
        .collect()
}

pub(super) fn public_url(text: &str) -> Read<String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let plain = |url: &reqwest::Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.filter(plain) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err("is no address of a page; write it like https://analytics.example.org".to_owned()),
    }
}

pub(super) fn zone(text: &str) -> Read<Tz> {
    text.parse().map_err(|_| "is no time zone; write it like Europe/Berlin or UTC".to_owned())
}

pub(super) fn hours(text: &str) -> Read<String> {
    // Read where the engine is set up; here only checked, so that the error comes with its setting's name.
    text.parse::<detector::engine::Calendar>().map(|_| text.to_owned())
}

/// A duration in microseconds, such as `30s`, `5m`, `12h`, `400d`.
///
/// # Errors
/// Anything else, in words that continue after the setting's name.
pub fn duration(text: &str) -> Result<i64, String> {
    const WANTED: &str = "must be a number with its unit, such as 30s, 5m, 12h or 400d";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => SECOND / 1_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return Err(WANTED.to_owned()),
    };
    let number: u32 = digits.trim().parse().map_err(|_| WANTED.to_owned())?;
    i64::from(number).checked_mul(unit).ok_or_else(|| WANTED.to_owned())
}

/// The same between two bounds.
///
/// # Errors
/// As [`duration`], and what lies beyond the bounds.
pub fn duration_within(text: &str, least: &str, most: &str) -> Result<i64, String> {
    let value = duration(text)?;
    if !(duration(least)?..=duration(most)?).contains(&value) {
        return Err(format!("must be between {least} and {most}"));
    }
    Ok(value)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5m"), Ok(5 * MINUTE));
        assert_eq!(duration("400d"), Ok(400 * DAY));
        assert_eq!(duration("250ms"), Ok(SECOND / 4));
        for wrong in ["", "5", "m", "-5m", "5 y", "4294967296s", "1.5h", "5m5s", "५m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration_within("8d", "0s", "7d").is_err());
    }

    #[test]
    fn old_ways_to_write_the_database_are_understood() {
        let url = |text| match database(text) {
            Ok(Database::MySql(url)) => url.reveal().to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(url("mysql+pymysql://u:p@h:3307/d"), "mysql://u:p@h:3307/d");
        assert_eq!(url("mysql://u:p@h/d?ssl-mode=REQUIRED"), "mysql://u:p@h/d?ssl-mode=REQUIRED");
        for wrong in ["mysql://u:p@h", "mysql://u:p@h/", "postgres://h/d", "sqlite:///x.db", "h/d"] {
            assert!(database(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_masked_whatever_it_looks_like() {
        assert_eq!(masked_url("mysql://u:p@ss:w/rd@h/d"), "mysql://u:***@h/d");
        assert_eq!(masked_url("mysql://h/d"), "mysql://h/d");
        assert_eq!(masked_url("p@ss"), "***");
    }

    #[test]
    fn no_origin_stands_for_all() {
        for wrong in ["*", "null", "https://*.example.org", "https://a/b", "ftp://a", "http://", "a.example"] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            origins("https://a.example, http://localhost:5173"),
            Ok(vec!["https://a.example".into(), "http://localhost:5173".into()])
        );
    }

    #[test]
    fn the_address_of_the_dashboard_has_no_slash_at_its_end() {
        let read = |text| public_url(text).ok();
        assert_eq!(read("https://a.example/").as_deref(), Some("https://a.example"));
        assert_eq!(read("http://a.example:8080/watch/").as_deref(), Some("http://a.example:8080/watch"));
        for wrong in ["", "a.example", "ftp://a", "https://u@a.example", "https://a/?b=c", "https://a/#b"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_network_may_be_one_address() {
        assert_eq!(networks("10.0.0.0/8,192.0.2.7,::1").map(|networks| networks.len()), Ok(3));
        assert!(networks("10.0.0.0/33").is_err());
        assert!(networks("proxy").is_err());
    }
}
