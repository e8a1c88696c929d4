//! `migrate`.

use super::Context;
use crate::failure::{Failure, Outcome};

pub(crate) async fn run(_context: &Context) -> Outcome {
    Err(Failure::internal("migrate is not built yet"))
}
