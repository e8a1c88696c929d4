//! Keys of other systems that post events. Of a key's secret only its SHA-256 is kept.

use std::sync::Arc;

use domain::{Activity, Timestamp};

use crate::cache::Touched;
use crate::db::{changed, in_db, in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, sha256, scope, created_at, expires_at, revoked_at FROM api_keys", $rest)
    };
}

statements! {
    BY_ID = select!(" WHERE id = ? AND revoked_at IS NULL");
    ALL = select!(" ORDER BY name LIMIT 10000");
    LIVE_ID = "SELECT id FROM api_keys WHERE name = ? AND revoked_at IS NULL";
    INSERT = "INSERT INTO api_keys (id, name, sha256, scope, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)";
    REVOKE = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: String,
    /// The one origin that it speaks for; never given twice.
    pub name: String,
    /// SHA-256 of the secret part.
    pub sha256: Vec<u8>,
    /// What it may do: `ingest`.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// The public part.
    pub id: String,
    /// The one origin that it speaks for.
    pub name: String,
    /// SHA-256 of the secret part.
    pub sha256: Vec<u8>,
    /// What it may do.
    pub scope: String,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

type Columns = (String, String, Vec<u8>, String, i64, Option<i64>, Option<i64>);

impl ApiKey {
    fn read((id, name, sha256, scope, created_at, expires_at, revoked_at): Columns) -> Self {
        Self {
            id,
            name,
            sha256,
            scope,
            created_at: Timestamp::from_micros(created_at),
            expires_at: expires_at.map(Timestamp::from_micros),
            revoked_at: revoked_at.map(Timestamp::from_micros),
        }
    }
}

impl Store {
    /// The key with this id, unless it has been revoked. Whether it has expired is for the caller to see.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKey>> {
        let cache = &self.caches().keys;
        if let Some(key) = cache.get(id) {
            return Ok(Some((*key).clone()));
        }
        let generation = cache.generation();
        let row: Option<Columns> = in_db!(self.db(), db => sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        let Some(key) = row.map(ApiKey::read) else { return Ok(None) };
        cache.put(id.to_owned(), Arc::new(key.clone()), generation);
        Ok(Some(key))
    }

    /// All keys by name, revoked ones too.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        let rows: Vec<Columns> = in_db!(self.db(), db => sqlx::query_as(ALL).fetch_all(db).await?);
        Ok(rows.into_iter().map(ApiKey::read).collect())
    }

    /// Makes a key, with its activity in the same transaction.
    ///
    /// # Errors
    /// `Duplicate` where the name is taken, also by a revoked key.
    pub async fn create_api_key(&self, key: NewApiKey, activity: Activity) -> Result<ApiKey> {
        let given = Arc::new((key, activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (key, activity) = &*given;
                let now = tx.now;
                changed!(
                    tx,
                    sqlx::query(INSERT)
                        .bind(key.id.as_str())
                        .bind(key.name.as_str())
                        .bind(&*key.sha256)
                        .bind(key.scope.as_str())
                        .bind(now.micros())
                        .bind(key.expires_at.map(Timestamp::micros))
                );
                tx.append(activity).await?;
                let NewApiKey { id, name, sha256, scope, expires_at } = key.clone();
                Ok(ApiKey { id, name, sha256, scope, created_at: now, expires_at, revoked_at: None })
            })
        })
        .await
    }

    /// Revokes the key with this name, with its activity in the same transaction. It is refused from the next request
    /// on.
    ///
    /// # Errors
    /// `NotFound` where there is none or it has been revoked.
    pub async fn revoke_api_key(&self, name: &str, activity: Activity) -> Result<()> {
        let given = Arc::new((name.to_owned(), activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (name, activity) = &*given;
                let now = tx.now;
                let id: Option<String> =
                    in_tx!(tx, c => sqlx::query_scalar(LIVE_ID).bind(name.as_str()).fetch_optional(&mut *c).await?);
                let id = id.ok_or(Error::NotFound)?;
                let done = changed!(tx, sqlx::query(REVOKE).bind(now.micros()).bind(id.as_str()));
                if done == 0 {
                    return Err(Error::NotFound);
                }
                tx.touch(Touched::ApiKey(id));
                tx.append(activity).await
            })
        })
        .await
    }
}
