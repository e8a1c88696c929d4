//! Identifiers: which are made here, and from what.

use uuid::{NoContext, Uuid};

use crate::Timestamp;

/// Namespace of every UUIDv5 that the product derives: itself the v5 of `security-analytics` under the DNS namespace.
const NAMESPACE: Uuid = Uuid::from_u128(0x0a5e_50cf_3b4e_5d43_9d0b_7c1e_52a6_f1d7);

/// A new event id: UUIDv7 (RFC 9562) of `now` and 74 random bits, so ids of one time lie together in an index.
#[must_use]
pub fn event_id(now: Timestamp) -> Uuid {
    let micros = now.micros().max(0).unsigned_abs();
    let at = uuid::Timestamp::from_unix(
        NoContext,
        micros / 1_000_000,
        u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000,
    );
    Uuid::new_v7(at)
}

/// UUIDv5 over `parts`, each preceded by its length so that no two lists of parts run together.
#[must_use]
pub fn derived(parts: &[&[u8]]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_carry_the_clocks_time_and_differ() {
        let now = Timestamp::parse("2026-01-01T00:00:00.250Z").expect("valid");
        let (a, b) = (event_id(now), event_id(now));
        assert_ne!(a, b);
        assert_eq!(a.get_timestamp().expect("v7").to_unix(), (1_767_225_600, 250_000_000));
    }

    #[test]
    fn derived_ids_keep_their_parts_apart() {
        assert_eq!(derived(&[b"a", b"b"]), derived(&[b"a", b"b"]));
        assert_ne!(derived(&[b"ab", b""]), derived(&[b"a", b"b"]));
    }
}
