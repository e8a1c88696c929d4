-- The state of the detection engine at some offset, so that a restart need not read again what its windows reach.

-- `complete` once all chunks are there. `digest`: of the rules and settings by which the state was made.
CREATE TABLE engine_snapshots (
    snapshot_id INTEGER PRIMARY KEY AUTOINCREMENT,
    part        INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    digest      BLOB    NOT NULL,
    made_at     INTEGER NOT NULL,
    chunks      INTEGER NOT NULL,
    complete    INTEGER NOT NULL
);

-- With a row id: of large values a table without one would keep a part in its index.
CREATE TABLE engine_snapshot_chunks (
    snapshot_id INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    bytes       BLOB    NOT NULL,
    PRIMARY KEY (snapshot_id, number)
);
