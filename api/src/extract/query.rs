//! [`Query`], [`PathId`] and [`PathIds`]: what stands in the address, refused by name.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::{Fields, FromFields, number};
use crate::problem::{Outcome, Problem};

/// The query string read into a type. Unknown parameters are ignored; of repeated ones the last counts.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: FromFields, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        T::from_fields(&Fields::new(pairs(parts.uri.query().unwrap_or_default())?)).map(Self)
    }
}

/// The one numeric id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathId(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        PathIds::from_request_parts(parts, state).await.map(|PathIds([id])| Self(id))
    }
}

/// The numeric ids in the path, in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathIds<const N: usize>(pub(crate) [i64; N]);

impl<S: Send + Sync, const N: usize> FromRequestParts<S> for PathIds<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::field("path", "The path is not valid UTF-8"))?;
        let (mut given, mut ids) = (params.iter(), [0; N]);
        for id in &mut ids {
            let (name, text) = given.next().unwrap_or(("id", ""));
            *id = number::whole(text)
                .map_err(|fault| Problem::field(name, format!("{name} in the path {}", fault.of_whole())))?;
        }
        Ok(Self(ids))
    }
}

fn pairs(query: &str) -> Outcome<Map<String, Value>> {
    let mut members = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, true).ok_or_else(|| Problem::field("query", "The query is not valid UTF-8"))?;
        let value = decode(value, true)
            .ok_or_else(|| Problem::field(&name, format!("{name} in the query is not valid UTF-8")))?;
        members.insert(name, Value::String(value));
    }
    Ok(members)
}

/// A segment of a path, percent-decoded; `None` where the bytes are no UTF-8.
pub(crate) fn decoded(segment: &str) -> Option<String> {
    decode(segment, false)
}

/// Percent-decoding; `None` where the bytes are no UTF-8. A stray `%` stands for itself; in a form `+` is a blank.
fn decode(text: &str, form: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            if pair.starts_with('+') { None } else { u8::from_str_radix(pair, 16).ok() }
        });
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) if form => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_and_refuse_by_name() {
        let members = pairs("search=100%25+off&x=%E2%82%AC&y=%zz&&z").unwrap();
        assert_eq!(members["search"], "100% off");
        assert_eq!(members["x"], "€");
        assert_eq!(members["y"], "%zz");
        assert_eq!(members["z"], "");
        assert_eq!(pairs("search=%FF").unwrap_err().errors[0].field, "search");
    }
}
