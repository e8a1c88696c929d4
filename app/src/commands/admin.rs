//! `admin reset-password`, `admin create-user`: when nobody can log in.

use std::io::{self, BufRead};

use domain::{LogType, Role, username_key};
use store::{NewUser, UserChange};

use super::{Context, on_the_command_line};
use crate::cli;
use crate::config::{Secret, secret};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Bytes of a made password: 20 characters.
pub(crate) const MADE_PASSWORD: usize = 15;

pub(crate) async fn run(args: cli::Admin, context: &Context) -> Outcome {
    match args {
        cli::Admin::ResetPassword { user, password_stdin } => reset(context, &user, password_stdin).await,
        cli::Admin::CreateUser { user, role, email, full_name, password_stdin } => {
            let role: Role = role.parse().map_err(|what| Failure::usage(format!("--role {what}")))?;
            let account = Account { user, role, email, full_name };
            create(context, account, password_stdin).await
        }
    }
}

async fn reset(context: &Context, name: &str, from_stdin: bool) -> Outcome {
    let password = Password::get(name, from_stdin)?;
    let hash = hash(context.config.bcrypt_cost, &password.secret).await?;
    let store = context.store_as_it_is().await?;
    let changed = async {
        let user = store.user_by_key(&username_key(name)).await?.ok_or(store::Error::NotFound)?;
        let detail = format!("Reset the password of user {} ({}) on the command line", user.user_id, user.username);
        let resource = format!("users/{}", user.user_id);
        let mut activity = on_the_command_line(context, "Update", &resource, LogType::DataAccess, detail);
        activity.attributes.insert("target_user".into(), user.username.into());
        activity.attributes.insert("password_changed".into(), true.into());
        let change = UserChange { password_hash: Some(hash), ..UserChange::default() };
        store.update_user(user.user_id, change, activity).await
    };
    let changed = changed.await;
    store.close().await;
    let user = changed.map_err(|error| match error {
        store::Error::NotFound => {
            Failure::no(format!("there is no user {name}; `admin create-user {name}` would make one"))
        }
        error => context.failed()(error),
    })?;
    output::note(format!("The password of {} is changed, and the user's sessions are ended.", user.username));
    if !user.is_active {
        output::note("The account is deactivated, so nobody can log in with it; an Admin can activate it.");
    }
    password.show()
}

struct Account {
    user: String,
    role: Role,
    email: Option<String>,
    full_name: Option<String>,
}

async fn create(context: &Context, account: Account, from_stdin: bool) -> Outcome {
    let name = account.user.trim().to_owned();
    domain::check_username(&name).map_err(Failure::usage)?;
    let password = Password::get(&name, from_stdin)?;
    let user = NewUser {
        username: name.clone(),
        password_hash: hash(context.config.bcrypt_cost, &password.secret).await?,
        email: account.email,
        full_name: account.full_name,
        role: account.role,
    };
    let base = on_the_command_line(context, "Create", "users", LogType::DataAccess, String::new());
    let store = context.store_to_fill().await?;
    let made = store.create_user(user, move |row| created(base, row)).await;
    store.close().await;
    let user = made.map_err(|error| match error {
        store::Error::Duplicate => Failure::no(format!("the name {name} is taken, perhaps by a deleted user")),
        error => context.failed()(error),
    })?;
    output::note(format!("{} is now {} {}.", user.username, article(user.role), user.role));
    password.show()
}

const fn article(role: Role) -> &'static str {
    if matches!(role, Role::Admin | Role::Employee) { "an" } else { "a" }
}

/// The activity of a new account.
pub(crate) fn created(mut base: domain::Activity, row: &store::UserRow) -> domain::Activity {
    base.resource = Some(format!("users/{}", row.user_id));
    base.detail = Some(format!("Created user {} ({}) as {} on the command line", row.user_id, row.username, row.role));
    base.attributes.insert("target_user".into(), row.username.clone().into());
    base.attributes.insert("role_to".into(), row.role.name().into());
    base
}

/// A new password, and whether anybody knows it already.
struct Password {
    secret: Secret,
    made: bool,
}

impl Password {
    fn get(username: &str, from_stdin: bool) -> Outcome<Self> {
        if !from_stdin {
            return Ok(Self { secret: Secret::new(secret::make(MADE_PASSWORD)), made: true });
        }
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::usage(format!("the password cannot be read from standard input: {error}")))?;
        let password = line.trim_end_matches(['\r', '\n']);
        domain::check_password(password, username).map_err(Failure::usage)?;
        Ok(Self { secret: Secret::new(password), made: false })
    }

    /// Shows a made password, which is the one moment at which it can be learnt.
    fn show(&self) -> Outcome {
        if self.made { output::print(format!("Password: {}", self.secret.reveal())) } else { Ok(()) }
    }
}

/// bcrypt, away from the threads that have other work.
pub(crate) async fn hash(cost: u32, password: &Secret) -> Outcome<String> {
    let password = password.clone();
    let hashed = tokio::task::spawn_blocking(move || bcrypt::hash(password.reveal(), cost)).await;
    let failed = |error: &dyn std::fmt::Display| Failure::internal(format!("bcrypt: {error}"));
    hashed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}
