//! What is typed where MariaDB and Kafka are, on those that `TEST_MYSQL_URL` and `TEST_KAFKA_BROKERS` name.

use std::fs;

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

use crate::block;
use crate::port::free_port;
use crate::shell::{Folder, available};

/// A database and topics of this test's own.
struct Site {
    folder: Folder,
    database: String,
    url: String,
    brokers: String,
    prefix: String,
}

impl Site {
    async fn new() -> Option<Self> {
        let server = |name: &str| {
            let found = std::env::var(name).ok();
            assert!(found.is_some() || std::env::var("TEST_REQUIRE_SERVERS").is_err(), "{name} is not set");
            found
        };
        let (Some(mysql), Some(brokers)) = (server("TEST_MYSQL_URL"), server("TEST_KAFKA_BROKERS")) else {
            eprintln!("no servers: set TEST_MYSQL_URL and TEST_KAFKA_BROKERS to run this test");
            return None;
        };
        if !available(&["bash", "curl", "openssl", "kcat", "mariadb-dump", "mariadb"]) {
            return None;
        }
        let database = format!("docs_{}", uuid::Uuid::new_v4().simple());
        let mysql = mysql.trim_end_matches('/');
        let mut admin = MySqlConnection::connect(mysql).await.expect("TEST_MYSQL_URL");
        let make = format!("CREATE DATABASE {database} CHARACTER SET utf8mb4");
        admin.execute(AssertSqlSafe(make)).await.expect("a database");
        let folder = Folder::new();
        // What its clients take from the home of who types.
        let (login, place) = mysql.trim_start_matches("mysql://").split_once('@').expect("a user at a server");
        let ((user, password), (host, port)) =
            (login.split_once(':').expect("a password"), place.split_once(':').expect("a port"));
        let client = format!("[client]\nuser={user}\npassword={password}\nhost={host}\nport={port}\nprotocol=tcp\n");
        fs::write(folder.path().join(".my.cnf"), client).expect("written");
        let (url, prefix) = (format!("{mysql}/{database}"), format!("{database}."));
        Some(Self { folder, database, url, brokers, prefix })
    }

    async fn remove(self) {
        let mut admin = MySqlConnection::connect(&self.url).await.expect("the database");
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", self.database))).await.expect("removed");
    }

    /// A block as it stands there, with the names of this site in the place of those of the page.
    fn own(&self, block: &str) -> String {
        block
            .replace("mysql://analytics:PASSWORD@db/analytics", &self.url)
            .replace("kafka:9092", &self.brokers)
            .replace("127.0.0.1:9092", &self.brokers)
            .replace("activity.in", &format!("{}activity.in", self.prefix))
            .replace("-t alerts", &format!("-t {}alerts", self.prefix))
            .replace("hex-blob analytics", &format!("hex-blob {}", self.database))
    }
}

#[tokio::test]
async fn who_outgrows_one_machine_types_what_the_pages_say() {
    let Some(site) = Site::new().await else { return };
    let [api, ingest, detector] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let grow = site
        .own(&block("README.md", "export DATABASE_URL="))
        .replace("ADMIN_PASSWORD=...", "ADMIN_PASSWORD='correct horse battery'")
        .replace("security-analytics api &", &format!("LISTEN={api} security-analytics api 2>api.log &"))
        .replace(
            "127.0.0.1:5001 security-analytics ingest &",
            &format!("{ingest} security-analytics ingest 2>ingest.log &"),
        )
        .replace(
            "127.0.0.1:5002 security-analytics detector &",
            &format!("{detector} security-analytics detector 2>detector.log &"),
        );
    let (report, follow) = {
        let topics = site.own(&block("docs/topics.md", "echo"));
        let (report, follow) = topics.split_once("\nkcat").expect("two commands");
        (report.to_owned(), format!("kcat{follow}"))
    };
    let dump = site.own(&block("docs/operations.md", "mariadb-dump"));
    // Roles end with this shell. What follows the topic from its end has to be there before the alert is.
    let script = format!(
        "export HOME=$PWD KAFKA_TOPIC_PREFIX={} KAFKA_PARTITIONS=2 TIME_ZONE=UTC\n\
         trap 'kill $(jobs -p); wait' EXIT\n{grow}\n\
         for address in {api} {ingest} {detector}; do\n\
           for i in $(seq 600); do curl -sf -o up $address/api/health/ready && break; sleep 0.1; done; cat up; echo\n\
         done\n\
         (timeout 90 {}) >alerts &\n\
         for i in $(seq 60); do\n for n in 1 2 3 4 5 6; do\n{report}\ndone\n\
           grep -q 'Password guessing' alerts && break; sleep 1; done\n\
         {dump}",
        site.prefix,
        follow.trim_end(),
    );
    let said = site.folder.bash(&script);
    assert_eq!(said.matches("\"status\":\"ready\"").count(), 3, "{said}");
    let read = |name: &str| fs::read_to_string(site.folder.path().join(name)).expect("written");
    assert!(read("alerts").contains("Password guessing against an account"), "{}", read("alerts"));
    let dump = read("analytics.sql");
    assert!(dump.contains("CREATE TABLE `user_logs`") && dump.contains("INSERT INTO `alerts`"), "a whole copy");
    site.remove().await;
}
