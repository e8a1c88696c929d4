//! [`Legacy`]: the database of the Flask backend. Installations differ in their columns, so each table's own are looked
//! at first. Nothing is written there.

use std::collections::HashMap;

use domain::Timestamp;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, Row};

use crate::{Error, Result};

const TABLES: &str = "SELECT t.table_name, c.column_name FROM information_schema.tables t \
    JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
    WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'";
const ZONE: &str = "SET SESSION time_zone = ?";
const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// A connection to it.
#[derive(Debug)]
pub struct Legacy {
    connection: MySqlConnection,
    columns: HashMap<String, Vec<String>>,
    name: String,
}

/// A user there. Times are none where the column is null or no time.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LegacyUser {
    pub id: i64,
    pub username: Option<String>,
    pub password_hash: Option<String>,
    pub role_name: Option<String>,
    pub email: Option<String>,
    pub full_name: Option<String>,
    pub is_active: Option<i64>,
    pub created_at: Option<Timestamp>,
}

/// An item there.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LegacyItem {
    pub id: i64,
    pub name: Option<String>,
    pub description: Option<String>,
    /// Whether there is a column for it at all.
    pub has_category: bool,
    pub category: Option<String>,
    pub quantity: Option<i64>,
    pub price_cents: Option<i64>,
    pub last_updated: Option<Timestamp>,
}

/// An order there.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LegacyOrder {
    pub id: i64,
    pub user_id: Option<i64>,
    pub item_id: Option<i64>,
    pub quantity: Option<i64>,
    pub order_time: Option<Timestamp>,
}

/// A session there.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LegacySession {
    pub session_id: String,
    pub user_id: Option<i64>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
}

/// A row of the log there.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' own names")]
pub struct LegacyLog {
    pub id: i64,
    pub user_id: Option<i64>,
    pub action_type: Option<String>,
    pub action_detail: Option<String>,
    pub page_url: Option<String>,
    pub ip_address: Option<String>,
    pub at: Option<Timestamp>,
    pub session_id: Option<String>,
    pub user_agent: Option<String>,
    pub geo_location: Option<String>,
    pub log_type: Option<String>,
}

impl Legacy {
    /// Connects for reading. `zone` is that of the server's times without one, as MySQL writes it: `+00:00`.
    ///
    /// # Errors
    /// `Conflict` with a sentence where the URL or the database is none of that kind; else it cannot be reached. The
    /// URL is in no message.
    pub async fn connect(url: &str, zone: &str) -> Result<Self> {
        let url = url.replacen("mysql+pymysql://", "mysql://", 1);
        let options = url.starts_with("mysql://").then(|| url.parse::<MySqlConnectOptions>().ok()).flatten();
        let Some(options) = options.filter(|options| options.get_database().is_some_and(|name| !name.is_empty()))
        else {
            return Err(Error::Conflict("--from must be mysql://user:password@host[:port]/database".into()));
        };
        let name = options.get_database().unwrap_or_default().to_owned();
        let mut connection = options.charset("utf8mb4").disable_statement_logging().connect().await?;
        sqlx::query(ZONE).bind(zone).execute(&mut connection).await?;
        sqlx::query(READ_ONLY).execute(&mut connection).await?;
        let rows: Vec<(String, String)> = sqlx::query_as(TABLES).fetch_all(&mut connection).await?;
        let mut columns: HashMap<String, Vec<String>> = HashMap::new();
        for (table, column) in rows {
            columns.entry(table.to_lowercase()).or_default().push(column.to_lowercase());
        }
        let legacy = Self { connection, columns, name };
        if !legacy.has("users", "username") || !legacy.has("users", "password_hash") {
            let sentence = "--from: that database has no table users with username and password_hash";
            return Err(Error::Conflict(sentence.into()));
        }
        Ok(legacy)
    }

