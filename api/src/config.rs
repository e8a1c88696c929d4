//! What the API has to be told.

use std::net::IpAddr;

use domain::HOUR;
use ipnet::IpNet;

/// Settings of the API, already checked by whoever read them.
#[derive(Clone)]
pub struct Config {
    /// Secrets of access tokens: the first signs, all verify. At least one, of at least 32 bytes.
    pub jwt_secrets: Vec<Vec<u8>>,
    /// Origins whose pages may call the API from a browser; never `*` or `null`.
    pub cors_origins: Vec<String>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether requests are limited per session and per anonymous source. Log-in has limits that stay on.
    pub rate_limit: bool,
    /// Whether anybody may register as an Employee.
    pub self_registration: bool,
    /// How long a session lives, in microseconds.
    pub session_ttl: i64,
    /// How late an activity may come and still be alerted live, in microseconds.
    pub lateness: i64,
    /// Cost of new password hashes.
    pub bcrypt_cost: u32,
    /// How many passwords are hashed at once.
    pub bcrypt_slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            jwt_secrets: Vec::new(),
            cors_origins: vec!["http://localhost:5173".into(), "http://127.0.0.1:5173".into()],
            trusted_proxies: Vec::new(),
            rate_limit: true,
            self_registration: false,
            session_ttl: 12 * HOUR,
            lateness: 5 * domain::MINUTE,
            bcrypt_cost: 12,
            bcrypt_slots: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// The peer's address, put into each request by the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);
