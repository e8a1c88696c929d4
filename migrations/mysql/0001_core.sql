-- The core: the journal, who may come in, the inventory. Twin of sqlite/0001_core.sql.
-- Times are microseconds since 1970 in UTC, money is cents, ids of events are 16 raw bytes, flags are 0 and 1.

-- The lowest version of the program that may still use this schema; a later migration raises it when it must.
CREATE TABLE schema_compat (
    id             BIGINT         PRIMARY KEY CHECK (id = 1),
    min_compatible BIGINT         NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO schema_compat (id, min_compatible) VALUES (1, 1);

-- Everything that happened, in the order of positions, which under concurrent writers is not quite the order of
-- commits: the relay knows that.
CREATE TABLE journal (
    seq            BIGINT         PRIMARY KEY AUTO_INCREMENT,
    topic          VARCHAR(16)    NOT NULL,
    event_id       BINARY(16)     UNIQUE,
    payload        MEDIUMTEXT     NOT NULL,
    appended_at    BIGINT         NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A deleted user stays: its name is taken for ever, and what it did keeps its author.
CREATE TABLE users (
    user_id        BIGINT         PRIMARY KEY AUTO_INCREMENT,
    username       VARCHAR(255)   NOT NULL,
    username_key   VARCHAR(255)   NOT NULL UNIQUE,
    password_hash  VARCHAR(255)   NOT NULL,
    email          VARCHAR(1024),
    full_name      VARCHAR(1024),
    role_id        BIGINT         NOT NULL,
    is_active      BIGINT         NOT NULL,
    created_at     BIGINT         NOT NULL,
    zone           VARCHAR(64),
    deleted_at     BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX users_by_role ON users (role_id);

-- Who is logged in: the authority on it. (`sessions` is what the log says about sessions.)
CREATE TABLE auth_sessions (
    session_id     VARCHAR(64)    PRIMARY KEY,
    user_id        BIGINT         NOT NULL,
    started_at     BIGINT         NOT NULL,
    expires_at     BIGINT         NOT NULL,
    ended_at       BIGINT,
    ip             VARCHAR(64)    NOT NULL,
    user_agent     VARCHAR(255),
    FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX auth_sessions_by_user ON auth_sessions (user_id);
CREATE INDEX auth_sessions_by_expiry ON auth_sessions (expires_at);

-- Failed log-ins of the last hour. The name is a digest: people type passwords into the wrong field.
CREATE TABLE login_failures (
    id             BIGINT         PRIMARY KEY AUTO_INCREMENT,
    name_id        BINARY(16)     NOT NULL,
    source         VARCHAR(64)    NOT NULL,
    at             BIGINT         NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX login_failures_by_name ON login_failures (name_id, at);
CREATE INDEX login_failures_by_source ON login_failures (source, at);
CREATE INDEX login_failures_by_time ON login_failures (at);

-- From where a name has logged in within 30 days.
CREATE TABLE login_sources (
    name_id        BINARY(16)     NOT NULL,
    source         VARCHAR(64)    NOT NULL,
    last_at        BIGINT         NOT NULL,
    PRIMARY KEY (name_id, source)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX login_sources_by_time ON login_sources (last_at);

-- Keys of other systems; of the secret only its SHA-256. A name is never given twice: it is the origin of rows.
CREATE TABLE api_keys (
    id             VARCHAR(64)    PRIMARY KEY,
    name           VARCHAR(255)   NOT NULL UNIQUE,
    sha256         BINARY(32)     NOT NULL,
    scope          VARCHAR(64)    NOT NULL,
    created_at     BIGINT         NOT NULL,
    expires_at     BIGINT,
    revoked_at     BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- name_key is the name as it is searched: NFKC, lower case, made in the program so that both engines agree.
CREATE TABLE items (
    item_id        BIGINT         PRIMARY KEY AUTO_INCREMENT,
    name           VARCHAR(1024)  NOT NULL,
    name_key       TEXT           NOT NULL,
    description    TEXT,
    category       VARCHAR(255),
    quantity       BIGINT         NOT NULL CHECK (quantity >= 0),
    price_cents    BIGINT         NOT NULL CHECK (price_cents >= 0),
    last_updated   BIGINT         NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX items_by_category ON items (category);

CREATE TABLE orders (
    order_id       BIGINT         PRIMARY KEY AUTO_INCREMENT,
    user_id        BIGINT         NOT NULL,
    item_id        BIGINT         NOT NULL,
    quantity       BIGINT         NOT NULL CHECK (quantity > 0),
    order_time     BIGINT         NOT NULL,
    FOREIGN KEY (user_id) REFERENCES users (user_id),
    FOREIGN KEY (item_id) REFERENCES items (item_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX orders_by_time ON orders (order_time);
CREATE INDEX orders_by_user ON orders (user_id, order_time);
CREATE INDEX orders_by_item ON orders (item_id, order_time);

-- What was answered to requests that carried an Idempotency-Key. `done` is set, and the answer written, in the
-- transaction of what the request changed; `owner` is the process that has begun it.
CREATE TABLE idempotency (
    request_key    VARCHAR(255)   PRIMARY KEY,
    fingerprint    VARBINARY(64)  NOT NULL,
    begun_at       BIGINT         NOT NULL,
    owner          BINARY(16)     NOT NULL,
    done           BIGINT         NOT NULL,
    status         BIGINT,
    body           MEDIUMBLOB
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX idempotency_by_time ON idempotency (begun_at);

CREATE TABLE settings (
    name           VARCHAR(255)   PRIMARY KEY,
    value          TEXT           NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
