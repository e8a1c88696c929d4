//! The schema as data. The order of a member's sources is the order in which they win.

/// Most characters of `action`.
pub const MAX_ACTION: usize = 64;
/// Most characters of `user`, `session_id`, `role` and `country`.
pub const MAX_NAME: usize = 255;
/// Most characters of `reason` and `user_agent`.
pub const MAX_TEXT: usize = 1_024;
/// Most characters of `resource` and `page_url`.
pub const MAX_RESOURCE: usize = 2_048;
/// Most characters of `detail`.
pub const MAX_DETAIL: usize = 8_192;
/// Most attributes of an activity.
pub const MAX_ATTRIBUTES: usize = 32;
/// Most bytes of all attributes together, written as JSON.
pub const MAX_ATTRIBUTE_BYTES: usize = 16 * 1_024;
/// Most lists and objects inside each other. Far below what JSON readers bear, because what is stored is nested into
/// other objects and has to be readable for all of them.
pub const MAX_DEPTH: usize = 32;

/// Where a member is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A key of the record, dots and all.
    Key(Key),
    /// A path through nested objects, its steps separated by dots.
    Path(&'static str),
}

/// A member of the schema: where it is looked for, in the order in which sources win.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) sources: &'static [Source],
    /// The keys among them, a bit each.
    pub(super) keys: u64,
}

const fn member(sources: &'static [Source]) -> Member {
    let (mut keys, mut at) = (0, 0);
    while at < sources.len() {
        if let Source::Key(key) = sources[at] {
            keys |= key.bit();
        }
        at += 1;
    }
    Member { sources, keys }
}

macro_rules! keys {
    ($($key:ident = $name:literal),+ $(,)?) => {
        /// A key that the schema knows, dotted aliases in their literal form included.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Key { $($key),+ }

        /// How many there are.
        pub(super) const KEYS: usize = NAMES.len();

        const NAMES: &[&str] = &[$($name),+];
        const ALL: &[Key] = &[$(Key::$key),+];
    };
}

impl Key {
    /// The key of a name. Every key of every record is asked for, so it is one look into a small table.
    pub(super) fn of(name: &str) -> Option<Self> {
        let bucket = BUCKETS[hash(name.as_bytes())];
        bucket.into_iter().map(usize::from).find(|at| NAMES.get(*at) == Some(&name)).map(|at| ALL[at])
    }

    /// In a set of keys.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// The first of a set.
    pub(super) fn first(keys: u64) -> Option<Self> {
        ALL.get(keys.trailing_zeros() as usize).copied()
    }

    /// Whether a text begins with the name and a quote. False where the text is too short to tell.
    #[inline]
    pub(super) fn quoted_at_start(self, text: &[u8]) -> bool {
        let words = &WORDS[self as usize];
        let Some(start) = text.first_chunk() else { return false };
        if u64::from_le_bytes(*start) & words.mask != words.start {
            return false;
        }
        let Some(behind) = words.length.checked_sub(8) else { return true };
        let end = text.get(behind..).and_then(<[u8]>::first_chunk);
        end.is_some_and(|end| u64::from_le_bytes(*end) == words.end)
    }

