//! [`Record`]: the few texts of an event that a later decision needs, and how keys and values are read.

use std::borrow::Cow;

use domain::Activity;

use super::held::Value;
use super::plan::{KeyOf, Plan, ValueOf};
use super::text::Interner;
use crate::rules::{Field, Share, TooLarge, amount};

/// What is kept of an event: texts by index of [`Plan::fields`].
#[derive(Debug, Default)]
pub(super) struct Record(Box<[(u16, Box<str>)]>);

impl Record {
    /// Keeps `fields` of an activity.
    pub(super) fn keep(plan: &Plan, fields: &[usize], activity: &Activity) -> Self {
        let text = |field: &usize| {
            let text = plan.fields[*field].text(activity)?;
            Some((u16::try_from(*field).ok()?, text.into()))
        };
        Self(fields.iter().filter_map(text).collect())
    }

    /// Of texts, each with its field.
    pub(super) fn of(texts: Vec<(u16, &str)>) -> Self {
        Self(texts.into_iter().map(|(field, text)| (field, text.into())).collect())
    }

    /// The texts, each with its field.
    pub(super) fn texts(&self) -> impl Iterator<Item = (u16, &str)> {
        self.0.iter().map(|(field, text)| (*field, &**text))
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        2 * size_of::<usize>() + self.0.iter().map(|(_, text)| size_of::<(u16, Box<str>)>() + text.len()).sum::<usize>()
    }
}

/// Where an event's fields are read from: the event itself, or what was kept of it.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Event(&'a Activity),
    Kept(&'a Record),
}

impl<'a> Source<'a> {
    /// The text of a field.
    pub(super) fn text(self, plan: &Plan, field: usize) -> Option<Cow<'a, str>> {
        match self {
            Self::Event(activity) => plan.fields[field].text(activity),
            Self::Kept(record) => {
                let (_, text) = record.0.iter().find(|(of, _)| usize::from(*of) == field)?;
                Some(Cow::Borrowed(text))
            }
        }
    }

    /// A part of a key: exact text, a user in canonical form, an IPv6 address as its /64. Empty is absent.
    pub(super) fn key_part(self, plan: &Plan, field: usize) -> Option<Cow<'a, str>> {
        let text = self.text(plan, field).filter(|text| !text.is_empty())?;
        let text = match plan.fields[field] {
            Field::User => canonical(text),
            Field::SourceIp if text.contains(':') => match text.parse() {
                Ok(ip) => Cow::Owned(domain::network(ip)),
                Err(_) => text,
            },
            _ => text,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The key, encoded so that different keys have different texts.
    pub(super) fn key(self, plan: &Plan, key: &KeyOf, variant: usize) -> Option<Cow<'a, str>> {
        match key {
            KeyOf::Auto { user, source_ip, share } => self.auto_key(plan, *user, *source_ip, *share).map(Cow::Owned),
            KeyOf::Fields { variants, .. } => joined(&variants[variant], |field| self.key_part(plan, field)),
        }
    }

    /// The key of a detection that names none: the user, else the address, else the one key of all. Where events are
    /// split, each of these belongs to one of the shares.
    pub(super) fn auto_key(self, plan: &Plan, user: usize, source_ip: usize, share: Share) -> Option<String> {
        let part = |field, tag: &str| self.key_part(plan, field).map(|part| [tag, &part].concat());
        let (user, source) = (part(user, "u"), part(source_ip, "i"));
        match share {
            Share::Whole => Some(user.or(source).unwrap_or_default()),
            Share::ByUser if user.is_none() && source.is_some() => None,
            Share::ByUser => Some(user.unwrap_or_default()),
            Share::BySource => source.filter(|_| user.is_none()),
        }
    }

    /// A text that is counted among different ones: exact, a user in canonical form. Empty is absent.
    fn counted(self, plan: &Plan, field: usize) -> Option<Cow<'a, str>> {
        let text = self.text(plan, field)?;
        let text = if plan.fields[field] == Field::User { canonical(text) } else { text };
        (!text.is_empty()).then_some(text)
    }

    /// The value that the event brings into a channel; none where it takes no part for want of one.
    ///
    /// # Errors
    /// It is a number beyond all that are summed.
    pub(super) fn value(
        self,
        plan: &Plan,
        of: Option<&ValueOf>,
        texts: &mut Interner,
    ) -> Result<Option<Value>, TooLarge> {
        Ok(match of {
            None => Some(Value::None),
            Some(ValueOf::Number(field)) => match self.text(plan, *field) {
                Some(text) => amount(&text)?.map(Value::Number),
                None => None,
            },
            Some(ValueOf::Texts(fields)) => {
                joined(fields, |field| self.counted(plan, field)).map(|text| Value::Text(texts.take(&text)))
            }
        })
    }
}

/// The texts of some fields as one, so that different ones stay different.
fn joined<'a>(fields: &[usize], part: impl Fn(usize) -> Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
    if let [field] = fields {
        return part(*field);
    }
    let mut text = String::new();
    for field in fields {
        let part = part(*field)?;
        text.push_str(&part.len().to_string());
        text.push(':');
        text.push_str(&part);
    }
    Some(Cow::Owned(text))
}

/// A user in canonical form; mostly it is.
fn canonical(user: Cow<'_, str>) -> Cow<'_, str> {
    if is_canonical(&user) { user } else { Cow::Owned(domain::username_key(&user)) }
}

fn is_canonical(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
}

/// Splits an encoded key into its parts, by name.
pub(super) fn key_parts(key: &KeyOf, text: &str) -> Vec<(String, String)> {
    match key {
        KeyOf::Auto { .. } => match text.split_at_checked(1) {
            Some(("u", user)) => vec![("user".to_owned(), user.to_owned())],
            Some(("i", ip)) => vec![("source_ip".to_owned(), ip.to_owned())],
            _ => Vec::new(),
        },
        KeyOf::Fields { names, .. } if names.len() == 1 => vec![(names[0].clone(), text.to_owned())],
        KeyOf::Fields { names, .. } => {
            let mut rest = text;
            let mut parts = Vec::new();
            for name in names {
                let Some((length, tail)) = rest.split_once(':') else { break };
                let length = length.parse().unwrap_or(0);
                let Some((part, tail)) = tail.split_at_checked(length) else { break };
                parts.push((name.clone(), part.to_owned()));
                rest = tail;
            }
            parts
        }
    }
}
