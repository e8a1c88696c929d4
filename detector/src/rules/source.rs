//! [`RuleSource`]: rule files, from the binary, from disk or from a request.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::built_in;
use super::finding::{Finding, Weight};

/// Largest rule file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Rule files that belong together: an id stands in one of them, once.
#[derive(Debug, Clone, Default)]
pub struct RuleSource {
    pub(super) files: Vec<RuleFile>,
}

/// A rule file.
#[derive(Debug, Clone)]
pub(super) struct RuleFile {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl RuleSource {
    /// The rules in the binary.
    #[must_use]
    pub fn built_in() -> Self {
        let file = |(name, text): &(&str, &str)| RuleFile {
            name: format!("built-in/{name}"),
            bytes: text.as_bytes().to_vec(),
        };
        Self { files: built_in::FILES.iter().map(file).collect() }
    }

    /// The files: names as rules and findings name them, and texts.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice()))
    }

    /// One file that is not on disk.
    #[must_use]
    pub fn text(name: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { files: vec![RuleFile { name: name.to_owned(), bytes: text.into() }] }
    }

    /// Files, and the `*.yml` and `*.yaml` files of folders and of the folders in them, in order of their paths. Folders
    /// named `tests` hold scenarios and no rules, and what is hidden is left out.
    ///
    /// # Errors
    /// A finding for each path that cannot be read or holds no rule file.
    pub fn from_paths(paths: &[PathBuf]) -> Result<Self, Vec<Finding>> {
        let mut found = Vec::new();
        let mut findings = Vec::new();
        for path in paths {
            if path.is_dir() {
                let before = found.len();
                walk(path, 0, &mut found, &mut findings);
                if found.len() == before && findings.is_empty() {
                    findings.push(failure(path, "no *.yml or *.yaml file in this folder"));
                }
            } else {
                found.push(path.clone());
            }
        }
        Self::read(found, findings)
    }

    /// The same of one folder, in which there may be none.
    ///
    /// # Errors
    /// A finding for each file that cannot be read.
    pub fn from_folder(path: &Path) -> Result<Self, Vec<Finding>> {
        let (mut found, mut findings) = (Vec::new(), Vec::new());
        walk(path, 0, &mut found, &mut findings);
        Self::read(found, findings)
    }

    fn read(mut found: Vec<PathBuf>, mut findings: Vec<Finding>) -> Result<Self, Vec<Finding>> {
        found.sort();
        found.dedup();
        let mut files = Vec::new();
        for path in found {
            match read(&path) {
                Ok(bytes) => files.push(RuleFile { name: path.display().to_string(), bytes }),
                Err(message) => findings.push(failure(&path, &message)),
            }
        }
        if findings.is_empty() { Ok(Self { files }) } else { Err(findings) }
    }
}

fn failure(path: &Path, message: &str) -> Finding {
    Finding {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        severity: Weight::Error,
        message: message.to_owned(),
        hint: None,
    }
}

/// Reads no more than a rule file may have: what is no file, such as a pipe, tells no size.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than 1 MiB; split it".to_owned());
    }
    Ok(bytes)
}

/// Collects the rule files of a folder. Links are followed, so the depth is bounded.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, findings: &mut Vec<Finding>) {
    if depth > 16 {
        findings.push(failure(folder, "folders inside each other more than 16 deep"));
        return;
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            findings.push(failure(folder, &format!("cannot be read: {error}")));
            return;
        }
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                findings.push(failure(folder, &format!("cannot be read: {error}")));
                continue;
            }
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if name != "tests" {
                walk(&path, depth + 1, found, findings);
            }
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_without_their_scenarios() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "notes.txt", ".hidden.yml", "in/c.yml", "tests/rule/d.yml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let source = RuleSource::from_paths(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> =
            source.files.iter().map(|file| Path::new(&file.name).file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.yaml", "b.yml", "c.yml"]);
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let findings = RuleSource::from_paths(&["/dev/zero".into()]).unwrap_err();
        assert_eq!(findings[0].to_string(), "/dev/zero:1:1: error: is larger than 1 MiB; split it");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.yml");
        for (size, fits) in [(MAX_FILE, true), (MAX_FILE + 1, false)] {
            fs::write(&path, vec![b'#'; usize::try_from(size).unwrap()]).unwrap();
            assert_eq!(RuleSource::from_paths(std::slice::from_ref(&path)).is_ok(), fits);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none.yml")] {
            let findings = RuleSource::from_paths(&[path]).unwrap_err();
            assert!(findings[0].is_error());
        }
    }
}
