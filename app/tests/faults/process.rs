//! A process of the program.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use crate::http::call;

/// The administrator's.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// The program under test.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_security-analytics")
}

/// It runs until it is killed, dropped, or asked to end.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Process {
    /// Starts a role and waits until it answers.
    pub(crate) async fn start(role: &str, port: u16, environment: &[(String, String)]) -> Self {
        let mut process = Self::launch(role, port, environment);
        process.answers().await;
        process
    }

    /// Starts a role.
    pub(crate) fn launch(role: &str, port: u16, environment: &[(String, String)]) -> Self {
        let child = Command::new(program())
            .arg(role)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("LISTEN", format!("127.0.0.1:{port}"))
            .env("RATE_LIMIT", "off")
            .env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
            .env("RUST_LOG", std::env::var("FAULTS_LOG").unwrap_or_else(|_| "error".to_owned()))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        Self { child, port }
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&mut self) {
        let begun = Instant::now();
        while call(self.port, "", Method::GET, "/api/health", "", &Value::Null).await.is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the program ended by itself: {status}");
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "the program does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: no handler, no flush.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{name}");
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) {
        self.signal("TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                assert!(status.success(), "it ends in order: {status}");
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failed test leaves nothing running; that it may have ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
