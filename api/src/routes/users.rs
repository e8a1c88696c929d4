//! `/api/users`: accounts and their roles.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::{LogType, MINUTE, Outcome as Ending, Role};
use serde_json::Value;
use store::{UserChange, UserRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Allowed, LoggedIn, ManageUsers};
use crate::auth::{password, throttle};
use crate::extract::{Body, Fields, FromFields, PathId, Query};
use crate::net;
use crate::openapi::changed;
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::user_view::User;
use crate::words::RoleName;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list));
    let router = both(router, routes!(roles));
    both(router, routes!(one, update, remove))
}

/// Whether somebody of role `by` may create, change and delete users of role `of`.
pub(crate) fn may_manage(by: Role, of: Role) -> bool {
    match by {
        Role::Admin => true,
        Role::Supervisor => matches!(of, Role::Employee | Role::Contractor),
        Role::Employee | Role::Contractor => false,
    }
}

/// The members of a body that a registration and a change share.
#[derive(utoipa::ToSchema)]
#[schema(as = UserMembers, example = json!({ "role_id": 2, "full_name": "Ann Archer" }))]
pub(crate) struct Members {
    /// See `/api/users/roles`. The role that the user has is no change.
    #[schema(rename = "role_id", value_type = Option<i32>, minimum = 1, maximum = 4)]
    pub(crate) role: Option<Role>,
    #[schema(value_type = Option<String>, max_length = 255)]
    pub(crate) email: Option<Option<String>>,
    #[schema(value_type = Option<String>, max_length = 255)]
    pub(crate) full_name: Option<Option<String>>,
    /// At least 8 characters, at most 72 bytes; neither common nor with the name in it.
    #[schema(min_length = 8, max_length = 72)]
    password: Option<String>,
    /// Takes the place of a fresh log-in where one's own password changes.
    #[schema(min_length = 1)]
    current_password: Option<String>,
    is_active: Option<bool>,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let role = match fields.integer("role_id")? {
            None => None,
            Some(id) => {
                Some(Role::from_id(id).ok_or_else(|| Problem::field("role_id", "role_id must be 1, 2, 3 or 4"))?)
            }
        };
        let given = |name: &str| -> Outcome<Option<Option<String>>> {
            let value = fields.words(name, 255)?;
            Ok(fields.raw(name).map(|_| value))
        };
        Ok(Self {
            role,
            email: given("email")?,
            full_name: given("full_name")?,
            password: fields.text("password")?.filter(|text| !text.is_empty()),
            current_password: fields.text("current_password")?.filter(|text| !text.is_empty()),
            is_active: fields.flag("is_active")?,
        })
    }
}

fn staff(caller: &Caller) -> bool {
    matches!(caller.user.role, Role::Admin | Role::Supervisor)
}

fn missing() -> Problem {
    Problem::not_found("User not found").with_reason("not_found")
}

fn not_yours() -> Problem {
    Problem::forbidden("You may only see and change your own account.").with_reason("not_own")
}

changed!(UserChanged { user: User });

struct Filter {
    page: Page,
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { page: Page::from_fields(fields)?, form: Form::from_fields(fields)? })
    }
}

/// All users; others than Admins and Supervisors see themselves.
#[utoipa::path(
    get, path = "/api/users", tag = "users",
    params(Page, Form),
    responses((status = 200, body = [User]), Allowed<LoggedIn>)
)]
async fn list(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(Filter { page, form }): Query<Filter>,
) -> Outcome<Response> {
    let rows = if staff(&caller) { app.store.users().await? } else { vec![(*caller.user).clone()] };
    let (part, next) = page.of_whole(&rows, |row| row.user_id)?;
    let part: Vec<User> = part.iter().map(User::from).collect();
    let columns = ["user_id", "username", "email", "full_name", "role_id", "role_name", "is_active", "created_at"];
    let response = answer::list(form, "users", &columns, &part);
    Ok(paging::link(paging::counted(response, rows.len()), &uri, next.as_deref()))
}

/// A role.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = Role, example = json!({ "role_id": 3, "role_name": "Employee" }))]
struct RoleView {
    role_id: i64,
    #[schema(value_type = RoleName)]
    role_name: &'static str,
}

/// The four roles.
#[utoipa::path(
    get, path = "/api/users/roles", tag = "users",
    responses((status = 200, body = [RoleView]), Allowed<LoggedIn>)
)]
async fn roles(_: Allowed<LoggedIn>) -> Response {
    answer::seen(&Role::ALL.map(|role| RoleView { role_id: role.id(), role_name: role.name() }))
}

/// One user.
#[utoipa::path(
    get, path = "/api/users/{user_id}", tag = "users",
    params(("user_id" = i32, Path, description = "The user")),
    responses((status = 200, body = User), Allowed<LoggedIn>)
)]
async fn one(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    if !staff(&caller) && !caller.is(id) {
        return Err(not_yours());
    }
    let user = app.store.user(id).await?.ok_or_else(missing)?;
    Ok(answer::seen(&User::from(&user)))
}

