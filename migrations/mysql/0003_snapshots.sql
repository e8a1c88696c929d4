-- The twin of the SQLite migration of the same number.

CREATE TABLE engine_snapshots (
    snapshot_id BIGINT     PRIMARY KEY AUTO_INCREMENT,
    part        BIGINT     NOT NULL,
    next_offset BIGINT     NOT NULL,
    digest      BINARY(32) NOT NULL,
    made_at     BIGINT     NOT NULL,
    chunks      BIGINT     NOT NULL,
    complete    BIGINT     NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE engine_snapshot_chunks (
    snapshot_id BIGINT   NOT NULL,
    number      BIGINT   NOT NULL,
    bytes       LONGBLOB NOT NULL,
    PRIMARY KEY (snapshot_id, number)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
