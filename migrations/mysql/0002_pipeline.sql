-- The pipeline's side of the database: what ingest and the detector write, and analytics reads.
-- Times are microseconds since 1970 in UTC, ids of events and alerts 16 raw bytes, scores hundredths of a point.

-- How far each reader of a log has come: the position of the last record whose effects are in the database.
-- `watermark`: up to which moment the detector had decided by then.
CREATE TABLE offsets (
    grp            VARCHAR(64)   NOT NULL,
    topic          VARCHAR(64)   NOT NULL,
    part           BIGINT        NOT NULL,
    next_offset    BIGINT        NOT NULL,
    watermark      BIGINT,
    PRIMARY KEY (grp, topic, part)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Every activity, once. Rows are inserted and, when they are too old, deleted; nothing updates them.
CREATE TABLE user_logs (
    log_id         BIGINT        PRIMARY KEY AUTO_INCREMENT,
    seq            BIGINT        NOT NULL,
    event_id       BINARY(16)    NOT NULL UNIQUE,
    occurred_at    BIGINT        NOT NULL,
    received_at    BIGINT        NOT NULL,
    user_id        BIGINT,
    username       VARCHAR(255),
    username_key   VARCHAR(255),
    session_id     VARCHAR(255),
    action         VARCHAR(64)   NOT NULL,
    detail         TEXT          NOT NULL,
    page_url       TEXT,
    ip             VARCHAR(64)   NOT NULL,
    user_agent     VARCHAR(255),
    country        VARCHAR(255),
    log_type       VARCHAR(64)   NOT NULL,
    outcome        VARCHAR(64)   NOT NULL,
    resource       VARCHAR(255),
    origin         VARCHAR(255)  NOT NULL,
    late           BIGINT        NOT NULL,
    request_id     VARCHAR(255),
    records        BIGINT,
    reason         TEXT,
    payload        MEDIUMTEXT    NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- InnoDB adds the primary key to each of these, so both page by (occurred_at, log_id).
CREATE INDEX user_logs_by_time ON user_logs (occurred_at);
CREATE INDEX user_logs_by_user ON user_logs (user_id, occurred_at);

-- The log's view of sessions; who is logged in is decided by auth_sessions.
CREATE TABLE sessions (
    session_id     VARCHAR(255) NOT NULL PRIMARY KEY,
    user_id        BIGINT,
    username       VARCHAR(255),
    start_time     BIGINT        NOT NULL,
    end_time       BIGINT,
    last_seen      BIGINT        NOT NULL,
    ip             VARCHAR(64)   NOT NULL,
    user_agent     VARCHAR(255),
    activity_count BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX sessions_by_start ON sessions (start_time);
CREATE INDEX sessions_by_user ON sessions (user_id, start_time);

-- Activities counted by day (UTC), user and action, so that summaries need not read them.
CREATE TABLE activity_by_user (
    day            BIGINT        NOT NULL,
    user_id        BIGINT        NOT NULL,
    action         VARCHAR(64)   NOT NULL,
    n              BIGINT        NOT NULL,
    PRIMARY KEY (user_id, day, action)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The same for everybody together, by hour. `part` keeps instances of ingest from waiting for each other.
CREATE TABLE activity_by_hour (
    hour           BIGINT        NOT NULL,
    action         VARCHAR(64)   NOT NULL,
    part           BIGINT        NOT NULL,
    n              BIGINT        NOT NULL,
    PRIMARY KEY (hour, action, part)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What could not be understood, with the reason; nothing is dropped in silence.
CREATE TABLE dead_letters (
    id             BIGINT        PRIMARY KEY AUTO_INCREMENT,
    topic          VARCHAR(64)   NOT NULL,
    part           BIGINT        NOT NULL,
    record_offset  BIGINT        NOT NULL,
    reason         TEXT          NOT NULL,
    payload        MEDIUMTEXT    NOT NULL,
    at             BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The present state of what the rules found, signals (severity 0) included. `document` is the engine's account as
-- published; the columns beside it are for filters, joins and triage.
CREATE TABLE alerts (
    alert_id       BINARY(16) NOT NULL PRIMARY KEY,
    key_digest     BINARY(16)    NOT NULL,
    at             BIGINT        NOT NULL,
    rule_id        VARCHAR(255)  NOT NULL,
    family         VARCHAR(255)  NOT NULL,
    severity       BIGINT        NOT NULL,
    risk           BIGINT        NOT NULL,
    user_key       VARCHAR(255),
    ip             VARCHAR(64),
    first_event_at BIGINT        NOT NULL,
    last_event_at  BIGINT        NOT NULL,
    state          VARCHAR(64)   NOT NULL,
    revision       BIGINT        NOT NULL,
    found_by       VARCHAR(64)   NOT NULL,
    crossing_event BINARY(16)    NOT NULL,
    suppressed     BIGINT        NOT NULL,
    exception_id   BIGINT,
    status         VARCHAR(64)   NOT NULL,
    verdict        VARCHAR(64),
    verdict_at     BIGINT,
    reason         TEXT,
    assignee       VARCHAR(255),
    updated_at     BIGINT        NOT NULL,
    document       MEDIUMTEXT    NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX alerts_by_time ON alerts (at);
CREATE INDEX alerts_by_key ON alerts (key_digest, at);
CREATE INDEX alerts_by_user ON alerts (user_key, at);
CREATE INDEX alerts_by_rule ON alerts (rule_id, at);
CREATE INDEX alerts_by_change ON alerts (updated_at);
CREATE INDEX alerts_open ON alerts (state, rule_id);

-- Whom an alert counts for: its user, or the users whose success is among its events.
CREATE TABLE alert_subjects (
    user_key       VARCHAR(255)  NOT NULL,
    alert_id       BINARY(16)    NOT NULL,
    username       VARCHAR(255)  NOT NULL,
    user_id        BIGINT,
    session_id     VARCHAR(255),
    PRIMARY KEY (user_key, alert_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX alert_subjects_by_alert ON alert_subjects (alert_id);

-- How each alert came to its present state: opened (0), escalated (1 …), retracted, judged.
CREATE TABLE alert_steps (
    alert_id       BINARY(16)    NOT NULL,
    step           BIGINT        NOT NULL,
    kind           VARCHAR(64)   NOT NULL,
    at             BIGINT        NOT NULL,
    severity       BIGINT        NOT NULL,
    points         BIGINT        NOT NULL,
    observed       DOUBLE        NOT NULL,
    event_id       BINARY(16),
    PRIMARY KEY (alert_id, step)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One flag an alert, at the event that crossed. `hidden` while the alert is suppressed or no longer holds.
CREATE TABLE flagged_activity (
    flag_id        BIGINT        PRIMARY KEY AUTO_INCREMENT,
    alert_id       BINARY(16)    NOT NULL UNIQUE,
    event_id       BINARY(16)    NOT NULL,
    user_id        BIGINT,
    username       VARCHAR(255),
    session_id     VARCHAR(255),
    severity       BIGINT        NOT NULL,
    hidden         BIGINT        NOT NULL,
    flagged_at     BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX flagged_activity_by_event ON flagged_activity (event_id);
CREATE INDEX flagged_activity_by_time ON flagged_activity (flagged_at, severity);
CREATE INDEX flagged_activity_by_user ON flagged_activity (user_id, flagged_at);

-- Present risk of each user. Whoever changes a user's alerts holds this row first.
CREATE TABLE user_risk (
    user_key       VARCHAR(255) NOT NULL PRIMARY KEY,
    username       VARCHAR(255)  NOT NULL,
    user_id        BIGINT,
    score          BIGINT        NOT NULL,
    at             BIGINT        NOT NULL,
    version        BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One row a step of an alert and user: the score after it, what the alert added, and of what the score is made.
CREATE TABLE anomaly_scores (
    score_id       BIGINT        PRIMARY KEY AUTO_INCREMENT,
    alert_id       BINARY(16)    NOT NULL,
    step           BIGINT        NOT NULL,
    user_key       VARCHAR(255)  NOT NULL,
    detection_id   BIGINT        NOT NULL,
    user_id        BIGINT,
    username       VARCHAR(255)  NOT NULL,
    session_id     VARCHAR(255),
    risk_score     BIGINT        NOT NULL,
    added          BIGINT        NOT NULL,
    evidence       MEDIUMTEXT    NOT NULL,
    at             BIGINT        NOT NULL,
    UNIQUE (alert_id, step, user_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX anomaly_scores_by_time ON anomaly_scores (at, risk_score);
CREATE INDEX anomaly_scores_by_score ON anomaly_scores (risk_score, at);
CREATE INDEX anomaly_scores_by_key ON anomaly_scores (user_key, at);
CREATE INDEX anomaly_scores_by_user ON anomaly_scores (user_id, at, risk_score);
CREATE INDEX anomaly_scores_by_detection ON anomaly_scores (detection_id, at);

-- What a user's session (or day, without one) came to: the latest score of it, moved in place.
CREATE TABLE detections (
    detection_id   BIGINT        PRIMARY KEY AUTO_INCREMENT,
    scope          BINARY(16)    NOT NULL UNIQUE,
    user_id        BIGINT,
    score_id       BIGINT        NOT NULL,
    risk_score     BIGINT        NOT NULL,
    findings       BIGINT        NOT NULL,
    detected_at    BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX detections_by_time ON detections (detected_at, risk_score);
CREATE INDEX detections_by_score ON detections (risk_score, detected_at);

-- What people said of alerts, in order.
CREATE TABLE alert_history (
    id             BIGINT        PRIMARY KEY AUTO_INCREMENT,
    alert_id       BINARY(16)    NOT NULL,
    at             BIGINT        NOT NULL,
    by_user        VARCHAR(255)  NOT NULL,
    status         VARCHAR(64)   NOT NULL,
    verdict        VARCHAR(64),
    reason         TEXT,
    assignee       VARCHAR(255)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX alert_history_by_alert ON alert_history (alert_id, id);

-- What is known and wanted: alerts of this rule whose key has these fields are stored, but not shown or counted.
CREATE TABLE exceptions (
    exception_id   BIGINT        PRIMARY KEY AUTO_INCREMENT,
    rule_id        VARCHAR(255)  NOT NULL,
    key_json       TEXT          NOT NULL,
    until          BIGINT        NOT NULL,
    reason         TEXT          NOT NULL,
    by_user        VARCHAR(255)  NOT NULL,
    created_at     BIGINT        NOT NULL,
    ended_at       BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX exceptions_by_rule ON exceptions (rule_id, until);

-- Which revision of each rule the live detector runs; a change closes that rule's open alerts.
CREATE TABLE rule_revisions (
    rule_id        VARCHAR(255)  NOT NULL PRIMARY KEY,
    revision       VARCHAR(255)  NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Where detection saw less than all: what a bound gave up, and from when to when.
CREATE TABLE coverage_gaps (
    gap_id         BIGINT        PRIMARY KEY AUTO_INCREMENT,
    rule_id        VARCHAR(255)  NOT NULL,
    key_text       TEXT          NOT NULL,
    from_at        BIGINT        NOT NULL,
    to_at          BIGINT        NOT NULL,
    lost           BIGINT        NOT NULL,
    reason         TEXT          NOT NULL,
    recorded_at    BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX coverage_gaps_by_time ON coverage_gaps (recorded_at);
