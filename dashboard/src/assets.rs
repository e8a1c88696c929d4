//! The embedded files and their address.

use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr,)+) => {
        /// Name, media type and content of what the page loads.
        const FILES: &[(&str, &str, &[u8])] = &[
            $(($name, $kind, include_bytes!(concat!("../static/", $name))),)+
        ];
    };
}

files! {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "theme.js": SCRIPT,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "dom.js": SCRIPT,
    "drafts.js": SCRIPT,
    "format.js": SCRIPT,
    "parts.js": SCRIPT,
    "still.js": SCRIPT,
    "stream.js": SCRIPT,
    "charts.js": SCRIPT,
    "pages/login.js": SCRIPT,
    "pages/overview.js": SCRIPT,
    "pages/alerts.js": SCRIPT,
    "pages/alert.js": SCRIPT,
    "pages/triage.js": SCRIPT,
    "pages/users.js": SCRIPT,
    "pages/user.js": SCRIPT,
    "pages/rules.js": SCRIPT,
    "pages/system.js": SCRIPT,
    "pages/webhooks.js": SCRIPT,
}

const INDEX: &str = include_str!("../static/index.html");
const NOT_FOUND: &str = include_str!("../static/not-found.html");

/// One file in both forms.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) kind: &'static str,
    /// The digest of the content, in quotes.
    pub(crate) etag: String,
    pub(crate) plain: Vec<u8>,
    /// Absent where it would not be smaller.
    pub(crate) gzip: Option<Vec<u8>>,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct Assets {
    /// Names this set of files: modules import each other by relative names, so they share one folder, and a change in
    /// one moves them all.
    pub(crate) version: String,
    pub(crate) files: HashMap<&'static str, File>,
    pub(crate) index: File,
    pub(crate) not_found: File,
}

/// Made once, at the first use.
pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::new);

impl Assets {
    fn new() -> Self {
        let mut digest = Sha256::new();
        for (name, _, content) in FILES {
            digest.update(name.len().to_le_bytes());
            digest.update(name);
            digest.update(content.len().to_le_bytes());
            digest.update(content);
        }
        let version = short(&digest.finalize());
        let placed = |text: &str| text.replace("{version}", &version).into_bytes();
        let html = "text/html; charset=utf-8";
        let index = File::new(html, placed(INDEX));
        let not_found = File::new(html, placed(NOT_FOUND));
        let files = FILES.iter().map(|(name, kind, content)| (*name, File::new(kind, content.to_vec()))).collect();
        Self { version, files, index, not_found }
    }
}

impl File {
    fn new(kind: &'static str, plain: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", short(&Sha256::digest(&plain)));
        let gzip = compressed(&plain).filter(|gzip| gzip.len() < plain.len());
        Self { kind, etag, plain, gzip }
    }
}

fn compressed(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

/// 64 bits are enough to tell versions of a page apart.
fn short(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_view_is_small() {
        let assets = &*ASSETS;
        let sent = |file: &File| file.gzip.as_ref().map_or(file.plain.len(), Vec::len);
        let whole: usize = assets.files.values().map(|file| file.plain.len()).sum();
        let total: usize = assets.files.values().map(sent).sum::<usize>() + sent(&assets.index);
        assert!(total < 60_000, "{total} bytes are sent for the first view");
        assert!(whole < 150_000, "{whole} bytes without compression");
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for html in [INDEX, NOT_FOUND] {
            for part in html.split("/assets/{version}/").skip(1) {
                let name = part.split('"').next().expect("a name");
                assert!(ASSETS.files.contains_key(name), "{name}");
            }
        }
        for (name, kind, content) in FILES.iter().filter(|file| file.1 == SCRIPT) {
            let text = std::str::from_utf8(content).expect("UTF-8");
            assert!(INDEX.contains(&format!("/{name}\"")), "{name} is not named in index.html ({kind})");
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            for part in text.split(" from \"").skip(1) {
                let path = part.split('"').next().expect("a path");
                let found = match path.strip_prefix("../") {
                    Some(up) => up.to_owned(),
                    None => format!("{folder}/{}", path.trim_start_matches("./")).trim_start_matches('/').to_owned(),
                };
                assert!(ASSETS.files.contains_key(found.as_str()), "{name} imports {path}");
            }
        }
    }

    #[test]
    fn nothing_makes_markup_of_text() {
        let refused = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
        for (name, _, content) in FILES {
            let text = String::from_utf8_lossy(content);
            for word in refused {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
        for html in [INDEX, NOT_FOUND] {
            assert!(!html.contains(" style=") && !html.contains(" onclick="));
        }
    }
}
