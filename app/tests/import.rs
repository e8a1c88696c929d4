//! An existing installation is taken over: on a MariaDB that `TEST_MYSQL_URL` names, filled with its schema.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/port.rs"]
mod port;

use std::process::{Command, Output};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

/// Its schema, with what goes wrong in practice: roles numbered in their own way, a user that is gone, a row of each kind
/// that does not fit.
const SCHEMA: &str = "
CREATE TABLE roles (role_id INT PRIMARY KEY, role_name VARCHAR(50) UNIQUE);
INSERT INTO roles VALUES (1, 'supervisor'), (2, 'Employee'), (3, 'contractor'), (9, 'janitor');
CREATE TABLE users (user_id INT PRIMARY KEY, username VARCHAR(100) UNIQUE, password_hash VARCHAR(255),
  created_at TIMESTAMP NOT NULL, role_id INT NULL);
INSERT INTO users VALUES
  (1, 'Ann', '{HASH}', '2024-02-03 04:05:06', 1),
  (2, 'bob', '{HASH}', '2024-02-03 04:05:06', 2),
  (3, 'cleo', 'plain text', '2024-02-03 04:05:06', 9),
  (4, 'admin', '{HASH}', '2024-02-03 04:05:06', NULL),
  (5, '', '{HASH}', '2024-02-03 04:05:06', 2);
CREATE TABLE inventory_items (item_id INT PRIMARY KEY, item_name VARCHAR(255), description TEXT NULL, quantity INT,
  last_updated TIMESTAMP NOT NULL);
INSERT INTO inventory_items VALUES (7, 'Grüne Schraube', 'Metal parts', 12, '2024-03-01 00:00:00'),
  (8, 'Debt', NULL, -4, '2024-03-01 00:00:00'), (9, NULL, 'nothing', 1, '2024-03-01 00:00:00');
CREATE TABLE orders (order_id INT PRIMARY KEY, user_id INT NULL, item_id INT NULL, quantity INT,
  order_time TIMESTAMP NOT NULL);
INSERT INTO orders VALUES (11, 2, 7, 3, '2024-03-02 00:00:00'), (12, NULL, 7, 1, '2024-03-02 00:00:00'),
  (13, 2, 9, 1, '2024-03-02 00:00:00'), (14, 2, 7, 0, '2024-03-02 00:00:00');
CREATE TABLE sessions (session_id VARCHAR(64) PRIMARY KEY, user_id INT NULL, start_time TIMESTAMP NOT NULL,
  end_time TIMESTAMP NULL);
INSERT INTO sessions VALUES ('s-1', 2, '2024-03-03 08:00:00', '2024-03-03 09:00:00'),
  ('s-2', 77, '2024-03-03 08:00:00', NULL);
CREATE TABLE user_logs (log_id INT PRIMARY KEY, user_id INT NULL, action_type VARCHAR(50), action_detail TEXT,
  page_url VARCHAR(255), ip_address VARCHAR(45), log_timestamp TIMESTAMP NULL, session_id VARCHAR(64),
  user_agent VARCHAR(255), geo_location VARCHAR(100), is_flagged TINYINT,
  log_type ENUM('ui_event','system','auth','data_access'));
INSERT INTO user_logs VALUES
  (1, 2, 'view_inventory', 'looked', '/inventory', '192.0.2.7', '2024-03-03 08:10:00', 's-1', 'Firefox', 'DE', 0, 'ui_event'),
  (2, 77, 'inventory_update', NULL, NULL, 'nowhere', '2024-03-03 08:11:00', 's-9', NULL, NULL, 1, 'data_access'),
  (3, NULL, 'report', '', NULL, '', '2024-03-03 08:12:00', NULL, NULL, NULL, 0, NULL),
  (4, 2, 'login', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 'auth'),
  (5, 2, 'login_failed', NULL, NULL, '192.0.2.66', '2024-03-04 08:00:00', NULL, NULL, NULL, 1, 'auth'),
  (6, 2, 'login_failed', NULL, NULL, '192.0.2.66', '2024-03-04 08:00:10', NULL, NULL, NULL, 1, 'auth'),
  (7, 2, 'login_failed', NULL, NULL, '192.0.2.66', '2024-03-04 08:00:20', NULL, NULL, NULL, 1, 'auth'),
  (8, 2, 'login_failed', NULL, NULL, '192.0.2.66', '2024-03-04 08:00:30', NULL, NULL, NULL, 1, 'auth'),
  (9, 2, 'login_failed', NULL, NULL, '192.0.2.66', '2024-03-04 08:00:40', NULL, NULL, NULL, 1, 'auth');
