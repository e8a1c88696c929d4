//! `GET /api/schema/activity`: the wire schema, for whoever posts events. Needs nobody and leaves nothing.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::state::AppState;

const ACTIVITY: &str = include_str!("../../../docs/schemas/activity.in.schema.json");

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(activity))
}

/// The JSON Schema of an event.
#[utoipa::path(
    get, path = "/api/schema/activity", tag = "logs", security(()),
    responses((status = 200, body = Object, content_type = "application/schema+json"))
)]
async fn activity() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], ACTIVITY)
}

#[cfg(test)]
mod tests {
    use domain::wire;
    use serde_json::{Map, Value, json};

    use super::*;

    fn members() -> Map<String, Value> {
        let schema: Value = serde_json::from_str(ACTIVITY).unwrap();
        schema["properties"].as_object().unwrap().clone()
    }

    #[test]
    fn lengths_are_those_of_the_reader() {
        for (name, member) in members() {
            let Some(most) = member["maxLength"].as_u64() else { continue };
            let most = usize::try_from(most).unwrap();
            for (length, taken) in [(most, true), (most + 1, false)] {
                let mut event = json!({ "action": "View" });
                event[&name] = "x".repeat(length).into();
                assert_eq!(wire::parse(event.to_string().as_bytes()).is_ok(), taken, "{name} of {length}");
            }
        }
    }

    #[test]
    fn words_are_those_of_the_reader() {
        for name in ["outcome", "log_type"] {
            let words = members()[name]["enum"].as_array().unwrap().clone();
            for word in words.iter().chain([&json!("other")]) {
                let event = json!({ "action": "View", name: word });
                let taken = wire::parse(event.to_string().as_bytes()).is_ok();
                assert_eq!(taken, word != "other", "{name} {word}");
            }
        }
    }
}
