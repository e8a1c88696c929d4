//! The bodies of messages. Made of the alert as it stood when it happened, so that they are the same with each attempt.

use domain::{Alert, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use store::WebhookFormat;

/// Characters of a rule's title and of an explanation in a line for people; attackers choose names that stand in them.
const TITLE: usize = 150;
const EXPLANATION: usize = 400;

/// The event of a message that somebody sends to see whether a webhook works.
pub(crate) const TEST: &str = "webhook.test";

/// The envelope of Standard Webhooks.
#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    data: &'a RawValue,
}

/// What Slack, and what is compatible with it, takes.
#[derive(Serialize)]
struct Text {
    text: String,
}

/// The body of a message about an alert. `link`: where the dashboard is, if that is known.
pub(crate) fn about(
    format: WebhookFormat,
    event: &str,
    at: Timestamp,
    document: &str,
    link: Option<&str>,
) -> serde_json::Result<Vec<u8>> {
    match format {
        WebhookFormat::Standard => envelope(event, at, document),
        WebhookFormat::Slack => serde_json::to_vec(&Text { text: line(event, &serde_json::from_str(document)?, link) }),
    }
}

/// The body of a message that says nothing but that it came.
pub(crate) fn test(format: WebhookFormat, webhook: &str, at: Timestamp) -> serde_json::Result<Vec<u8>> {
    match format {
        WebhookFormat::Standard => {
            let document = serde_json::json!({ "webhook": webhook }).to_string();
            envelope(TEST, at, &document)
        }
        WebhookFormat::Slack => {
            let text = format!("Alerts will be told here: this is a test of the webhook {}.", quoted(webhook, TITLE));
            serde_json::to_vec(&Text { text })
        }
    }
}

fn envelope(event: &str, at: Timestamp, document: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope { r#type: event, timestamp: at, data: serde_json::from_str(document)? })
}

/// One line that a person understands.
fn line(event: &str, alert: &Alert, link: Option<&str>) -> String {
    let happened = match event {
        "alert.escalated" => "alert escalated",
        "alert.retracted" => "alert taken back",
        _ => "alert",
    };
    let (title, why) = (escaped(&alert.rule, TITLE), quoted(&alert.explanation, EXPLANATION));
    let link = link.map_or_else(String::new, |base| format!(" <{base}/#/alerts/{}|Look at it>", alert.alert_id));
    format!("*{} {happened}*: {title}: {why}{link}", alert.severity)
}

/// Text without meaning to Slack: `&`, `<` and `>` are its only signs of control.
fn escaped(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (at, sign) in text.chars().enumerate() {
        if at == most {
            out.push('…');
            break;
        }
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

/// The same as code: within it nothing is a link, a mention or bold, also where Slack's lookalikes mention everybody at
/// the word `@all`.
fn quoted(text: &str, most: usize) -> String {
    format!("`{}`", escaped(text, most).replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn alert(explanation: &str) -> Alert {
        serde_json::from_value(json!({
            "alert_id": "0b6f1c9e-6f0e-5f0e-9a44-3a1d54a5b002", "at": "2026-03-02T09:00:00Z", "rule": "Guessing <fast>",
            "rule_id": "r", "family": "f", "severity": "High", "risk": 73, "techniques": [], "key": {}, "observed": 6,
            "threshold": 5, "window_s": 300, "first_event_at": "2026-03-02T09:00:00Z",
            "last_event_at": "2026-03-02T09:00:00Z", "event_ids": [], "explanation": explanation, "escalations": [],
            "state": "open", "event_count": 6, "revision": 1, "status": "open", "found_by": "live",
            "crossing_event": "0b6f1c9e-6f0e-4f0e-9a44-3a1d54a5b002"
        }))
        .expect("an alert")
    }

    #[test]
    fn the_envelope_leaves_the_alert_as_it_is() {
        let at = Timestamp::parse("2026-03-02T09:00:00Z").expect("a time");
        let document = r#"{"alert_id":"x","observed":1.50,"n":12345678901234567890}"#;
        let body = about(WebhookFormat::Standard, "alert.opened", at, document, None).expect("a body");
        let text = String::from_utf8(body).expect("text");
        assert_eq!(text, format!(r#"{{"type":"alert.opened","timestamp":"{at}","data":{document}}}"#));
    }

    #[test]
    fn a_line_for_people_cannot_be_abused_by_whom_it_is_about() {
        let evil = "6 events by user <!channel> `@all` & <https://evil.example|click>\n*bold*";
        let document = serde_json::to_string(&alert(evil)).expect("json");
        let link = Some("https://analytics.example.org");
        let body = about(WebhookFormat::Slack, "alert.opened", Timestamp::default(), &document, link).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("json");
        assert_eq!(
            body["text"],
            "*High alert*: Guessing &lt;fast&gt;: `6 events by user &lt;!channel&gt; '@all' &amp; \
             &lt;https://evil.example|click&gt; *bold*` \
             <https://analytics.example.org/#/alerts/0b6f1c9e-6f0e-5f0e-9a44-3a1d54a5b002|Look at it>"
        );
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
    }

    #[test]
    fn a_line_has_a_length() {
        let text = line("alert.escalated", &alert(&"<".repeat(100_000)), None);
        assert!(text.len() < 4 * EXPLANATION + 200, "{}", text.len());
        assert!(text.starts_with("*High alert escalated*: ") && text.ends_with("…`"));
    }
}