    /// Its name, by which what was taken from it is remembered.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// It was lost before.
    pub async fn close(self) -> Result<()> {
        self.connection.close().await.map_err(Error::from)
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.contains_key(table)
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.iter().any(|known| known == column))
    }

    /// A column as text, number or time where the table has it, else NULL.
    fn column(&self, table: &str, column: &str, kind: Kind) -> String {
        if !self.has(table, column) {
            return "NULL".to_owned();
        }
        let name = format!("`{table}`.`{column}`");
        match kind {
            Kind::Text => format!("CAST({name} AS CHAR)"),
            Kind::Number => format!("CAST({name} AS SIGNED)"),
            Kind::Cents => format!("CAST(ROUND({name} * 100) AS SIGNED)"),
            // Microseconds, as the session's zone has it.
            Kind::Time => format!("CAST(UNIX_TIMESTAMP({name}) * 1000000 AS SIGNED)"),
        }
    }

    /// How many rows a table has, 0 where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn count(&mut self, table: &str) -> Result<i64> {
        if !self.has_table(table) {
            return Ok(0);
        }
        let text = format!("SELECT COUNT(*) FROM `{table}`");
        Ok(sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut self.connection).await?)
    }

    /// The next rows of a table with a numeric key, behind `after`.
    async fn page(
        &mut self,
        table: &str,
        key: &str,
        columns: &[(&str, Kind)],
        after: i64,
        limit: i64,
    ) -> Result<Vec<MySqlRow>> {
        if !self.has(table, key) {
            return Ok(Vec::new());
        }
        let list: Vec<String> = columns.iter().map(|(name, kind)| self.column(table, name, *kind)).collect();
        let text = format!(
            "SELECT CAST(`{key}` AS SIGNED), {} FROM `{table}` WHERE `{key}` > ? ORDER BY `{key}` LIMIT ?",
            list.join(", ")
        );
        Ok(sqlx::query(AssertSqlSafe(text)).bind(after).bind(limit).fetch_all(&mut self.connection).await?)
    }

    /// The next users.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn users(&mut self, after: i64, limit: i64) -> Result<Vec<LegacyUser>> {
        let roles = self.roles().await?;
        use Kind::{Number, Text, Time};
        let columns = [
            ("username", Text),
            ("password_hash", Text),
            ("role_id", Number),
            ("email", Text),
            ("full_name", Text),
            ("is_active", Number),
            ("created_at", Time),
        ];
        let rows = self.page("users", "user_id", &columns, after, limit).await?;
        rows.iter()
            .map(|row| {
                let role: Option<i64> = row.try_get(3)?;
                Ok(LegacyUser {
                    id: row.try_get(0)?,
                    username: row.try_get(1)?,
                    password_hash: row.try_get(2)?,
                    role_name: role.and_then(|role| roles.get(&role).cloned()),
                    email: row.try_get(4)?,
                    full_name: row.try_get(5)?,
                    is_active: row.try_get(6)?,
                    created_at: time(row, 7)?,
                })
            })
            .collect()
    }

    /// Roles are told by their names: their numbers differ from installation to installation.
    async fn roles(&mut self) -> Result<HashMap<i64, String>> {
        let rows = self.page("roles", "role_id", &[("role_name", Kind::Text)], i64::MIN, 1_000).await?;
        let mut roles = HashMap::new();
        for row in &rows {
            roles.insert(row.try_get(0)?, row.try_get::<Option<String>, _>(1)?.unwrap_or_default());
        }
        Ok(roles)
    }

    /// The next items.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn items(&mut self, after: i64, limit: i64) -> Result<Vec<LegacyItem>> {
        use Kind::{Cents, Number, Text, Time};
        let columns = [
            ("name", Text),
            ("item_name", Text),
            ("description", Text),
            ("category", Text),
            ("quantity", Number),
            ("unit_price", Cents),
            ("last_updated", Time),
        ];
        let has_category = self.has("inventory_items", "category");
        let rows = self.page("inventory_items", "item_id", &columns, after, limit).await?;
        rows.iter()
            .map(|row| {
                let (name, item_name): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
                Ok(LegacyItem {
                    id: row.try_get(0)?,
                    name: name.or(item_name),
                    description: row.try_get(3)?,
                    has_category,
                    category: row.try_get(4)?,
                    quantity: row.try_get(5)?,
                    price_cents: row.try_get(6)?,
                    last_updated: time(row, 7)?,
                })
            })
            .collect()
    }

    /// The next orders.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn orders(&mut self, after: i64, limit: i64) -> Result<Vec<LegacyOrder>> {
        use Kind::{Number, Time};
        let columns = [("user_id", Number), ("item_id", Number), ("quantity", Number), ("order_time", Time)];
        let rows = self.page("orders", "order_id", &columns, after, limit).await?;
        rows.iter()
            .map(|row| {
                Ok(LegacyOrder {
                    id: row.try_get(0)?,
                    user_id: row.try_get(1)?,
                    item_id: row.try_get(2)?,
                    quantity: row.try_get(3)?,
                    order_time: time(row, 4)?,
                })
            })
            .collect()
    }

    /// The next rows of the log.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn logs(&mut self, after: i64, limit: i64) -> Result<Vec<LegacyLog>> {
        use Kind::{Number, Text, Time};
        let at = if self.has("user_logs", "log_timestamp") { "log_timestamp" } else { "timestamp" };
        let columns = [
            ("user_id", Number),
            ("action_type", Text),
            ("action_detail", Text),
            ("page_url", Text),
            ("ip_address", Text),
            (at, Time),
            ("session_id", Text),
            ("user_agent", Text),
            ("geo_location", Text),
            ("log_type", Text),
        ];
        let rows = self.page("user_logs", "log_id", &columns, after, limit).await?;
        rows.iter()
            .map(|row| {
                Ok(LegacyLog {
                    id: row.try_get(0)?,
                    user_id: row.try_get(1)?,
                    action_type: row.try_get(2)?,
                    action_detail: row.try_get(3)?,
                    page_url: row.try_get(4)?,
                    ip_address: row.try_get(5)?,
                    at: time(row, 6)?,
                    session_id: row.try_get(7)?,
                    user_agent: row.try_get(8)?,
                    geo_location: row.try_get(9)?,
                    log_type: row.try_get(10)?,
                })
            })
            .collect()
    }

    /// The next sessions, in the order of their ids.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn sessions(&mut self, after: &str, limit: i64) -> Result<Vec<LegacySession>> {
        if !self.has("sessions", "session_id") {
            return Ok(Vec::new());
        }
        let column = |name, kind| self.column("sessions", name, kind);
        let (user, start, end) =
            (column("user_id", Kind::Number), column("start_time", Kind::Time), column("end_time", Kind::Time));
        let text = format!(
            "SELECT CAST(session_id AS CHAR), {user}, {start}, {end} FROM sessions \
             WHERE session_id > ? ORDER BY session_id LIMIT ?"
        );
        let rows = sqlx::query(AssertSqlSafe(text)).bind(after).bind(limit).fetch_all(&mut self.connection).await?;
        rows.iter()
            .map(|row| {
                Ok(LegacySession {
                    session_id: row.try_get(0)?,
                    user_id: row.try_get(1)?,
                    start_time: time(row, 2)?,
                    end_time: time(row, 3)?,
                })
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    Cents,
    Time,
}

/// A time; zero dates, which MySQL allows, are none.
fn time(row: &MySqlRow, at: usize) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = row.try_get(at)?;
    Ok(micros.filter(|micros| *micros > 0).map(Timestamp::from_micros))
}