CREATE TABLE anomaly_scores (score_id INT PRIMARY KEY, user_id INT, risk_score DECIMAL(5,2));
INSERT INTO anomaly_scores VALUES (1, 2, 55.5);
CREATE VIEW flagged_activity AS SELECT log_id FROM user_logs WHERE is_flagged = 1;
";

fn program(folder: &std::path::Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_security-analytics"))
        .args(words)
        .env("DATA_DIR", folder)
        .env("TIME_ZONE", "UTC")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn an_existing_installation_is_taken_over_once_and_its_users_keep_their_passwords() {
    let Ok(server) = std::env::var("TEST_MYSQL_URL") else {
        assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_MYSQL_URL is not set");
        eprintln!("no server: set TEST_MYSQL_URL to run this test");
        return;
    };
    let server = server.trim_end_matches('/');
    let name = format!("legacy_{}", std::process::id());
    let mut admin = MySqlConnection::connect(server).await.expect("TEST_MYSQL_URL");
    let mut run = async |text: String| {
        admin.execute(AssertSqlSafe(text)).await.expect("a statement");
    };
    run(format!("DROP DATABASE IF EXISTS {name}")).await;
    run(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
    run(format!("USE {name}")).await;
    let hash = bcrypt::hash("old password of theirs", 4).expect("a hash");
    for statement in SCHEMA.replace("{HASH}", &hash).split(";\n").filter(|text| !text.trim().is_empty()) {
        run(statement.to_owned()).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let from = format!("{server}/{name}").replacen("mysql://", "mysql+pymysql://", 1);

    let first = program(folder.path(), &["import", "--from", &from]);
    let (said, noted) = (text(&first.stdout), text(&first.stderr));
    assert!(first.status.success(), "{said}\n{noted}");
    let line = |table: &str| {
        let line = said.lines().find(|line| line.starts_with(table)).unwrap_or_else(|| panic!("{table}: {said}"));
        line.split_whitespace().skip(1).map(|word| word.parse().expect("a number")).collect::<Vec<u64>>()
    };
    assert_eq!(line("users"), [5, 4, 0, 1]);
    assert_eq!(line("inventory_items"), [3, 2, 0, 1]);
    assert_eq!(line("orders"), [4, 1, 0, 3]);
    assert_eq!(line("user_logs"), [9, 8, 0, 1]);
    assert_eq!(line("sessions"), [2, 2, 0, 0], "that its activities made one of them does not count");
    assert_eq!(line("anomaly_scores"), [1, 0, 0, 1]);
    assert!(said.contains("1: has no role that is known here") || said.contains("2: has no role"), "{said}");
    for note in ["1: has an address that cannot be read", "1: names a user that is gone", "1: has no time"] {
        assert!(said.contains(note), "{note}: {said}");
    }
    assert!(noted.contains("Nobody here is an Admin") && noted.contains("admin create-user"), "{noted}");
    assert!(noted.contains("orders 12: names no user that is here"), "{noted}");
    let password =
        server.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(login, _)| login.to_owned());
    assert!(
        password.is_none_or(|login| !noted.contains(&login) && !said.contains(&login)),
        "the URL is nobody's business"
    );

    let second = program(folder.path(), &["import", "--from", &from]);
    let said = text(&second.stdout);
    let taken: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(second.status.success());
    let before = |table: &str, rows: &str| {
        said.lines().any(|line| line.starts_with(table) && line.split_whitespace().nth(3) == Some(rows))
    };
    assert!(before("user_logs", "8") && before("sessions", "2"), "{said}");
    assert!(taken.iter().filter(|word| word.parse::<u64>().is_ok()).all(|word| *word == "0"), "{said}");

    // What is there now: as a user of the old frontend sees it.
    let stored = program(folder.path(), &["backtest", "--stored", "--alerts", "-"]);
    assert!(stored.status.success(), "{}", text(&stored.stderr));
    let alerts: Vec<Value> =
        text(&stored.stdout).lines().map(|line| serde_json::from_str(line).expect("an alert")).collect();
    let guessed =
        |alert: &&Value| alert["user"] == "bob" && alert["rule"].as_str().unwrap_or_default().contains("guess");
    let guessed = alerts.iter().find(guessed).unwrap_or_else(|| panic!("{alerts:?}"));
    let at = guessed["at"].as_str().expect("a time");
    assert!(at.starts_with("2024-03-04T08:00:40") && guessed["observed"] == 5, "{guessed}");
    let admin = program(folder.path(), &["admin", "create-user", "root"]);
    assert!(admin.status.success(), "{}", text(&admin.stderr));
    let third = program(folder.path(), &["import", "--from", &from]);
    assert!(third.status.success() && !text(&third.stderr).contains("Nobody here is an Admin"));
    let server = tokio::task::spawn_blocking({
        let folder = folder.path().to_owned();
        move || talk(&folder)
    });
    server.await.expect("it ran");
    run(format!("DROP DATABASE {name}")).await;
}

/// Starts the server and speaks with it as the old frontend does.
fn talk(folder: &std::path::Path) {
    let port = port::free_port();
    let mut server = Command::new(env!("CARGO_BIN_EXE_security-analytics"))
        .env("DATA_DIR", folder)
        .env("TIME_ZONE", "UTC")
        .env("RUST_LOG", "error")
        .env("LISTEN", format!("127.0.0.1:{port}"))
        .spawn()
        .expect("the program starts");
    let ask = |args: &[&str]| -> Value {
        let output = Command::new("curl")
            .args(["-s", "--retry", "30", "--retry-connrefused", "--retry-delay", "1"])
            .args(args)
            .output();
        serde_json::from_slice(&output.expect("curl runs").stdout).unwrap_or_default()
    };
    let url = |path: &str| format!("http://127.0.0.1:{port}/api{path}");
    let body = r#"{"username":"ann","password":"old password of theirs"}"#;
    let login = ask(&["-H", "content-type: application/json", "-d", body, &url("/auth/login")]);
    assert_eq!(login["user"]["user_id"], 1, "{login}");
    assert_eq!(login["user"]["role_name"], "Supervisor");
    let bearer = format!("Authorization: Bearer {}", login["token"].as_str().expect("a token"));
    let items = ask(&["-H", &bearer, &url("/inventory/")]);
    assert_eq!(items[0]["item_id"], 7);
    assert_eq!((&items[0]["item_name"], &items[0]["category"]), (&"Grüne Schraube".into(), &"Metal parts".into()));
    assert_eq!(items[0]["quantity"], 12, "what is in stock is what was");
    assert_eq!(ask(&["-H", &bearer, &url("/orders/11")])["username"], "bob");
    let logs = ask(&["-H", &bearer, &url("/logs/?all=true&end_date=2024-12-31")]);
    let logs = logs.as_array().expect("a list");
    assert_eq!(logs.len(), 8);
    let unreadable = logs.iter().find(|row| row["username"] == "former user 77").expect("there");
    assert_eq!(unreadable["ip_address"], "", "{unreadable}");
    let viewed = logs.iter().find(|row| row["action_type"] == "View" && row["username"] == "bob").expect("there");
    assert_eq!(viewed["action_detail"], "view_inventory: looked");
    assert_eq!((&viewed["timestamp"], &viewed["late"]), (&"2024-03-03T08:10:00Z".into(), &true.into()));
    assert!(logs.iter().any(|row| row["username"] == "former user 77"));
    let sessions = ask(&["-H", &bearer, &url("/logs/sessions?user_id=2")]);
    assert_eq!(sessions[0]["end_time"], "2024-03-03T09:00:00Z", "{sessions}");
    server.kill().expect("it can be killed");
    server.wait().expect("it ends");
}
