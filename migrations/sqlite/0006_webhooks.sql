-- Where alerts are told over HTTP, and what is still to be told. Twin of mysql/0006_webhooks.sql.

-- `url` may hold a secret of the receiver's (Slack's do): only the sender reads it, `shown_url` is for people. `secret`
-- signs; the one before it signs as well until `old_secret_until`. `failing_since` is set by the first attempt that
-- failed after one that succeeded.
CREATE TABLE webhooks (
    webhook_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name             TEXT    NOT NULL UNIQUE,
    url              TEXT    NOT NULL,
    shown_url        TEXT    NOT NULL,
    format           TEXT    NOT NULL,
    secret           TEXT    NOT NULL,
    old_secret       TEXT,
    old_secret_until INTEGER,
    minimum_severity INTEGER NOT NULL,
    enabled          INTEGER NOT NULL,
    disabled_reason  TEXT,
    created_by       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    failing_since    INTEGER,
    last_error       TEXT,
    last_success_at  INTEGER
);

-- The outbox: written in the transaction of the alert. `document` is the alert as it stood then. `message_id` is made of
-- webhook, alert and revision, so no happening is told twice. `state` is pending, delivered or dead.
CREATE TABLE webhook_deliveries (
    delivery_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id   BLOB    NOT NULL UNIQUE,
    webhook_id   INTEGER NOT NULL,
    alert_id     BLOB    NOT NULL,
    revision     INTEGER NOT NULL,
    event        TEXT    NOT NULL,
    document     TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    next_at      INTEGER NOT NULL,
    give_up_at   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    attempted_at INTEGER,
    finished_at  INTEGER,
    last_status  INTEGER,
    last_error   TEXT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, state, next_at);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (state, finished_at);
CREATE INDEX webhook_deliveries_by_alert ON webhook_deliveries (alert_id);
