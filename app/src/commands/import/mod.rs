//! `import`: users, inventory, orders, sessions and logs of an existing installation.
//!
//! Page by page, each row in a transaction of its own (logs: a page), so that it can be stopped at any moment and run
//! again. What cannot be taken over is counted by its reason, and stops nobody.

mod rows;
mod tally;

use std::collections::HashMap;

use domain::{LogType, Role};
use store::{ImportedOrder, ImportedSession, Legacy, Store, Taken};

use super::{Context, on_the_command_line};
use crate::cli;
use crate::config::Database;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::Bar;
use rows::Refused;
use tally::Tally;

/// Rows of one page.
const PAGE: i64 = 500;
/// A server makes its first Admin only where there is no user at all.
const NOBODY: &str = "Nobody here is an Admin who can log in; make one: security-analytics admin create-user NAME";

pub(crate) async fn run(args: cli::Import, context: &Context) -> Outcome {
    // A running server would know nothing of it: it keeps users and items in memory.
    let _lock = match context.config.database {
        Database::Sqlite => {
            data::make_directory(&context.config)?;
            Some(data::lock(&context.config).await?)
        }
        Database::MySql(_) => None,
    };
    let store = data::open(&context.config, context.clock.clone()).await?;
    let legacy = Legacy::connect(&args.from, &args.zone).await.map_err(|error| match error {
        store::Error::Conflict(sentence) => Failure::usage(sentence),
        other => Failure::unavailable(format!("--from: {other}")),
    })?;
    let (source, tally) = (legacy.name().to_owned(), Tally::default());
    let mut import = Import { context, store, source, legacy, tally, bar: Bar::new(context) };
    let done = import.all().await;
    import.bar.clear();
    // What was taken is there, whatever happened afterwards.
    output::print(&import.tally)?;
    let act = on_the_command_line(
        context,
        "Admin",
        "import",
        LogType::System,
        format!("Imported {} rows of {} on the command line", import.tally.taken(), import.source),
    );
    import.store.append(act).await.map_err(context.failed())?;
    if done.is_ok() && import.store.count_admins().await.map_err(context.failed())? == 0 {
        output::note(NOBODY);
    }
    import.store.close().await;
    if let Err(error) = import.legacy.close().await {
        tracing::debug!(%error, "the connection to the other database was lost before its end");
    }
    done
}

struct Import<'a> {
    context: &'a Context,
    store: Store,
    legacy: Legacy,
    source: String,
    tally: Tally,
    bar: Bar,
}

