//! Any bytes as a rule file: read, checked, linked, laid out, matched. What is refused is refused with a place and a
//! reason, and twice the same.

#![no_main]

use std::sync::{Arc, LazyLock};

use detector::engine::{Engine, Settings};
use detector::rules::{Finding, RuleSource, check, load};
use domain::{Activity, MINUTE, SECOND, Timestamp, wire};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// Lines that differ in what a rule may ask for.
const LINES: [&str; 8] = [
    r#"{"action":"LoginFailed","user":"ada","ip":"192.0.2.1","reason":"bad_password","outcome":"failure"}"#,
    r#"{"action":"Login","user":"Ada","ip":"192.0.2.1","session":"s1","user_agent":"x"}"#,
    r#"{"action":"View","user":"ada","resource":"inventory/17","records":1,"session":"s1","user_agent":"y"}"#,
    r#"{"action":"Export","user":"bo","resource":"orders","records":12000,"ip":"2001:db8::1","role":"Contractor"}"#,
    r#"{"action":"Update","user":"bo","resource":"users/3","target_user":"ada","password_changed":true,"n":-0.5}"#,
    r#"{"action":"Admin","resource":"rules/1","user":"root","detail":"x y z","list":["a",1,null],"deep":{"er":{"x":"y"}}}"#,
    r#"{"action":"View","resource":"inventory/18","outcome":"denied","status":404,"country":"AT","log_type":"auth"}"#,
    r#"{"action":"Delete","user":"","resource":"","reason":"","n":"1e3"}"#,
];

static ACTIVITIES: LazyLock<Vec<Activity>> = LazyLock::new(|| {
    let begin = Timestamp::parse("2026-03-04T12:00:00Z").expect("a time");
    let activity = |n: usize| {
        let at = begin.plus(i64::try_from(n).expect("small") * 7 * SECOND);
        let mut activity = wire::parse(LINES[n % LINES.len()].as_bytes()).expect("an activity").into_activity(
            at,
            Uuid::from_u128(n as u128),
            if n % 5 == 0 { "client" } else { "api" },
        );
        activity.known_user = n % 3 == 0;
        activity
    };
    (0..64).map(activity).collect()
});

fuzz_target!(|text: &[u8]| {
    let source = RuleSource::text("fuzz.yml", text);
    let loaded = match load(std::slice::from_ref(&source)) {
        Ok(loaded) => loaded,
        Err(findings) => {
            refused(&findings);
            let again = load(std::slice::from_ref(&source)).expect_err("the same file is refused again");
            assert_eq!(findings, again);
            // Over the built-in rules it may be fine: it may name them.
            if now_and_then(text)
                && let Err(findings) = check(&source)
            {
                refused(&findings);
            }
            return;
        }
    };
    assert!(loaded.warnings.iter().all(|finding| !finding.is_error()));
    if now_and_then(text) {
        check(&source).expect("what loads alone passes the check");
    }

    let mut engine = Engine::new(Arc::new(loaded.rules), Settings::default());
    for activity in ACTIVITIES.iter() {
        engine.observe(activity);
    }
    engine.drain();
    engine.advance(ACTIVITIES[ACTIVITIES.len() / 2].occurred_at.plus(-MINUTE));
    engine.finish();
    engine.drain();
});

/// The check reads the built-in rules each time, which takes as long as hundreds of inputs.
fn now_and_then(text: &[u8]) -> bool {
    text.iter().fold(0u8, |sum, byte| sum.rotate_left(1) ^ byte).is_multiple_of(64)
}

fn refused(findings: &[Finding]) {
    assert!(findings.iter().any(Finding::is_error), "refused without an error");
    for finding in findings {
        assert!(finding.line >= 1 && finding.column >= 1, "{finding}");
        assert!(!finding.message.is_empty(), "{finding}");
    }
}
