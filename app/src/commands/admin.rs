//! `admin`.

use super::Context;
use crate::cli;
use crate::failure::{Failure, Outcome};

pub(crate) async fn run(_args: cli::Admin, _context: &Context) -> Outcome {
    Err(Failure::internal("admin is not built yet"))
}
