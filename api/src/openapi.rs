//! The OpenAPI document: made of the routes themselves ([`crate::routes`]), and completed here by what holds for all of
//! them, so that a handler says only what is its own.

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, body::Bytes};
use domain::Role;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Document, PathItem, Ref, RefOr, Required, ResponseBuilder, Type,
};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::auth::rights::{Allowed, Right};
use crate::problem::{Body, Problem};

/// The answer to a change: a sentence, and the object as it is now.
macro_rules! changed {
    ($name:ident { $member:ident: $kind:ty }) => {
        #[doc = "What has changed."]
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "describes what `answer::changed` writes")]
        pub(crate) struct $name {
            message: String,
            $member: $kind,
        }
    };
}
pub(crate) use changed;

/// Where a stream of events goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that is read by name")]
pub(crate) struct LastEventId {
    /// The id of the last event that was seen.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
}

/// The refusals that a right brings along, in the words of the right itself.
impl<R: Right> IntoResponses for Allowed<R> {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let holders: Vec<&str> = Role::ALL.iter().filter(|role| R::held_by(**role)).map(|role| role.name()).collect();
        let forbidden = format!("Not allowed. For {}: {}", holders.join(", "), R::REFUSAL);
        let plain = |text: &str| RefOr::T(ResponseBuilder::new().description(text).build());
        BTreeMap::from([
            ("401".to_owned(), plain("No token, or one that no longer holds: log in.")),
            ("403".to_owned(), plain(&forbidden)),
        ])
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Security Analytics",
        description = "A slash at the end of an address makes no difference. Numbers may come as text; times are \
                       RFC 3339 in UTC. Errors are `application/problem+json` with a sentence for people in `error`."
    ),
    components(schemas(Body)),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    }
}

/// The document before any route is in it.
pub(crate) fn base() -> Document {
    Base::openapi()
}

/// Adds what follows from method, address and parameters of each operation.
pub(crate) fn complete(mut document: Document) -> Document {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let words: Vec<&str> = path.trim_start_matches("/api/").split(['/', '-']).collect();
            operation.operation_id = Some(format!("{method}_{}", words.join("_").replace(['{', '}'], "")));
            ask_headers(method, path, operation);
            refuse(path, operation);
            answer_headers(operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// Whether the operation takes a token.
fn is_guarded(operation: &Operation) -> bool {
    operation.security.is_none()
}

fn ask_headers(method: &str, path: &str, operation: &mut Operation) {
    let guarded = is_guarded(operation);
    let parameters = operation.parameters.get_or_insert_default();
    if guarded {
        parameters.push(asked("X-Session-Id", "The session; if it is not the token's, the answer is 401."));
    }
    if method == "post" && crate::idempotency::is_taken(path) {
        parameters.push(asked("Idempotency-Key", "For 24 hours the same key gets the same answer."));
    }
}

fn asked(name: &str, text: &str) -> RefOr<Parameter> {
    let kind = ObjectBuilder::new().schema_type(Type::String);
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    RefOr::T(parameter.description(Some(text)).schema(Some(kind)).build())
}

/// The refusals that follow from what can be wrong, each with the body that all have.
fn refuse(path: &str, operation: &mut Operation) {
    let named = operation.parameters.iter().flatten().next().is_some();
    let responses = &mut operation.responses.responses;
    let mut add = |status: &str, text: &str| {
        let plain = || RefOr::T(ResponseBuilder::new().description(text).build());
        responses.entry(status.to_owned()).or_insert_with(plain);
    };
    if named || operation.request_body.is_some() {
        add("400", "A member is missing or wrong; `errors` names it.");
    }
    if path.contains('{') {
        add("404", "There is none such.");
    }
    add("429", "Too many requests; `Retry-After` tells when to come back.");
    add("503", "Nothing was done; try again.");
    add("default", "Any other refusal or fault.");
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if status.starts_with('2') && response.description.is_empty() {
            response.description = if status == "201" { "Made." } else { "Done." }.to_owned();
        }
        if !status.starts_with('2') && response.content.is_empty() {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response.content.insert("application/problem+json".to_owned(), RefOr::T(body));
        }
    }
}

/// Lists: pages, their links, and their other form.
fn answer_headers(operation: &mut Operation) {
    let takes = |name: &str| {
        let mut names = operation.parameters.iter().flatten();
        names.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == name))
    };
    let (paged, formed) = (takes("cursor"), takes("format"));
    let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") else { return };
    if paged {
        let link = HeaderBuilder::new().description(Some("`<…>; rel=\"next\"`: the next page, if there is one."));
        response.headers.insert("Link".to_owned(), link.build().into());
    }
    if formed {
        let text = ObjectBuilder::new().schema_type(Type::String);
        response.content.insert("text/csv".to_owned(), RefOr::T(ContentBuilder::new().schema(Some(text)).build()));
    }
}

/// The document's address, and the page that shows it. Whoever looks needs no account and leaves nothing. Without its
/// bar, which would show other documents, the page needs no style within its text.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(document: &Document) -> Router<S> {
    let text = serde_json::to_vec(document).map(Bytes::from).map_err(|error| error.to_string());
    let answer = move || {
        let text = text.clone();
        async move {
            match text {
                Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
                Err(error) => Problem::internal(error).into_response(),
            }
        }
    };
    let page = SwaggerUi::new("/api/docs").config(Config::from("/api/openapi.json").use_base_layout());
    let page = Router::from(page).layer(SetResponseHeaderLayer::overriding(CSP, HeaderValue::from_static(POLICY)));
    Router::new().route("/api/openapi.json", get(answer)).merge(page)
}

const CSP: HeaderName = header::CONTENT_SECURITY_POLICY;

/// Everything comes from this server. The page's own pictures are data; nothing in it is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
