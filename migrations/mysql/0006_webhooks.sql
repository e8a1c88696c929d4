-- Where alerts are told over HTTP, and what is still to be told. Twin of sqlite/0006_webhooks.sql.

-- `url` may hold a secret of the receiver's (Slack's do): only the sender reads it, `shown_url` is for people. `secret`
-- signs; the one before it signs as well until `old_secret_until`. `failing_since` is set by the first attempt that
-- failed after one that succeeded.
CREATE TABLE webhooks (
    webhook_id       BIGINT        PRIMARY KEY AUTO_INCREMENT,
    name             VARCHAR(255)  NOT NULL UNIQUE,
    url              TEXT          NOT NULL,
    shown_url        TEXT          NOT NULL,
    format           VARCHAR(16)   NOT NULL,
    secret           VARCHAR(255)  NOT NULL,
    old_secret       VARCHAR(255),
    old_secret_until BIGINT,
    minimum_severity BIGINT        NOT NULL,
    enabled          BIGINT        NOT NULL,
    disabled_reason  TEXT,
    created_by       VARCHAR(255)  NOT NULL,
    created_at       BIGINT        NOT NULL,
    failing_since    BIGINT,
    last_error       TEXT,
    last_success_at  BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The outbox: written in the transaction of the alert. `document` is the alert as it stood then. `message_id` is made of
-- webhook, alert and revision, so no happening is told twice. `state` is pending, delivered or dead.
CREATE TABLE webhook_deliveries (
    delivery_id  BIGINT       PRIMARY KEY AUTO_INCREMENT,
    message_id   BINARY(16)   NOT NULL UNIQUE,
    webhook_id   BIGINT       NOT NULL,
    alert_id     BINARY(16)   NOT NULL,
    revision     BIGINT       NOT NULL,
    event        VARCHAR(32)  NOT NULL,
    document     MEDIUMTEXT   NOT NULL,
    state        VARCHAR(16)  NOT NULL,
    attempts     BIGINT       NOT NULL,
    next_at      BIGINT       NOT NULL,
    give_up_at   BIGINT       NOT NULL,
    created_at   BIGINT       NOT NULL,
    attempted_at BIGINT,
    finished_at  BIGINT,
    last_status  BIGINT,
    last_error   TEXT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, state, next_at);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (state, finished_at);
CREATE INDEX webhook_deliveries_by_alert ON webhook_deliveries (alert_id);
