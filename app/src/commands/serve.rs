//! `serve`, `api`, `ingest`, `detector`: every role in this process, or one.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::config::{Config, Database, LogFormat};
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::lifecycle;
use crate::output;
use crate::roles::ProcessRole;
use crate::server::{FIRST_ADMIN, Server, forget_made_password};

pub(crate) async fn run(context: Context, role: ProcessRole) -> Outcome {
    let shutdown = CancellationToken::new();
    lifecycle::listen_to_signals(shutdown.clone())?;
    // Before anything is made: a second server on the same port should leave no trace.
    let listener = bind(context.config.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::unavailable(format!("no address: {error}")))?;
    let server = Server::prepare(context.config, context.clock, role).await?;
    welcome(&server, address, role)?;
    server.run(listener, shutdown).await?;
    tracing::info!("everything acknowledged is stored; good-bye");
    Ok(())
}

async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; stop it, or choose another with --listen",
            io::ErrorKind::PermissionDenied => "ports below 1024 are not for everybody; choose another with --listen",
            _ => "choose another address with --listen",
        };
        Failure::unavailable(format!("{address}: {error}; {remedy}"))
    })
}

/// Says that the server is there: a screen for a person, a line of the log for everybody else.
fn welcome(server: &Server, address: SocketAddr, role: ProcessRole) -> Outcome {
    let config = server.config();
    if config.database != Database::Sqlite {
        let does = match role {
            ProcessRole::All => "all roles: the dashboard at /, the REST API at /api",
            ProcessRole::Api => "the dashboard at /, the REST API at /api",
            ProcessRole::Ingest => "ingest and relay; only /api/health here",
            ProcessRole::Detector => "the detector; only /api/health here",
        };
        tracing::info!(%address, "serving on http://{address}: {does}");
        return Ok(());
    }
    let folder = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
    tracing::info!(%address, data = %folder.display(), "serving on http://{address}: the dashboard at /, the REST API at /api");
    let terminal = output::is_terminal();
    if server.made_password().is_some() && !terminal {
        tracing::warn!(
            file = %data::password_file(config).display(),
            "the first user `{FIRST_ADMIN}` is made; its password stands in this file: log in, change it, remove the file"
        );
    }
    if terminal || config.log_format == Some(LogFormat::Text) {
        let password = server.made_password().filter(|_| terminal).map(crate::config::Secret::reveal);
        output::print(screen(config, address, &folder.display().to_string(), password))?;
    }
    if terminal && let Err(error) = forget_made_password(config) {
        tracing::warn!(%error, file = %data::password_file(config).display(), "cannot be removed; remove it by hand");
    }
    Ok(())
}

fn screen(config: &Config, address: SocketAddr, folder: &str, password: Option<&str>) -> String {
    let url = format!("http://{address}");
    let mut text = format!(
        "Security Analytics {}\n\n  Dashboard       {url}/\n  REST API        {url}/api\n  Data directory  {folder}\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(password) = password {
        text.push_str(&format!(
            "  Log in as       {FIRST_ADMIN}\n  Password        {password}   (shown this once; change it)\n"
        ));
    }
    // As it was called, so that the lines can be copied: `cargo run` puts nothing on the path.
    let program = std::env::args().next().unwrap_or_else(|| "security-analytics".to_owned());
    let place = if config.data_dir.as_os_str() == "./data" {
        String::new()
    } else {
        format!(" --data-dir {}", config.data_dir.display())
    };
    let next = [
        (format!("curl {url}/api/health"), "is it there?"),
        (format!("{program} admin create-user ann --role supervisor{place}"), "a user for the web frontend, which"),
        (String::new(), "has no page for an Admin"),
        (format!("{program} key create firewall{place}"), "a key for a system that posts events"),
        (format!("{program} backtest --events FILE.ndjson"), "what would the rules have found?"),
        (format!("{program} --help"), "everything else"),
    ];
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    text.push_str("\nTry next:\n");
    for (command, words) in next {
        text.push_str(&format!("  {command:width$}  {words}\n"));
    }
    text.push_str("\nCtrl-C stops it.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Settings;
    use crate::config::layers::{Layers, Surroundings};

    #[test]
    fn the_screen_says_where_who_and_what_next_and_fits_a_screen() {
        let layers = Layers::collect(&Settings::default(), &Surroundings::default()).expect("readable");
        let config = Config::read(&layers).expect("valid");
        let shown = screen(&config, config.listen, "/srv/data", Some("the-password"));
        for words in [
            "http://127.0.0.1:5000/\n",
            "http://127.0.0.1:5000/api",
            "/srv/data",
            "the-password",
            "create-user ann --role supervisor",
        ] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(shown.lines().count() <= 24 && shown.ends_with("Ctrl-C stops it.\n"), "{shown}");
        assert!(!screen(&config, config.listen, "/srv/data", None).contains("Password"));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_says_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let failure = bind(taken.local_addr().expect("bound")).await.expect_err("taken");
        assert_eq!(failure.code(), 3);
        assert!(failure.message.contains("--listen"));
    }
}
