//! [`Reader`]: line after line of one source, whose lines resemble each other.

use std::borrow::Cow;

use uuid::Uuid;

use super::slots::Slots;
use super::table::{Key, MAX_ATTRIBUTE_BYTES};
use super::{Incoming, WireError, read, resolve};
use crate::{Activity, Timestamp};

/// Reads lines as [`parse`](super::parse) does, and faster: it expects the members of a line in the order of the line
/// before, and writes texts where those of activities stood that are [done with](Self::done_with).
#[derive(Debug, Default)]
pub struct Reader {
    habit: Habit,
    texts: Texts,
}

impl Reader {
    /// Reads one JSON object, as [`parse`](super::parse).
    ///
    /// # Errors
    /// As [`parse`](super::parse).
    pub fn parse(&mut self, line: &[u8]) -> Result<Incoming, WireError> {
        let mut slots = Slots::new();
        read::fill(line, &mut slots, &mut self.habit)?;
        // Attributes are never longer written than they were read, so a short line needs no measuring.
        resolve::resolve(&mut slots, &mut self.texts, line.len() > MAX_ATTRIBUTE_BYTES)
    }

    /// The activity of a line of a file, as [`Incoming::into_backtest`].
    ///
    /// # Errors
    /// As [`Incoming::into_backtest`].
    pub fn backtest(
        &mut self,
        incoming: Incoming,
        received_at: Timestamp,
        default_event_id: Uuid,
    ) -> Result<Activity, WireError> {
        incoming.into_past(received_at, default_event_id, |origin| self.texts.own(origin))
    }

    /// Takes back an activity that nobody needs any more, for the room of its texts.
    pub fn done_with(&mut self, activity: Activity) {
        let Activity {
            user,
            session_id,
            role,
            reason,
            action,
            resource,
            user_agent,
            country,
            detail,
            page_url,
            origin,
            ..
        } = activity;
        for text in [user, session_id, role, reason, resource, user_agent, country, detail, page_url] {
            self.texts.take_back(text);
        }
        self.texts.take_back(Some(action));
        self.texts.take_back(Some(origin));
    }
}

/// The known keys of the line before, by their place in it.
#[derive(Debug, Default)]
pub(super) struct Habit([Option<Key>; 24]);

impl Habit {
    /// The key that is expected in a place.
    #[inline]
    pub(super) fn expected(&self, place: usize) -> Option<Key> {
        *self.0.get(place)?
    }

    /// The key that stood there.
    pub(super) fn learn(&mut self, place: usize, key: Option<Key>) {
        if let Some(expected) = self.0.get_mut(place) {
            *expected = key;
        }
    }
}

/// Room of texts that are no longer needed.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<String>);

impl Texts {
    /// Texts of one activity at most, and none that are long.
    const MOST: usize = 11;
    const LONG: usize = 512;

    /// A text of one's own.
    pub(super) fn own(&mut self, text: &str) -> String {
        match self.0.pop() {
            Some(mut room) => {
                room.push_str(text);
                room
            }
            None => text.to_owned(),
        }
    }

    /// The same of one that may be one's own already.
    pub(super) fn owned(&mut self, text: Cow<'_, str>) -> String {
        match text {
            Cow::Borrowed(text) => self.own(text),
            Cow::Owned(text) => text,
        }
    }

    fn take_back(&mut self, text: Option<String>) {
        if let Some(mut text) = text.filter(|text| (1..=Self::LONG).contains(&text.capacity()))
            && self.0.len() < Self::MOST
        {
            text.clear();
            self.0.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_was_read_before_changes_nothing() {
        let lines = [
            r#"{"action":"View","user":"ada","resource":"inventory/1","ts":"2026-01-01T00:00:00Z"}"#,
            r#"{"action":"V","user":"","reason":"xyz","ts":"2026-01-01T00:00:00Z","detail":"d"}"#,
            r#"{"user":"a","action":"View","x":1,"ts":"2026-01-01T00:00:00Z"}"#,
            r#"{"action":"View","user_id":3,"user":null,"ts":"2026-01-01T00:00:00Z","country":"x"}"#,
            r#"{"action":"View","user" : "a","ts":"2026-01-01T00:00:00Z"}"#,
            r#"{"actio":"View","action":"u","ts"}"#,
            r#"{"action":"View"}"#,
        ];
        let mut reader = Reader::default();
        for first in lines {
            for second in lines {
                for line in [first, second] {
                    let incoming = reader.parse(line.as_bytes());
                    assert_eq!(incoming, parse(line.as_bytes()), "{line}");
                    let Ok(incoming) = incoming else { continue };
                    let once_more = incoming.clone().into_backtest(Timestamp::MIN, Uuid::nil());
                    let activity = reader.backtest(incoming, Timestamp::MIN, Uuid::nil());
                    assert_eq!(activity, once_more, "{line}");
                    if let Ok(activity) = activity {
                        reader.done_with(activity);
                    }
                }
            }
        }
    }

    #[test]
    fn room_is_used_again_within_bounds() {
        let mut texts = Texts::default();
        let text = texts.own("a text");
        let place = text.as_ptr();
        texts.take_back(Some(text));
        let again = texts.own("ä");
        assert_eq!((again.as_str(), again.as_ptr()), ("ä", place));
        for length in [0, 1, Texts::LONG, Texts::LONG + 1] {
            (0..Texts::MOST).for_each(|_| texts.take_back(Some("x".repeat(length))));
        }
        assert!(
            texts.0.len() == Texts::MOST && texts.0.iter().all(|room| (1..=Texts::LONG).contains(&room.capacity()))
        );
    }
}
