//! Sources → [`RuleSet`]: files → documents, one source over the other.

use std::collections::{HashMap, HashSet};

use super::document::{self, Document};
use super::finding::{Finding, Findings, Mark, Report};
use super::link::{self, Set, twice};
use super::model::RuleSet;
use super::node::Value;
use super::regular::Budget;
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
    let read = Read::of(sources);
    read.linked(&read.together())
}

/// Loads the rules of a source and no others; what they build on and is not among them is taken from `base`, one source
/// over the other, and does not report.
///
/// # Errors
/// Every finding, if one of them is an error: then nothing is loaded.
pub fn load_only(base: &[RuleSource], own: &RuleSource) -> Result<Loaded, Vec<Finding>> {
    let read = Read::of(&[base, std::slice::from_ref(own)].concat());
    read.linked(&read.only())
}

/// The documents of sources.
pub(super) struct Read {
    layers: Vec<Vec<Document>>,
    findings: Vec<Finding>,
}

impl Read {
    pub(super) fn of(sources: &[RuleSource]) -> Self {
        let (mut findings, mut room) = (Vec::new(), Budget::default());
        let layers = sources.iter().map(|source| documents(source, &mut room, &mut findings)).collect();
        Self { layers, findings }
    }

    /// The last source, with what it builds on from those before it.
    pub(super) fn only(&self) -> Set<'_> {
        let Some((own, base)) = self.layers.split_last() else {
            return Set { documents: Vec::new(), own: 0, others: Vec::new() };
        };
        let base = overlaid(base).documents;
        let named: HashSet<&str> = own.iter().flat_map(Document::names).collect();
        let replaced: HashSet<&str> = own.iter().map(|document| document.id.as_str()).collect();
        let of_base: HashMap<&str, &Document> =
            base.iter().flat_map(|document| document.names().map(|name| (name, *document))).collect();
        let find = |name: &str| of_base.get(name).copied().filter(|found| !replaced.contains(found.id.as_str()));
        let mut documents: Vec<&Document> = own.iter().collect();
        let (mut at, mut taken) = (0, HashSet::new());
        while let Some(document) = documents.get(at).copied() {
            at += 1;
            for name in document.refers_to() {
                let id = document::canonical_id(name);
                let mut names = [Some(name), id.as_deref()].into_iter().flatten();
                if names.clone().any(|name| named.contains(name)) {
                    continue;
                }
                if let Some(found) = names.find_map(find)
                    && taken.insert(found.id.as_str())
                {
                    documents.push(found);
                }
            }
        }
        let others = base.iter().flat_map(|document| document.names()).collect();
        Set { documents, own: own.len(), others }
    }

    /// All sources, one over the other.
    pub(super) fn together(&self) -> Set<'_> {
        overlaid(&self.layers)
    }

    pub(super) fn linked(&self, set: &Set<'_>) -> Result<Loaded, Vec<Finding>> {
        let mut findings = self.findings.clone();
        if findings.iter().any(Finding::is_error) {
            return Err(findings);
        }
        match link::link(set, &mut findings) {
            Some(rules) if !findings.iter().any(Finding::is_error) => Ok(Loaded { rules, warnings: findings }),
            _ => Err(findings),
        }
    }
}

/// Layers, one over the other: a document replaces those of its id.
fn overlaid(layers: &[Vec<Document>]) -> Set<'_> {
    let mut documents: Vec<&Document> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for document in layers.iter().flatten() {
        match places.get(document.id.as_str()) {
            Some(at) => documents[*at] = document,
            None => {
                places.insert(&document.id, documents.len());
                documents.push(document);
            }
        }
    }
    Set { own: documents.len(), documents, others: Vec::new() }
}

/// The documents of a source, each id once.
fn documents(source: &RuleSource, room: &mut Budget, findings: &mut Vec<Finding>) -> Vec<Document> {
    let mut documents: Vec<Document> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut doubled = Findings::default();
    for document in source.files.iter().flat_map(|file| read(file, room, findings)) {
        match places.get(&document.id) {
            Some(at) => doubled.push(twice(&document, "id", &document.id, &documents[*at])),
            None => {
                places.insert(document.id.clone(), documents.len());
                documents.push(document);
            }
        }
    }
    findings.extend(doubled.into_vec());
    documents
}

/// The documents of a file.
fn read(file: &RuleFile, room: &mut Budget, findings: &mut Vec<Finding>) -> Vec<Document> {
    let mut report = Report::new(&file.name);
    report.regexes = *room;
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
    *room = report.regexes;
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
