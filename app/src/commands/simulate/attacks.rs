//! The attacks that `simulate` hides in the traffic: what is posted, and which built-in rules are there for it.

use serde_json::{Value, json};

/// What is known about an attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    /// As `--attack` names it.
    pub(super) name: &'static str,
    /// Titles of the rules of which one has to catch it.
    pub(super) rules: &'static [&'static str],
    /// Its events, of somebody or something that no other run has: an alert of an earlier run is not taken for a catch.
    events: fn(&str) -> Vec<Value>,
}

pub(crate) const ATTACKS: [Attack; 5] = [
    Attack { name: "guessing", rules: &["Password guessing against an account"], events: guessing },
    Attack {
        name: "spraying",
        rules: &["Password spraying", "Password spraying over many accounts"],
        events: spraying,
    },
    Attack { name: "exfiltration", rules: &["Large export"], events: exfiltration },
    Attack { name: "stolen-session", rules: &["Session with two user agents"], events: stolen_session },
    Attack { name: "enumeration", rules: &["Object enumeration by a user"], events: enumeration },
];

/// Is one only while it is night where the server counts its working hours: what is posted happens now.
pub(super) const AT_NIGHT: Attack = Attack {
    name: "insider-at-night",
    rules: &["Several sensitive actions outside working hours"],
    events: insider_at_night,
};

impl Attack {
    /// Who or what the alert has to be about: a user, an address or a session.
    pub(super) fn target(&self, run: &str) -> String {
        match self.name {
            // Of an IPv6 source rules count the whole network that one subscriber has.
            "spraying" => format!("{}/64", address(run, 0)),
            _ => format!("{}-{run}", self.name),
        }
    }

    pub(super) fn events(&self, run: &str) -> Vec<Value> {
        (self.events)(run)
    }

    /// Whether `alert` is one that had to come of this attack.
    pub(super) fn is_caught_by(&self, alert: &Value, run: &str) -> bool {
        let target = self.target(run);
        let about = ["user", "source_ip", "session_id"].iter().any(|field| alert["key"][field] == target.as_str());
        about && self.rules.iter().any(|rule| alert["rule"] == *rule)
    }
}

/// An address of the documentation's network, which nobody has; `run` is eight hexadecimal digits.
fn address(run: &str, host: u8) -> String {
    let parsed = u32::from_str_radix(run, 16).unwrap_or_default();
    std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(parsed) << 64) | u128::from(host)).to_string()
}

fn failed(user: &str, ip: &str) -> Value {
    json!({"action": "LoginFailed", "resource": "auth", "outcome": "failure", "reason": "bad_password",
           "log_type": "auth", "user": user, "source_ip": ip})
}

fn guessing(run: &str) -> Vec<Value> {
    (0..12).map(|_| failed(&format!("guessing-{run}"), &address(run, 1))).collect()
}

fn spraying(run: &str) -> Vec<Value> {
    (0..18).map(|user| failed(&format!("sprayed{user}-{run}"), &address(run, 2))).collect()
}

fn exfiltration(run: &str) -> Vec<Value> {
    let user = format!("exfiltration-{run}");
    ["inventory", "orders", "users"]
        .iter()
        .map(|list| {
            json!({"action": "Export", "resource": list, "records": 4_000, "log_type": "data_access", "user": user,
                   "source_ip": address(run, 3)})
        })
        .collect()
}

fn stolen_session(run: &str) -> Vec<Value> {
    [("Mozilla/5.0 (Windows NT 10.0)", 4), ("curl/8.9.1", 5)]
        .iter()
        .map(|(agent, host)| {
            json!({"action": "View", "resource": "orders", "log_type": "data_access", "user": format!("robbed-{run}"),
                   "session_id": format!("stolen-session-{run}"), "user_agent": agent, "source_ip": address(run, *host)})
        })
        .collect()
}

fn enumeration(run: &str) -> Vec<Value> {
    (1..=12)
        .map(|id| {
            json!({"action": "View", "resource": format!("users/{id}"), "outcome": "denied",
                   "log_type": "data_access", "user": format!("enumeration-{run}"), "source_ip": address(run, 6)})
        })
        .collect()
}

/// Little enough for no other rule to mind, by day.
fn insider_at_night(run: &str) -> Vec<Value> {
    ["inventory", "orders", "users"]
        .iter()
        .map(|list| {
            json!({"action": "Export", "resource": list, "records": 20, "log_type": "data_access",
                   "user": format!("insider-at-night-{run}"), "role": "Employee", "source_ip": address(run, 7)})
        })
        .collect()
}
