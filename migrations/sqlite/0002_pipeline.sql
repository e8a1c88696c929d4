-- The pipeline's side of the database: what ingest and the detector write, and analytics reads.
-- Times are microseconds since 1970 in UTC, ids of events and alerts 16 raw bytes, scores hundredths of a point.

-- How far each reader of a log has come: the position of the last record whose effects are in the database.
-- `watermark`: up to which moment the detector had decided by then.
CREATE TABLE offsets (
    grp         TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    part        INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    watermark   INTEGER,
    PRIMARY KEY (grp, topic, part)
) WITHOUT ROWID;

-- Every activity, once. Rows are inserted and, when they are too old, deleted; nothing updates them.
CREATE TABLE user_logs (
    log_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    seq          INTEGER NOT NULL,
    event_id     BLOB    NOT NULL UNIQUE,
    occurred_at  INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    user_id      INTEGER,
    username     TEXT,
    username_key TEXT,
    session_id   TEXT,
    action       TEXT    NOT NULL,
    detail       TEXT    NOT NULL,
    page_url     TEXT,
    ip           TEXT    NOT NULL,
    user_agent   TEXT,
    country      TEXT,
    log_type     TEXT    NOT NULL,
    outcome      TEXT    NOT NULL,
    resource     TEXT,
    origin       TEXT    NOT NULL,
    late         INTEGER NOT NULL,
    request_id   TEXT,
    records      INTEGER,
    reason       TEXT,
    payload      TEXT    NOT NULL
);
-- SQLite adds the row id to each of these, so both page by (occurred_at, log_id).
CREATE INDEX user_logs_by_time ON user_logs (occurred_at);
CREATE INDEX user_logs_by_user ON user_logs (user_id, occurred_at);

