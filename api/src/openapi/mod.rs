//! The OpenAPI document: made of the routes themselves ([`crate::routes`]), and completed by what holds for all of them
//! ([`complete`]), so that a handler says only what is its own; [`examples`] are made of what is told then.

mod complete;
mod examples;

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, body::Bytes};
use domain::Role;
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

pub(crate) use self::complete::{complete, refusals};
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

/// Which right an operation asks for, and who has it: `{"right": "Administer", "roles": ["Admin"]}`.
const REQUIRED_RIGHT: &str = "x-required-right";

/// The refusals that a right brings along, in the words of the right itself.
impl<R: Right> IntoResponses for Allowed<R> {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let holders: Vec<&str> = Role::ALL.iter().filter(|role| R::held_by(**role)).map(|role| role.name()).collect();
        let forbidden = format!("Not allowed. For {}: {}", holders.join(", "), R::REFUSAL);
        let required = Extensions::from_iter([(REQUIRED_RIGHT, json!({ "right": R::NAME, "roles": holders }))]);
        let plain = |text: &str| ResponseBuilder::new().description(text);
        let unauthorized = plain("No token, or one that no longer holds: log in.");
        BTreeMap::from([
            ("401".to_owned(), RefOr::T(unauthorized.build())),
            // From here `complete` takes it to its operation.
            ("403".to_owned(), RefOr::T(plain(&forbidden).extensions(Some(required)).build())),
        ])
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Security Analytics",
        description = "A slash at the end of an address makes no difference. Numbers may come as text; times are \
                       RFC 3339 in UTC. Errors are `application/problem+json` with a sentence for people in `error`. \
                       `x-required-right` says which right an operation asks for and which roles have it. Members may be \
                       added to answers; none is renamed or removed."
    ),
    components(schemas(Body)),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let mut add = |name: &str, text: &str| {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
            let components = document.components.get_or_insert_default();
            components.add_security_scheme(name, SecurityScheme::Http(bearer));
        };
        add("bearer", "The token of a log-in (`POST /api/auth/login`). It holds until the session ends.");
        add("api_key", "The key of another system (`POST /api/keys`): it may post events, and nothing else.");
    }
}

/// The document before any route is in it.
pub(crate) fn base() -> Document {
    Base::openapi()
}

fn operations(document: &mut Document) -> impl Iterator<Item = (&str, &'static str, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let all = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        let told = all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)));
        told.map(move |(method, operation)| (path.as_str(), method, operation))
    })
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
    let answer = get(answer);
    Router::new().route("/api/openapi.json", answer.clone()).route("/api/openapi.json/", answer).merge(page)
}

const CSP: HeaderName = header::CONTENT_SECURITY_POLICY;

/// Everything comes from this server. The page's own pictures are data; nothing in it is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
