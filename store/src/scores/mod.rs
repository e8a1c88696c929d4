//! Scores: the risk of a user after each step of each of their alerts.
//!
//! | file | what |
//! |---|---|
//! | `history` | a user's steps as contributions to [`domain::risk`], as they stood at a time |
//! | `write` | score rows, detections and the user's present risk, after something has changed |
//! | `read` | rows with findings and explanation; [`Store::user_risk`](crate::Store::user_risk) |

pub(crate) mod history;
mod read;
mod write;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use read::{Finding, ScoreFilter, ScoreRow, UserRisk};
pub(crate) use read::{SELECT, highest, rows};
pub(crate) use write::{lock, recompute};

/// What one alert has to do with a score, as stored beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) alert: Uuid,
    /// Points at that time.
    pub(crate) points: i64,
    /// Points after the fall.
    pub(crate) weight: f64,
    /// What it added, with two decimals.
    pub(crate) added: f64,
}
