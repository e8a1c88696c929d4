//! What can go wrong in the store, in the terms of those who call it.

use std::borrow::Cow;

use uuid::Uuid;

/// A cause that is logged and never shown to a client.
pub type BoxedCause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Result of a store method.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a store method did not do what it was asked. Except for [`Fault`](Self::Fault), nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row.
    #[error("there is no such row")]
    NotFound,
    /// A row with this identity exists.
    #[error("this exists already")]
    Duplicate,
    /// The present state does not allow it; a sentence for people.
    #[error("{0}")]
    Conflict(String),
    /// These are not as somebody saw them.
    #[error("{} of them changed meanwhile", .0.len())]
    Outdated(Vec<Uuid>),
    /// The present state asks for a member that is not there: its name.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Too much is waiting, or the database cannot be had in time: try again later.
    #[error("the database is overloaded")]
    Overloaded,
    /// No space is left for the database.
    #[error("the disk of the database is full")]
    DiskFull,
    /// Anything else; whether something was done is not known.
    #[error("the database failed: {0}")]
    Fault(#[source] BoxedCause),
}

impl Error {
    /// A fault with nothing but a sentence.
    pub(crate) fn fault(sentence: impl Into<String>) -> Self {
        Self::Fault(sentence.into().into())
    }

    /// The same once more, for another caller of the same failed commit.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::NotFound => Self::NotFound,
            Self::Duplicate => Self::Duplicate,
            Self::Conflict(sentence) => Self::Conflict(sentence.clone()),
            Self::Outdated(ids) => Self::Outdated(ids.clone()),
            Self::Missing(member) => Self::Missing(member),
            Self::Overloaded => Self::Overloaded,
            Self::DiskFull => Self::DiskFull,
            Self::Fault(cause) => Self::fault(cause.to_string()),
        }
    }

    /// Whether the same transaction may well succeed when it is run again from its start: a deadlock, a lock that
    /// was not had in time, a connection lost before the commit.
    pub(crate) fn is_transient(&self) -> bool {
        let Self::Fault(cause) = self else { return false };
        match cause.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Io(_)) => true,
            Some(sqlx::Error::Database(error)) => {
                let number = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|error| error.number());
                // Lock wait timeout, deadlock, record changed since last read, server shutdown in progress.
                matches!(number, Some(1205 | 1213 | 1020 | 1053))
            }
            _ => false,
        }
    }

    /// Whether SQLite could not read or write its file, which is also how it may say that the disk is full.
    pub(crate) fn is_io(&self) -> bool {
        let Self::Fault(cause) = self else { return false };
        let Some(sqlx::Error::Database(error)) = cause.downcast_ref::<sqlx::Error>() else { return false };
        sqlite_code(&**error).is_some_and(|code| code & 0xff == SQLITE_IOERR)
    }
}

/// Primary result codes of SQLite (sqlite.org/rescode.html); the extended code holds them in its low byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_IOERR: i32 = 10;
const SQLITE_FULL: i32 = 13;

/// ER_DISK_FULL, ER_RECORD_FILE_FULL, and the temporary-file variants of both.
const MYSQL_FULL: [u16; 4] = [1021, 1114, 3019, 1041];

fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    error.code().as_ref().map(Cow::as_ref).and_then(|code| code.parse().ok())
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => return Self::Overloaded,
            sqlx::Error::RowNotFound => return Self::NotFound,
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() {
                    return Self::Duplicate;
                }
                match sqlite_code(&**database).map(|code| code & 0xff) {
                    Some(SQLITE_FULL) => return Self::DiskFull,
                    Some(SQLITE_BUSY) => return Self::Overloaded,
                    _ => {}
                }
                let number = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|error| error.number());
                if number.is_some_and(|number| MYSQL_FULL.contains(&number)) {
                    return Self::DiskFull;
                }
            }
            _ => {}
        }
        Self::Fault(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_keeps_its_meaning() {
        assert!(matches!(Error::from(sqlx::Error::PoolTimedOut), Error::Overloaded));
        assert!(matches!(Error::from(sqlx::Error::RowNotFound), Error::NotFound));
        let lost = Error::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert!(lost.is_transient());
        assert!(!lost.again().is_transient(), "a copy has lost its cause: it is for callers only");
        assert!(!Error::Overloaded.is_transient());
    }
}
