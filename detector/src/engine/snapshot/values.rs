//! The values of a key's events, as a snapshot has them: by channel, in the order of the events.

use super::SnapshotError;
use super::rows::{Number, ValuesRow};
use crate::engine::held::{Held, Value};
use crate::engine::plan::{Group, ValueOf};

pub(super) const NO_FIT: SnapshotError = SnapshotError::Damaged("values and events do not fit");

/// The values of a key's events, by channel.
pub(super) struct Brought<'a>(Vec<Option<Values<'a>>>);

enum Values<'a> {
    /// The channel wants none.
    None,
    Texts(std::vec::IntoIter<&'a str>),
    Numbers(std::vec::IntoIter<Number>),
}

impl<'a> Brought<'a> {
    /// Each channel once, with values of its kind.
    pub(super) fn new(group: &Group, rows: Vec<(u8, ValuesRow<'a>)>) -> Result<Self, SnapshotError> {
        let mut all: Vec<_> =
            group.channels.iter().map(|channel| channel.value.is_none().then_some(Values::None)).collect();
        for (bit, row) in rows {
            let wanted = group.channels.get(usize::from(bit)).and_then(|channel| channel.value.as_ref());
            let values = match (wanted, row) {
                (Some(ValueOf::Texts(_)), ValuesRow::Texts(texts)) => Values::Texts(texts.into_iter()),
                (Some(ValueOf::Number(_)), ValuesRow::Numbers(numbers)) => Values::Numbers(numbers.into_iter()),
                _ => return Err(NO_FIT),
            };
            match &mut all[usize::from(bit)] {
                place @ None => *place = Some(values),
                Some(_) => return Err(NO_FIT),
            }
        }
        Ok(Self(all))
    }

    /// What the next event brings into a channel.
    pub(super) fn next(&mut self, bit: u8, held: &mut Held) -> Result<Value, SnapshotError> {
        match self.0.get_mut(usize::from(bit)) {
            Some(Some(Values::None)) => Ok(Value::None),
            Some(Some(Values::Texts(texts))) => {
                texts.next().map(|text| Value::Text(held.texts.take(text))).ok_or(NO_FIT)
            }
            Some(Some(Values::Numbers(numbers))) => {
                numbers.next().map(|Number(number)| Value::Number(number)).ok_or(NO_FIT)
            }
            _ => Err(NO_FIT),
        }
    }

    /// Whether every value belongs to an event.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().flatten().all(|values| match values {
            Values::None => true,
            Values::Texts(texts) => texts.len() == 0,
            Values::Numbers(numbers) => numbers.len() == 0,
        })
    }
}
