//! `dlq list`, `dlq show`, `dlq replay`: records that were put aside.

use bus::kafka::ACTIVITY_IN;
use domain::{Activity, LogType};
use relay::Again;
use store::{Appended, DeadLetterRow, Store};

use super::{Context, on_the_command_line};
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::Bar;

/// Letters of one page.
const PAGE: i64 = 500;
/// Characters of a payload in the list.
const SHOWN: usize = 60;

pub(crate) async fn run(args: cli::Dlq, context: &Context) -> Outcome {
    let store = context.store_as_it_is().await?;
    let done = match args {
        cli::Dlq::List { limit } => list(context, &store, limit).await,
        cli::Dlq::Show { id } => show(context, &store, id).await,
        cli::Dlq::Replay { ids, all } => replay(context, &store, ids, all).await,
    };
    store.close().await;
    done
}

async fn list(context: &Context, store: &Store, limit: i64) -> Outcome {
    let failed = context.failed();
    let letters = store.dead_letters(None, limit).await.map_err(failed)?;
    if letters.is_empty() {
        output::note("There are no dead letters.");
        return Ok(());
    }
    for DeadLetterRow { id, topic, partition, offset, reason, payload, at } in &letters {
        let short: String = payload.chars().take(SHOWN).collect();
        output::print(format!("{id}  {at}  {topic}/{partition} {offset}  {reason}\n    {}", short.escape_debug()))?;
    }
    let all = store.count_dead_letters().await.map_err(failed)?;
    output::note(format!("{} of {all}. `dlq show ID` shows one whole, `dlq replay ID` tries it again.", letters.len()));
    Ok(())
}

async fn one(context: &Context, store: &Store, id: i64) -> Outcome<DeadLetterRow> {
    let found = store.dead_letters(Some(id.saturating_add(1)), 1).await;
    let found = found.map_err(context.failed())?;
    let found = found.into_iter().next().filter(|letter| letter.id == id);
    found.ok_or_else(|| Failure::no(format!("there is no dead letter {id}; see `dlq list`")))
}

async fn every(context: &Context, store: &Store) -> Outcome<Vec<DeadLetterRow>> {
    let mut letters: Vec<DeadLetterRow> = Vec::new();
    loop {
        let page = store.dead_letters(letters.last().map(|last| last.id), PAGE).await;
        let page = page.map_err(context.failed())?;
        if page.is_empty() {
            return Ok(letters);
        }
        letters.extend(page);
    }
}

async fn show(context: &Context, store: &Store, id: i64) -> Outcome {
    let letter = one(context, store, id).await?;
    output::note(format!("{}/{} {}: {}", letter.topic, letter.partition, letter.offset, letter.reason));
    output::print(letter.payload)
}

/// Appends what can be read now; the rest stays where it is.
async fn replay(context: &Context, store: &Store, ids: Vec<i64>, all: bool) -> Outcome {
    let (mut done, mut refused) = (0_usize, 0_usize);
    let mut letters = Vec::new();
    for id in ids {
        letters.push(one(context, store, id).await?);
    }
    if all {
        letters = every(context, store).await?;
    }
    let (mut bar, all) = (Bar::new(context), letters.len());
    for (at, letter) in letters.into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        bar.show(Some(at as f64 / all as f64), || format!("{at} of {all} dead letters"));
        let activity = match read(context, store, &letter).await {
            Ok(activity) => activity,
            Err(Again::Unreadable(reason)) => {
                refused += 1;
                bar.note(format!("{}: stays: {reason}", letter.id));
                continue;
            }
            Err(Again::Store(error)) => return Err(context.failed()(error)),
        };
        match store.replay_dead_letter(letter.id, activity).await {
            Ok(Appended::Conflict) => {
                refused += 1;
                bar.note(format!("{}: stays: another activity has its id", letter.id));
            }
            Ok(Appended::New | Appended::Duplicate) => done += 1,
            Err(error) => return Err(context.failed()(error)),
        }
    }
    drop(bar);
    let words = format!("Replayed {done} dead letters on the command line");
    let act = on_the_command_line(context, "Admin", "dead-letters", LogType::System, words);
    store.append(act).await.map_err(context.failed())?;
    output::note(format!("{done} replayed, {refused} left."));
    if refused > 0 { Err(Failure::no("")) } else { Ok(()) }
}

/// What others wrote is taken in as theirs, whatever form it has; the log's own records are in ours.
async fn read(context: &Context, store: &Store, letter: &DeadLetterRow) -> Result<Activity, Again> {
    match Activity::from_json(&letter.payload) {
        Ok(activity) if letter.topic != ACTIVITY_IN => Ok(activity),
        _ => relay::read_again(store, letter, context.clock.now(), context.config.lateness).await,
    }
}