-- The log's view of sessions; who is logged in is decided by auth_sessions.
CREATE TABLE sessions (
    session_id     TEXT    PRIMARY KEY,
    user_id        INTEGER,
    username       TEXT,
    start_time     INTEGER NOT NULL,
    end_time       INTEGER,
    last_seen      INTEGER NOT NULL,
    ip             TEXT    NOT NULL,
    user_agent     TEXT,
    activity_count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_start ON sessions (start_time);
CREATE INDEX sessions_by_user ON sessions (user_id, start_time);

-- Activities counted by day (UTC), user and action, so that summaries need not read them.
CREATE TABLE activity_by_user (
    day     INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    action  TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (user_id, day, action)
) WITHOUT ROWID;

-- The same for everybody together, by hour. `part` keeps instances of ingest from waiting for each other.
CREATE TABLE activity_by_hour (
    hour   INTEGER NOT NULL,
    action TEXT    NOT NULL,
    part   INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (hour, action, part)
) WITHOUT ROWID;

-- What could not be understood, with the reason; nothing is dropped in silence.
CREATE TABLE dead_letters (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    topic         TEXT    NOT NULL,
    part          INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    payload       TEXT    NOT NULL,
    at            INTEGER NOT NULL
);

-- The present state of what the rules found, signals (severity 0) included. `document` is the engine's account as
-- published; the columns beside it are for filters, joins and triage.
CREATE TABLE alerts (
    alert_id       BLOB    PRIMARY KEY,
    key_digest     BLOB    NOT NULL,
    at             INTEGER NOT NULL,
    rule_id        TEXT    NOT NULL,
    family         TEXT    NOT NULL,
    severity       INTEGER NOT NULL,
    risk           INTEGER NOT NULL,
    user_key       TEXT,
    ip             TEXT,
    first_event_at INTEGER NOT NULL,
    last_event_at  INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    found_by       TEXT    NOT NULL,
    crossing_event BLOB    NOT NULL,
    suppressed     INTEGER NOT NULL,
    exception_id   INTEGER,
    status         TEXT    NOT NULL,
    verdict        TEXT,
    verdict_at     INTEGER,
    reason         TEXT,
    assignee       TEXT,
    updated_at     INTEGER NOT NULL,
    document       TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (at);
CREATE INDEX alerts_by_key ON alerts (key_digest, at);
CREATE INDEX alerts_by_user ON alerts (user_key, at);
CREATE INDEX alerts_by_rule ON alerts (rule_id, at);
CREATE INDEX alerts_by_change ON alerts (updated_at);
CREATE INDEX alerts_open ON alerts (state, rule_id);

-- Whom an alert counts for: its user, or the users whose success is among its events.
CREATE TABLE alert_subjects (
    user_key   TEXT    NOT NULL,
    alert_id   BLOB    NOT NULL,
    username   TEXT    NOT NULL,
    user_id    INTEGER,
    session_id TEXT,
    PRIMARY KEY (user_key, alert_id)
) WITHOUT ROWID;
CREATE INDEX alert_subjects_by_alert ON alert_subjects (alert_id);

-- How each alert came to its present state: opened (0), escalated (1 …), retracted, judged.
CREATE TABLE alert_steps (
    alert_id BLOB    NOT NULL,
    step     INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    points   INTEGER NOT NULL,
    observed REAL    NOT NULL,
    event_id BLOB,
    PRIMARY KEY (alert_id, step)
) WITHOUT ROWID;

-- One flag an alert, at the event that crossed. `hidden` while the alert is suppressed or no longer holds.
CREATE TABLE flagged_activity (
    flag_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id   BLOB    NOT NULL UNIQUE,
    event_id   BLOB    NOT NULL,
    user_id    INTEGER,
    username   TEXT,
    session_id TEXT,
    severity   INTEGER NOT NULL,
    hidden     INTEGER NOT NULL,
    flagged_at INTEGER NOT NULL
);
CREATE INDEX flagged_activity_by_event ON flagged_activity (event_id);
CREATE INDEX flagged_activity_by_time ON flagged_activity (flagged_at, severity);
CREATE INDEX flagged_activity_by_user ON flagged_activity (user_id, flagged_at);

-- Present risk of each user. Whoever changes a user's alerts holds this row first.
CREATE TABLE user_risk (
    user_key   TEXT    PRIMARY KEY,
    username   TEXT    NOT NULL,
    user_id    INTEGER,
    score      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    version    INTEGER NOT NULL
) WITHOUT ROWID;

-- One row a step of an alert and user: the score after it, what the alert added, and of what the score is made.
CREATE TABLE anomaly_scores (
    score_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id     BLOB    NOT NULL,
    step         INTEGER NOT NULL,
    user_key     TEXT    NOT NULL,
    detection_id INTEGER NOT NULL,
    user_id      INTEGER,
    username     TEXT    NOT NULL,
    session_id   TEXT,
    risk_score   INTEGER NOT NULL,
    added        INTEGER NOT NULL,
    evidence     TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    UNIQUE (alert_id, step, user_key)
);
CREATE INDEX anomaly_scores_by_time ON anomaly_scores (at, risk_score);
CREATE INDEX anomaly_scores_by_score ON anomaly_scores (risk_score, at);
CREATE INDEX anomaly_scores_by_key ON anomaly_scores (user_key, at);
CREATE INDEX anomaly_scores_by_user ON anomaly_scores (user_id, at, risk_score);
CREATE INDEX anomaly_scores_by_detection ON anomaly_scores (detection_id, at);

-- What a user's session (or day, without one) came to: the latest score of it, moved in place.
CREATE TABLE detections (
    detection_id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope        BLOB    NOT NULL UNIQUE,
    user_id      INTEGER,
    score_id     INTEGER NOT NULL,
    risk_score   INTEGER NOT NULL,
    findings     INTEGER NOT NULL,
    detected_at  INTEGER NOT NULL
);
CREATE INDEX detections_by_time ON detections (detected_at, risk_score);
CREATE INDEX detections_by_score ON detections (risk_score, detected_at);

-- What people said of alerts, in order.
CREATE TABLE alert_history (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    by_user  TEXT    NOT NULL,
    status   TEXT    NOT NULL,
    verdict  TEXT,
    reason   TEXT,
    assignee TEXT
);
CREATE INDEX alert_history_by_alert ON alert_history (alert_id, id);

-- What is known and wanted: alerts of this rule whose key has these fields are stored, but not shown or counted.
CREATE TABLE exceptions (
    exception_id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id      TEXT    NOT NULL,
    key_json     TEXT    NOT NULL,
    until        INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    by_user      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER
);
CREATE INDEX exceptions_by_rule ON exceptions (rule_id, until);

-- Which revision of each rule the live detector runs; a change closes that rule's open alerts.
CREATE TABLE rule_revisions (
    rule_id  TEXT NOT NULL PRIMARY KEY,
    revision TEXT NOT NULL
) WITHOUT ROWID;

-- Where detection saw less than all: what a bound gave up, and from when to when.
CREATE TABLE coverage_gaps (
    gap_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id     TEXT    NOT NULL,
    key_text    TEXT    NOT NULL,
    from_at     INTEGER NOT NULL,
    to_at       INTEGER NOT NULL,
    lost        INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL
);
CREATE INDEX coverage_gaps_by_time ON coverage_gaps (recorded_at);
