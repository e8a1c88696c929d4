//! Documents → [`RuleSet`]: references, order, revisions.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use domain::MINUTE;
use sha2::{Digest, Sha256};

use super::correlation;
use super::document::{self, Document, Draft};
use super::expression::Expression;
use super::field::Field;
use super::finding::{Finding, Findings, Mark, Weight, nearest, quoted};
use super::index::Builder;
use super::model::{Body, Correlation, Detection, DetectionKey, GroupField, Rule, RuleSet, Share};

/// Most parts of all conditions, written out with the filters.
const MAX_PARTS: usize = 1_000_000;

/// Documents that become one set of rules.
pub(super) struct Set<'a> {
    pub(super) documents: Vec<&'a Document>,
    /// How many of them report, from the first; the others are there because these build on them.
    pub(super) own: usize,
    /// Names beside those of the documents that an author may have meant.
    pub(super) others: Vec<&'a str>,
}

/// Resolves what documents say of each other; `None` after an error, which the findings have.
pub(super) fn link(set: &Set<'_>, findings: &mut Vec<Finding>) -> Option<RuleSet> {
    let mut linker = Linker { set, documents: &set.documents, names: HashMap::new(), findings: Findings::default() };
    let rules = linker.link();
    findings.extend(linker.findings.into_vec());
    rules
}

fn finding(document: &Document, at: Mark, message: String, hint: Option<String>) -> Finding {
    let file = document.file.clone();
    Finding { file, line: at.line, column: at.column, severity: Weight::Error, message, hint }
}

/// A name that two documents claim.
pub(super) fn twice(document: &Document, what: &str, name: &str, other: &Document) -> Finding {
    let message = format!("the {what} {} is taken", quoted(name));
    let hint = format!("by the rule in {}:{}", other.file, other.at.line);
    finding(document, document.at, message, Some(hint))
}

struct Linker<'a> {
    set: &'a Set<'a>,
    documents: &'a [&'a Document],
    /// Id or name → document.
    names: HashMap<&'a str, usize>,
    findings: Findings,
}

impl<'a> Linker<'a> {
    fn link(&mut self) -> Option<RuleSet> {
        self.name_all();
        let documents = self.documents;
        let mut filters: HashMap<usize, Vec<(&Expression, &str)>> = HashMap::new();
        let mut refs: Vec<Vec<usize>> = vec![Vec::new(); documents.len()];
        for (at, document) in documents.iter().enumerate() {
            match &document.draft {
                Draft::Detection { .. } => {}
                Draft::Filter { rules, expression, canonical } => {
                    for (mark, name) in rules {
                        let Some(target) = self.resolve(document, *mark, name) else {
                            continue;
                        };
                        if matches!(documents[target].draft, Draft::Detection { .. }) {
                            filters.entry(target).or_default().push((expression, canonical));
                        } else {
                            let message = format!("{} is no detection, and filters apply to those", quoted(name));
                            self.findings.push(finding(document, *mark, message, None));
                        }
                    }
                }
                Draft::Correlation(draft) => {
                    for (mark, name) in &draft.rules {
                        let Some(target) = self.resolve(document, *mark, name) else {
                            continue;
                        };
                        if matches!(documents[target].draft, Draft::Filter { .. }) {
                            let message = format!("{} is a filter, which finds nothing by itself", quoted(name));
                            self.findings.push(finding(document, *mark, message, None));
                        } else if refs[at].contains(&target) {
                            let message = format!("{} stands in rules twice, by id and by name", quoted(name));
                            self.findings.push(finding(document, *mark, message, None));
                        }
                        refs[at].push(target);
                    }
                }
            }
        }
        if self.findings.errors() > 0 {
            return None;
        }
        let order = self.order(&refs)?;
        self.compile(&order, &refs, &filters)
    }

    fn name_all(&mut self) {
        for (at, document) in self.documents.iter().enumerate() {
            let name = document.name.as_deref().filter(|name| *name != document.id);
            for (what, name) in [("id", Some(document.id.as_str())), ("name", name)] {
                let Some(name) = name else {
                    continue;
                };
                if let Some(other) = self.names.insert(name, at) {
                    let other = self.documents[other];
                    // The author's own is the one to change.
                    let (one, other) = if at < self.set.own { (*document, other) } else { (other, *document) };
                    self.findings.push(twice(one, what, name, other));
                }
            }
        }
    }

