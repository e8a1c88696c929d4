//! `config show`, `config check`.

use crate::cli::ConfigCommand;
use crate::config::keys::KEYS;
use crate::config::layers::Layers;
use crate::config::{Config, read};
use crate::failure::Outcome;
use crate::telemetry::Telemetry;
use crate::{hooks, logging, output};

pub(crate) fn run(args: &ConfigCommand, layers: &Layers) -> Outcome {
    match args {
        ConfigCommand::Show => output::print(table(layers)),
        ConfigCommand::Check => {
            check(layers)?;
            output::print("The configuration is valid.")
        }
    }
}

/// Refuses what a server would refuse before it looks for anything outside of this machine.
fn check(layers: &Layers) -> Outcome {
    let config = Config::read(layers)?;
    config.check()?;
    logging::filter(&config, "info")?;
    Telemetry::check(|name| std::env::var(name).ok())?;
    hooks::rules_of(&config).map(drop)
}

/// Every setting with its value and its origin. Valid or not: whoever looks for a mistake has to see it.
fn table(layers: &Layers) -> String {
    let rows: Vec<[String; 3]> = KEYS
        .iter()
        .map(|key| match layers.get(key) {
            None => [key.name.to_owned(), format!("({})", key.unset), "default".to_owned()],
            Some(value) if key.name == "database_url" => {
                [key.name.to_owned(), read::masked_url(&value.text), value.origin.to_string()]
            }
            Some(value) if key.secret => [key.name.to_owned(), "***".to_owned(), value.origin.to_string()],
            Some(value) => [key.name.to_owned(), value.text, value.origin.to_string()],
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    let lines: Vec<_> =
        rows.iter().map(|[name, value, origin]| format!("{name:first$}  {value:second$}  {origin}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Settings;
    use crate::config::layers::Surroundings;

    #[test]
    fn what_a_server_refuses_is_not_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let broken = folder.path().join("broken.yml");
        std::fs::write(&broken, "title: Nothing else\n").expect("written");
        let checked = |name: &str, value: &str| {
            let mut around = Surroundings::default();
            around.env.insert(name.into(), value.into());
            check(&Layers::collect(&Settings::default(), &around).expect("readable"))
        };
        checked("RULES", "").expect("nothing is wrong");
        for (name, value, told) in [
            ("RULES", "/nope", "/nope"),
            ("RULES", broken.to_str().expect("a path"), "broken.yml"),
            ("RUST_LOG", "info,a b c=///", "log \"info,a b c=///\""),
            ("LATENESS", "long", "LATENESS"),
        ] {
            let failure = checked(name, value).expect_err(value);
            assert!(failure.code() == 2 && failure.message.contains(told), "{name}={value}: {failure}");
        }
    }

    #[test]
    fn every_value_is_shown_with_its_origin_and_secrets_are_masked() {
        let mut around = Surroundings::default();
        for (name, value) in [
            ("JWT_SECRET_KEY", "the-token-secret"),
            ("ADMIN_PASSWORD", "the-password"),
            ("DATABASE_URL", "mysql://app:the-db-password@db/analytics"),
            ("LISTEN", "not an address"),
        ] {
            around.env.insert(name.into(), value.into());
        }
        let shown = table(&Layers::collect(&Settings::default(), &around).expect("readable"));
        assert!(!shown.contains("the-"), "{shown}");
        assert!(shown.contains("mysql://app:***@db/analytics"), "{shown}");
        let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).expect(name).to_owned();
        assert!(line("listen").ends_with("environment, LISTEN"));
        assert!(line("lateness").contains("5m") && line("lateness").ends_with("default"));
        assert!(line("time_zone").contains("(the machine's zone at first start, then kept)"));
        assert_eq!(shown.lines().count(), KEYS.len());
    }
}
