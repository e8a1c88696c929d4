//! A MariaDB and a Kafka of the test's own, so that they can be killed. The scripts that start them are in the folder that
//! `TEST_SERVERS` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::port::free_port;

/// Both servers; stopped when dropped.
pub(crate) struct Servers {
    scripts: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) mariadb: u16,
    pub(crate) kafka: u16,
}

impl Servers {
    /// Starts both; none where nobody says how.
    pub(crate) fn start() -> Option<Self> {
        let Some(scripts) = std::env::var_os("TEST_SERVERS") else {
            assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_SERVERS names no folder");
            eprintln!(
                "no servers: set TEST_SERVERS to the folder with kafka/kafka.sh and mariadb/mariadb.sh to run this test"
            );
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        // MariaDB does not run as root, and has to walk in.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("permissions");
        let servers = Self { scripts: scripts.into(), folder, mariadb: free_port(), kafka: free_port() };
        servers.run("mariadb", "start", Some(servers.mariadb));
        // The script gives the broker a random id, and one that begins with a hyphen is taken for an option.
        let started = (0..5).any(|_| {
            let started = servers.done("kafka", "start", Some(servers.kafka));
            if !started {
                // It may still be on its way up, and would answer in the place of the next one.
                servers.run("kafka", "kill", None);
                let _ = std::fs::remove_dir_all(servers.folder.path().join("kafka"));
            }
            started
        });
        assert!(started, "Kafka does not start");
        Some(servers)
    }

    /// `kill`s or `restart`s one of them.
    pub(crate) fn run(&self, server: &str, verb: &str, port: Option<u16>) {
        assert!(self.done(server, verb, port), "{server} {verb}");
    }

    fn done(&self, server: &str, verb: &str, port: Option<u16>) -> bool {
        let script = Path::new(server).join(format!("{server}.sh"));
        let mut command = Command::new(self.scripts.join(script));
        command.arg(verb).arg(self.folder.path().join(server)).stdout(Stdio::null());
        command.args(port.map(|port| port.to_string()));
        command.status().expect("the script runs").success()
    }

    /// Sends a signal to one of them.
    pub(crate) fn signal(&self, server: &str, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join(server).join("pid")).expect("its process id");
        let sent = Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status();
        assert!(sent.expect("kill runs").success(), "{server}: {signal}");
    }

    /// A database of its own on the server.
    pub(crate) fn database(&self, name: &str) -> String {
        let made = Command::new("mariadb")
            .args(["--no-defaults", "-h127.0.0.1", "-utest", "-ptest"])
            .arg(format!("-P{}", self.mariadb))
            .arg("-e")
            .arg(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            .status();
        assert!(made.expect("the client runs").success(), "the database is made");
        format!("mysql://test:test@127.0.0.1:{}/{name}", self.mariadb)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in ["kafka", "mariadb"] {
            let script = self.scripts.join(server).join(format!("{server}.sh"));
            // At the end of a failed test one may be down already.
            let _ = Command::new(script).arg("kill").arg(self.folder.path().join(server)).status();
        }
    }
}