    fn resolve(&mut self, from: &Document, at: Mark, name: &str) -> Option<usize> {
        let found = self.names.get(name).copied();
        let found = found.or_else(|| self.names.get(document::canonical_id(name)?.as_str()).copied());
        if found.is_none() {
            // A filter is what nobody refers to, itself included.
            let is_rule = |at: &usize| !matches!(self.documents[*at].draft, Draft::Filter { .. });
            let names = self.names.iter().filter(|(_, at)| is_rule(at)).map(|(name, _)| *name);
            let others = self.set.others.iter().copied();
            let known = names.chain(others).filter(|known| !from.names().any(|own| own == *known));
            let known = known.filter(|_| !self.findings.is_full());
            let near = nearest(name, known).map(|near| format!("did you mean {near}?"));
            self.findings.push(finding(from, at, format!("there is no rule {}", quoted(name)), near));
        }
        found
    }

    /// Documents in an order in which whatever one refers to stands before it, else in the order of the files.
    fn order(&mut self, refs: &[Vec<usize>]) -> Option<Vec<usize>> {
        let mut missing: Vec<usize> = refs.iter().map(Vec::len).collect();
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); refs.len()];
        for (at, refs) in refs.iter().enumerate() {
            for target in refs {
                users[*target].push(at);
            }
        }
        let mut ready: BTreeSet<usize> = (0..refs.len()).filter(|at| missing[*at] == 0).collect();
        let mut order = Vec::with_capacity(refs.len());
        while let Some(at) = ready.pop_first() {
            order.push(at);
            for user in &users[at] {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    ready.insert(*user);
                }
            }
        }
        if order.len() == refs.len() {
            return Some(order);
        }
        let done: BTreeSet<usize> = order.into_iter().collect();
        // Rules that only stand behind a circle are not reported: from any of the rest, going back ends in one.
        let mut at = (0..refs.len()).find(|at| !done.contains(at))?;
        let mut seen = BTreeSet::new();
        while seen.insert(at) {
            at = refs[at].iter().copied().find(|target| !done.contains(target))?;
        }
        let document = &self.documents[at];
        let message = format!("{} refers to itself in a circle", quoted(&document.title));
        self.findings.push(finding(document, document.at, message, None));
        None
    }

    fn compile(
        &mut self,
        order: &[usize],
        refs: &[Vec<usize>],
        filters: &HashMap<usize, Vec<(&Expression, &str)>>,
    ) -> Option<RuleSet> {
        let documents = self.documents;
        let mut written = 0;
        let mut index: HashMap<usize, usize> = HashMap::new();
        let mut rules: Vec<Rule> = Vec::new();
        // Digest of what each rule finds, without its alerts.
        let mut cores: Vec<String> = Vec::new();
        let mut matcher = Builder::default();
        let mut quiet = BTreeSet::new();
        for at in order {
            let document = documents[*at];
            let (body, core) = match &document.draft {
                Draft::Filter { .. } => continue,
                Draft::Detection { expression, canonical } => {
                    let mut parts = vec![expression.clone()];
                    let mut core = vec!["detection", canonical, &document.analytics.canonical];
                    let mut filters = filters.get(at).cloned().unwrap_or_default();
                    filters.sort_by_key(|(_, canonical)| *canonical);
                    for (expression, canonical) in filters {
                        parts.push(expression.clone());
                        core.push(canonical);
                    }
                    written += parts.iter().map(Expression::size).sum::<usize>();
                    if written > MAX_PARTS {
                        let message = "the conditions of all rules, written out with their filters, are too long";
                        self.findings.push(finding(document, document.at, message.to_owned(), None));
                        return None;
                    }
                    matcher.add(rules.len(), &Expression::All(parts));
                    (Body::Detection(detection(document)), digest(&core))
                }
                Draft::Correlation(draft) => {
                    let targets: Vec<usize> = refs[*at].iter().map(|target| index[target]).collect();
                    let mut core = vec!["correlation", &draft.canonical, &document.analytics.canonical];
                    core.extend(targets.iter().map(|target| cores[*target].as_str()));
                    let core = digest(&core);
                    if !draft.generate {
                        quiet.extend(targets.iter().copied());
                    }
                    (Body::Correlation(self.correlation(document, draft, &refs[*at], targets)?), core)
                }
            };
            if *at >= self.set.own {
                quiet.insert(rules.len());
            }
            index.insert(*at, rules.len());
            rules.push(rule(document, body, &core));
            cores.push(core);
        }
        for at in quiet {
            rules[at].reports = false;
        }
        let all: Vec<String> =
            rules.iter().map(|rule| format!("{} {} {}", rule.id, rule.revision, rule.reports)).collect();
        let digest = Sha256::digest(all.join("\n")).into();
        Some(RuleSet { rules, matcher: matcher.build(), digest, share: Share::Whole })
    }

    fn correlation(
        &mut self,
        document: &Document,
        draft: &correlation::Draft,
        refs: &[usize],
        targets: Vec<usize>,
    ) -> Option<Correlation> {
        let before = self.findings.errors();
        let mut aliases: HashMap<&str, Vec<Option<Field>>> = HashMap::new();
        for alias in &draft.aliases {
            let mut fields = vec![None; refs.len()];
            for (at, name, field) in &alias.fields {
                match self
                    .resolve(document, *at, name)
                    .and_then(|target| refs.iter().position(|other| *other == target))
                {
                    Some(position) => fields[position] = Some(field.clone()),
                    None if self.findings.errors() > before => {}
                    None => {
                        let message = format!("{} is not among the rules of this correlation", quoted(name));
                        self.findings.push(finding(document, *at, message, None));
                    }
                }
            }
            if let Some(missing) = fields.iter().position(Option::is_none)
                && self.findings.errors() == before
            {
                let message =
                    format!("the alias {} names no field of {}", quoted(&alias.name), quoted(&draft.rules[missing].1));
                self.findings.push(finding(document, alias.at, message, None));
            }
            aliases.insert(&alias.name, fields);
        }
        if self.findings.errors() > before {
            return None;
        }
        let group_by = draft.group_by.iter().map(|(_, name)| {
            let fields = match aliases.get(name.as_str()) {
                Some(fields) => fields.iter().flatten().cloned().collect(),
                None => vec![Field::resolve(name); refs.len()],
            };
            GroupField { name: name.clone(), fields }
        });
        Some(Correlation {
            kind: draft.kind.clone(),
            refs: targets,
            group_by: group_by.collect(),
            timespan: draft.timespan,
            condition: draft.condition.clone(),
            baseline: document.analytics.baseline.clone(),
        })
    }
}

