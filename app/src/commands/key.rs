//! `key create`, `key list`, `key revoke`: keys of other systems that post events.

use domain::{Activity, LogType, Timestamp};
use sha2::{Digest, Sha256};
use store::{ApiKey, NewApiKey};

use super::{Context, on_the_command_line};
use crate::cli;
use crate::config::secret;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Bytes of the public part; in hexadecimal, since an underscore ends it.
const ID: usize = 8;
/// Bytes of the secret part: 43 characters.
const SECRET: usize = 32;

pub(crate) async fn run(args: cli::Key, context: &Context) -> Outcome {
    match args {
        cli::Key::Create { name, scope, expires } => create(context, name, scope, expires.as_deref()).await,
        cli::Key::List => list(context).await,
        cli::Key::Revoke { name } => revoke(context, &name).await,
    }
}

async fn create(context: &Context, name: String, scope: String, expires: Option<&str>) -> Outcome {
    check_name(&name)?;
    let now = context.clock.now();
    let expires_at = expires.map(|text| expiry(text, now)).transpose()?;
    let store = context.store_to_fill().await?;
    let id: String = (0..ID).map(|_| format!("{:02x}", rand::random::<u8>())).collect();
    let secret = secret::make(SECRET);
    let key =
        NewApiKey { id: id.clone(), name: name.clone(), sha256: Sha256::digest(&secret).to_vec(), scope, expires_at };
    let activity = act(context, &name, format!("Made API key {name} on the command line"));
    let made = store.create_api_key(key, activity).await;
    store.close().await;
    made.map_err(|error| match error {
        store::Error::Duplicate => Failure::no(format!(
            "there is or was a key named {name}; its name stays with what it has posted, so choose another"
        )),
        error => context.failed()(error),
    })?;
    output::print(format!("sa_{id}_{secret}"))?;
    if output::is_terminal() {
        output::note("This is the only time that the key is shown. Use it as `Authorization: Bearer <key>`.");
    }
    Ok(())
}

async fn list(context: &Context) -> Outcome {
    let store = context.store_as_it_is().await?;
    let keys = store.api_keys().await;
    store.close().await;
    let keys = keys.map_err(context.failed())?;
    if keys.is_empty() {
        output::note("There are no keys. `security-analytics key create NAME` makes one.");
        return Ok(());
    }
    output::print(table(&keys, context.clock.now()))
}

fn table(keys: &[ApiKey], now: Timestamp) -> String {
    let width = keys.iter().map(|key| key.name.chars().count()).max().unwrap_or(0).max("NAME".len());
    let mut lines = vec![format!("{:width$}  {:18}  {:6}  {:27}  STATE", "NAME", "KEY", "SCOPE", "CREATED")];
    for key in keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) if at <= now => format!("expired {at}"),
            (None, Some(at)) => format!("valid until {at}"),
            (None, None) => "valid".to_owned(),
        };
        let (id, created) = (format!("sa_{}", key.id), key.created_at.to_string());
        lines.push(format!("{:width$}  {id:18}  {:6}  {created:27}  {state}", key.name, key.scope));
    }
    lines.join("\n")
}

async fn revoke(context: &Context, name: &str) -> Outcome {
    let store = context.store_as_it_is().await?;
    let activity = act(context, name, format!("Revoked API key {name} on the command line"));
    let revoked = store.revoke_api_key(name, activity).await;
    store.close().await;
    revoked.map_err(|error| match error {
        store::Error::NotFound => Failure::no(format!("there is no valid key named {name}; see `key list`")),
        error => context.failed()(error),
    })?;
    output::note(format!("{name} is revoked. A running server refuses it within a second."));
    Ok(())
}

fn act(context: &Context, name: &str, detail: String) -> Activity {
    on_the_command_line(context, "Admin", &format!("keys/{name}"), LogType::System, detail)
}

/// The name becomes a part of `origin`, in logs and rules.
fn check_name(name: &str) -> Outcome {
    let valid = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if valid {
        return Ok(());
    }
    Err(Failure::usage("the name of a key has 1 to 64 letters, digits, dots, dashes and underscores"))
}

fn expiry(text: &str, now: Timestamp) -> Outcome<Timestamp> {
    let at = Timestamp::parse_lenient(text)
        .ok_or_else(|| Failure::usage(format!("--expires {text} is no time; write it like 2026-12-31")))?;
    if at <= now {
        return Err(Failure::usage(format!("--expires {text} has passed; name a time that is to come")));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_an_origin() {
        assert!(check_name("fw-1.example_net").is_ok());
        for wrong in ["", "a b", "a:b", "a|b", "ä", &"x".repeat(65)] {
            assert_eq!(check_name(wrong).unwrap_err().code(), 2, "{wrong}");
        }
    }

    #[test]
    fn an_expiry_lies_ahead() {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(expiry("2026-01-02", now).unwrap().to_string(), "2026-01-02T00:00:00Z");
        assert!(expiry("2026-01-01", now).is_err());
        assert!(expiry("tomorrow", now).is_err());
    }

    #[test]
    fn the_list_says_what_each_key_is_worth() {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let key = |name: &str, expires_at, revoked_at| ApiKey {
            id: "0011223344556677".into(),
            name: name.into(),
            sha256: vec![7; 32],
            scope: "ingest".into(),
            created_at: now,
            expires_at,
            revoked_at,
        };
        let shown = table(
            &[
                key("plain", None, None),
                key("later", Some(now.plus(domain::DAY)), None),
                key("over", Some(now), None),
                key("gone", None, Some(now)),
            ],
            now,
        );
        let state = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(state("plain").ends_with("  valid"));
        assert!(state("later").ends_with("valid until 2026-01-02T00:00:00Z"));
        assert!(state("over").contains("expired"));
        assert!(state("gone").contains("revoked"));
    }
}
