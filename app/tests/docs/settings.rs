//! The README's table of settings is the program's.

use security_analytics::config::keys::KEYS;

use crate::text::{pages, read};

/// The rows of the README's table: flags, names in the environment, defaults.
fn rows() -> Vec<[String; 3]> {
    let readme = read("README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| flag | environment |")).skip(2);
    let cells = |row: &str| {
        let mut cells = row.trim_matches('|').split(" |").map(str::to_owned);
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_setting_is_told_with_its_flag_and_its_default() {
    for key in KEYS {
        let Some([flags, _, defaults]) = rows().into_iter().find(|[_, names, _]| spans(names).contains(&key.env))
        else {
            let told = pages().iter().any(|page| read(page).contains(&format!("`{}", key.env)));
            assert!(told, "{} stands in no page", key.env);
            continue;
        };
        assert!(key.flag.is_none_or(|flag| spans(&flags).contains(&flag)), "{}: {flags}", key.env);
        assert!(key.default.is_none_or(|value| spans(&defaults).contains(&value)), "{}: {defaults}", key.env);
    }
}

#[test]
fn what_the_readme_calls_a_setting_is_one() {
    for [flags, names, _] in rows() {
        for name in spans(&names) {
            assert!(KEYS.iter().any(|key| key.env == name), "{name}");
        }
        for flag in spans(&flags) {
            assert!(KEYS.iter().any(|key| key.flag == Some(flag)), "{flag}");
        }
    }
}