fn detection(document: &Document) -> Detection {
    let analytics = &document.analytics;
    let key = match &analytics.key {
        None => DetectionKey::Auto,
        Some(names) => {
            let field = |name: &String| GroupField { name: name.clone(), fields: vec![Field::resolve(name)] };
            DetectionKey::Fields(names.iter().map(field).collect())
        }
    };
    Detection { key, first_seen: analytics.first_seen.clone(), after_silence: analytics.after_silence }
}

fn rule(document: &Document, body: Body, core: &str) -> Rule {
    let analytics = &document.analytics;
    let episode = analytics.episode.unwrap_or(match &body {
        Body::Detection(_) => 60 * MINUTE,
        Body::Correlation(correlation) => correlation.timespan,
    });
    let level = document.level;
    let escalate: String = analytics.escalate.iter().fold(String::new(), |mut text, (at, to)| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{} {to};", at.normalize());
        text
    });
    let revision = digest(&[core, &episode.to_string(), &escalate, level.as_str()])[..16].to_owned();
    Rule {
        id: document.id.clone(),
        name: document.name.clone(),
        title: document.title.clone(),
        description: document.description.clone(),
        level,
        techniques: document::techniques(&document.tags),
        tags: document.tags.clone(),
        false_positives: document.false_positives.clone(),
        file: document.file.clone(),
        line: document.at.line,
        revision,
        risk: analytics.risk.unwrap_or(level.points()),
        family: analytics.family.clone().unwrap_or_else(|| document.id.clone()),
        episode,
        escalate: analytics.escalate.clone(),
        mute_after_close: analytics.mute_after_close,
        time: analytics.time.clone(),
        reports: true,
        body,
    }
}

/// A digest of texts in order, in hexadecimal.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
