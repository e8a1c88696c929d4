-- The core: the journal, who may come in, the inventory. Twin of mysql/0001_core.sql.
-- Times are microseconds since 1970 in UTC, money is cents, ids of events are 16 raw bytes, flags are 0 and 1.

-- The lowest version of the program that may still use this schema; a later migration raises it when it must.
CREATE TABLE schema_compat (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    min_compatible INTEGER NOT NULL
);
INSERT INTO schema_compat (id, min_compatible) VALUES (1, 1);

-- Everything that happened, in the order of commits. AUTOINCREMENT: a position is never used twice, also once the
-- journal has been emptied.
CREATE TABLE journal (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT    NOT NULL,
    event_id    BLOB    UNIQUE,
    payload     TEXT    NOT NULL,
    appended_at INTEGER NOT NULL
);

-- A deleted user stays: its name is taken for ever, and what it did keeps its author.
CREATE TABLE users (
    user_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    username      TEXT    NOT NULL,
    username_key  TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,
    email         TEXT,
    full_name     TEXT,
    role_id       INTEGER NOT NULL,
    is_active     INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    zone          TEXT,
    deleted_at    INTEGER
);
CREATE INDEX users_by_role ON users (role_id);

-- Who is logged in: the authority on it. (`sessions` is what the log says about sessions.)
CREATE TABLE auth_sessions (
    session_id TEXT    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (user_id),
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ip         TEXT    NOT NULL,
    user_agent TEXT
) WITHOUT ROWID;
CREATE INDEX auth_sessions_by_user ON auth_sessions (user_id);
CREATE INDEX auth_sessions_by_expiry ON auth_sessions (expires_at);

-- Failed log-ins of the last hour. The name is a digest: people type passwords into the wrong field.
CREATE TABLE login_failures (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name_id BLOB    NOT NULL,
    source  TEXT    NOT NULL,
    at      INTEGER NOT NULL
);
CREATE INDEX login_failures_by_name ON login_failures (name_id, at);
CREATE INDEX login_failures_by_source ON login_failures (source, at);
CREATE INDEX login_failures_by_time ON login_failures (at);

-- From where a name has logged in within 30 days.
CREATE TABLE login_sources (
    name_id BLOB    NOT NULL,
    source  TEXT    NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (name_id, source)
) WITHOUT ROWID;
CREATE INDEX login_sources_by_time ON login_sources (last_at);

-- Keys of other systems; of the secret only its SHA-256. A name is never given twice: it is the origin of rows.
CREATE TABLE api_keys (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    sha256     BLOB    NOT NULL,
    scope      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;

-- name_key is the name as it is searched: NFKC, lower case, made in the program so that both engines agree.
CREATE TABLE items (
    item_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    name_key     TEXT    NOT NULL,
    description  TEXT,
    category     TEXT,
    quantity     INTEGER NOT NULL CHECK (quantity >= 0),
    price_cents  INTEGER NOT NULL CHECK (price_cents >= 0),
    last_updated INTEGER NOT NULL
);
CREATE INDEX items_by_category ON items (category);

CREATE TABLE orders (
    order_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL REFERENCES users (user_id),
    item_id    INTEGER NOT NULL REFERENCES items (item_id),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    order_time INTEGER NOT NULL
);
CREATE INDEX orders_by_time ON orders (order_time);
CREATE INDEX orders_by_user ON orders (user_id, order_time);
CREATE INDEX orders_by_item ON orders (item_id, order_time);

-- What was answered to requests that carried an Idempotency-Key. `done` is set, and the answer written, in the
-- transaction of what the request changed; `owner` is the process that has begun it.
CREATE TABLE idempotency (
    request_key TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    begun_at    INTEGER NOT NULL,
    owner       BLOB    NOT NULL,
    done        INTEGER NOT NULL,
    status      INTEGER,
    body        BLOB
) WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (begun_at);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
