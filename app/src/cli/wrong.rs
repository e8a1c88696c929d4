//! What is wrong with a command line, as one line: clap's own words take several, for people alone.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use super::Cli;

/// What is wrong with what was typed, the program's name first, and which help says more.
pub(crate) fn sentence(error: &clap::Error, typed: &[OsString]) -> String {
    let program = Cli::command();
    let (mut command, mut name) = (&program, program.get_name().to_owned());
    for word in typed.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(sub) = command.find_subcommand(word) {
            command = sub;
            name = format!("{name} {word}");
        }
    }
    let more = format!("`{name} --help` says more");
    // Where a command of a group is missing, clap shows the whole help.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let offered: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        return format!("{name} takes a command: {}; {more}", offered.join(", "));
    }
    let text = error.render().to_string();
    let said = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .fold(text.as_str(), |text, rest| text.split_once(rest).map_or(text, |(said, _)| said));
    let parts = said.trim_start_matches("error: ").split("\n\n").map(|part| {
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        part.trim_start_matches("tip: ").to_owned()
    });
    format!("{}; {more}", parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(words: &str) -> String {
        let words: Vec<OsString> = format!("security-analytics {words}").split(' ').map(OsString::from).collect();
        let said = sentence(&Cli::try_parse_from(&words).expect_err("wrong"), &words);
        assert!(!said.contains('\n') && !said.contains("Usage") && !said.contains("error:"), "{said}");
        said
    }

    #[test]
    fn what_is_wrong_is_one_line_that_names_the_help() {
        assert_eq!(
            said("rules chek"),
            "unrecognized subcommand 'chek'; a similar subcommand exists: 'check'; `security-analytics rules --help` says \
             more"
        );
        for (words, told, help) in [
            ("fly", "'fly'", "`security-analytics --help`"),
            ("tail --severity loud", "[possible values: informational, low,", "`security-analytics tail --help`"),
            ("backtest", "not provided: --events <FILE>...;", "`security-analytics backtest --help`"),
            ("key revoke", "<NAME>", "`security-analytics key revoke --help`"),
            ("key", "security-analytics key takes a command: create, list, revoke;", "`security-analytics key --help`"),
            ("simulate --rate 0", "--rate", "`security-analytics simulate --help`"),
            ("--listen", "--listen", "`security-analytics --help`"),
            ("tail --colour", "--colour", "`security-analytics tail --help`"),
        ] {
            let said = said(words);
            assert!(said.contains(told) && said.ends_with(&format!("; {help} says more")), "{words}: {said}");
        }
    }
}
