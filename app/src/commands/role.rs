//! `api`, `ingest`, `detector`: one role alone.

use super::Context;
use crate::failure::{Failure, Outcome};

pub(crate) fn run(context: &Context) -> Outcome {
    context.config.check()?;
    Err(Failure::usage(
        "this build runs all roles in one process on SQLite; roles of their own come with support for Kafka, which it \
         does not have yet. Run `security-analytics` without a command.",
    ))
}
