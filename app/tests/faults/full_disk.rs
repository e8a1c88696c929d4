//! One process on SQLite whose disk is full for a while: on a file system of its own, where the test may make one.

use std::process::Command;
use std::time::Duration;

use crate::audit::Site;
use crate::clients::Work;
use crate::port::free_port;
use crate::process::{PASSWORD, Process};

/// A small file system, gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "no file system can be mounted");
        eprintln!("no file system can be mounted: run this test as root");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder is in the temporary one; what is left mounted is the system's to clean.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing() {
    let Some(disk) = Disk::new() else { return };
    let data = disk.0.path().join("data");
    let environment = vec![
        ("TIME_ZONE".to_owned(), "UTC".to_owned()),
        ("ADMIN_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("DATA_DIR".to_owned(), data.display().to_string()),
    ];
    let port = free_port();
    let mut server = Process::start("serve", port, &environment).await;
    let work = Work::begin(vec![port]).await;
    let clients = work.clients();
    for _ in 0..3 {
        work.progress(100, 4).await;
        // All that is left, taken and given back.
        let ballast = disk.0.path().join("ballast");
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .output();
        assert!(!filled.expect("dd runs").status.success(), "the disk is full");
        let before = work.acknowledged();
        tokio::time::sleep(Duration::from_millis(800)).await;
        eprintln!("{} acknowledged while the disk was full", work.acknowledged() - before);
        assert!(server.runs(), "a full disk is no reason to end");
        std::fs::remove_file(&ballast).expect("removed");
    }
    work.progress(100, 4).await;
    work.end(clients).await;
    Site { port, token: &work.token, environment: &environment }.audit(&work).await;
    server.end().await;
}
