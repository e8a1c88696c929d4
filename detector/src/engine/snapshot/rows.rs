//! What a snapshot consists of. A row stands for itself: one key with all that is known of it, one value of a history.
//!
//! Rows are written by borrowing from the engine and read by borrowing from the bytes. Their form is part of
//! [`FORMAT`](super::FORMAT).

use std::borrow::Cow;
use std::num::NonZeroU32;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::engine::episodes::Episodes;
use crate::engine::exact::Figure;
use crate::engine::first::Known;
use crate::engine::history::Last;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Row<'a> {
    /// A key of a group; its slot is the number of its group's keys before it.
    #[serde(borrow)]
    Key(KeyRow<'a>),
    /// Something that waits for the watermark.
    Due {
        time: i64,
        id: Uuid,
        rule: usize,
        what: WhatRow<'a>,
    },
    /// An episode that has still to be reported.
    Changed {
        group: usize,
        slot: usize,
        node: usize,
    },
    /// A value of `first_seen`.
    First {
        rule: usize,
        key: &'a str,
        known: Cow<'a, Known>,
    },
    FirstsOf {
        rule: usize,
        sweep_at: usize,
        lost: u64,
    },
    Silence {
        rule: usize,
        key: &'a str,
        last: Last,
    },
    SilencesOf {
        rule: usize,
        sweep_at: usize,
    },
    /// What is usual for somebody: figures by bucket.
    Own {
        node: usize,
        of: &'a str,
        figures: Vec<(i64, Fraction)>,
    },
    /// Some of the figures of those alike in a bucket.
    Peers {
        node: usize,
        alike: &'a str,
        bucket: i64,
        figures: Vec<(&'a str, Fraction)>,
    },
    BaselinesOf {
        node: usize,
        sweep_at: usize,
    },
    /// An alert that has been found and not been fetched, as JSON.
    Alert(Cow<'a, str>),
    /// A gap of which the same is true.
    Gap {
        rules: Vec<&'a str>,
        key: Option<&'a str>,
        from: i64,
        to: i64,
        lost: u64,
        reason: &'a str,
    },
    /// The last row: how many came before it.
    End {
        rows: u64,
    },
}

/// What the engine knows beside its keys, and of whom it is. Stands behind format and fingerprint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) settled: i64,
    pub(super) observed: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyRow<'a> {
    pub(super) group: usize,
    pub(super) key: &'a str,
    #[serde(borrow)]
    pub(super) entries: Vec<EntryRow<'a>>,
    pub(super) values: Vec<(u8, ValuesRow<'a>)>,
    pub(super) nodes: Vec<NodeRow<'a>>,
    /// Events of which only this is left: microseconds since the one before (of the first, its time), and channels.
    pub(super) past: Vec<(i64, u64)>,
}

/// An event of a key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryRow<'a> {
    /// Microseconds since the event before it; of the first, its time.
    pub(super) since: i64,
    pub(super) mask: u64,
    pub(super) id: Uuid,
    #[serde(borrow)]
    pub(super) record: Option<RecordRow<'a>>,
}

/// What was kept of an event.
pub(super) type RecordRow<'a> = Vec<(u16, &'a str)>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ValuesRow<'a> {
    #[serde(borrow)]
    Texts(Vec<&'a str>),
    Numbers(Vec<Number>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NodeRow<'a> {
    pub(super) node: u32,
    pub(super) looked_at: usize,
    pub(super) seen: u32,
    pub(super) episodes: Option<Cow<'a, Episodes>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WhatRow<'a> {
    Leaf {
        #[serde(borrow)]
        record: RecordRow<'a>,
        counts: bool,
    },
    Node {
        group: usize,
        slot: usize,
        node: usize,
    },
}

/// A decimal, exactly: with its scale, and with the sign of a zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) Decimal);

/// A figure: a number and what it is divided by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Fraction(Number, NonZeroU32);

impl Fraction {
    pub(super) fn of(figure: Figure) -> Self {
        Self(Number(figure.over), NonZeroU32::new(figure.under).unwrap_or(NonZeroU32::MIN))
    }

    pub(super) fn figure(self) -> Figure {
        Figure { over: self.0.0, under: self.1.get() }
    }
}

/// Marks a negative number beside its scale.
const NEGATIVE: u8 = 0x80;

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // At most 28: see `Decimal`.
        let scale = u8::try_from(self.0.scale()).unwrap_or(u8::MAX >> 1);
        let sign = if self.0.is_sign_negative() { NEGATIVE } else { 0 };
        (scale | sign, self.0.mantissa().unsigned_abs()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (scale, mantissa) = <(u8, u128)>::deserialize(from)?;
        let mantissa = i128::try_from(mantissa).map_err(de::Error::custom)?;
        let mut number =
            Decimal::try_from_i128_with_scale(mantissa, u32::from(scale & !NEGATIVE)).map_err(de::Error::custom)?;
        number.set_sign_negative(scale & NEGATIVE != 0);
        Ok(Self(number))
    }
}

/// Decimals as a member of something else.
pub(in crate::engine) mod number {
    use super::{Decimal, Deserialize, Deserializer, Number, Serialize, Serializer};

    pub(in crate::engine) fn serialize<S: Serializer>(number: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        Number(*number).serialize(to)
    }

    pub(in crate::engine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
        Number::deserialize(from).map(|Number(number)| number)
    }
}

/// What a crossing was compared with: JSON, which tells its own form.
pub(in crate::engine) mod told {
    use std::sync::Arc;

    use serde_json::Value;

    use super::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(in crate::engine) fn serialize<S: Serializer>(told: &Option<Arc<Value>>, to: S) -> Result<S::Ok, S::Error> {
        told.as_ref().map(ToString::to_string).serialize(to)
    }

    pub(in crate::engine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Value>>, D::Error> {
        let text = Option::<&str>::deserialize(from)?;
        text.map(|text| serde_json::from_str(text).map(Arc::new).map_err(de::Error::custom)).transpose()
    }
}

/// Steps upwards; their own form is made for JSON, where a whole number is written without a fraction.
pub(in crate::engine) mod steps {
    use domain::{Escalation, Severity, Timestamp};

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::engine) fn serialize<S: Serializer>(steps: &[Escalation], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(steps.iter().map(|step| (step.at.micros(), step.severity, step.observed)))
    }

    pub(in crate::engine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Escalation>, D::Error> {
        let steps = Vec::<(i64, Severity, f64)>::deserialize(from)?.into_iter();
        let step = |(at, severity, observed)| Escalation { at: Timestamp::from_micros(at), severity, observed };
        Ok(steps.map(step).collect())
    }
}
