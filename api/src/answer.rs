//! The shapes of answers: objects, lists, and lists as CSV.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use store::KeyedRequest;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::extract::{Fields, FromFields};
use crate::gate::{Note, Recorded};
use crate::problem::{Outcome, Problem};

/// The answer to a change that leaves no object.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "message": "Item deleted successfully" }))]
#[expect(dead_code, reason = "describes what `changed` writes")]
pub(crate) struct Done {
    message: String,
}

/// JSON with a status.
pub(crate) fn json_with(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// JSON whose members stand in the order of their names on every level: what is put together of parts has always had
/// them so.
pub(crate) fn ordered(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_value(body) {
        Ok(value) => json_with(status, &value),
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// An object that was looked at.
pub(crate) fn seen(body: &impl Serialize) -> Response {
    json_with(StatusCode::OK, body)
}

/// A change that is done and journaled.
pub(crate) fn changed(status: StatusCode, message: &str, name: &str, object: &impl Serialize) -> Response {
    match told(message, name, object) {
        Ok(body) => recorded(json_with(status, &body)),
        Err(error) => Problem::internal(error).into_response(),
    }
}

fn told(message: &str, name: &str, object: &impl Serialize) -> serde_json::Result<Value> {
    let mut body = json!({ "message": message });
    match serde_json::to_value(object)? {
        Value::Null => {}
        value => body[name] = value,
    }
    Ok(body)
}

/// Keeps the answer of a change in the transaction of that change, where the request carries an `Idempotency-Key`: if
/// the program dies before it has answered, the next try is told. Made in the handler, used where the activity is.
pub(crate) struct Keep(Option<Arc<KeyedRequest>>);

impl Keep {
    pub(crate) fn new() -> Self {
        Self(KeyedRequest::current())
    }

    /// Keeps what [`changed`] will answer.
    pub(crate) fn changed(&self, status: StatusCode, message: &str, name: &str, object: &impl Serialize) {
        let Some(request) = &self.0 else { return };
        match told(message, name, object).and_then(|body| serde_json::to_vec(&body)) {
            Ok(body) => request.will_answer(status.as_u16(), body),
            Err(error) => tracing::warn!(%error, "an answer cannot be kept for its Idempotency-Key"),
        }
    }
}

/// Marks an answer whose activity is in the journal.
pub(crate) fn recorded(mut response: Response) -> Response {
    response.extensions_mut().insert(Recorded);
    response
}

/// In which form a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Csv,
}

impl IntoParams for Form {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["json", "csv"]));
        let form = ParameterBuilder::new().name("format").parameter_in(ParameterIn::Query).required(Required::False);
        vec![form.description(Some("The form of the list (json).")).schema(Some(words)).build()]
    }
}

impl FromFields for Form {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        match fields.words("format", 10)?.as_deref() {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(Problem::field("format", "format must be json or csv")),
        }
    }
}

/// A list, whole, under the name that its activity gets.
pub(crate) fn list<T: Serialize>(form: Form, resource: &str, columns: &[&str], rows: &[T]) -> Response {
    let mut note = Note { resource: Some(resource.to_owned()), records: Some(rows.len()), ..Note::default() };
    let mut response = match form {
        Form::Json => seen(&rows),
        Form::Csv => {
            note.action = Some("Export");
            note.log_type = Some(domain::LogType::DataAccess);
            let values: Result<Vec<Value>, _> = rows.iter().map(serde_json::to_value).collect();
            match values {
                Ok(values) => csv(resource, &crate::csv::table(columns, &values)),
                Err(error) => Problem::internal(error).into_response(),
            }
        }
    };
    response.extensions_mut().insert(note);
    response
}

fn csv(name: &str, text: &str) -> Response {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, text.to_owned()).into_response()
}

/// Serialises cents as an amount; shortest digits, so up to 15 of them are exact.
pub(crate) fn amount<S: serde::Serializer>(cents: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_precision_loss, reason = "at most twelve digits")]
    serializer.serialize_f64(*cents as f64 / 100.0)
}
