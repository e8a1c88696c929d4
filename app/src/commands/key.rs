//! `key`.

use super::Context;
use crate::cli;
use crate::failure::{Failure, Outcome};

pub(crate) async fn run(_args: cli::Key, _context: &Context) -> Outcome {
    Err(Failure::internal("key is not built yet"))
}
