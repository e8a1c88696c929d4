//! Writes per second by concurrent callers, each of which waits for its commit: activities alone (group commit of the
//! journal), then changes of items with their activities. On a file of its own in the working directory, or on MySQL
//! with `TEST_MYSQL_URL` and the name of an empty database in it.
//!
//! `cargo run --release -p store --example write_rate -- [CALLERS] [SECONDS]`

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::{Activity, Clock, LogType, SystemClock};
use store::{ItemChange, NewItem, Store};

fn activity(n: u64) -> Activity {
    let now = SystemClock.now();
    let mut activity = Activity::new(domain::ids::event_id(now), "View", now);
    activity.user = Some("ada".into());
    activity.user_id = Some(7);
    activity.session_id = Some("Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy".into());
    activity.role = Some("Employee".into());
    activity.resource = Some(format!("inventory/{n}"));
    activity.source_ip = Some([192, 0, 2, 1].into());
    activity.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)".into());
    activity.log_type = Some(LogType::DataAccess);
    activity.detail = Some(format!("View inventory/{n}"));
    activity.known_user = true;
    activity.request_id = Some("0198f0c2-6c1d-7a3e-9b1f-2f6f3f0e9d11".into());
    activity
}

/// Lets `callers` tasks write one after the other until the time is up, and prints how it went.
async fn measure<F>(
    what: &str,
    callers: u64,
    seconds: u64,
    write: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Outcome
where
    F: Future<Output = store::Result<()>> + Send,
{
    let (done, slowest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (write, done, slowest) = (write.clone(), Arc::clone(&done), Arc::clone(&slowest));
            tokio::spawn(async move {
                while Instant::now() < end {
                    let asked = Instant::now();
                    write(done.fetch_add(1, Ordering::Relaxed)).await?;
                    let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                    slowest.fetch_max(micros, Ordering::Relaxed);
                }
                Ok::<(), store::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = u128::from(done.load(Ordering::Relaxed)) * 1_000 / start.elapsed().as_millis().max(1);
    let slowest = slowest.load(Ordering::Relaxed) / 1_000;
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!("{callers} callers: {rate} {what}/s, slowest {slowest} ms");
    }
    Ok(())
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let callers = arguments.next().transpose()?.unwrap_or(64);
    let seconds = arguments.next().transpose()?.unwrap_or(5);
    let folder = tempfile::tempdir_in(".")?;
    let store = match std::env::var("TEST_MYSQL_URL") {
        Ok(url) => Store::connect_mysql(&url, Arc::new(SystemClock)).await?,
        Err(_) => Store::open_sqlite(&folder.path().join("bench.db"), Arc::new(SystemClock)).await?,
    };
    store.migrate().await?;
    let mut items = Vec::new();
    for n in 0..100 {
        let item =
            NewItem { name: format!("Item {n}"), description: None, category: None, quantity: 0, price_cents: 100 };
        items.push(store.create_item(item, move |_| activity(n)).await?.item_id);
    }
    let appending = store.clone();
    let append = move |n| {
        let store = appending.clone();
        async move { store.append(activity(n)).await }
    };
    measure("activities", callers, seconds, append).await?;
    let changing = store.clone();
    let items = Arc::new(items);
    let change = move |n: u64| {
        let (store, items) = (changing.clone(), Arc::clone(&items));
        async move {
            let item = items[usize::try_from(n).unwrap_or(0) % items.len()];
            let change = ItemChange { price_cents: Some(100), ..ItemChange::default() };
            store.update_item(item, change, move |_, _| activity(n)).await.map(drop)
        }
    };
    measure("changes", callers, seconds, change).await?;
    store.close().await;
    Ok(())
}
