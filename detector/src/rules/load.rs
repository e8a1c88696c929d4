//! Sources → [`RuleSet`]: files → documents, one source over the other.

use super::document::{self, Document};
use super::finding::{Finding, Mark, Report};
use super::link::{self, twice};
use super::model::RuleSet;
use super::node::Value;
use super::source::{RuleFile, RuleSource};
use super::yaml;

/// Rules, and what may be other than their authors meant.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: RuleSet,
    /// Findings that refuse nothing.
    pub warnings: Vec<Finding>,
}

/// Loads rules. Within a source each id stands once; a later source replaces the rules of earlier ones that have the
/// same id and adds others.
///
/// # Errors
/// Every finding, if one of them is an error: then nothing is loaded.
pub fn load(sources: &[RuleSource]) -> Result<Loaded, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut documents: Vec<Document> = Vec::new();
    for source in sources {
        let mut added: Vec<Document> = Vec::new();
        for file in &source.files {
            for document in read(file, &mut findings) {
                match added.iter().find(|other| other.id == document.id) {
                    Some(other) => findings.push(twice(&document, "id", &document.id, other)),
                    None => added.push(document),
                }
            }
        }
        for document in added {
            match documents.iter_mut().find(|other| other.id == document.id) {
                Some(replaced) => *replaced = document,
                None => documents.push(document),
            }
        }
    }
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    let rules = link::link(&documents, &mut findings);
    match rules {
        Some(rules) if !findings.iter().any(Finding::is_error) => Ok(Loaded { rules, warnings: findings }),
        _ => Err(findings),
    }
}

/// The documents of a file.
fn read(file: &RuleFile, findings: &mut Vec<Finding>) -> Vec<Document> {
    let mut report = Report::new(&file.name);
    let mut documents = Vec::new();
    let bytes = file.bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&file.bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let nodes = yaml::read(text, &mut report);
            if report.errors() == 0 {
                for node in &nodes {
                    if node.value == Value::Null {
                        report.warn(node.at, "an empty document", None);
                    } else {
                        documents.extend(document::read(node, &file.name, &mut report));
                    }
                }
                if report.errors() == 0 && documents.is_empty() {
                    report.error(Mark::START, "the file holds no rule");
                }
            }
        }
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            report.error(Mark { line, column: 1 }, "the file is not UTF-8 text");
        }
    }
    findings.extend(report.into_findings());
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_set_loads_without_findings() {
        let loaded = load(&[RuleSource::built_in()]).unwrap_or_else(|findings| panic!("{}", text(&findings)));
        assert_eq!(text(&loaded.warnings), "");
        assert!(loaded.rules.rules.len() > 60);
    }

    fn text(findings: &[Finding]) -> String {
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }
}
