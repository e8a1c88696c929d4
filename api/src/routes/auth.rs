//! `/api/auth`: registering, logging in and out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Activity, LogType, Outcome as Ending, Role, Timestamp, username_key};
use serde::Serialize;
use serde_json::Value;
use store::{NewUser, UserRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use super::users::{self, UserChanged};
use crate::answer::{self, Done};
use crate::auth::caller::{Identity, Origin};
use crate::auth::rights::{Allowed, LoggedIn};
use crate::auth::{password, throttle};
use crate::extract::{Body, Fields, FromFields};
use crate::net;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::user_view::User;

/// What anybody may ask for, and what is recorded by its handler.
pub(crate) fn before_the_gate() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(login))
}

/// What takes no token, but honours one.
pub(crate) fn for_anybody() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(register))
}

/// What takes a session.
pub(crate) fn behind_the_gate() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(logout));
    both(router, routes!(me))
}

struct Registration {
    user: users::Members,
    username: String,
    password: String,
}

/// An account to make.
#[derive(utoipa::ToSchema)]
#[schema(as = Registration, example = json!({
    "username": "ann", "password": "correct horse 1", "full_name": "Ann Archer", "role_id": 3
}))]
#[expect(dead_code, reason = "describes what `Registration` reads")]
struct NewAccount {
    #[schema(min_length = 3, max_length = 100)]
    username: String,
    /// At least 8 characters, at most 72 bytes; neither common nor with the name in it.
    #[schema(min_length = 8, max_length = 72)]
    password: String,
    /// See `/api/users/roles` (3).
    #[schema(minimum = 1, maximum = 4)]
    role_id: Option<i32>,
    #[schema(max_length = 255)]
    email: Option<String>,
    #[schema(max_length = 255)]
    full_name: Option<String>,
}

impl FromFields for Registration {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            username: required(fields, "username")?,
            password: required(fields, "password")?,
            user: users::Members::from_fields(fields)?,
        })
    }
}

#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "username": "ann", "password": "correct horse 1" }))]
struct Credentials {
    #[schema(min_length = 1)]
    username: String,
    #[schema(min_length = 1)]
    password: String,
}

impl FromFields for Credentials {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { username: required(fields, "username")?, password: required(fields, "password")? })
    }
}

fn required(fields: &Fields, name: &str) -> Outcome<String> {
    fields
        .text(name)?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Problem::field(name, format!("{name} is required")))
}

/// Creates an account: for oneself without a token, for others with one.
#[utoipa::path(
    post, path = "/api/auth/register", tag = "auth", security((), ("bearer" = [])),
    request_body = NewAccount,
    responses(
        (status = 201, body = UserChanged),
        (status = 401, description = "A token was sent, and it does not hold."),
        (status = 403, description = "Self-registration is off, or the role is not the caller's to give."),
        (status = 409, description = "The name is taken.")
    )
)]
async fn register(
    State(app): State<AppState>,
    Extension(origin): Extension<Arc<Origin>>,
    identity: Option<Extension<Identity>>,
    Body(new): Body<Registration>,
) -> Outcome<Response> {
    let by = match identity {
        None => None,
        Some(Extension(Identity::User(caller))) => Some(caller),
        Some(Extension(Identity::Key(_))) => {
            return Err(Problem::forbidden("An API key may only post events.").with_reason("no_right"));
        }
    };
    let role = new.user.role.unwrap_or(Role::Employee);
    let allowed = match &by {
        None => app.config.self_registration && role == Role::Employee,
        Some(caller) => users::may_manage(caller.user.role, role),
    };
    if !allowed {
        let refusal = match by {
            None if !app.config.self_registration => "Self-registration is off; ask an Admin for an account.",
            None => "You may only register as an Employee.",
            Some(_) => "You may not create users with this role.",
        };
        return Err(Problem::forbidden(refusal).with_reason("no_right"));
    }
    let base = match &by {
        None => origin.activity("Create", "users", LogType::DataAccess),
        Some(caller) => caller.activity("Create", "users", LogType::DataAccess),
    };
    let username = new.username.trim().to_owned();
    domain::check_username(&username).map_err(|sentence| Problem::field("username", sentence))?;
    password::check(&new.password, &username)?;
    let password_hash = app.hasher.hash(net::source(origin.ip), new.password).await?;
    let user = NewUser {
        username,
        password_hash,
        email: new.user.email.flatten(),
        full_name: new.user.full_name.flatten(),
        role,
    };
    let keep = answer::Keep::new();
    let journal = move |row: &UserRow| {
        keep.changed(StatusCode::CREATED, "User registered successfully", "user", &User::from(row));
        let mut activity = base;
        activity.resource = Some(format!("users/{}", row.user_id));
        activity.detail = Some(format!("Created user {} ({}) as {}", row.user_id, row.username, row.role.name()));
        activity.attributes.insert("target_user".into(), row.username.clone().into());
        activity.attributes.insert("role_to".into(), row.role.name().into());
        activity
    };
    let user = app.store.create_user(user, journal).await.map_err(|error| match error {
        store::Error::Duplicate => Problem::conflict("Username already exists"),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::CREATED, "User registered successfully", "user", &User::from(&user)))
}