    /// The name as it stands in a record.
    pub(super) const fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// A name and the quote behind it, as the words at its start and, where it is longer, at its end.
#[derive(Clone, Copy)]
struct Words {
    length: usize,
    start: u64,
    mask: u64,
    end: u64,
}

static WORDS: [Words; KEYS] = {
    let mut all = [Words { length: 0, start: 0, mask: 0, end: 0 }; KEYS];
    let mut at = 0;
    while at < KEYS {
        let name = NAMES[at].as_bytes();
        let mut words = Words { length: name.len() + 1, start: 0, mask: 0, end: 0 };
        let mut place = 0;
        while place < words.length {
            let byte = if place < name.len() { name[place] } else { b'"' } as u64;
            if place < 8 {
                words.start |= byte << (place * 8);
                words.mask |= 0xff << (place * 8);
            }
            if place + 8 >= words.length {
                words.end = words.end >> 8 | byte << 56;
            }
            place += 1;
        }
        all[at] = words;
        at += 1;
    }
    all
};

/// Spreads the names so that no more than two share a bucket; the multipliers were found by trying.
const fn hash(name: &[u8]) -> usize {
    if name.is_empty() {
        return 0;
    }
    let (first, inner) = (name[0] as usize, name[name.len() * 2 / 3] as usize);
    (name.len() * 35 + first * 146 + inner * 217) % 256
}

const EMPTY: u8 = u8::MAX;

/// Which keys have which hash; made by the compiler, which refuses a key that would be a third in its bucket.
static BUCKETS: [[u8; 2]; 256] = {
    let mut buckets = [[EMPTY; 2]; 256];
    let mut at = 0;
    while at < KEYS {
        let bucket = &mut buckets[hash(NAMES[at].as_bytes())];
        let free = if bucket[0] == EMPTY { 0 } else { 1 };
        assert!(bucket[free] == EMPTY, "three keys in one bucket: choose other multipliers");
        bucket[free] = at as u8;
        at += 1;
    }
    buckets
};

keys! {
    V = "v",
    EventId = "event_id",
    Id = "id",
    OccurredAt = "occurred_at",
    Ts = "ts",
    Timestamp = "timestamp",
    AtTimestamp = "@timestamp",
    User = "user",
    Username = "username",
    UserName = "user.name",
    ActorUserName = "actor.user.name",
    UserId = "user_id",
    SessionId = "session_id",
    Session = "session",
    Role = "role",
    Records = "records",
    Reason = "reason",
    Action = "action",
    ActionType = "action_type",
    EventAction = "event.action",
    Resource = "resource",
    UrlPath = "url.path",
    Outcome = "outcome",
    EventOutcome = "event.outcome",
    SourceIp = "source_ip",
    Ip = "ip",
    IpAddress = "ip_address",
    SourceDotIp = "source.ip",
    SrcEndpointIp = "src_endpoint.ip",
    UserAgent = "user_agent",
    UserAgentOriginal = "user_agent.original",
    Country = "country",
    GeoLocation = "geo_location",
    SourceGeoCountry = "source.geo.country_iso_code",
    LogType = "log_type",
    Detail = "detail",
    ActionDetail = "action_detail",
    PageUrl = "page_url",
    Attributes = "attributes",
}

use Source::{Key as K, Path as P};

pub(super) const V: Member = member(&[K(Key::V)]);
pub(super) const EVENT_ID: Member = member(&[K(Key::EventId), K(Key::Id)]);
pub(super) const OCCURRED_AT: Member =
    member(&[K(Key::OccurredAt), K(Key::Ts), K(Key::Timestamp), K(Key::AtTimestamp)]);
pub(super) const USER: Member = member(&[
    K(Key::User),
    K(Key::Username),
    K(Key::UserName),
    P("user.name"),
    K(Key::ActorUserName),
    P("actor.user.name"),
]);
pub(super) const USER_ID: Member = member(&[K(Key::UserId)]);
pub(super) const SESSION_ID: Member = member(&[K(Key::SessionId), K(Key::Session)]);
pub(super) const ROLE: Member = member(&[K(Key::Role)]);
pub(super) const RECORDS: Member = member(&[K(Key::Records)]);
pub(super) const REASON: Member = member(&[K(Key::Reason)]);
pub(super) const ACTION: Member = member(&[K(Key::Action), K(Key::ActionType), K(Key::EventAction), P("event.action")]);
pub(super) const RESOURCE: Member = member(&[K(Key::Resource), K(Key::UrlPath), P("url.path")]);
pub(super) const OUTCOME: Member = member(&[K(Key::Outcome), K(Key::EventOutcome), P("event.outcome")]);
pub(super) const SOURCE_IP: Member = member(&[
    K(Key::SourceIp),
    K(Key::Ip),
    K(Key::IpAddress),
    K(Key::SourceDotIp),
    P("source.ip"),
    K(Key::SrcEndpointIp),
    P("src_endpoint.ip"),
]);
pub(super) const USER_AGENT: Member = member(&[K(Key::UserAgent), K(Key::UserAgentOriginal), P("user_agent.original")]);
pub(super) const COUNTRY: Member =
    member(&[K(Key::Country), K(Key::GeoLocation), K(Key::SourceGeoCountry), P("source.geo.country_iso_code")]);
pub(super) const LOG_TYPE: Member = member(&[K(Key::LogType)]);
pub(super) const DETAIL: Member = member(&[K(Key::Detail), K(Key::ActionDetail)]);
pub(super) const PAGE_URL: Member = member(&[K(Key::PageUrl)]);

/// First members of the paths above: only a record that has an object under one of them has paths to look at.
pub(super) fn begins_a_path(name: &str) -> bool {
    matches!(name, "user" | "user_agent" | "source" | "event" | "url" | "actor" | "src_endpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_words_alone() {
        for key in ALL {
            assert_eq!(Key::of(key.name()), Some(*key));
            for other in ALL {
                let text = format!("{}\":       ", other.name());
                assert_eq!(key.quoted_at_start(text.as_bytes()), key == other, "{key:?} {other:?}");
            }
            let longer = format!("{}x\":       ", key.name());
            assert!(!key.quoted_at_start(longer.as_bytes()) && !key.quoted_at_start(b""), "{key:?}");
        }
    }
}
