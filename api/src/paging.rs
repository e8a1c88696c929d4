//! Paging beyond the bare array: `limit` and `cursor` in, `Link: <…>; rel="next"` out.
//!
//! A cursor is the place of the last row of a page (a keyset), so pages stay right while rows are added.

use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Severity, Timestamp};
use store::Cursor;
use uuid::Uuid;

use crate::extract::{Fields, FromFields};
use crate::problem::{Outcome, Problem};

/// Rows of a page of logs, sessions, scores, flags or alerts: unless told, and at most.
const USUAL: usize = 100;
const MOST: usize = 1_000;
/// Rows of users, inventory and orders: the old frontend takes the whole array.
const MOST_WHOLE: usize = 10_000;

/// Which page is asked for.
#[derive(Debug, Clone, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Rows of a page.
    #[param(value_type = Option<i32>, minimum = 1)]
    limit: Option<usize>,
    /// Where the page before ended: from its `Link` header.
    #[param(max_length = 300)]
    cursor: Option<String>,
}

impl FromFields for Page {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let limit = match fields.integer("limit")? {
            Some(limit) if limit < 1 => return Err(Problem::field("limit", "limit must be at least 1")),
            limit => limit.and_then(|limit| usize::try_from(limit).ok()),
        };
        Ok(Self { limit, cursor: fields.words("cursor", 300)? })
    }
}

fn bad_cursor() -> Problem {
    Problem::field("cursor", "cursor must come from the Link header of the page before")
}

impl Page {
    /// Rows of this page.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL).min(MOST)
    }

    /// Rows to ask the store for: one more, which tells whether there is a next page.
    pub(crate) fn ask(&self) -> i64 {
        i64::try_from(self.limit() + 1).unwrap_or(i64::MAX)
    }

    /// The place where the page before ended, as time and name.
    fn place(&self) -> Outcome<Option<(Timestamp, String)>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let parts = text.as_deref().and_then(|text| text.split_once('.'));
        let place = parts.and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id.to_owned())));
        place.map(Some).ok_or_else(bad_cursor)
    }

    /// The same where rows have numbers.
    pub(crate) fn numbered(&self) -> Outcome<Option<Cursor>> {
        let Some((at, id)) = self.place()? else { return Ok(None) };
        Ok(Some(Cursor { at, id: id.parse().map_err(|_| bad_cursor())? }))
    }

    /// The same where rows have UUIDs.
    pub(crate) fn identified(&self) -> Outcome<Option<(Timestamp, Uuid)>> {
        let Some((at, id)) = self.place()? else { return Ok(None) };
        Ok(Some((at, id.parse().map_err(|_| bad_cursor())?)))
    }

    /// The same where rows have UUIDs and the most severe stand first.
    pub(crate) fn ranked(&self) -> Outcome<Option<(Severity, Timestamp, Uuid)>> {
        let Some((at, place)) = self.place()? else { return Ok(None) };
        let parsed = place.split_once('.').and_then(|(word, id)| Some((word.parse().ok()?, at, id.parse().ok()?)));
        parsed.map(Some).ok_or_else(bad_cursor)
    }

    /// The same where rows have names.
    pub(crate) fn named(&self) -> Outcome<Option<(Timestamp, String)>> {
        self.place()
    }

    /// Cuts the row too many off; the cursor of the next page, if there is one.
    pub(crate) fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> (Timestamp, String)) -> Option<String> {
        if rows.len() <= self.limit() {
            return None;
        }
        rows.truncate(self.limit());
        rows.last().map(|row| cursor(&place(row)))
    }

    /// One page of a list that is at hand as a whole, in the order of `id` (rising or falling).
    pub(crate) fn of_whole<'a, T>(&self, rows: &'a [T], id: impl Fn(&T) -> i64) -> Outcome<(&'a [T], Option<String>)> {
        let limit = self.limit.unwrap_or(MOST_WHOLE).min(MOST_WHOLE);
        let rows = match self.numbered()? {
            None => rows,
            Some(after) => {
                let falling = rows.first().zip(rows.last()).is_some_and(|(first, last)| id(first) > id(last));
                let is_past = |row: &T| if falling { id(row) >= after.id } else { id(row) <= after.id };
                &rows[rows.iter().take_while(|row| is_past(row)).count()..]
            }
        };
        if rows.len() <= limit {
            return Ok((rows, None));
        }
        let page = &rows[..limit];
        Ok((page, page.last().map(|row| cursor(&(Timestamp::default(), id(row).to_string())))))
    }
}

/// The name of a row's place where the most severe stand first, for [`Page::ranked`].
pub(crate) fn ranked(severity: Severity, id: &str) -> String {
    format!("{}.{id}", severity.as_str())
}

/// Adds how many rows there are on all pages together, where the list was read to its end.
pub(crate) fn counted(mut response: Response, total: usize) -> Response {
    if total >= MOST_WHOLE {
        return response;
    }
    response.headers_mut().insert("x-total-count", HeaderValue::from(total));
    response
}

fn cursor((at, id): &(Timestamp, String)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{id}", at.micros()))
}

/// Adds the link to the next page: the same address with another cursor.
pub(crate) fn link(mut response: Response, uri: &Uri, next: Option<&str>) -> Response {
    let Some(next) = next else { return response };
    let others = uri.query().unwrap_or_default().split('&');
    let mut query: Vec<&str> = others.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=")).collect();
    let cursor = format!("cursor={next}");
    query.push(&cursor);
    // A query holds no `>`: it would not be an address.
    if let Ok(value) = HeaderValue::try_from(format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))) {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, cursor: Option<&str>) -> Page {
        Page { limit: Some(limit), cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn pages_of_a_whole_list_join_up_in_either_order() {
        for rows in [vec![1, 2, 3, 5, 8], vec![8, 5, 3, 2, 1]] {
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let (part, next) = {
                    let page = page(2, cursor.as_deref());
                    let (part, next) = page.of_whole(&rows, |id| *id).unwrap();
                    (part.to_vec(), next)
                };
                seen.extend(part);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, rows);
        }
    }

    #[test]
    fn the_row_too_many_makes_a_cursor_that_reads_back() {
        let mut rows = vec![30, 20, 10];
        let place = |row: &i64| (Timestamp::from_micros(*row), row.to_string());
        let next = page(2, None).cut(&mut rows, place).unwrap();
        assert_eq!(rows, [30, 20]);
        let cursor = page(2, Some(&next)).numbered().unwrap().unwrap();
        assert_eq!((cursor.at.micros(), cursor.id), (20, 20));
        assert_eq!(page(2, Some("garbage")).numbered().unwrap_err().errors[0].field, "cursor");
    }

    #[test]
    fn the_link_keeps_the_rest_of_the_address() {
        let uri = "/api/logs/?user_id=3&cursor=old&limit=2".parse().unwrap();
        let response = link(Response::new(axum::body::Body::empty()), &uri, Some("new"));
        assert_eq!(response.headers()["link"], "</api/logs/?user_id=3&limit=2&cursor=new>; rel=\"next\"");
    }
}
