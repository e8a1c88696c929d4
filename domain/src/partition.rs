//! [`Partition`]: a part of a log whose records have one order; and which part an activity belongs to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::{Activity, username_key};

/// A part of a log whose records have one order and positions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The log: `journal`, or a topic's name without the installation's prefix.
    pub topic: &'static str,
    /// Its number in the log, from 0.
    pub number: i32,
}

impl Partition {
    /// The embedded journal, which is one part.
    pub const JOURNAL: Self = Self { topic: "journal", number: 0 };
}

impl Default for Partition {
    fn default() -> Self {
        Self::JOURNAL
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// Key of an activity in the log that is split by user: the canonical name, else the session, else the address, else
/// its own id. What is counted by user or session lies in one partition.
#[must_use]
pub fn user_key(activity: &Activity) -> String {
    let user = activity.user.as_deref().map(username_key).filter(|user| !user.is_empty());
    user.or_else(|| activity.session_id.clone().filter(|session| !session.is_empty()))
        .or_else(|| source_key(activity))
        .unwrap_or_else(|| activity.event_id.to_string())
}

/// Key of an activity in the log that is split by source address; none where it has no address.
#[must_use]
pub fn source_key(activity: &Activity) -> Option<String> {
    activity.source_ip.map(network)
}

/// An address as a key: IPv4 whole, IPv6 as its /64, `2001:db8:1:2::/64`.
#[must_use]
pub fn network(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("{}/64", Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Timestamp;

    #[test]
    fn an_activity_is_its_users_else_its_sessions_else_its_sources() {
        let mut activity = Activity::new(Uuid::from_u128(7), "View", Timestamp::MIN);
        assert_eq!((user_key(&activity), source_key(&activity)), (Uuid::from_u128(7).to_string(), None));
        activity.source_ip = "2001:db8:1:2::77".parse().ok();
        assert_eq!(user_key(&activity), "2001:db8:1:2::/64");
        assert_eq!(source_key(&activity).as_deref(), Some("2001:db8:1:2::/64"));
        activity.session_id = Some("s-1".to_owned());
        assert_eq!(user_key(&activity), "s-1");
        activity.user = Some(" Ana ".to_owned());
        assert_eq!(user_key(&activity), "ana");
        activity.source_ip = "::ffff:192.0.2.1".parse().ok();
        assert_eq!(source_key(&activity).as_deref(), Some("192.0.2.1"));
    }
}