/// Begins a session.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, body = LoggedInNow),
        (status = 401, description = "Name or password is wrong."),
        (status = 429, description = "Too many attempts.")
    )
)]
async fn login(
    State(app): State<AppState>,
    Extension(origin): Extension<Arc<Origin>>,
    Body(credentials): Body<Credentials>,
) -> Outcome<Response> {
    let name: String = credentials.username.trim().chars().take(100).collect();
    let key = username_key(&name);
    let source = net::source(origin.ip);
    // Looked up first, so that a refused attempt is told apart by who exists as well; the client never learns it.
    let user = app.store.user_by_key(&key).await?;
    let (known_user, user_id) = (user.is_some(), user.as_ref().map(|user| user.user_id));
    let failed = |reason: &str| {
        let mut activity = origin.activity("LoginFailed", "auth", LogType::Auth);
        activity.user = Some(name.clone());
        activity.user_id = user_id;
        activity.known_user = known_user;
        activity.outcome = Ending::Failure;
        activity.reason = Some(reason.to_owned());
        activity.detail = Some(format!("Failed log-in as {name}"));
        activity
    };
    throttled(&app, &key, source, origin.now, || failed("throttled")).await?;
    let turn = app.hasher.turn(source).await?;
    // Asked again now that it is this attempt's turn: of a hundred at once only as many as there are turns may pass.
    throttled(&app, &key, source, app.clock.now(), || failed("throttled")).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = app.hasher.verify(&turn, credentials.password, hash).await?;
    let reason = match &user {
        None => Some("unknown_user"),
        Some(_) if !right => Some("bad_password"),
        Some(user) if !user.is_active => Some("inactive"),
        Some(_) => None,
    };
    let user = match (user, reason) {
        (Some(user), None) => user,
        (_, reason) => {
            let activity = failed(reason.unwrap_or("unknown_user"));
            app.store.login_failed(&key, &source.to_string(), activity).await?;
            return Err(Problem::unauthorized("Invalid credentials"));
        }
    };
    drop(turn);
    let session: [u8; 24] = rand::random();
    let session = URL_SAFE_NO_PAD.encode(session);
    // The session begins when it is made, after the time that bcrypt took.
    let now = app.clock.now();
    let expires = now.plus(app.config.session_ttl);
    let token = app.tokens.issue(user.user_id, &session, expires).map_err(Problem::internal)?;
    let mut activity = origin.activity("Login", "auth", LogType::Auth);
    activity.user = Some(user.username.clone());
    activity.user_id = Some(user.user_id);
    activity.role = Some(user.role.name().to_owned());
    activity.session_id = Some(session.clone());
    activity.known_user = true;
    activity.detail = Some(format!("Logged in as {}", user.username));
    let agent = origin.user_agent.as_deref().map(str::to_owned);
    let started = app.store.start_session(&session, &user, now, expires, origin.ip, agent, activity).await;
    started.map_err(|error| match error {
        // Deleted, deactivated or given another password while bcrypt was at work.
        store::Error::NotFound => Problem::unauthorized("Invalid credentials"),
        other => other.into(),
    })?;
    app.store.login_succeeded(&key, &source.to_string(), now).await?;
    let body = LoggedInNow {
        message: "Login successful",
        token: token.clone(),
        access_token: token,
        session_id: session,
        user: User::from(&user),
    };
    Ok(answer::ordered(StatusCode::OK, &body))
}

/// A session that has begun.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…", "message": "Login successful", "session_id": "bm90IGEgc2Vzc2lvbg",
    "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…", "user": User::example()
}))]
struct LoggedInNow {
    message: &'static str,
    token: String,
    /// The token again.
    access_token: String,
    session_id: String,
    user: User,
}

/// Refuses an attempt that comes too soon, and records it.
async fn throttled(
    app: &AppState,
    key: &str,
    source: IpAddr,
    now: Timestamp,
    activity: impl Fn() -> Activity,
) -> Outcome<()> {
    let attempts = app.store.login_attempts(key, &source.to_string(), now).await?;
    let Some(seconds) = throttle::wait(&attempts, now) else { return Ok(()) };
    app.store.append(activity()).await?;
    Err(Problem::throttled(seconds))
}

/// Ends the session at once.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "auth",
    responses((status = 200, body = Done), Allowed<LoggedIn>)
)]
async fn logout(Allowed(caller, _): Allowed<LoggedIn>, State(app): State<AppState>) -> Outcome<Response> {
    let mut activity = caller.activity("Logout", "auth", LogType::Auth);
    activity.detail = Some(format!("Logged out {}", caller.user.username));
    app.store.end_session(&caller.session_id, activity).await?;
    Ok(answer::changed(StatusCode::OK, "Logout successful", "user", &Value::Null))
}

/// Who one is.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", responses((status = 200, body = User), Allowed<LoggedIn>))]
async fn me(Allowed(caller, _): Allowed<LoggedIn>) -> Response {
    answer::seen(&User::from(&*caller.user))
}
