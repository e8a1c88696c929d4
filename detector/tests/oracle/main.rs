//! The engine against a slow, obvious computation of the same rules.
//!
//! | file | what |
//! |---|---|
//! | `reference` | the oracle: every window rescanned, nothing kept from one event to the next |
//! | `gates`, `usual` | `analytics.when`, by looking back over all events |
//! | `episodes` | crossings to alerts |
//! | `cases` | the oracle itself against cases computed by hand |
//! | `draw` | random rule sets, as Sigma text, and random events with their arrival |
//! | `compare` | what of an alert has to agree |
//! | `ledger` | ids, revisions and merges on the way there |
//! | `property` | draws, runs both, prints the smallest difference as files for a scenario folder |

mod cases;
mod compare;
mod draw;
mod episodes;
mod gates;
mod ledger;
mod property;
mod reference;
mod usual;
