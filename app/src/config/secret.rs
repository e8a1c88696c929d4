//! [`Secret`]: what must not be seen; what a secret must be like; and those that are made at first start.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::failure::{Failure, Outcome};

/// A text that is shown as `***` wherever it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever needs it to work with.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Fewest bytes of the secret that signs tokens.
const MIN_TOKEN_SECRET: usize = 32;

/// Words of secrets that stand in examples: whoever reads the example can sign tokens.
const PLACEHOLDERS: &[&str] = &[
    "change",
    "your-",
    "your_",
    "yoursecret",
    "placeholder",
    "example",
    "replace",
    "insert",
    "secret-key",
    "secret_key",
    "supersecret",
    "super-secret",
    "super_secret",
    "default",
];

/// A secret that signs tokens.
pub(super) fn token_secret(text: &str) -> Result<Secret, String> {
    const HINT: &str = "set random bytes, such as the output of `openssl rand -base64 48`";
    let lower = text.to_lowercase();
    if PLACEHOLDERS.iter().any(|word| lower.contains(word)) {
        return Err(format!("is a placeholder from an example, which anybody can read; {HINT}"));
    }
    if text.len() < MIN_TOKEN_SECRET {
        return Err(format!("has {} bytes and must have at least {MIN_TOKEN_SECRET}; {HINT}", text.len()));
    }
    let mut letters: Vec<u8> = text.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    if letters.len() < 8 {
        return Err(format!("repeats a few characters and could be guessed; {HINT}"));
    }
    Ok(Secret::new(text))
}

/// A password: what the API asks of everybody's.
pub(super) fn password(text: &str) -> Result<Secret, String> {
    if text.chars().count() < 8 || text.len() > 72 {
        return Err("must have at least 8 characters and at most 72 bytes".to_owned());
    }
    Ok(Secret::new(text))
}

/// New random bytes as text.
#[must_use]
pub fn make(bytes: usize) -> String {
    let random: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    URL_SAFE_NO_PAD.encode(random)
}

/// The secret kept in `file`, made now if there is none. Whoever else may read the file could sign tokens, so it is
/// only the owner's.
///
/// # Errors
/// The file cannot be read or written, or others may read it.
pub fn kept(file: &Path) -> Outcome<Secret> {
    let failed = |error: io::Error| Failure::unavailable(format!("{}: {error}", file.display()));
    match fs::read_to_string(file) {
        Ok(text) => {
            let mode = fs::metadata(file).map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(Failure::usage(format!(
                    "{} may be read by others than its owner; run `chmod 600` on it, or remove it to have a new one \
                     made, which ends all sessions",
                    file.display()
                )));
            }
            let secret = text.trim();
            if secret.len() < MIN_TOKEN_SECRET {
                return Err(Failure::usage(format!(
                    "{} is damaged: it must hold at least {MIN_TOKEN_SECRET} bytes; remove it to have a new one made",
                    file.display()
                )));
            }
            Ok(Secret::new(secret))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = make(48);
            write_private(file, &secret).map_err(failed)?;
            Ok(Secret::new(secret))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// The directory or the disk refuses.
pub fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let fresh = file.with_extension("new");
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    writer.write_all(text.as_bytes())?;
    writer.write_all(b"\n")?;
    writer.sync_all()?;
    fs::rename(&fresh, file)?;
    // The name is durable when its directory is.
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_short_or_monotonous_secrets_are_refused() {
        for wrong in [
            "your-secret-key-here-change-in-production",
            "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
            "super-secret-jwt-key-for-development-only",
            "0123456789abcdef0123456789abcde",
            "abababababababababababababababababab",
        ] {
            let error = token_secret(wrong).expect_err(wrong);
            assert!(!error.contains(wrong) && error.contains("openssl"), "{error}");
        }
        assert!(token_secret(&make(48)).is_ok());
        assert_eq!(format!("{:?}", Secret::new("x")), "***");
    }

    #[test]
    fn a_kept_secret_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("jwt-secret");
        let made = kept(&file).expect("made");
        assert!(made.reveal().len() >= 64);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(kept(&file).expect("kept"), made);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = kept(&file).expect_err("others may read it");
        assert!(error.message.contains("chmod 600") && !error.message.contains(made.reveal()));
    }
}
