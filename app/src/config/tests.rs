//! Precedence, and what each error says.

use std::collections::HashMap;

use super::layers::Surroundings;
use super::*;
use crate::cli::Settings;

fn around(env: &[(&str, &str)]) -> Surroundings {
    let env: HashMap<_, _> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Surroundings { env, dot_env: None }
}

fn read(env: &[(&str, &str)]) -> Outcome<Config> {
    Config::read(&Layers::collect(&Settings::default(), &around(env))?)
}

fn refused(env: &[(&str, &str)]) -> String {
    let failure = read(env).and_then(|config| config.check()).expect_err("refused");
    assert_eq!(failure.code(), 2);
    failure.to_string()
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = read(&[]).expect("valid");
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.database, Database::Sqlite);
    assert_eq!(config.cors_origins.len(), 2);
    assert_eq!((config.lateness, config.session_ttl), (5 * domain::MINUTE, 12 * domain::HOUR));
    assert_eq!(config.retention, 400 * domain::DAY);
    assert!(config.rate_limit && config.self_registration && config.auto_migrate);
    config.check().expect("goes together");
}

#[test]
fn flag_over_environment_over_dot_env_over_file_over_default() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("c.toml");
    std::fs::write(
        &file,
        "listen = '127.0.0.1:1'\nlateness = '1m'\nsession_ttl = '1h'\nretention = '2d'\nrate-limit = false\n",
    )
    .expect("written");
    let mut flags = Settings { config: Some(file.clone()), listen: Some("127.0.0.1:4".into()), ..Settings::default() };
    let mut around = around(&[("LISTEN", "127.0.0.1:3"), ("LATENESS", "3m")]);
    around.dot_env = Some("LISTEN=127.0.0.1:2\nexport LATENESS='2m'\nSESSION_TTL=2h # two\n".into());
    let layers = Layers::collect(&flags, &around).expect("readable");
    let config = Config::read(&layers).expect("valid");
    assert_eq!(config.listen.port(), 4);
    assert_eq!(config.lateness, 3 * domain::MINUTE);
    assert_eq!(config.session_ttl, 2 * domain::HOUR);
    assert_eq!(config.retention, 2 * domain::DAY);
    assert!(!config.rate_limit);

    flags.config = None;
    around.env.insert("CONFIG".into(), file.display().to_string());
    let layers = Layers::collect(&flags, &around).expect("readable");
    assert_eq!(Config::read(&layers).expect("valid").retention, 2 * domain::DAY);
}

#[test]
fn an_error_names_setting_origin_and_remedy() {
    assert_eq!(
        refused(&[("LISTEN", "5000")]),
        "listen (environment, LISTEN) \"5000\": is no address with a port; write it like 127.0.0.1:5000 or [::]:5000"
    );
    assert!(refused(&[("LATENESS", "5")]).contains("LATENESS) \"5\": must be a number with its unit"));
    assert!(refused(&[("CORS_ORIGINS", "*")]).contains("every page on the web"));
    assert!(refused(&[("TIME_ZONE", "Mars/Olympus")]).contains("Europe/Berlin"));
    assert!(refused(&[("WORKING_HOURS", "always")]).contains("Mon-Fri 06:00-22:00"));
    assert!(refused(&[("CONFIG", "/nowhere/c.toml")]).contains("/nowhere/c.toml"));
}

#[test]
fn a_file_with_an_unknown_key_is_refused_with_the_probable_one() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("c.toml");
    for (text, hint) in
        [("listne = 'x'", "did you mean `listen`?"), ("listen = ", "line 1"), ("listen = {}", "must be a text")]
    {
        std::fs::write(&file, text).expect("written");
        let error = refused(&[("CONFIG", &file.display().to_string())]);
        assert!(error.contains(hint) && error.contains("c.toml"), "{error}");
    }
}

#[test]
fn secrets_are_never_part_of_an_error() {
    for (name, value) in [
        ("JWT_SECRET_KEY", "your-secret-key-change-me-please-now"),
        ("JWT_SECRET_KEY", "tooshort"),
        ("ADMIN_PASSWORD", "seven77"),
        ("DATABASE_URL", "postgres://u:hunter2@h/d"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.contains(name) && !error.contains(value) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_two_places() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "correct horse battery\n").expect("written");
    let file = file.display().to_string();
    let config = read(&[("ADMIN_PASSWORD_FILE", &file)]).expect("valid");
    assert_eq!(config.admin_password.expect("read").reveal(), "correct horse battery");
    assert!(refused(&[("ADMIN_PASSWORD_FILE", &file), ("ADMIN_PASSWORD", "correct horse")]).contains("both set"));
    assert!(refused(&[("ADMIN_PASSWORD_FILE", "/nowhere")]).contains("ADMIN_PASSWORD_FILE"));
}

#[test]
fn the_database_and_kafka_go_together_or_neither() {
    let secret = secret::make(48);
    let mysql = ("DATABASE_URL", "mysql://u:p@h/d");
    let kafka = ("KAFKA_BROKERS", "k:9092");
    assert!(refused(&[mysql]).contains("Set KAFKA_BROKERS"));
    assert!(refused(&[kafka]).contains("Set DATABASE_URL"));
    assert!(refused(&[mysql, kafka]).contains("JWT_SECRET_KEY"));
    read(&[mysql, kafka, ("JWT_SECRET_KEY", &secret)]).and_then(|config| config.check()).expect("all there");
}

#[test]
fn registration_is_open_on_loopback_only_unless_said_otherwise() {
    assert!(read(&[("LISTEN", "[::1]:80")]).expect("valid").self_registration);
    assert!(!read(&[("LISTEN", "0.0.0.0:80")]).expect("valid").self_registration);
    assert!(read(&[("LISTEN", "0.0.0.0:80"), ("SELF_REGISTRATION", "on")]).expect("valid").self_registration);
}
