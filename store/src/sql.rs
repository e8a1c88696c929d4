//! Statement texts: how they are declared, repeated for many rows, and checked.
//!
//! Every text is declared with [`statements!`], [`lists!`] or [`row_locks!`], which also make a test that prepares it.
//! `?` serves both engines. Lists are bound in the fixed sizes of [`SIZES`]: each length would be another prepared
//! statement.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// Declares statement texts, and the test that prepares each of them on both engines.
///
/// ```text
/// statements! {
///     BY_ID = "SELECT name FROM items WHERE item_id = ?";
/// }
/// ```
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* const $name: &str = $text;)*
        #[cfg(test)]
        mod statements {
            async fn can_be_prepared(ground: $crate::harness::Ground) {
                $crate::sql::prepare(&ground, [$(super::$name.to_owned()),*]).await;
            }
            $crate::on_both_engines!(can_be_prepared);
        }
    };
}
pub(crate) use statements;

/// Declares texts for lists of rows or values ([`Repeated`]), tested as [`statements!`] are.
///
/// ```text
/// lists! {
///     FIND = "SELECT … WHERE event_id IN (", "?", ")";
/// }
/// for piece in chunks(&ids) {
///     let mut query = sqlx::query_as(FIND.of(piece.len()));   // then bind each of the piece
/// }
/// ```
macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident = $head:expr, $group:expr, $tail:expr;)*) => {
        $($(#[$doc])* static $name: std::sync::LazyLock<$crate::sql::Repeated> =
            std::sync::LazyLock::new(|| $crate::sql::Repeated::new($head, $group, $tail));)*
        #[cfg(test)]
        mod lists {
            async fn can_be_prepared(ground: $crate::harness::Ground) {
                $($crate::sql::prepare(&ground, super::$name.all()).await;)*
            }
            $crate::on_both_engines!(can_be_prepared);
        }
    };
}
pub(crate) use lists;

/// Declares row locks (`SELECT … WHERE … = ? FOR UPDATE`) for [`Tx::lock`](crate::db::Tx::lock): MySQL's alone.
macro_rules! row_locks {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* const $name: &str = $text;)*
        #[cfg(test)]
        mod row_locks {
            #[tokio::test]
            async fn can_be_prepared() {
                $crate::harness::mysql(|ground| async move {
                    $crate::sql::prepare(&ground, [$(super::$name.to_owned()),*]).await;
                })
                .await;
            }
        }
    };
}
pub(crate) use row_locks;

/// Numbers of rows or values bound at once, from the largest. 256 rows of up to 100 values stay within SQLite's
/// 32,766 and MySQL's 65,535 values. Powers of four: whatever the number of rows, few statements take them all, and
/// each text is prepared in few lengths.
pub(crate) const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// Cuts a slice into pieces of the fixed [`SIZES`].
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// A text for a list of rows or values, in each of the fixed [`SIZES`]: `head`, the group as often as there are rows
/// with commas between, `tail`. Declared with [`lists!`].
pub(crate) struct Repeated([Arc<str>; SIZES.len()]);

impl Repeated {
    /// The texts.
    pub(crate) fn new(head: &str, group: &str, tail: &str) -> Self {
        Self(SIZES.map(|size| format!("{head}{}{tail}", vec![group; size].join(",")).into()))
    }

    /// All its texts, for the test that prepares them.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|text| text.to_string())
    }

    /// The text for a piece that [`chunks`] made.
    pub(crate) fn of(&self, rows: usize) -> AssertSqlSafe<Arc<str>> {
        let at = SIZES.iter().position(|size| *size == rows).unwrap_or(SIZES.len() - 1);
        AssertSqlSafe(Arc::clone(&self.0[at]))
    }
}

/// Asks the engine to prepare each text; fails at the first that it does not understand.
#[cfg(test)]
pub(crate) async fn prepare(ground: &crate::harness::Ground, texts: impl IntoIterator<Item = String>) {
    use sqlx::{Executor, SqlSafeStr};

    for text in texts {
        let sql = AssertSqlSafe(text.clone()).into_sql_str();
        let failed = crate::db::in_db!(ground.store.db(), db => db.prepare(sql).await.err());
        assert!(failed.is_none(), "{text}: {failed:?}");
    }
}

/// The 16 bytes under which an id is stored (BINARY(16), BLOB).
pub(crate) fn id_bytes(id: uuid::Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_fixed_sizes_and_lose_nothing() {
        let rows: Vec<usize> = (0..591).collect();
        let sizes: Vec<usize> = chunks(&rows).map(<[usize]>::len).collect();
        assert_eq!(sizes, [256, 256, 64, 4, 4, 4, 1, 1, 1]);
        assert_eq!(chunks(&rows).flatten().count(), rows.len());
        assert_eq!(chunks::<u8>(&[]).count(), 0);
        let text = Repeated::new("IN (", "?", ")");
        assert_eq!((&*text.of(1).0, text.of(64).0.len()), ("IN (?)", 5 + 127));
    }
}
