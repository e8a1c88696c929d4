//! What became of the lines of one request.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use store::Appended;

use crate::problem::{Body, Problem};

/// How many rejections are told one by one.
const MOST_TOLD: usize = 100;

/// A line that was not taken.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(example = json!({ "line": 3, "error": "action: is missing" }))]
pub(super) struct Rejected {
    pub(super) line: usize,
    pub(super) error: String,
}

/// The members of the answer. Each line counts in exactly one of the first three or in `rejected_total`.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "accepted": 997, "duplicates": 2, "conflicts": 0, "late": 5,
    "rejected": [{ "line": 3, "error": "action: is missing" }], "rejected_total": 1
}))]
pub(super) struct Tally {
    /// Stored now.
    pub(super) accepted: usize,
    /// Stored before.
    pub(super) duplicates: usize,
    /// Stored before with other content, which stands.
    pub(super) conflicts: usize,
    /// Of those accepted: older than the lateness, so not alerted live.
    pub(super) late: usize,
    /// The first hundred.
    pub(super) rejected: Vec<Rejected>,
    pub(super) rejected_total: usize,
}

/// An error after lines were read: what became of them.
#[derive(utoipa::ToSchema)]
#[schema(as = ProblemOfPost)]
#[expect(dead_code, reason = "describes what `Tally::broken_off` writes")]
pub(super) struct BrokenOff {
    #[serde(flatten)]
    problem: Body,
    #[schema(nullable = false)]
    accepted: Option<usize>,
    #[schema(nullable = false)]
    duplicates: Option<usize>,
    #[schema(nullable = false)]
    conflicts: Option<usize>,
    #[schema(nullable = false)]
    late: Option<usize>,
    #[schema(nullable = false)]
    rejected: Option<Vec<Rejected>>,
    #[schema(nullable = false)]
    rejected_total: Option<usize>,
    /// The first line that is not decided: go on from there.
    #[schema(nullable = false)]
    next_line: Option<usize>,
}

impl Tally {
    /// Notes a line that was not taken.
    pub(super) fn reject(&mut self, line: usize, error: String) {
        self.rejected_total += 1;
        if self.rejected.len() < MOST_TOLD {
            self.rejected.push(Rejected { line, error });
        }
    }

    /// Takes over what was noted apart.
    pub(super) fn take(&mut self, other: &mut Self) {
        self.rejected_total += std::mem::take(&mut other.rejected_total);
        let room = MOST_TOLD.saturating_sub(self.rejected.len());
        self.rejected.extend(std::mem::take(&mut other.rejected).into_iter().take(room));
    }

    /// Notes what the journal made of one event.
    pub(super) fn count(&mut self, appended: Appended, late: bool) {
        match appended {
            Appended::New => {
                self.accepted += 1;
                self.late += usize::from(late);
            }
            Appended::Duplicate => self.duplicates += 1,
            Appended::Conflict => self.conflicts += 1,
        }
    }

    /// How many events are in the journal because of this request or an earlier one like it.
    pub(super) fn durable(&self) -> usize {
        self.accepted + self.duplicates + self.conflicts
    }

    /// The problem with these members beside its own.
    pub(super) fn beside(&self, problem: Problem) -> Problem {
        let members = match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        problem.with_extra(members)
    }

    /// The same with the line from which to go on.
    pub(super) fn broken_off(&self, problem: Problem, next_line: usize) -> Problem {
        let mut problem = self.beside(problem);
        if let Some(members) = &mut problem.extra {
            members.insert("next_line".into(), next_line.into());
        }
        // A part is stored, so it is no longer true that nothing was done; the same lines may be sent again.
        if problem.status.is_server_error() && self.durable() > 0 {
            problem.status = StatusCode::SERVICE_UNAVAILABLE;
            problem.error =
                format!("Stored up to line {}; send the rest again from there.", next_line.saturating_sub(1));
            return problem.retry_after(1);
        }
        problem
    }
}
