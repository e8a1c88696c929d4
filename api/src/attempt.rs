//! What a request tries, as its method and path say, and the activity that it leaves where its handler wrote none.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use domain::{Activity, LogType, Outcome as Ending};

use crate::extract;
use crate::gate::{self, Note, Template};
use crate::problem::Problem;

/// The table "what is an activity" of the contract, for everything that is not said by a handler.
pub(crate) struct Attempt {
    action: &'static str,
    resource: String,
    log_type: LogType,
    csv: bool,
}

impl Attempt {
    /// Reads method and path.
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let path = path.strip_prefix("/api/").unwrap_or(path).trim_matches('/');
        let resource = canonical(path);
        let resource = match (request.method(), resource.as_str()) {
            (&Method::POST, "auth/register") => "users".to_owned(),
            _ => resource,
        };
        let group = resource.split('/').next().unwrap_or_default();
        let last = resource.rsplit('/').next().unwrap_or_default();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let action = match *request.method() {
            _ if group == "analytics" => "View",
            _ if !reads && matches!(group, "alerts" | "exceptions" | "rules" | "keys" | "webhooks") => "Admin",
            Method::POST => "Create",
            Method::PUT | Method::PATCH => "Update",
            Method::DELETE => "Delete",
            _ => "View",
        };
        let business = matches!(group, "inventory" | "orders" | "users" | "logs");
        let look_up = matches!(last, "categories" | "roles" | "risk" | "activity-summary");
        let log_type = if business && !look_up { LogType::DataAccess } else { LogType::System };
        let csv = reads && request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "format=csv"));
        Self { action, resource, log_type, csv }
    }

    /// A live session was named that is not the token's.
    pub(crate) fn mismatched(&self, who: &Template) -> Activity {
        let mut activity = self.activity(who);
        activity.outcome = Ending::Denied;
        activity.reason = Some("session_mismatch".into());
        activity.attributes.insert("status".into(), StatusCode::UNAUTHORIZED.as_u16().into());
        activity.detail =
            Some(format!("Refused: {} {}: named a session that is not the token's", self.action, self.resource));
        activity
    }

    /// The activity that the answer leaves to the gate, if it leaves one.
    pub(crate) fn ended(&self, who: &Template, response: &Response) -> Option<Activity> {
        if gate::is_quiet(response) {
            return None;
        }
        let status = response.status();
        let mut activity = self.activity(who);
        if status.is_client_error() {
            activity.outcome = gate::ending(status);
            activity.attributes.insert("status".into(), status.as_u16().into());
            if self.csv {
                activity.action = "Export".into();
            }
            let problem = response.extensions().get::<Problem>();
            activity.reason = problem.and_then(|problem| problem.reason).map(str::to_owned);
            let why = problem.map_or("", |problem| problem.error.as_str());
            let word = if activity.outcome == Ending::Denied { "Refused" } else { "Failed" };
            activity.detail = Some(format!("{word}: {} {}: {why}", activity.action, self.resource));
        } else if let Some(note) = response.extensions().get::<Note>() {
            self.complete(&mut activity, note);
        }
        Some(activity)
    }

    fn activity(&self, who: &Template) -> Activity {
        let mut activity = who.activity(self.action, &self.resource, self.log_type);
        activity.detail = Some(format!("{} {}", past(self.action), self.resource));
        activity
    }

    fn complete(&self, activity: &mut Activity, note: &Note) {
        if let Some(action) = note.action {
            activity.action = action.to_owned();
        }
        activity.log_type = note.log_type.or(activity.log_type);
        if let Some(resource) = &note.resource {
            activity.resource = Some(resource.clone());
        }
        activity.records = note.records.map(|records| i64::try_from(records).unwrap_or(i64::MAX));
        let resource = activity.resource.as_deref().unwrap_or_default();
        let done = past(&activity.action);
        activity.detail = Some(note.detail.clone().unwrap_or_else(|| match note.records {
            Some(1) => format!("{done} {resource} (1 record)"),
            Some(records) => format!("{done} {resource} ({records} records)"),
            None => format!("{done} {resource}"),
        }));
    }
}

/// An action as a person would tell it.
fn past(action: &str) -> &str {
    match action {
        "View" => "Viewed",
        "Create" => "Created",
        "Update" => "Updated",
        "Delete" => "Deleted",
        "Export" => "Exported",
        "Admin" => "Administered",
        other => other,
    }
}

/// The path with each object under one name: rules count distinct resources, and `users/%37`, `users/007` and
/// `users/7` are one.
fn canonical(path: &str) -> String {
    let plain = |segment: &str| {
        let bytes = segment.as_bytes();
        match bytes.first() {
            Some(b'1'..=b'9') => bytes.iter().all(u8::is_ascii_digit),
            Some(byte) => byte.is_ascii_lowercase() && !bytes.contains(&b'%'),
            None => true,
        }
    };
    if path.len() <= 255 && path.split('/').all(plain) {
        return path.to_owned();
    }
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| {
            let text = extract::decoded(segment).unwrap_or_else(|| segment.to_owned());
            extract::whole_number(&text).map_or(text, |number| number.to_string())
        })
        .collect();
    segments.join("/").chars().filter(|c| !c.is_control()).take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_object_are_one_resource() {
        for path in ["users/7", "users/007", "users/%37", "users/7.0", "users/%2B7"] {
            assert_eq!(canonical(path), "users/7", "{path}");
        }
        assert_eq!(canonical("analytics/top-anomalies"), "analytics/top-anomalies");
        assert_eq!(canonical("alerts/0190A"), "alerts/0190A");
    }

    #[test]
    fn method_and_path_say_what_is_tried() {
        for (method, path, action, log_type) in [
            ("GET", "/api/inventory/", "View", LogType::DataAccess),
            ("GET", "/api/inventory/categories", "View", LogType::System),
            ("DELETE", "/api/users/3", "Delete", LogType::DataAccess),
            ("PATCH", "/api/alerts/x", "Admin", LogType::System),
            ("GET", "/api/alerts", "View", LogType::System),
            ("POST", "/api/webhooks/3/test", "Admin", LogType::System),
            ("POST", "/api/analytics/run-detection", "View", LogType::System),
            ("GET", "/api/users/3/risk", "View", LogType::System),
            ("GET", "/api/auth/me", "View", LogType::System),
            ("POST", "/api/auth/register", "Create", LogType::DataAccess),
        ] {
            let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
            let attempt = Attempt::of(&request);
            assert_eq!((attempt.action, attempt.log_type), (action, log_type), "{method} {path}");
        }
    }
}