impl Import<'_> {
    async fn all(&mut self) -> Outcome {
        self.users().await?;
        self.items().await?;
        self.orders().await?;
        self.logs().await?;
        self.sessions().await?;
        let scores = self.legacy.count("anomaly_scores").await.map_err(from_failed)?;
        if scores > 0 {
            self.tally.skipped("anomaly_scores", "the rules make scores of their own", scores.unsigned_abs());
        }
        Ok(())
    }

    async fn users(&mut self) -> Outcome {
        self.begin("users").await?;
        let mut after = i64::MIN;
        loop {
            self.show("users");
            let page = self.legacy.users(after, PAGE).await.map_err(from_failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for row in page {
                let (id, name) = (row.id, row.username.clone().unwrap_or_default());
                match rows::user(row, self.context.clock.now()) {
                    Ok((user, notes)) => {
                        notes.iter().for_each(|note| self.tally.noted("users", note));
                        let taken = self.store.import_user(&self.source, user).await;
                        let taken = taken.map_err(self.context.failed())?;
                        if let Taken::SameName(own) = taken {
                            self.bar
                                .note(format!("users {id}: {name} is user {own} here already and keeps its password"));
                        }
                        self.tally.came("users", taken);
                    }
                    Err(reason) => self.refuse("users", id, reason),
                }
            }
        }
    }

    async fn items(&mut self) -> Outcome {
        self.begin("inventory_items").await?;
        let mut after = i64::MIN;
        loop {
            self.show("inventory_items");
            let page = self.legacy.items(after, PAGE).await.map_err(from_failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for row in page {
                let id = row.id;
                match rows::item(row, self.context.clock.now()) {
                    Ok((item, notes)) => {
                        notes.iter().for_each(|note| self.tally.noted("inventory_items", note));
                        let taken = self.store.import_item(&self.source, item).await;
                        self.tally.came("inventory_items", taken.map_err(self.context.failed())?);
                    }
                    Err(reason) => self.refuse("inventory_items", id, reason),
                }
            }
        }
    }

    async fn orders(&mut self) -> Outcome {
        self.begin("orders").await?;
        let (users, items) = (self.map("user").await?, self.map("item").await?);
        let mut after = i64::MIN;
        loop {
            self.show("orders");
            let page = self.legacy.orders(after, PAGE).await.map_err(from_failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for row in page {
                let user = row.user_id.and_then(|id| users.get(&id).copied());
                let item = row.item_id.and_then(|id| items.get(&id).copied());
                let reason = match (user, item, row.quantity) {
                    (None, ..) => "names no user that is here",
                    (_, None, _) => "names no item that is here",
                    (Some(user_id), Some(item_id), Some(quantity @ 1..=2_147_483_647)) => {
                        let order_time = row.order_time.unwrap_or_else(|| self.context.clock.now());
                        let order = ImportedOrder { id: row.id, user_id, item_id, quantity, order_time };
                        let taken = self.store.import_order(&self.source, order).await;
                        self.tally.came("orders", taken.map_err(self.context.failed())?);
                        continue;
                    }
                    _ => "has no quantity from 1 on",
                };
                self.refuse("orders", row.id, reason);
            }
        }
    }

    async fn logs(&mut self) -> Outcome {
        self.begin("user_logs").await?;
        let (users, names) = (self.map("user").await?, self.names().await?);
        let mut after = i64::MIN;
        loop {
            self.show("user_logs");
            let page = self.legacy.logs(after, PAGE).await.map_err(from_failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let (now, mut activities) = (self.context.clock.now(), Vec::with_capacity(page.len()));
            for row in page {
                let id = row.id;
                match rows::log(row, &self.source, &users, &names, now) {
                    Ok((activity, notes)) => {
                        notes.iter().for_each(|note| self.tally.noted("user_logs", note));
                        activities.push(activity);
                    }
                    Err(reason) => self.refuse("user_logs", id, reason),
                }
            }
            let done = self.store.import_activities(activities).await;
            let done = done.map_err(self.context.failed())?;
            self.tally.many("user_logs", done.stored, done.known);
            if done.dead > 0 {
                self.tally.skipped("user_logs", "cannot be stored (`dlq list` has them)", done.dead as u64);
            }
        }
    }

    async fn sessions(&mut self) -> Outcome {
        self.begin("sessions").await?;
        let (users, names) = (self.map("user").await?, self.names().await?);
        let mut after = String::new();
        loop {
            self.show("sessions");
            let page = self.legacy.sessions(&after, PAGE).await.map_err(from_failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.session_id);
            for row in page {
                let Some(start_time) = row.start_time.filter(|_| !row.session_id.trim().is_empty()) else {
                    self.tally.skipped("sessions", "has no id, or no time at which it began", 1);
                    continue;
                };
                let user_id = row.user_id.and_then(|id| users.get(&id).copied());
                if row.user_id.is_some() && user_id.is_none() {
                    self.tally.noted("sessions", "names no user that is here: taken without one");
                }
                let username = user_id.and_then(|id| names.get(&id)).map(|(name, _)| name.clone());
                let (session_id, end_time) = (row.session_id, row.end_time.or(Some(start_time)));
                let session = ImportedSession { session_id, user_id, username, start_time, end_time };
                let taken = self.store.import_session(&self.source, session).await;
                self.tally.came("sessions", taken.map_err(self.context.failed())?);
            }
        }
    }

    async fn begin(&mut self, table: &'static str) -> Outcome {
        let rows = self.legacy.count(table).await.map_err(from_failed)?;
        self.tally.begin(table, rows);
        Ok(())
    }

    /// How far a table's turn is.
    fn show(&mut self, table: &'static str) {
        let (done, rows) = self.tally.done(table);
        self.bar.show_count(done, rows, || format!("{table}: {done} of {rows}"));
    }

    fn refuse(&mut self, table: &'static str, id: i64, reason: &Refused) {
        if self.tally.skipped(table, reason, 1) {
            self.bar.note(format!("{table} {id}: {reason}"));
        }
    }

    async fn map(&self, kind: &'static str) -> Outcome<HashMap<i64, i64>> {
        let map = self.store.imported(&self.source, kind).await;
        map.map_err(self.context.failed())
    }

    async fn names(&self) -> Outcome<HashMap<i64, (String, Option<Role>)>> {
        let names = self.store.names_of_users().await;
        names.map_err(self.context.failed())
    }
}

fn from_failed(error: store::Error) -> Failure {
    Failure::unavailable(format!("--from: {error}; run it again, it goes on where it was"))
}
