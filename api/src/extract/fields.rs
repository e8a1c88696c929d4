//! [`Fields`]: the members of a body or a query, read one by one so that each fault names its member.

use domain::{DAY, Timestamp};
use serde_json::{Map, Value};

use super::number::{self, NotANumber};
use crate::problem::{Outcome, Problem};

/// A type that a body or a query can be read into.
pub(crate) trait FromFields: Sized + Send {
    /// Reads the members, refusing with the name of the first faulty one.
    fn from_fields(fields: &Fields) -> Outcome<Self>;
}

/// Members by name. `null` and, in optional members, `""` mean absent.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Wraps an object's members.
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The member as it came, `null` as absent.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether the member is there at all, be it as `null`: for what `null` takes away.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Text, the empty string included. A number is read as its text: forms do not care.
    pub(crate) fn text(&self, name: &str) -> Outcome<Option<String>> {
        let text = match self.raw(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Problem::field(name, format!("{name} must be text"))),
        };
        if text.contains('\0') {
            return Err(Problem::field(name, format!("{name} must not contain a NUL character")));
        }
        Ok(Some(text))
    }

    /// Text of at most `max` characters; `""` is absent.
    pub(crate) fn words(&self, name: &str, max: usize) -> Outcome<Option<String>> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        if text.as_deref().is_some_and(|text| text.chars().count() > max) {
            return Err(Problem::field(name, format!("{name} must be at most {max} characters long")));
        }
        Ok(text)
    }

    /// What a person says, without blanks around it: nothing but blanks says nothing.
    pub(crate) fn said(&self, name: &str, max: usize) -> Outcome<Option<String>> {
        let said = self.words(name, max)?;
        Ok(said.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// A whole number of 32 bits; `""` is absent.
    pub(crate) fn integer(&self, name: &str) -> Outcome<Option<i64>> {
        let text = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err(Problem::field(name, format!("{name} must be an integer"))),
        };
        number::whole(&text).map(Some).map_err(|fault| Problem::field(name, format!("{name} {}", fault.of_whole())))
    }

    /// A whole number within bounds.
    pub(crate) fn integer_in(&self, name: &str, low: i64, high: i64) -> Outcome<Option<i64>> {
        match self.integer(name)? {
            Some(value) if !(low..=high).contains(&value) => {
                Err(Problem::field(name, format!("{name} must be between {low} and {high}")))
            }
            value => Ok(value),
        }
    }

    /// An amount of money in cents; `""` is absent.
    pub(crate) fn cents(&self, name: &str) -> Outcome<Option<i64>> {
        const MOST: i64 = 999_999_999_999;
        let text = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err(Problem::field(name, format!("{name} must be a number"))),
        };
        number::scaled(&text, 2, 0, MOST).map(Some).map_err(|fault| {
            Problem::field(
                name,
                match fault {
                    NotANumber::Malformed => format!("{name} must be a number with at most two decimals"),
                    NotANumber::OutOfRange => format!("{name} must be between 0 and 9999999999.99"),
                },
            )
        })
    }

    /// A decimal number such as a score.
    pub(crate) fn decimal(&self, name: &str) -> Outcome<Option<f64>> {
        let Some(text) = self.text(name)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(Problem::field(name, format!("{name} must be a number"))),
        }
    }

    /// A yes or no, in the spellings of forms and queries.
    pub(crate) fn flag(&self, name: &str) -> Outcome<Option<bool>> {
        let text = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Bool(value)) => return Ok(Some(*value)),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.to_ascii_lowercase(),
            Some(_) => return Err(Problem::field(name, format!("{name} must be true or false"))),
        };
        match text.trim() {
            "" => Ok(None),
            "true" | "1" | "yes" | "on" => Ok(Some(true)),
            "false" | "0" | "no" | "off" => Ok(Some(false)),
            _ => Err(Problem::field(name, format!("{name} must be true or false"))),
        }
    }

    /// A moment in one of the three forms of a query.
    pub(crate) fn time(&self, name: &str) -> Outcome<Option<Timestamp>> {
        let Some(text) = self.text(name)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        Timestamp::parse_lenient(&text).map(Some).ok_or_else(|| {
            Problem::field(name, format!("{name} must be a date such as 2026-03-01 or 2026-03-01T12:00:00Z"))
        })
    }
}

impl Fields {
    /// The end of a span: a bare date is its whole day.
    pub(crate) fn time_end(&self, name: &str) -> Outcome<Option<Timestamp>> {
        let is_date = self.text(name)?.is_some_and(|text| text.trim().len() == "2026-03-01".len());
        Ok(self.time(name)?.map(|time| if is_date { time.plus(DAY - 1) } else { time }))
    }

    /// Text that must be there.
    pub(crate) fn required(&self, name: &str, max: usize) -> Outcome<String> {
        self.words(name, max)?.ok_or_else(|| Problem::field(name, format!("{name} is required")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(members) = value else { panic!("an object") };
        Fields::new(members)
    }

    #[test]
    fn numbers_may_be_strings_and_empty_is_absent() {
        let fields = fields(json!({"a": "7", "b": 7, "c": "", "d": null, "e": "7.5", "f": [], "g": 1e2}));
        assert_eq!(fields.integer("a").unwrap(), Some(7));
        assert_eq!(fields.integer("b").unwrap(), Some(7));
        assert_eq!(fields.integer("g").unwrap(), Some(100));
        assert_eq!(fields.integer("c").unwrap(), None);
        assert_eq!(fields.integer("d").unwrap(), None);
        assert_eq!(fields.integer("e").unwrap_err().error, "e must be an integer");
        assert_eq!(fields.integer("f").unwrap_err().errors[0].field, "f");
    }

    #[test]
    fn blanks_say_nothing_and_null_is_there() {
        let fields = fields(json!({"a": " \n\u{a0}", "b": " so it is ", "c": null}));
        assert_eq!((fields.said("a", 9).unwrap(), fields.said("c", 9).unwrap()), (None, None));
        assert_eq!(fields.said("b", 11).unwrap().as_deref(), Some("so it is"));
        assert!(fields.has("c") && !fields.has("d"));
    }

    #[test]
    fn nul_is_refused_by_name() {
        let fields = fields(json!({"name": "a\u{0}b"}));
        assert_eq!(fields.text("name").unwrap_err().errors[0].field, "name");
    }
}
