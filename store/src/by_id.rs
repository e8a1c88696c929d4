//! Activities as text, by their ids.

use std::collections::HashMap;

use uuid::Uuid;

use crate::Result;
use crate::db::{Tx, in_tx};
use crate::query::id;
use crate::sql::{Repeated, chunks, id_bytes, lists};

lists! {
    IN_JOURNAL = "SELECT event_id, payload FROM journal WHERE event_id IN (", "?", ")";
    IN_LOGS = "SELECT event_id, payload FROM user_logs WHERE event_id IN (", "?", ")";
}

/// Those that wait in the journal or are stored.
pub(crate) async fn payloads(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, String>> {
    let mut found = HashMap::new();
    // The journal first: what ingest moves meanwhile is then found in the logs.
    find(tx, &IN_JOURNAL, ids, &mut found).await?;
    find(tx, &IN_LOGS, ids, &mut found).await?;
    Ok(found)
}

/// Those that are stored.
pub(crate) async fn stored_payloads(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, String>> {
    let mut found = HashMap::new();
    find(tx, &IN_LOGS, ids, &mut found).await?;
    Ok(found)
}

async fn find(tx: &mut Tx, texts: &Repeated, ids: &[Uuid], found: &mut HashMap<Uuid, String>) -> Result<()> {
    for piece in chunks(ids) {
        let rows: Vec<(Vec<u8>, String)> = in_tx!(tx, c => {
            let query = sqlx::query_as(texts.of(piece.len()));
            piece.iter().fold(query, |query, id| query.bind(id_bytes(*id))).fetch_all(&mut *c).await?
        });
        for (bytes, payload) in rows {
            found.entry(id(&bytes)?).or_insert(payload);
        }
    }
    Ok(())
}
