//! From a record of the log to an activity, or to the reason why it is none.

use domain::{Activity, JournalRecord, Timestamp};

/// One record of the log's activities.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its position.
    pub seq: i64,
    /// When it was appended.
    pub appended_at: Timestamp,
    /// The text, as it was appended.
    pub payload: String,
    /// What it says.
    pub activity: Result<Box<Activity>, Poison>,
}

/// A record that no number of tries makes readable; it goes to the dead letters, and the next one gets its turn. What
/// is worth another try (a lost connection) is never of this type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Poison {
    /// Why, in a sentence.
    pub reason: String,
}

impl From<JournalRecord> for Record {
    fn from(record: JournalRecord) -> Self {
        let activity = Activity::from_json(&record.payload)
            .map(Box::new)
            .map_err(|error| Poison { reason: format!("not an activity: {error}") });
        Self { seq: record.seq, appended_at: record.appended_at, payload: record.payload, activity }
    }
}

#[cfg(test)]
mod tests {
    use domain::Topic;
    use uuid::Uuid;

    use super::*;

    fn record(payload: String) -> Record {
        JournalRecord { seq: 7, topic: Topic::Activity, payload, appended_at: Timestamp::default() }.into()
    }

    #[test]
    fn what_the_journal_holds_reads_back_and_anything_else_is_poison_with_its_text_kept() {
        let activity = Activity::new(Uuid::from_u128(1), "View", Timestamp::default());
        assert_eq!(record(activity.to_json()).activity, Ok(Box::new(activity)));
        let poison = record("{\"v\":1".to_owned());
        assert_eq!(poison.payload, "{\"v\":1");
        assert!(poison.activity.expect_err("broken").reason.starts_with("not an activity"));
    }
}
