//! `/api/keys`: keys of other systems that post events. A key is shown once and kept as its digest.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{LogType, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{ApiKey, NewApiKey};
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Body, Fields, FromFields, Query, decoded};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, create));
    both(router, routes!(revoke))
}

/// A key without its secret.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Key, example = json!({
    "id": "3f2a9c7d10e4b85f6a", "name": "firewall", "scope": "ingest", "created_at": "2026-03-01T08:15:00.000000Z",
    "expires_at": null, "revoked_at": null
}))]
struct View {
    id: String,
    name: String,
    scope: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

impl From<ApiKey> for View {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, scope, created_at, expires_at, revoked_at, .. } = key;
        Self { id, name, scope, created_at, expires_at, revoked_at }
    }
}

#[derive(utoipa::ToSchema)]
#[schema(as = KeyMembers, example = json!({ "name": "firewall", "expires_at": "2027-03-01T00:00:00Z" }))]
struct Members {
    /// Stands in the `origin` of what is posted with it.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    name: String,
    /// What it may do (ingest).
    #[schema(schema_with = scope, required = false)]
    scope: String,
    /// Ahead; it does not end unless told.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

fn scope() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["ingest"]))
}

/// A key as it is shown once.
#[derive(Serialize, utoipa::ToSchema)]
struct KeyMade {
    message: &'static str,
    /// The secret.
    #[schema(example = "sa_3f2a9c7d10e4b85f6a_bm90IGEgc2VjcmV0LCBqdXN0IGFuIGV4YW1wbGU")]
    api_key: String,
    key: View,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let name = fields.required("name", 64)?;
        // The name stands in `origin` and in paths.
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(Problem::field("name", "name may hold letters, digits, '-', '_' and '.' only"));
        }
        let scope = fields.words("scope", 20)?.unwrap_or_else(|| "ingest".to_owned());
        if scope != "ingest" {
            return Err(Problem::field("scope", "scope must be ingest"));
        }
        Ok(Self { name, scope, expires_at: fields.time("expires_at")? })
    }
}

/// The keys, without their secrets.
#[utoipa::path(
    get, path = "/api/keys", tag = "keys",
    params(Form),
    responses((status = 200, body = [View]), Allowed<Administer>)
)]
async fn list(_: Allowed<Administer>, State(app): State<AppState>, Query(form): Query<Form>) -> Outcome<Response> {
    let keys: Vec<View> = app.store.api_keys().await?.into_iter().map(View::from).collect();
    Ok(answer::list(form, "keys", &["id", "name", "scope", "created_at", "expires_at", "revoked_at"], &keys))
}

/// Makes a key; it is shown only now.
#[utoipa::path(
    post, path = "/api/keys", tag = "keys",
    request_body = Members,
    responses((status = 201, body = KeyMade), (status = 409, description = "The name is taken."), Allowed<Administer>)
)]
async fn create(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    if members.expires_at.is_some_and(|at| at <= app.clock.now()) {
        return Err(Problem::field("expires_at", "expires_at must lie ahead"));
    }
    let id: [u8; 9] = rand::random();
    // Hexadecimal: an id must not hold the `_` that ends it.
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret: [u8; 32] = rand::random();
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let Members { name, scope, expires_at } = members;
    let mut activity = caller.activity("Admin", &format!("keys/{name}"), LogType::System);
    activity.detail = Some(format!("Created API key {name} with scope {scope}"));
    let new = NewApiKey { id: id.clone(), name, sha256: Sha256::digest(&secret).to_vec(), scope, expires_at };
    let key = app.store.create_api_key(new, activity).await.map_err(|error| match error {
        store::Error::Duplicate => Problem::conflict("An API key of this name exists already"),
        other => other.into(),
    })?;
    let made = KeyMade {
        message: "API key created successfully; it is shown only now",
        api_key: format!("sa_{id}_{secret}"),
        key: View::from(key),
    };
    Ok(answer::recorded(answer::ordered(StatusCode::CREATED, &made)))
}

/// Revokes a key at once.
#[utoipa::path(
    delete, path = "/api/keys/{name}", tag = "keys",
    params(("name" = String, Path, description = "The key's name")),
    responses((status = 200, body = Done), Allowed<Administer>)
)]
async fn revoke(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    path: RawPathParams,
) -> Outcome<Response> {
    let name = path.iter().next().and_then(|(_, name)| decoded(name)).unwrap_or_default();
    let mut activity = caller.activity("Admin", &format!("keys/{name}"), LogType::System);
    activity.detail = Some(format!("Revoked API key {name}"));
    app.store.revoke_api_key(&name, activity).await.map_err(|error| match error {
        store::Error::NotFound => Problem::not_found("API key not found").with_reason("not_found"),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "API key revoked successfully", "key", &Value::Null))
}
