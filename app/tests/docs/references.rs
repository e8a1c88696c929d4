//! What pages point to is there: links, files of this repository, the built-in rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::text::{pages, read, root, spans};

/// The pages for people who use it, and those for people who change it.
fn all_pages() -> impl Iterator<Item = String> {
    pages().into_iter().chain(["ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned))
}

/// As GitHub makes them out of headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let text = read(page);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let kept = |sign: &char| sign.is_alphanumeric() || [' ', '-', '_'].contains(sign);
        heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for page in all_pages() {
        let folder = Path::new(&page).parent().expect("a folder").to_owned();
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            assert!(root().join(&target).exists(), "{page}: {link}");
            assert!(anchor.is_empty() || anchors(&target).contains(anchor), "{page}: {link}");
            followed += 1;
        }
    }
    assert!(followed > 30, "only {followed} links were seen");
}

#[test]
fn files_that_pages_name_exist() {
    for page in all_pages() {
        for (line, span) in spans(&page) {
            let Some((top, _)) = span.split_once('/').filter(|_| !span.contains(['*', '<', ' ', '{'])) else {
                continue;
            };
            let ours = ["rules", "deploy", "docs", "fuzz", "migrations"].contains(&top)
                || (!top.starts_with('.') && root().join(top).join("Cargo.toml").exists() && !top.is_empty());
            assert!(!ours || root().join(&span).exists(), "{page}:{line}: {span}");
        }
    }
}

#[test]
fn what_docker_and_cargo_are_asked_for_exists() {
    let (compose, mut seen) = (read("docker-compose.yml"), 0);
    for page in pages() {
        for (line, span) in spans(&page) {
            let asks = |program: &str| span.split_whitespace().any(|word| word == program);
            let told = |flag: &str| {
                let mut words = span.split_whitespace().skip_while(|word| *word != flag).skip(1);
                words.next().map(str::to_owned)
            };
            if let Some(profile) = told("--profile").filter(|_| asks("docker")) {
                assert!(compose.contains(&format!("profiles: [{profile}]")), "{page}:{line}: {span}");
                seen += 1;
            }
            if let Some(test) = told("--test").filter(|_| asks("cargo")) {
                let file = root().join("app/tests").join(&test);
                assert!(file.join("main.rs").exists() || file.with_extension("rs").exists(), "{page}:{line}: {span}");
                seen += 1;
            }
            if let Some(feature) = told("--features").filter(|_| asks("cargo")) {
                assert!(read("app/Cargo.toml").contains(&format!("\n{feature} = [")), "{page}:{line}: {span}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "only {seen} were seen");
}

#[test]
fn the_page_on_rules_names_each_file_of_the_built_in_set() {
    let page = read("docs/rules.md");
    let (_, after) = page.split_once("| file | finds | levels |").expect("the table");
    let rows = after.lines().skip(2).take_while(|line| line.starts_with('|'));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let told: BTreeSet<String> = first.flat_map(|cell| cell.split(',')).map(|name| name.trim().to_owned()).collect();
    let files = fs::read_dir(root().join("rules")).expect("rules/").map(|file| file.expect("a file").path());
    let rules = files.filter(|file| file.extension().is_some_and(|end| end == "yml"));
    let names: BTreeSet<String> =
        rules.map(|file| file.file_stem().expect("a name").to_string_lossy().into()).collect();
    assert_eq!(told, names);
}
