//! `backup`: a consistent copy of the embedded database while everything goes on.

use std::path::Path;

use super::Context;
use crate::config::Database;
use crate::failure::{Failure, Outcome};
use crate::output;

pub(crate) async fn run(file: &Path, context: &Context) -> Outcome {
    let shown = file.display();
    if context.config.database != Database::Sqlite {
        return Err(Failure::usage("backup copies the embedded database; MySQL has mariadb-dump and mysqldump"));
    }
    if file.exists() {
        return Err(Failure::usage(format!("{shown} exists already; name a new file")));
    }
    let store = context.store_as_it_is().await?;
    let copied = store.backup(file).await;
    store.close().await;
    copied.map_err(context.failed())?;
    output::note(format!(
        "{shown} is a copy of the database. Keep it like one: it holds password hashes. The secret that signs tokens is \
         not in it; a server on the copy makes another, and everybody logs in again."
    ));
    Ok(())
}
