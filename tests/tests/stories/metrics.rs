//! What Prometheus is told, and what is asked of it.

use std::collections::BTreeSet;

use domain::metric::METRICS;

use story_tests::TestApp;

/// Names of our figures in a text, without what a histogram adds.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("security_analytics_"));
    ours.map(|word| {
        ["_bucket", "_count", "_sum"].iter().fold(word, |word, end| word.strip_suffix(end).unwrap_or(word)).to_owned()
    })
    .collect()
}

#[tokio::test]
async fn what_happens_is_counted_and_every_figure_says_what_it_is() {
    let app = TestApp::start().await;
    for _ in 0..6 {
        let login = serde_json::json!({ "username": "bob", "password": "not his" });
        let _ = app.anonymous().post("/api/auth/login", login).await;
    }
    let look = || async {
        let text = app.anonymous().get("/metrics").await.text();
        let counted = |line: &str| line.starts_with("security_analytics_alerts_total{") && !line.ends_with(" 0");
        text.lines().any(counted).then_some(text)
    };
    let text = app.eventually("an alert to be counted", look).await;
    for wanted in [
        "security_analytics_http_request_duration_seconds_bucket{method=\"POST\",route=\"/api/auth/login\",status=\"4xx\"",
        "security_analytics_ingested_total{outcome=\"stored\"}",
        "security_analytics_journal_rows",
        "security_analytics_process_resident_memory_bytes",
        "severity=\"Low\"",
        // How many is everybody's matter who is in this process.
        "\nsecurity_analytics_bcrypt_waiting ",
        "security_analytics_lateness_seconds 300\n",
        "security_analytics_database_ready 1\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // A critical alert is the first of its rule: its series must have been there before.
    assert!(text.lines().any(|line| line.contains("severity=\"Critical\"") && line.ends_with(" 0")), "{text}");
    for name in named(&text) {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is in no table");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    assert!(!text.contains("bob"), "whom it is about is not Prometheus's business");
}

#[test]
fn a_process_that_is_gone_wakes_somebody() {
    let scraped = include_str!("../../../deploy/prometheus/prometheus.yml");
    let job = scraped.split_once("job_name: ").and_then(|(_, rest)| rest.lines().next()).expect("a job");
    // What a process tells of itself ends with it; these two are Prometheus's own.
    let rule = format!("expr: up{{job=\"{job}\"}} == 0 or absent(up{{job=\"{job}\"}})\n");
    assert!(include_str!("../../../deploy/prometheus/alerts.yml").contains(&rule), "{rule}");
}

#[test]
fn what_is_watched_is_told() {
    for text in [
        include_str!("../../../deploy/prometheus/alerts.yml"),
        include_str!("../../../deploy/grafana/security-analytics.json"),
    ] {
        let names = named(text);
        assert!(names.len() > 5);
        for name in names {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is not told");
        }
    }
}
