//! Values kept by name: what is decided once, at the first start, and then stays.

use std::sync::Arc;

use crate::db::{Tx, changed, in_db, in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    GET = "SELECT value FROM settings WHERE name = ?";
    UPDATE = "UPDATE settings SET value = ? WHERE name = ?";
    INSERT = "INSERT INTO settings (value, name) VALUES (?, ?)";
}

/// When it was last tried whether the database takes changes.
const PROBED: &str = "probed_at";

impl Store {
    /// The value of a name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        Ok(in_db!(self.db(), db => sqlx::query_scalar(GET).bind(name).fetch_optional(db).await?))
    }

    /// Sets the value of a name.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        self.keep_setting(name, value, true).await.map(drop)
    }

    /// Sets the value of a name that has none yet; returns the value that it has then.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn first_setting(&self, name: &str, value: &str) -> Result<String> {
        self.keep_setting(name, value, false).await
    }

    /// Makes a change of one small row: whether the database takes changes is known only then. One that only reads may
    /// be locked, full or read-only and answer all the same.
    ///
    /// # Errors
    /// It takes none.
    pub async fn try_to_write(&self) -> Result<()> {
        self.set_setting(PROBED, &self.now().to_string()).await
    }

    async fn keep_setting(&self, name: &str, value: &str, replace: bool) -> Result<String> {
        let given = Arc::new((name.to_owned(), value.to_owned()));
        loop {
            let given = Arc::clone(&given);
            let written = self
                .write(move |tx| {
                    let given = Arc::clone(&given);
                    Box::pin(async move { keep(tx, &given.0, &given.1, replace).await })
                })
                .await;
            // Another transaction has made the row meanwhile: now it is there.
            if !matches!(written, Err(Error::Duplicate)) {
                return written;
            }
        }
    }
}

async fn keep(tx: &mut Tx, name: &str, value: &str, replace: bool) -> Result<String> {
    let held: Option<String> = in_tx!(tx, c => sqlx::query_scalar(GET).bind(name).fetch_optional(&mut *c).await?);
    let text = match held {
        Some(held) if !replace => return Ok(held),
        Some(_) => UPDATE,
        None => INSERT,
    };
    changed!(tx, sqlx::query(text).bind(value).bind(name));
    Ok(value.to_owned())
}
