//! Rules: from Sigma documents to a [`RuleSet`].
//!
//! | file | what |
//! |---|---|
//! | `source`, `built_in` | [`RuleSource`]: the files, from the binary or from disk |
//! | `yaml`, `node` | bytes → values with their places; depth and size bounded |
//! | `document` | the strict pass over one document's top level |
//! | `analytics`, `correlation`, `condition`, `detection`, `selection` | its sections; `section` and `span` read maps and durations |
//! | `regular` | regular expressions, and what they may take together |
//! | `sigma` | the one place that knows rsigma-parser |
//! | `load`, `link` | [`load()`]: one source over the other, [`load_only()`]: one alone; references, order, revisions |
//! | `check`, `limits` | [`check()`] for authors; where a rule can run, what it keeps |
//! | `naming` | [`key_of_alerts`]: the key of a rule's alerts as people write it |
//! | `share` | [`RuleSet::of_share`]: the rules that run where events are split by user, or by address |
//! | [`model`](Rule) | what the engine sees |
//! | `matcher`, `index`, `expression`, `text`, `field` | [`Matcher`]: which detections an activity matches |
//! | `amount` | numbers of events, as sums take them |
//! | `finding` | [`Finding`]: what is wrong, and where |
//!
//! To add a modifier: `selection` gives it a meaning, `expression` its test.

mod amount;
mod analytics;
mod built_in;
mod check;
mod condition;
mod correlation;
mod detection;
mod document;
mod expression;
mod field;
mod finding;
mod index;
mod limits;
mod link;
mod load;
mod matcher;
mod model;
mod naming;
mod node;
mod regular;
mod section;
mod selection;
mod share;
mod sigma;
mod source;
mod span;
#[cfg(test)]
mod tests;
mod text;
mod yaml;

pub(crate) use amount::{TooLarge, amount};
pub use check::check;
pub use field::Field;
pub use finding::{Finding, Weight};
pub use limits::{EVENTS_PER_KEY, Memory, distributable, memory_per_key, undistributable};
pub use load::{Loaded, load, load_only};
pub use matcher::{Matcher, Scratch};
pub use model::*;
pub use naming::{KeyPart, Misnamed, key_of_alerts};
pub use source::RuleSource;
pub use span::{MONTH, YEAR};
