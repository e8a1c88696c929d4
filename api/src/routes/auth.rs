//! `/api/auth`: registering, logging in and out.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{LogType, Outcome as Ending, Role, username_key};
use serde_json::{Value, json};
use store::{NewUser, UserRow};

use super::{both, users};
use crate::answer;
use crate::auth::caller::{Identity, Origin, bearer, identify};
use crate::auth::rights::{Allowed, LoggedIn};
use crate::auth::{password, throttle};
use crate::extract::{Body, Fields, FromFields};
use crate::net;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::user_view::User;

/// What anybody may ask for.
pub(crate) fn before_the_gate() -> Router<AppState> {
    let router = both(Router::new(), "/api/auth/register", post(register));
    both(router, "/api/auth/login", post(login))
}

/// What takes a session.
pub(crate) fn behind_the_gate() -> Router<AppState> {
    let router = both(Router::new(), "/api/auth/logout", post(logout));
    both(router, "/api/auth/me", get(me))
}

struct Registration {
    user: users::Members,
    username: String,
    password: String,
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

struct Credentials {
    username: String,
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

async fn register(
    State(app): State<AppState>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Body(new): Body<Registration>,
) -> Outcome<Response> {
    // With a token the table of rights holds, and a bad token is never "without a token".
    let by = match bearer(&headers) {
        None => {
            app.limits.anonymous(net::source(origin.ip))?;
            None
        }
        Some(_) => match identify(&app, &headers, &origin).await? {
            Identity::User(caller) => Some(caller),
            Identity::Key(_) => return Err(Problem::forbidden("An API key may only post events.")),
        },
    };
    let role = new.user.role.unwrap_or(Role::Employee);
    let allowed = match &by {
        None => app.config.self_registration && role == Role::Employee,
        Some(caller) => users::may_manage(caller.user.role, role),
    };
    let base = match &by {
        None => origin.activity("Create", "users", LogType::DataAccess),
        Some(caller) => caller.activity("Create", "users", LogType::DataAccess),
    };
    if !allowed {
        let mut activity = base;
        activity.outcome = Ending::Denied;
        activity.reason = Some("no_right".into());
        activity.attributes.insert("status".into(), 403.into());
        activity.detail = Some(format!("Refused: create user {} as {}", new.username, role.name()));
        app.store.append(activity).await?;
        return Err(Problem::forbidden(match by {
            None if !app.config.self_registration => "Self-registration is off; ask an Admin for an account.",
            None => "You may only register as an Employee.",
            Some(_) => "You may not create users with this role.",
        }));
    }
    let username = new.username.trim().to_owned();
    if !(3..=100).contains(&username.chars().count()) || username.chars().any(char::is_control) {
        return Err(Problem::field(
            "username",
            "username must be 3 to 100 characters long, without control characters",
        ));
    }
    password::check(&new.password, &username)?;
    let password_hash = app.hasher.hash(net::source(origin.ip), new.password).await?;
    let user = NewUser {
        username,
        password_hash,
        email: new.user.email.flatten(),
        full_name: new.user.full_name.flatten(),
        role,
    };
    let journal = move |row: &UserRow| {
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

async fn login(
    State(app): State<AppState>,
    Extension(origin): Extension<Origin>,
    Body(credentials): Body<Credentials>,
) -> Outcome<Response> {
    let name: String = credentials.username.trim().chars().take(100).collect();
    let key = username_key(&name);
    let source = net::source(origin.ip);
    let failed = |reason: &str| {
        let mut activity = origin.activity("LoginFailed", "auth", LogType::Auth);
        activity.user = Some(name.clone());
        activity.outcome = Ending::Failure;
        activity.reason = Some(reason.to_owned());
        activity.detail = Some(format!("Failed log-in as {name}"));
        activity
    };
    let attempts = app.store.login_attempts(&key, &source.to_string(), origin.now).await?;
    if let Some(seconds) = throttle::wait(&attempts, origin.now) {
        app.store.append(failed("throttled")).await?;
        return Err(Problem::throttled(seconds));
    }
    let user = app.store.user_by_key(&key).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = app.hasher.verify(source, credentials.password, hash).await?;
    let reason = match &user {
        None => Some("unknown_user"),
        Some(_) if !right => Some("bad_password"),
        Some(user) if !user.is_active => Some("inactive"),
        Some(_) => None,
    };
    let user = match (user, reason) {
        (Some(user), None) => user,
        (user, reason) => {
            let mut activity = failed(reason.unwrap_or("unknown_user"));
            activity.known_user = user.is_some();
            activity.user_id = user.map(|user| user.user_id);
            app.store.login_failed(&key, &source.to_string(), activity).await?;
            return Err(Problem::unauthorized("Invalid credentials"));
        }
    };
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
    let agent = origin.user_agent.clone();
    app.store.start_session(&session, user.user_id, now, expires, origin.ip, agent, activity).await?;
    app.store.login_succeeded(&key, &source.to_string(), now).await?;
    let body = json!({
        "message": "Login successful",
        "token": token,
        "access_token": token,
        "session_id": session,
        "user": User::from(&user),
    });
    Ok(answer::json_with(StatusCode::OK, &body))
}

async fn logout(Allowed(caller, _): Allowed<LoggedIn>, State(app): State<AppState>) -> Outcome<Response> {
    let mut activity = caller.activity("Logout", "auth", LogType::Auth);
    activity.detail = Some(format!("Logged out {}", caller.user.username));
    app.store.end_session(&caller.session_id, activity).await?;
    Ok(answer::changed(StatusCode::OK, "Logout successful", "user", &Value::Null))
}

async fn me(Allowed(caller, _): Allowed<LoggedIn>) -> Response {
    answer::seen(&User::from(&*caller.user))
}
