//! Where each value comes from: flag over environment over `.env` over file over default.
//!
//! Values are text until [`super::Config`] reads them, so that every source obeys the same rules and every error
//! can name key and source.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use super::keys::{self, KEYS, Key};
use crate::cli::Settings;
use crate::failure::{Failure, Outcome};

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// `.env` in the working directory.
    DotEnv(String),
    /// The environment.
    Env(String),
    /// A file that `<NAME>_FILE` names.
    SecretFile(PathBuf),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::DotEnv(name) => write!(f, ".env, {name}"),
            Self::Env(name) => write!(f, "environment, {name}"),
            Self::SecretFile(path) => write!(f, "secret file {}", path.display()),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The text as given.
    pub text: String,
    /// Who gave it.
    pub origin: Origin,
}

/// The world that configuration is read from, so that tests can have their own.
#[derive(Debug, Default, Clone)]
pub struct Surroundings {
    /// The process's environment.
    pub env: HashMap<String, String>,
    /// The text of `.env`, if there is one.
    pub dot_env: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Outcome<Self> {
        // Only what is Unicode can be a value of ours; a stray byte elsewhere is nobody's business here.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let dot_env = match std::fs::read_to_string(".env") {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::usage(format!(".env cannot be read: {error}; mend or remove it"))),
        };
        Ok(Self { env, dot_env })
    }
}

/// All values that somebody gave, by key name.
#[derive(Debug, Default)]
pub struct Layers(BTreeMap<&'static str, Value>);

impl Layers {
    /// Collects all sources, the weakest first.
    pub fn collect(flags: &Settings, around: &Surroundings) -> Outcome<Self> {
        let dot_env = match &around.dot_env {
            Some(text) => parse_dot_env(text)?,
            None => HashMap::new(),
        };
        let mut layers = Self::default();
        let named = flags.config.clone().or_else(|| {
            let name = around.env.get("CONFIG").or_else(|| dot_env.get("CONFIG"))?;
            (!name.is_empty()).then(|| PathBuf::from(name))
        });
        if let Some(path) = named {
            layers.add_file(&path)?;
        }
        layers.add_env(&dot_env, Origin::DotEnv)?;
        layers.add_env(&around.env, Origin::Env)?;
        layers.add_flags(flags);
        Ok(layers)
    }

    /// The value of a key: what was given, or the default.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Value> {
        let default = || key.default.map(|text| Value { text: text.to_owned(), origin: Origin::Default });
        self.0.get(key.name).cloned().or_else(default)
    }

    fn add_file(&mut self, path: &Path) -> Outcome {
        let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("the configuration file cannot be read: {error}")))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            wrong(format!("line {line}: {}", error.message()))
        })?;
        for (name, value) in table {
            let Some(key) = keys::find(&name.replace('-', "_")) else {
                let hint = keys::nearest(&name).map_or_else(
                    || "; `security-analytics config show` lists them".to_owned(),
                    |name| format!("; did you mean `{name}`?"),
                );
                return Err(wrong(format!("`{name}` is no setting{hint}")));
            };
            let text = plain(&value)
                .ok_or_else(|| wrong(format!("`{name}` must be a text, a number, true, false or a list of texts")))?;
            self.0.insert(key.name, Value { text, origin: Origin::File(path.to_owned()) });
        }
        Ok(())
    }

    fn add_env(&mut self, env: &HashMap<String, String>, origin: fn(String) -> Origin) -> Outcome {
        for key in KEYS {
            // An empty variable is how a compose file says "not set".
            let given = |name: &str| env.get(name).filter(|text| !text.is_empty());
            let direct = given(key.env);
            let from_file =
                key.secret.then(|| format!("{}_FILE", key.env)).and_then(|name| given(&name).map(|path| (name, path)));
            let value = match (direct, from_file) {
                (Some(_), Some((name, _))) => {
                    return Err(Failure::usage(format!("{} and {name} are both set; keep one", key.env)));
                }
                (Some(text), None) => Value { text: text.clone(), origin: origin(key.env.to_owned()) },
                (None, Some((name, path))) => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|error| Failure::usage(format!("{name}: {path} cannot be read: {error}")))?;
                    Value {
                        text: text.trim_end_matches(['\r', '\n']).to_owned(),
                        origin: Origin::SecretFile(path.into()),
                    }
                }
                (None, None) => continue,
            };
            self.0.insert(key.name, value);
        }
        Ok(())
    }

    fn add_flags(&mut self, flags: &Settings) {
        let rules: Vec<_> = flags.rules.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let rules = (!rules.is_empty()).then(|| rules.join(","));
        let given = [
            ("listen", &flags.listen),
            ("data_dir", &flags.data_dir),
            ("database_url", &flags.database_url),
            ("kafka_brokers", &flags.kafka_brokers),
            ("rules", &rules),
            ("cors_origins", &flags.cors_origins),
            ("log", &flags.log),
            ("log_format", &flags.log_format),
        ];
        for (name, text) in given {
            let flag = keys::find(name).and_then(|key| key.flag);
            if let (Some(text), Some(flag)) = (text, flag) {
                self.0.insert(name, Value { text: text.clone(), origin: Origin::Flag(flag) });
            }
        }
    }
}

/// A TOML value as the text that the same setting has in the environment.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}

/// Reads `NAME=value` lines: `export`, comments, single and double quotes as shells write them.
fn parse_dot_env(text: &str) -> Outcome<HashMap<String, String>> {
    let mut values = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(Failure::usage(format!(".env line {}: expected NAME=value", at + 1)));
        };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
        let value = match quoted {
            Some((inner, _)) => inner,
            None => value.split_once(" #").map_or(value, |(value, _)| value.trim_end()),
        };
        values.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(values)
}
