//! Traces across processes: which one an activity belongs to, and how spans of this process join those of others.
//!
//! Where work is done, crates make spans with `tracing` and know nothing of who looks at them. Two things `tracing` has no
//! words for: that a span continues a trace that came from elsewhere, and how others continue ours. They go over a
//! [`Bridge`], which the program installs where it exports spans. Without one nobody looks, and spans that only an
//! exporter could use are not made: [`is_exported`].

use std::sync::OnceLock;

use tracing::Span;

use crate::Activity;

/// The header of a request or a message, and the attribute of an activity, that says to which trace it belongs and under
/// which span (W3C Trace Context, §3.2).
pub const TRACEPARENT: &str = "traceparent";

/// What whoever exports spans can do with them.
#[derive(Debug)]
pub struct Bridge {
    /// The span, which nobody has entered yet, becomes a child of the one that a `traceparent` names.
    pub continues: fn(&Span, &str),
    /// The `traceparent` under which others continue the span; none where it is not exported.
    pub context: fn(&Span) -> Option<String>,
}

static BRIDGE: OnceLock<Bridge> = OnceLock::new();

/// Installs the bridge of this process. Whether it is the first: another is ignored.
pub fn install(bridge: Bridge) -> bool {
    BRIDGE.set(bridge).is_ok()
}

/// Whether somebody exports spans.
#[must_use]
pub fn is_exported() -> bool {
    BRIDGE.get().is_some()
}

/// Makes a span, before it is entered, a child of the one that a `traceparent` names. What is no `traceparent` changes nothing.
pub fn continues(span: &Span, traceparent: &str) {
    if let Some(bridge) = BRIDGE.get().filter(|_| is_traceparent(traceparent)) {
        (bridge.continues)(span, traceparent);
    }
}

/// The `traceparent` under which others continue a span; none where it is not exported.
#[must_use]
pub fn context(span: &Span) -> Option<String> {
    BRIDGE.get().and_then(|bridge| (bridge.context)(span))
}

/// The same for the span that this code runs in; looked for only where somebody exports spans.
#[must_use]
pub fn current() -> Option<String> {
    BRIDGE.get().and_then(|bridge| (bridge.context)(&Span::current()))
}

/// The `traceparent` of an activity. Others may have written it, so it is taken only as it has to be.
#[must_use]
pub fn of(activity: &Activity) -> Option<&str> {
    activity.attributes.get(TRACEPARENT)?.as_str().filter(|text| is_traceparent(text))
}

/// Whether a text is a `traceparent` of version 00: ids in lower-case hexadecimal, neither all zeros.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let [Some("00"), Some(trace), Some(parent), Some(flags), None] = [(); 5].map(|()| parts.next()) else {
        return false;
    };
    let hexadecimal = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, digits| part.len() == digits && hexadecimal(part) && part.bytes().any(|byte| byte != b'0');
    id(trace, 32) && id(parent, 16) && flags.len() == 2 && hexadecimal(flags)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Timestamp;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_taken_only_as_it_has_to_be() {
        assert!(is_traceparent(GOOD));
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let no_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        for bad in [
            "",
            "00",
            zeros,
            no_parent,
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-x"),
            &GOOD.replace("-01", "-0g"),
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn an_activity_of_a_trace_names_it() {
        let mut activity = Activity::new(Uuid::from_u128(1), "View", Timestamp::default());
        assert_eq!(of(&activity), None);
        activity.attributes.insert(TRACEPARENT.to_owned(), 7.into());
        assert_eq!(of(&activity), None);
        activity.attributes.insert(TRACEPARENT.to_owned(), "'; DROP".into());
        assert_eq!(of(&activity), None);
        activity.attributes.insert(TRACEPARENT.to_owned(), GOOD.into());
        assert_eq!(of(&activity), Some(GOOD));
    }

    #[test]
    fn without_a_bridge_nobody_looks() {
        let span = tracing::info_span!("work");
        continues(&span, GOOD);
        assert_eq!((is_exported(), context(&span)), (false, None));
    }
}
