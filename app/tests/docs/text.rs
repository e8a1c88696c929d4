//! Blocks and commands out of Markdown, as far as our pages use it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A fenced block, or indented lines.
pub(crate) struct Block {
    pub(crate) page: String,
    /// Of the line before its text.
    pub(crate) line: usize,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// README.md and docs/*.md.
pub(crate) fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/");
    let names = docs.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    let mut pages: Vec<_> = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// The fenced blocks of one language.
pub(crate) fn fenced(page: &str, language: &str) -> Vec<Block> {
    all_blocks(page).into_iter().filter(|(of, _)| *of == language).map(|(_, block)| block).collect()
}

/// What is there to be typed: `sh`, and indented lines, those that only an empty line parts as one.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    all_blocks(page).into_iter().filter(|(of, _)| of == "sh" || of.is_empty()).map(|(_, block)| block).collect()
}

/// With their languages; indented blocks have the empty one, fenced ones without a language are `text`.
fn all_blocks(page: &str) -> Vec<(String, Block)> {
    let (text, mut blocks) = (read(page), Vec::<(String, Block)>::new());
    let (mut inside, mut indented) = (false, false);
    for (at, line) in text.lines().enumerate() {
        let begin = |language: &str, line: usize, text: String| {
            (language.to_owned(), Block { page: page.to_owned(), line, text })
        };
        if let Some(language) = line.strip_prefix("```") {
            if !inside {
                blocks.push(begin(if language.is_empty() { "text" } else { language }, at + 1, String::new()));
            }
            (inside, indented) = (!inside, false);
        } else if inside {
            let (_, block) = blocks.last_mut().expect("begun");
            block.text += line;
            block.text.push('\n');
        } else if let Some(line) = line.strip_prefix("    ") {
            match blocks.last_mut().filter(|_| indented) {
                Some((_, block)) => block.text += &format!("{line}\n"),
                None => blocks.push(begin("", at, format!("{line}\n"))),
            }
            indented = true;
        } else if !line.is_empty() {
            indented = false;
        }
    }
    blocks
}

/// The text between single backticks, outside of blocks, with the number of its line.
pub(crate) fn spans(page: &str) -> Vec<(usize, String)> {
    let (text, mut spans, mut inside) = (read(page), Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            spans.extend(line.split('`').skip(1).step_by(2).map(|span| (at + 1, span.to_owned())));
        }
    }
    spans
}

/// What stands behind `security-analytics` wherever a page has it as a command, and spans that begin with one of our
/// commands (`names`) and go on.
pub(crate) fn commands(page: &str, names: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for block in blocks(page) {
        let lines = block.text.lines().enumerate().map(|(at, line)| (block.line + at + 1, line));
        // A comment, and what our pages put beside a command, is not typed.
        let typed = lines.map(|(at, line)| (at, line.split("  ").next().unwrap_or_default()));
        found.extend(typed.flat_map(|(at, line)| line.split(['|', '&', ';']).map(move |part| (at, part.to_owned()))));
    }
    found.extend(spans(page));
    let own = |(at, text): (usize, String)| {
        let text = text.split(" #").next().unwrap_or_default();
        let cargo = text.strip_prefix("cargo run --release -- ").map(str::to_owned);
        let named = || {
            let mut words = text.split_whitespace().skip_while(|word| word.contains('='));
            // Programs that run a program: valgrind, perf.
            let begins = words.clone().next()?;
            if begins != "security-analytics" && !["valgrind", "perf"].contains(&begins) {
                return None;
            }
            words.by_ref().find(|word| *word == "security-analytics")?;
            Some(words.collect::<Vec<_>>().join(" "))
        };
        let short = || {
            let (name, _) = text.split_once(' ')?;
            names.contains(name).then(|| text.to_owned())
        };
        Some((at, cargo.or_else(named).or_else(short)?))
    };
    found.into_iter().filter_map(own).collect()
}

/// The words of a command with something in the place of each placeholder; `[...]` is what may be left out.
pub(crate) fn words(command: &str) -> Vec<String> {
    let plain = command.replace("]...", "").replace(['[', ']'], "");
    let put = |word: &str| match word {
        "ID" => "1".to_owned(),
        "READER" => "detector".to_owned(),
        "TIME" => "2026-01-01".to_owned(),
        word => word.to_owned(),
    };
    plain.split_whitespace().map(put).collect()
}

/// Spans that are a flag of ours, without its value.
pub(crate) fn flags(page: &str) -> Vec<(usize, String)> {
    let flag = |(at, span): (usize, String)| {
        let flag = span.strip_prefix("--")?.split([' ', '=']).next()?;
        Some((at, format!("--{flag}")))
    };
    spans(page).into_iter().filter_map(flag).collect()
}

/// The names of our commands.
pub(crate) fn subcommands(program: &clap::Command) -> BTreeSet<String> {
    program.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Whether the program or a command of it has this flag.
pub(crate) fn has_flag(program: &clap::Command, flag: &str) -> bool {
    let own = program.get_arguments().filter_map(clap::Arg::get_long).any(|long| flag[2..] == *long);
    own || flag == "--help" || program.get_subcommands().any(|command| has_flag(command, flag))
}

/// What stands behind `security-analytics` in the examples of the program's help and of each command's.
pub(crate) fn examples(program: &clap::Command) -> Vec<String> {
    let help = program.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().filter(|line| line.starts_with("  "));
    // What follows a gap, a pipe or a redirection explains, or is somebody else's.
    let own = lines.filter_map(|line| line.split_once("security-analytics"));
    let typed = own.filter_map(|(_, typed)| typed.split(['|', '<', '>']).next()?.split("   ").next());
    let mut found: Vec<_> = typed.map(str::to_owned).collect();
    found.extend(program.get_subcommands().flat_map(examples));
    found
}
