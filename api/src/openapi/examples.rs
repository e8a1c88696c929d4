//! Examples of what nobody can tell beside a type: each error in the words that its operation has for it, and answers that
//! are put together of parts which have examples of their own.

use serde_json::{Map, Value, json};
use utoipa::openapi::{OpenApi as Document, RefOr};

use super::operations;
use crate::extract::MOST_JSON;
use crate::problem::PROBLEM;

/// What an answer says that is done, by operation.
#[rustfmt::skip]
const MESSAGES: [(&str, &str, &str); 23] = [
    ("post", "/api/alerts/triage", "Alerts updated successfully"),
    ("patch", "/api/alerts/{alert_id}", "Alert updated successfully"),
    ("post", "/api/analytics/run-rule-detection", "Detection is continuous; these are its findings"),
    ("post", "/api/auth/logout", "Logout successful"),
    ("post", "/api/auth/register", "User registered successfully"),
    ("post", "/api/exceptions", "Exception created successfully"),
    ("delete", "/api/exceptions", "Exception ended successfully"),
    ("delete", "/api/exceptions/{exception_id}", "Exception ended successfully"),
    ("post", "/api/inventory", "Item created successfully"),
    ("put", "/api/inventory/{item_id}", "Item updated successfully"),
    ("delete", "/api/inventory/{item_id}", "Item deleted successfully"),
    ("post", "/api/keys", "API key created successfully; it is shown only now"),
    ("delete", "/api/keys/{name}", "API key revoked successfully"),
    ("post", "/api/orders", "Order created successfully"),
    ("put", "/api/orders/{order_id}", "Order updated successfully"),
    ("delete", "/api/orders/{order_id}", "Order deleted successfully"),
    ("put", "/api/users/{user_id}", "User updated successfully"),
    ("delete", "/api/users/{user_id}", "User deleted successfully"),
    ("post", "/api/webhooks", "Webhook created successfully; its secret is shown only now"),
    ("patch", "/api/webhooks/{webhook_id}", "Webhook updated successfully"),
    ("delete", "/api/webhooks/{webhook_id}", "Webhook deleted successfully"),
    ("post", "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry", "Delivery will be sent again"),
    ("post", "/api/webhooks/{webhook_id}/rotate-secret", "Secret changed successfully; it is shown only now"),
];

/// Gives each answer in JSON an example, unless it or its schema has one that fits.
pub(super) fn add(document: &mut Document) {
    let Ok(whole) = serde_json::to_value(&*document) else { return };
    for (path, method, operation) in operations(document) {
        let told = Told { whole: &whole, operation: &whole["paths"][path][method], method, path };
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            for (kind, content) in &mut response.content {
                let RefOr::T(content) = content else { continue };
                if content.example.is_some() {
                    continue;
                }
                let schema = &told.operation["responses"][status]["content"][kind]["schema"];
                content.example = match kind.as_str() {
                    PROBLEM => told.problem(status, &response.description, schema),
                    "application/json" => told.answer(schema),
                    _ => None,
                };
            }
        }
    }
}

/// An operation, as the document has it.
struct Told<'a> {
    whole: &'a Value,
    operation: &'a Value,
    method: &'a str,
    path: &'a str,
}

