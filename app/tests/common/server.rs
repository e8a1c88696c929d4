//! The program in a directory of its own, and a server that was started so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_security-analytics");

/// The program in a directory, without anything of this process's environment; a server of it takes a free port.
pub(crate) fn program(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words).current_dir(folder).env_clear().env("LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// Working hours, in UTC, that are neither now nor soon, whenever this runs.
pub(crate) fn hours_far_from_now() -> &'static str {
    let hour = domain::Clock::now(&domain::SystemClock).micros().rem_euclid(domain::DAY) / domain::HOUR;
    if hour < 12 { "Mon-Sun 20:00-21:00" } else { "Mon-Sun 03:00-04:00" }
}

/// A running server; killed when the test is over, however it ends.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it logged until it listened, in JSON.
    pub(crate) log: Vec<Value>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts a command that serves, and waits until it answers. What it logs later goes to `later`.
    pub(crate) fn spawn(command: &mut Command, later: impl Fn(String) + Send + 'static) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let (mut log, mut address) = (Vec::new(), None);
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        // The line after the address tells of a made password.
        for line in lines.by_ref() {
            let line: Value = serde_json::from_str(&line.expect("text")).expect("a log of JSON lines");
            address = address.or_else(|| line["address"].as_str()?.parse().ok());
            log.push(line);
            if address.is_some() {
                break;
            }
        }
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(later));
        let address = address.expect("it says where it listens");
        let server = Self { child, address, log };
        let begun = Instant::now();
        while server.request("GET", "/api/health", None, None).is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The program serves in a directory.
    pub(crate) fn start(folder: &Path, env: &[(&str, &str)]) -> Self {
        Self::spawn(program(folder, &[]).envs(env.iter().copied()), drop)
    }

    /// Status and body, or nothing where the connection broke.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.send(method, path, &token, body)
    }

    /// The same with headers as they are written, each with its line's end.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let (status, body) = self.exchange(method, path, headers, body)?;
        Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    /// A page that is no JSON.
    pub(crate) fn page(&self, path: &str) -> String {
        self.exchange("GET", path, "", None).expect("an answer").1
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: Option<Value>) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }

    /// Status and token.
    pub(crate) fn log_in(&self, name: &str, password: &str) -> (u16, String) {
        let body = json!({"username": name, "password": password});
        let (status, answer) = self.request("POST", "/api/auth/login", None, Some(body)).expect("an answer");
        (status, answer["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Sends a signal, such as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }
}
