//! Rows as they are there → as they are here, or the reason why not.

use std::collections::HashMap;
use std::net::IpAddr;

use domain::{Activity, Outcome, Role, Timestamp, ids};
use store::{ImportedItem, ImportedUser, LegacyItem, LegacyLog, LegacyUser, NewItem, NewUser};

/// Why a row is left.
pub(super) type Refused = str;

/// The most that a quantity may be.
const MOST: i64 = 2_147_483_647;
/// Characters of a description that serve as category where there is none.
const CATEGORY: usize = 50;

/// A user, with what had to be changed.
pub(super) fn user(row: LegacyUser, now: Timestamp) -> Result<(ImportedUser, Vec<&'static str>), &'static str> {
    let mut notes = Vec::new();
    let username = row.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let username = username.ok_or("has no name")?;
    let password_hash = row.password_hash.unwrap_or_default();
    let mut is_active = row.is_active.unwrap_or(1) != 0;
    if !["$2a$", "$2b$", "$2y$"].iter().any(|kind| password_hash.starts_with(kind)) || password_hash.len() != 60 {
        notes.push("has no bcrypt password: taken inactive; give it one by `admin reset-password`");
        is_active = false;
    }
    let role = row.role_name.as_deref().and_then(|name| name.trim().parse::<Role>().ok());
    if role.is_none() {
        notes.push("has no role that is known here: taken as Employee");
    }
    let user = NewUser {
        username,
        password_hash,
        email: row.email.filter(|text| !text.is_empty()),
        full_name: row.full_name.filter(|text| !text.is_empty()),
        role: role.unwrap_or(Role::Employee),
    };
    let created_at = row.created_at.unwrap_or(now);
    Ok((ImportedUser { id: row.id, user, is_active, created_at }, notes))
}

/// An item, with what had to be changed.
pub(super) fn item(row: LegacyItem, now: Timestamp) -> Result<(ImportedItem, Vec<&'static str>), &'static str> {
    let mut notes = Vec::new();
    let name = row.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).ok_or("has no name")?;
    let mut bounded = |value: i64, note: &'static str| {
        let within = value.clamp(0, MOST);
        if within != value {
            notes.push(note);
        }
        within
    };
    let quantity = bounded(row.quantity.unwrap_or(0), "has a quantity out of range: brought into it");
    let price_cents = bounded(row.price_cents.unwrap_or(0), "has a price out of range: brought into it");
    let description = row.description.filter(|text| !text.is_empty());
    // The old page shows the description as category where there is no such column.
    let category = match (&description, row.has_category) {
        (Some(description), false) => Some(description.chars().take(CATEGORY).collect()),
        _ => row.category.filter(|text| !text.is_empty()),
    };
    let last_updated = row.last_updated.unwrap_or(now);
    let item = NewItem { name, description, category, quantity, price_cents };
    Ok((ImportedItem { id: row.id, item, last_updated }, notes))
}