impl Told<'_> {
    /// An answer of this form; none where its own example says it all.
    fn answer(&self, schema: &Value) -> Option<Value> {
        let mut example = self.sample(schema)?;
        let done = MESSAGES.iter().find(|(method, path, _)| (*method, *path) == (self.method, self.path));
        if let (Some((_, _, message)), Some(members)) = (done, example.as_object_mut()) {
            members.insert("message".to_owned(), (*message).into());
        }
        Some(example)
    }

    /// A value of this form, out of the examples that its parts have; none where one of them has none.
    fn sample(&self, schema: &Value) -> Option<Value> {
        if let Some(example) = schema.get("example") {
            return Some(example.clone());
        }
        if let Some(target) = schema["$ref"].as_str() {
            return self.sample(self.whole.pointer(target.trim_start_matches('#'))?);
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut members = Map::new();
            for part in parts {
                members.extend(self.sample(part)?.as_object()?.clone());
            }
            return Some(members.into());
        }
        if let Some(either) = schema["oneOf"].as_array() {
            return self.sample(either.iter().find(|one| one["type"] != "null")?);
        }
        if let Some(word) = schema["enum"].get(0) {
            return Some(word.clone());
        }
        if let Some(items) = schema.get("items") {
            return Some(json!([self.sample(items)?]));
        }
        if schema["format"] == "date-time" {
            return Some("2026-03-02T09:15:00.000000Z".into());
        }
        if schema["type"].to_string().contains("integer") {
            return Some(0.into());
        }
        let properties = schema["properties"].as_object()?;
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut members = Map::new();
        for (name, property) in properties {
            match self.sample(property) {
                Some(value) => _ = members.insert(name.clone(), value),
                // It stands in the table.
                None if name == "message" => {}
                None if required.contains(&name.as_str()) => return None,
                None => {}
            }
        }
        Some(members.into())
    }

    fn problem(&self, status: &str, description: &str, schema: &Value) -> Option<Value> {
        let code = axum::http::StatusCode::from_bytes(status.as_bytes()).ok()?;
        let (field, error) = self.sentence(code.as_u16(), description);
        let errors: Vec<Value> = field.iter().map(|field| json!({ "field": field, "message": error })).collect();
        let mut problem = json!({
            "type": "about:blank", "title": code.canonical_reason(), "status": code.as_u16(), "detail": error,
            "error": error, "request_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e08", "errors": errors,
        });
        match (schema["$ref"].as_str()?.rsplit('/').next()?, status) {
            ("ProblemOfTriage", _) => problem["changed"] = json!(["7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11"]),
            ("ProblemOfPost", "400" | "503") => {
                let broken_off = status == "503";
                let rejected = if broken_off { json!([]) } else { json!([{ "line": 1, "error": error }]) };
                let members = json!({
                    "accepted": if broken_off { 1_000 } else { 0 }, "duplicates": 0, "conflicts": 0, "late": 0,
                    "rejected_total": usize::from(!broken_off), "rejected": rejected,
                });
                problem.as_object_mut()?.extend(members.as_object()?.clone());
                if broken_off {
                    problem["next_line"] = 1_001.into();
                }
            }
            _ => {}
        }
        Some(problem)
    }

    /// What an error says, and the member that it names.
    fn sentence(&self, status: u16, description: &str) -> (Option<String>, String) {
        let posts_events = self.path == "/api/logs";
        let error = match status {
            400 => return self.wrong(),
            401 => match self.path {
                "/api/auth/login" => "Invalid credentials",
                "/api/auth/register" => "Your log-in has expired. Log in again.",
                _ => "Log in to continue.",
            },
            403 => self.forbidden(description),
            404 => self.missing(),
            408 => "The request body did not arrive in time; send it again.",
            409 => self.conflict(description),
            412 if self.path.ends_with("/triage") => {
                "One of these alerts has changed since you read them; nothing was done. Load them again."
            }
            412 => "The alert has changed since you read it; load it again.",
            413 if posts_events => "The stream is larger than 64 MiB; send it in several requests.",
            413 => return (None, format!("The request body is larger than {MOST_JSON} bytes")),
            415 => "Content-Type must be application/json",
            422 => "This Idempotency-Key was used for another request; use a new key.",
            429 if self.path == "/api/auth/login" => "Too many attempts. Try again in 5 minutes.",
            429 => "Too many requests. Slow down and try again in a second.",
            503 if posts_events => "Stored up to line 1000; send the rest again from there.",
            503 => "The server is busy; nothing was done. Try again in a moment.",
            507 => "The server's disk is full; nothing was done.",
            _ => "Something went wrong on our side.",
        };
        (None, error.to_owned())
    }

    /// The right says it itself. Where everybody has it, it is something else that is refused.
    fn forbidden<'d>(&self, description: &'d str) -> &'d str {
        let right = description.strip_prefix("Not allowed. For ").and_then(|rest| rest.split_once(": "));
        match right {
            _ if self.path == "/api/auth/register" => "You may not create users with this role.",
            Some((_, "You are not allowed to do this.")) | None => match self.path {
                path if path.starts_with("/api/users/{") => "You may only see and change your own account.",
                "/api/logs" if self.method == "post" => "This API key may not post events.",
                path if path.starts_with("/api/logs") => "You may only see your own activity.",
                _ => "An API key may only post events.",
            },
            Some((_, refusal)) => refusal,
        }
    }

    fn missing(&self) -> &'static str {
        match self.path.trim_start_matches("/api/") {
            "analytics/user-risk" => "There is no user of this name, and no alert about one",
            path if path.ends_with("/retry") => "Delivery not found",
            path if path.starts_with("alerts") => "Alert not found",
            path if path.starts_with("exceptions") => "Exception not found",
            path if path.starts_with("inventory") || path == "orders" => "Item not found",
            path if path.starts_with("keys") => "API key not found",
            path if path.starts_with("orders/{") => "Order not found",
            path if path.starts_with("rules") => "There is no active rule with this id",
            path if path.starts_with("webhooks") => "Webhook not found",
            _ => "User not found",
        }
    }

    fn conflict(&self, description: &str) -> &'static str {
        match self.path.trim_start_matches("/api/") {
            _ if description.starts_with("A request with this") => {
                "A request with this Idempotency-Key was begun and is not answered yet; send it again in a moment."
            }
            "auth/register" => "Username already exists",
            "inventory/{item_id}" => "This item has 2 orders; cancel them first.",
            "keys" => "An API key of this name exists already",
            "users/{user_id}" => "This is the last Admin; make another one first.",
            path if path.ends_with("/retry") => "This delivery is pending; only a dead one is sent again.",
            path if path.ends_with("/rotate-secret") => {
                "The secret was changed within a day, and the one before it signs until 2026-03-03T09:15:00.000000Z; change \
                 it after that, or make a new webhook."
            }
            path if path.starts_with("webhooks") => "A webhook of this name exists already",
            _ => "Stored activities are being processed already; try again when that is done.",
        }
    }

    /// The first member that can be wrong, and how that is told.
    fn wrong(&self) -> (Option<String>, String) {
        let named = |name: &str, what: &str| (Some(name.to_owned()), format!("{name}{what}"));
        let given = |place: &'static str| {
            let all = self.operation["parameters"].as_array().into_iter().flatten();
            all.filter(move |parameter| parameter["in"] == place)
        };
        let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_owned();
        for parameter in given("path") {
            if parameter["schema"]["format"] == "uuid" {
                return named(&name(parameter), " in the path must be a UUID");
            }
            if parameter["schema"]["type"] == "integer" {
                return named(&name(parameter), " in the path must be an integer");
            }
        }
        match (self.method, self.path) {
            ("post", "/api/alerts/triage") => return named("ids", " must be an array of 1 to 500 alert ids"),
            ("post", "/api/inventory") => return (Some("item_name".to_owned()), "Item name is required".to_owned()),
            ("post", "/api/logs") => {
                return named("action", ": is missing; say what was done, such as \"action\": \"View\"");
            }
            ("post", "/api/rules/dry-run") => {
                return named("rules", " is required: the YAML text of the rules to try");
            }
            ("post", "/api/analytics/run-rule-detection") => return named("window_hours", " must be an integer"),
            _ => {}
        }
        let body = &self.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let body = body.as_str().and_then(|target| self.whole.pointer(target.trim_start_matches('#')));
        if let Some(member) = body.and_then(|body| required(body)) {
            return named(member, " is required");
        }
        let rank = |query: &&Value| match query["name"].as_str() {
            _ if query["required"] == true => 0,
            Some("limit") => 1,
            Some("days" | "top") => 2,
            _ => 3,
        };
        match given("query").min_by_key(rank) {
            Some(query) if query["required"] == true => named(&name(query), " is required"),
            Some(query) if query["name"] == "format" => named("format", " must be json or csv"),
            Some(query) if query["schema"]["format"] == "date-time" => {
                named(&name(query), " must be a date such as 2026-03-01 or 2026-03-01T12:00:00Z")
            }
            Some(query) if query["schema"]["type"].to_string().contains("boolean") => {
                named(&name(query), " must be true or false")
            }
            Some(query) => named(&name(query), " must be an integer"),
            None if given("header").any(|header| header["name"] == "Idempotency-Key") => {
                named("Idempotency-Key", " must be 1 to 255 visible ASCII characters")
            }
            None => (None, "The request cannot be answered as it was sent.".to_owned()),
        }
    }
}

/// The first member that a body must have.
fn required(schema: &Value) -> Option<&str> {
    let own = schema["required"].get(0).and_then(Value::as_str);
    own.or_else(|| schema["allOf"].as_array()?.iter().find_map(required))
}
