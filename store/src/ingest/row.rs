//! An activity as a row of `user_logs`.

use domain::{Activity, LogType, username_key};

use crate::Result;
use crate::db::{Tx, in_tx};
use crate::query::clipped;
use crate::sql::{chunks, id_bytes, lists};

lists! {
    INSERT = "INSERT INTO user_logs (seq, event_id, occurred_at, received_at, user_id, username, username_key, \
        session_id, action, detail, page_url, ip, user_agent, country, log_type, outcome, resource, origin, late, \
        request_id, records, reason, payload) VALUES ", "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", "";
}

/// Bytes of payload in one insert; with the columns beside it stays below MySQL's `max_allowed_packet`, 16 MiB on a
/// server that nobody has touched.
const PACKET: usize = 4 * 1024 * 1024;

/// Characters of a short column (VARCHAR(255)).
const SHORT: usize = 255;
/// Characters of a text column: 64 KiB of up to four bytes a character.
const LONG: usize = 16_000;

fn short(text: Option<&String>) -> Option<String> {
    text.map(|text| clipped(text, SHORT))
}

fn long(text: Option<&String>) -> Option<String> {
    text.map(|text| clipped(text, LONG))
}

/// The kind of log of an activity that does not say: lists show a word for every row.
pub(crate) fn log_type(activity: &Activity) -> LogType {
    activity.log_type.unwrap_or(match activity.action.as_str() {
        "Login" | "LoginFailed" | "Logout" => LogType::Auth,
        _ if activity.origin == "client" => LogType::UiEvent,
        _ => LogType::DataAccess,
    })
}

/// What was done to what, in words, where the report has none.
fn detail(activity: &Activity) -> String {
    match (&activity.detail, &activity.resource) {
        (Some(detail), _) if !detail.is_empty() => clipped(detail, LONG),
        (_, Some(resource)) => clipped(&format!("{} {resource}", activity.action), LONG),
        (_, None) => activity.action.clone(),
    }
}

/// The address as text, empty where there is none.
pub(crate) fn ip(activity: &Activity) -> String {
    activity.source_ip.map(|ip| ip.to_string()).unwrap_or_default()
}

/// Pieces of the fixed sizes, in single rows where a piece would be too long for one packet.
fn pieces<'a, 'r>(
    rows: &'a [(i64, &'r Activity, &'r str)],
) -> impl Iterator<Item = &'a [(i64, &'r Activity, &'r str)]> {
    let bytes = |piece: &[(i64, &Activity, &str)]| piece.iter().map(|(_, _, payload)| payload.len()).sum::<usize>();
    chunks(rows).flat_map(move |piece| piece.chunks(if bytes(piece) > PACKET { 1 } else { piece.len() }))
}

/// Inserts rows, none of which may be there.
pub(crate) async fn insert(tx: &mut Tx, rows: &[(i64, &Activity, &str)]) -> Result<()> {
    for piece in pieces(rows) {
        in_tx!(tx, c => {
            let mut query = sqlx::query(INSERT.of(piece.len()));
            for (seq, activity, payload) in piece {
                query = query
                    .bind(seq)
                    .bind(id_bytes(activity.event_id))
                    .bind(activity.occurred_at.micros())
                    .bind(activity.received_at.micros())
                    .bind(activity.user_id)
                    .bind(short(activity.user.as_ref()))
                    .bind(activity.user.as_deref().map(|user| clipped(&username_key(user), SHORT)))
                    .bind(short(activity.session_id.as_ref()))
                    .bind(clipped(&activity.action, 64))
                    .bind(detail(activity))
                    .bind(long(activity.page_url.as_ref()))
                    .bind(ip(activity))
                    .bind(short(activity.user_agent.as_ref()))
                    .bind(short(activity.country.as_ref()))
                    .bind(log_type(activity).as_str())
                    .bind(activity.outcome.as_str())
                    .bind(short(activity.resource.as_ref()))
                    .bind(clipped(&activity.origin, SHORT))
                    .bind(i64::from(activity.late))
                    .bind(short(activity.request_id.as_ref()))
                    .bind(activity.records)
                    .bind(long(activity.reason.as_ref()))
                    .bind(*payload);
            }
            query.execute(c).await?;
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_row_has_a_kind_and_words() {
        let mut activity = Activity::new(Uuid::from_u128(1), "LoginFailed", Timestamp::default());
        assert_eq!((log_type(&activity), detail(&activity).as_str()), (LogType::Auth, "LoginFailed"));
        activity.action = "View".into();
        activity.resource = Some("inventory/17".into());
        assert_eq!((log_type(&activity), detail(&activity).as_str()), (LogType::DataAccess, "View inventory/17"));
        activity.origin = "client".into();
        activity.detail = Some("Opened item 17".into());
        assert_eq!((log_type(&activity), detail(&activity).as_str()), (LogType::UiEvent, "Opened item 17"));
    }
}
