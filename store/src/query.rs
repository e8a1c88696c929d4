//! Statements put together from parts, for filters that may be there or not.
//!
//! `(? IS NULL OR column = ?)` would keep one text, and keep SQLite from using an index. So the text is put together
//! from literals of this crate alone, and every value is bound.

use domain::Timestamp;
use uuid::Uuid;

/// A value to bind.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.micros())
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Uuid> for Arg {
    fn from(value: Uuid) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}

/// A statement and what is bound to it, in order.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) args: Vec<Arg>,
    conditions: bool,
}

impl Query {
    /// A statement that begins with `head`; its conditions follow.
    pub(crate) fn new(head: &'static str) -> Self {
        Self { text: head.to_owned(), args: Vec::new(), conditions: false }
    }

    /// The same with values bound in `head` already.
    pub(crate) fn with(head: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        Self { text: head.to_owned(), args: args.into_iter().collect(), conditions: false }
    }

    /// One more condition, that binds `args`.
    pub(crate) fn and(mut self, condition: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        self.text.push_str(if self.conditions { " AND " } else { " WHERE " });
        self.text.push_str(condition);
        self.conditions = true;
        self.args.extend(args);
        self
    }

    /// One more condition, where there is a value for it.
    pub(crate) fn and_some<T: Into<Arg>>(self, condition: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.and(condition, [value.into()]),
            None => self,
        }
    }

    /// One more condition, where `wanted`.
    pub(crate) fn and_if(self, wanted: bool, condition: &'static str) -> Self {
        if wanted { self.and(condition, []) } else { self }
    }

    /// `column IN (…)` over values, as many as [`chunks`](crate::sql::chunks) gives at once.
    pub(crate) fn and_list(mut self, column: &'static str, values: impl Iterator<Item = Arg>) -> Self {
        self = self.and(column, []);
        let bound = self.args.len();
        self.args.extend(values);
        self.text.push_str(&vec!["?"; self.args.len() - bound].join(","));
        self.text.push(')');
        self
    }

    /// The same over ids.
    pub(crate) fn and_ids(self, column: &'static str, ids: &[Uuid]) -> Self {
        self.and_list(column, ids.iter().map(|id| Arg::from(*id)))
    }

    /// Holds the rows for the rest of the transaction; SQLite has the whole database then.
    pub(crate) fn held(mut self, tx: &crate::db::Tx) -> Self {
        if matches!(tx.conn, crate::db::Conn::MySql(_)) {
            self.text.push_str(" FOR UPDATE");
        }
        self
    }

    /// What stands after the conditions.
    pub(crate) fn then(mut self, tail: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        self.text.push_str(tail);
        self.args.extend(args);
        self
    }
}

/// Binds the arguments of a [`Query`] to a statement of either engine.
macro_rules! bound {
    ($statement:expr, $args:expr) => {{
        let mut statement = $statement;
        for arg in $args {
            statement = match arg {
                $crate::query::Arg::Int(value) => statement.bind(value),
                $crate::query::Arg::Text(value) => statement.bind(value),
                $crate::query::Arg::Bytes(value) => statement.bind(value),
            };
        }
        statement
    }};
}
pub(crate) use bound;

/// All rows of a [`Query`] as tuples, read from the readers.
macro_rules! rows_in_db {
    ($store:expr, $query:expr) => {{
        let query = $query;
        $crate::db::in_db!($store.db(), db => {
            let statement = sqlx::query_as(sqlx::AssertSqlSafe(query.text));
            $crate::query::bound!(statement, query.args).fetch_all(db).await?
        })
    }};
}
pub(crate) use rows_in_db;

/// All rows of a [`Query`] as tuples, read in a transaction.
macro_rules! rows_in_tx {
    ($tx:expr, $query:expr) => {{
        let query = $query;
        $crate::db::in_tx!($tx, c => {
            let statement = sqlx::query_as(sqlx::AssertSqlSafe(query.text));
            $crate::query::bound!(statement, query.args).fetch_all(c).await?
        })
    }};
}
pub(crate) use rows_in_tx;

/// Runs a statement with its values; the number of rows that matched.
macro_rules! run_in_tx {
    ($tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::db::in_tx!($tx, c => sqlx::query($text)$(.bind($value))*.execute(c).await?.rows_affected())
    };
}
pub(crate) use run_in_tx;

/// The id in 16 bytes of a column.
pub(crate) fn id(bytes: &[u8]) -> crate::Result<Uuid> {
    Uuid::from_slice(bytes).map_err(|error| crate::Error::Fault(Box::new(error)))
}

/// A text cut to what its column holds: the whole stands in the payload.
pub(crate) fn clipped(text: &str, characters: usize) -> String {
    if text.len() <= characters { text.to_owned() } else { text.chars().take(characters).collect() }
}

/// Position in a list ordered by time, newest first: the last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its time.
    pub at: Timestamp,
    /// Its id.
    pub id: i64,
}

/// Hundredths, as scores are stored, to points.
#[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
pub(crate) fn points(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

/// Points to the nearest hundredth.
#[expect(clippy::cast_possible_truncation, reason = "scores lie between 0 and 100")]
pub(crate) fn hundredths(points: f64) -> i64 {
    (points * 100.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_stand_in_order_with_their_values() {
        let query = Query::new("SELECT a FROM t")
            .and_some("b = ?", Some(1))
            .and_some::<i64>("c = ?", None)
            .and_if(true, "d IS NULL")
            .and_ids("e IN (", &[Uuid::from_u128(1), Uuid::from_u128(2)])
            .then(" LIMIT ?", [Arg::from(9)]);
        assert_eq!(query.text, "SELECT a FROM t WHERE b = ? AND d IS NULL AND e IN (?,?) LIMIT ?");
        assert_eq!(query.args.len(), 4);
    }

    #[test]
    fn texts_are_cut_between_characters_and_scores_keep_two_decimals() {
        assert_eq!(clipped("ääää", 3), "äää");
        assert_eq!(clipped("abc", 3), "abc");
        assert_eq!(points(hundredths(57.699_999)), 57.7);
    }
}
