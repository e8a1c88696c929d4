//! A server of the test's own, and bash beside it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{PROGRAM, Server};

/// Whether these can be started here. Where servers are required, so are they.
pub(crate) fn available(tools: &[&str]) -> bool {
    let there = |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    let Some(missing) = tools.iter().find(|tool| !there(tool)) else { return true };
    assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "{missing} is missing");
    eprintln!("install {missing} to run this test");
    false
}

pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A directory to work in, removed in the end.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(folder.path().join("bin")).expect("made");
        symlink(PROGRAM, folder.path().join("bin/security-analytics")).expect("linked");
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").expect("PATH");
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", self.path().join("bin").display()));
        command
    }

    /// The program serves with these words, until what is returned is dropped.
    pub(crate) fn serve(&self, words: &[&str]) -> Server {
        Server::spawn(self.command(PROGRAM).args(words).env("LISTEN", "127.0.0.1:0"), drop)
    }

    /// What a server that starts here says to a person; on the port that nobody names.
    pub(crate) fn first_screen(&self) -> String {
        let mut server = self.command(PROGRAM);
        server.envs([("LISTEN", "127.0.0.1:0"), ("LOG_FORMAT", "text"), ("RUST_LOG", "error")]);
        let mut server = server.stdout(Stdio::piped()).spawn().expect("it starts");
        let (mut said, mut port) = (String::new(), None);
        for line in BufReader::new(server.stdout.take().expect("piped")).lines().map_while(Result::ok) {
            let url = line.split("http://127.0.0.1:").nth(1);
            port = port.or_else(|| url?.split('/').next().map(str::to_owned));
            said += &format!("{line}\n");
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        server.kill().and_then(|()| server.wait()).expect("it ends");
        said.replace(&format!(":{}/", port.expect("an address")), ":5000/")
    }

    /// Of the Admin of a server that was started here, made at its first start.
    pub(crate) fn password(&self) -> String {
        let file = self.path().join("data/initial-admin-password");
        fs::read_to_string(file).expect("made at the first start").trim().to_owned()
    }

    /// What a script says; it may not fail.
    pub(crate) fn bash(&self, script: &str) -> String {
        self.output(self.command("bash").args(["-euc", script]), script)
    }

    /// What the program says; it may not fail.
    pub(crate) fn program(&self, words: &[&str]) -> String {
        self.output(self.command(PROGRAM).args(words), &words.join(" "))
    }

    fn output(&self, command: &mut Command, what: &str) -> String {
        let done = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{what}\n{said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }
}
