//! What may be posted, for the OpenAPI document: the members of the wire schema under their own names. Their aliases stand
//! in `GET /api/schema/activity`.

use domain::Timestamp;
use utoipa::openapi::{ObjectBuilder, Type};
use uuid::Uuid;

use crate::words::{LogType, Outcome};

/// Lines of events.
pub(super) const LINES: &str =
    "{\"action\": \"Login\", \"user\": \"ann\"}\n{\"action\": \"View\", \"user\": \"ann\"}\n";

/// One event, or an array of them.
#[derive(utoipa::ToSchema)]
#[schema(as = EventOrEvents, example = json!([{ "action": "Login", "user": "ann" }, { "action": "View", "user": "ann" }]))]
#[serde(untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "describes what `post` reads")]
pub(super) enum Posted {
    One(Event),
    Many(Vec<Event>),
}

/// One thing that somebody did. Other members are kept as they come, at most 32 and 16 KiB together.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({
    "event_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07", "occurred_at": "2026-03-01T08:15:00Z", "user": "ann",
    "action": "Delete", "resource": "orders/3", "outcome": "success", "source_ip": "192.0.2.17"
}))]
#[expect(dead_code, reason = "describes what `wire::parse` reads")]
pub(super) struct Event {
    /// Version of the schema (1).
    #[schema(schema_with = version)]
    v: Option<i64>,
    /// Identity: two events with one id are one.
    event_id: Option<Uuid>,
    /// When it happened; absent is when it was received.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
    /// Log-in name; may be unknown here.
    #[schema(max_length = 255)]
    user: Option<String>,
    /// Our id of the user, when known.
    user_id: Option<i64>,
    #[schema(max_length = 255)]
    session_id: Option<String>,
    /// The user's role at that time.
    #[schema(max_length = 255)]
    role: Option<String>,
    /// Rows read, exported or changed.
    records: Option<i64>,
    /// Why it failed or was refused.
    #[schema(max_length = 1_024)]
    reason: Option<String>,
    /// `Login`, `LoginFailed`, `Logout`, `View`, `Create`, `Update`, `Delete`, `Export`, `Admin`, or any other word.
    #[schema(min_length = 1, max_length = 64)]
    action: String,
    /// What was touched: `inventory/17`.
    #[schema(max_length = 2_048)]
    resource: Option<String>,
    /// Absent is success.
    outcome: Option<Outcome>,
    /// IPv4 or IPv6.
    source_ip: Option<String>,
    /// The client program.
    #[schema(max_length = 1_024)]
    user_agent: Option<String>,
    #[schema(max_length = 255)]
    country: Option<String>,
    log_type: Option<LogType>,
    /// Free text.
    #[schema(max_length = 8_192)]
    detail: Option<String>,
    #[schema(max_length = 2_048)]
    page_url: Option<String>,
}

fn version() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1]))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_members_are_those_of_the_published_schema() {
        let published = include_str!("../../../../docs/schemas/activity.in.schema.json");
        let published: Value = serde_json::from_str(published).unwrap();
        let ours = serde_json::to_value(Event::schema()).unwrap();
        let (ours, published) = (&ours["properties"], &published["properties"]);
        for (name, member) in published.as_object().unwrap() {
            assert_eq!(ours[name]["maxLength"], member["maxLength"], "{name}");
            assert!(ours[name].is_object(), "{name}");
        }
        assert_eq!(ours.as_object().unwrap().len(), published.as_object().unwrap().len());
    }
}