/// Changes a user.
#[utoipa::path(
    put, path = "/api/users/{user_id}", tag = "users",
    params(("user_id" = i32, Path, description = "The user")),
    request_body = Members,
    responses(
        (status = 200, body = UserChanged),
        (status = 409, description = "The last Admin stays one."),
        Allowed<LoggedIn>
    )
)]
async fn update(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    PathId(id): PathId,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    if !staff(&caller) && !caller.is(id) {
        return Err(not_yours());
    }
    let old = app.store.user(id).await?.ok_or_else(missing)?;
    // The role that the user has is no change: the old frontend always sends it.
    let role = members.role.filter(|role| *role != old.role);
    let is_active = members.is_active.filter(|active| *active != old.is_active);
    let email = members.email.filter(|email| *email != old.email);
    let full_name = members.full_name.filter(|name| *name != old.full_name);
    let own = caller.is(id);
    let admin = caller.user.role == Role::Admin;
    if own && role.is_some() {
        return Err(Problem::forbidden("You cannot change your own role").with_reason("own_role"));
    }
    if !own && (!may_manage(caller.user.role, old.role) || role.is_some_and(|role| !may_manage(caller.user.role, role)))
    {
        return Err(Problem::forbidden("You may not change users with this role.").with_reason("no_right"));
    }
    if !admin && (email.is_some() || full_name.is_some() || is_active.is_some()) {
        return Err(
            Problem::forbidden("Only an Admin may change email, full_name and is_active.").with_reason("no_right")
        );
    }
    let source = net::source(caller.origin.ip);
    let password_hash = match members.password {
        None => None,
        Some(new) => {
            password::check(&new, &old.username)?;
            if own {
                confirm(&app, &caller, members.current_password).await?;
            }
            Some(app.hasher.hash(source, new).await?)
        }
    };
    let activity = described(&caller, &old, role, password_hash.is_some(), is_active, &email, &full_name);
    let keep_session = own.then(|| caller.session_id.to_string());
    let change = UserChange { role, password_hash, email, full_name, is_active, keep_session };
    let user = app.store.update_user(id, change, activity).await.map_err(|error| match error {
        store::Error::NotFound => missing(),
        store::Error::Conflict(_) => last_admin(),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "User updated successfully", "user", &User::from(&user)))
}

/// One's own password takes the current one or a fresh log-in: a stolen token must not be enough.
async fn confirm(app: &AppState, caller: &Caller, current: Option<String>) -> Outcome<()> {
    match current {
        Some(current) => {
            // Guessing it is guessing a password: it has the limits of a log-in.
            let source = net::source(caller.origin.ip);
            let from = source.to_string();
            let key = &caller.user.username_key;
            let attempts = app.store.login_attempts(key, &from, caller.origin.now).await?;
            if let Some(seconds) = throttle::wait(&attempts, caller.origin.now) {
                return Err(Problem::throttled(seconds));
            }
            let turn = app.hasher.turn(source).await?;
            let hash = Some(caller.user.password_hash.clone());
            if app.hasher.verify(&turn, current, hash).await? {
                return Ok(());
            }
            let resource = format!("users/{}", caller.user.user_id);
            let mut activity = caller.activity("Update", &resource, LogType::DataAccess);
            activity.outcome = Ending::Denied;
            activity.reason = Some("bad_password".into());
            activity.attributes.insert("status".into(), StatusCode::FORBIDDEN.as_u16().into());
            activity.detail = Some(format!("Refused: Update {resource}: the current password was wrong"));
            app.store.login_failed(key, &from, activity).await?;
            Err(Problem::forbidden("The current password is wrong.").recorded())
        }
        None if caller.origin.now.since(caller.session_started) < 15 * MINUTE => Ok(()),
        None => Err(Problem::forbidden("Log in again to change your password").with_reason("stale_session")),
    }
}

fn last_admin() -> Problem {
    Problem::conflict("This is the last Admin; make another one first.")
}

fn described(
    caller: &Caller,
    old: &UserRow,
    role: Option<Role>,
    password: bool,
    is_active: Option<bool>,
    email: &Option<Option<String>>,
    full_name: &Option<Option<String>>,
) -> domain::Activity {
    let mut activity = caller.activity("Update", &format!("users/{}", old.user_id), LogType::DataAccess);
    let mut changed = Vec::new();
    let attributes = &mut activity.attributes;
    attributes.insert("target_user".into(), old.username.clone().into());
    if let Some(role) = role {
        changed.push("role_id");
        attributes.insert("role_from".into(), old.role.name().into());
        attributes.insert("role_to".into(), role.name().into());
    }
    if password {
        changed.push("password");
        attributes.insert("password_changed".into(), true.into());
    }
    for (name, given) in
        [("is_active", is_active.is_some()), ("email", email.is_some()), ("full_name", full_name.is_some())]
    {
        if given {
            changed.push(name);
        }
    }
    let what = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    attributes.insert("changed".into(), changed.into());
    activity.detail = Some(format!("Updated user {} ({}): {what}", old.user_id, old.username));
    activity
}

/// Deletes a user, never oneself.
#[utoipa::path(
    delete, path = "/api/users/{user_id}", tag = "users",
    params(("user_id" = i32, Path, description = "The user")),
    responses(
        (status = 200, body = Done),
        (status = 409, description = "The last Admin stays."),
        Allowed<ManageUsers>
    )
)]
async fn remove(
    Allowed(caller, _): Allowed<ManageUsers>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    if caller.is(id) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "Cannot delete your own account"));
    }
    let user = app.store.user(id).await?.ok_or_else(missing)?;
    if !may_manage(caller.user.role, user.role) {
        return Err(Problem::forbidden("You may not delete users with this role.").with_reason("no_right"));
    }
    let mut activity = caller.activity("Delete", &format!("users/{id}"), LogType::DataAccess);
    activity.detail = Some(format!("Deleted user {id} ({})", user.username));
    activity.attributes.insert("target_user".into(), user.username.into());
    app.store.delete_user(id, activity).await.map_err(|error| match error {
        store::Error::NotFound => missing(),
        store::Error::Conflict(_) => last_admin(),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "User deleted successfully", "user", &Value::Null))
}