/// A row of the log as an activity, with what had to be changed. Its id is derived from where it stood: run again, it is
/// the same.
pub(super) fn log(
    row: LegacyLog,
    source: &str,
    users: &HashMap<i64, i64>,
    names: &HashMap<i64, (String, Option<Role>)>,
    now: Timestamp,
) -> Result<(Activity, Vec<&'static str>), &'static str> {
    let mut notes = Vec::new();
    let at = row.at.ok_or("has no time")?;
    let said = row.action_type.map(|action| action.trim().to_owned()).filter(|action| !action.is_empty());
    let said = said.ok_or("has no action")?;
    let id = ids::derived(&[b"import", source.as_bytes(), b"user_logs", &row.id.to_be_bytes()]);
    let (action, resource, outcome) = action(&said);
    let mut activity = Activity::new(id, &action, at);
    activity.received_at = now;
    Activity::IMPORTED.clone_into(&mut activity.origin);
    activity.late = true;
    activity.outcome = outcome;
    activity.resource = resource.map(str::to_owned);
    let detail = row.action_detail.filter(|text| !text.trim().is_empty());
    activity.detail = Some(detail.map_or_else(|| said.clone(), |detail| format!("{said}: {detail}")));
    let here = row.user_id.and_then(|id| users.get(&id).copied());
    if let Some((id, (name, role))) = here.and_then(|id| Some((id, names.get(&id)?))) {
        activity.user_id = Some(id);
        activity.user = Some(name.clone());
        activity.role = role.map(|role| role.name().to_owned());
        activity.known_user = true;
    } else if let Some(id) = row.user_id {
        // Its deeds still belong together.
        notes.push("names a user that is gone: taken as `former user` with its number");
        activity.user = Some(format!("former user {id}"));
    }
    activity.page_url = row.page_url.filter(|text| !text.is_empty());
    if let Some(text) = row.ip_address.filter(|text| !text.trim().is_empty()) {
        match text.trim().parse::<IpAddr>() {
            Ok(address) => activity.source_ip = Some(address.to_canonical()),
            Err(_) => {
                notes.push("has an address that cannot be read: taken without it, and kept as attribute ip_address");
                activity.attributes.insert("ip_address".to_owned(), text.into());
            }
        }
    }
    activity.session_id = row.session_id.filter(|text| !text.is_empty());
    activity.user_agent = row.user_agent.filter(|text| !text.is_empty());
    activity.country = row.geo_location.filter(|text| !text.is_empty());
    if let Some(word) = row.log_type.filter(|word| !word.trim().is_empty()) {
        match word.parse() {
            Ok(kind) => activity.log_type = Some(kind),
            Err(_) => notes.push("has a log_type that is unknown here: taken without it"),
        }
    }
    Ok((activity, notes))
}

/// Words for what is done, and what they are here.
const ACTIONS: [(&str, &str); 26] = [
    ("view", "View"),
    ("list", "View"),
    ("read", "View"),
    ("get", "View"),
    ("search", "View"),
    ("report", "View"),
    ("add", "Create"),
    ("create", "Create"),
    ("insert", "Create"),
    ("new", "Create"),
    ("register", "Create"),
    ("place", "Create"),
    ("update", "Update"),
    ("edit", "Update"),
    ("modify", "Update"),
    ("change", "Update"),
    ("delete", "Delete"),
    ("remove", "Delete"),
    ("cancel", "Delete"),
    ("export", "Export"),
    ("download", "Export"),
    ("login", "Login"),
    ("signin", "Login"),
    ("logout", "Logout"),
    ("logoff", "Logout"),
    ("signout", "Logout"),
];

/// The mixed words of the old log, `view_inventory` and `inventory_update`: what is done, to what, and how it ended. A word
/// that nobody knows stays as it is.
fn action(said: &str) -> (String, Option<&'static str>, Outcome) {
    let lower = said.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let known = words.iter().find_map(|word| ACTIONS.iter().find(|(from, _)| from == word).map(|(_, to)| *to));
    let about = |stem: &str| words.iter().any(|word| word.trim_end_matches('s') == stem);
    let resource =
        [("inventory", "inventory"), ("item", "inventory"), ("user", "users"), ("order", "orders"), ("log", "logs")]
            .into_iter()
            .find(|(stem, _)| about(stem))
            .map(|(_, resource)| resource);
    let failed = words.iter().any(|word| word.starts_with("fail") || *word == "invalid");
    match known {
        Some("Login") if failed => ("LoginFailed".to_owned(), Some("auth"), Outcome::Failure),
        Some(login @ ("Login" | "Logout")) => (login.to_owned(), Some("auth"), Outcome::Success),
        Some(action) => (action.to_owned(), resource, if failed { Outcome::Failure } else { Outcome::Success }),
        None => (said.chars().take(64).collect(), resource, Outcome::Success),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_words_are_understood() {
        for (said, expected) in [
            ("view_inventory", ("View", Some("inventory"), Outcome::Success)),
            ("inventory_update", ("Update", Some("inventory"), Outcome::Success)),
            ("add_user", ("Create", Some("users"), Outcome::Success)),
            ("report", ("View", None, Outcome::Success)),
            ("login", ("Login", Some("auth"), Outcome::Success)),
            ("Login Failed", ("LoginFailed", Some("auth"), Outcome::Failure)),
            ("failed-login", ("LoginFailed", Some("auth"), Outcome::Failure)),
            ("Update", ("Update", None, Outcome::Success)),
            ("delete_orders", ("Delete", Some("orders"), Outcome::Success)),
            ("Frobnicate", ("Frobnicate", None, Outcome::Success)),
        ] {
            let (action, resource, outcome) = action(said);
            assert_eq!((action.as_str(), resource, outcome), expected, "{said}");
        }
    }

    #[test]
    fn what_does_not_fit_is_changed_and_said_or_left() {
        let row = LegacyItem {
            id: 1,
            name: Some(" Bolt ".into()),
            description: Some("x".repeat(80)),
            has_category: false,
            category: None,
            quantity: Some(-3),
            price_cents: None,
            last_updated: None,
        };
        let (ImportedItem { item: made, .. }, notes) = item(row.clone(), Timestamp::MIN).expect("an item");
        assert_eq!((made.name.as_str(), made.quantity, made.category.map(|text| text.len())), ("Bolt", 0, Some(50)));
        assert_eq!(notes.len(), 1);
        assert!(item(LegacyItem { name: None, ..row }, Timestamp::MIN).is_err());
        let row = LegacyUser {
            id: 1,
            username: Some("eve".into()),
            password_hash: Some("plain".into()),
            role_name: Some("SUPERVISOR".into()),
            email: None,
            full_name: None,
            is_active: None,
            created_at: None,
        };
        let (made, notes) = user(row, Timestamp::MIN).expect("a user");
        assert_eq!((made.user.role, made.is_active, notes.len()), (Role::Supervisor, false, 1));
    }
}
