//! One process on SQLite, killed at any moment.

use std::time::Duration;

use domain::{Clock, SystemClock};

use crate::audit::Site;
use crate::clients::Work;
use crate::port::free_port;
use crate::process::{PASSWORD, Process};

/// Times that the program is killed.
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_nine() {
    let data = tempfile::tempdir().expect("a folder");
    let mut environment =
        vec![("TIME_ZONE".to_owned(), "UTC".to_owned()), ("ADMIN_PASSWORD".to_owned(), PASSWORD.to_owned())];
    environment.push(("DATA_DIR".to_owned(), data.path().display().to_string()));
    let port = free_port();
    let mut server = Process::start("serve", port, &environment).await;
    let work = Work::begin(vec![port]).await;
    let clients = work.clients();
    for round in 0..ROUNDS {
        // The clock's last digits are as good as a die here: the moment must not be always the same.
        let die = u64::try_from(SystemClock.now().micros() % 500).expect("small");
        work.progress(50, 2).await;
        tokio::time::sleep(Duration::from_millis(die)).await;
        server.kill();
        println!("round {round}: killed after {die} ms more, {} acknowledged", work.acknowledged());
        server = Process::start("serve", port, &environment).await;
    }
    work.progress(50, 4).await;
    work.end(clients).await;
    Site { port, token: &work.token, environment: &environment }.audit(&work).await;
}
