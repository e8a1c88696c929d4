-- What became of the rows of another installation: which row here each of them is, so that an import can be taken up again
-- and run twice. Twin of sqlite/0005_import.sql.

CREATE TABLE imported (
    source         VARCHAR(255)   NOT NULL,
    kind           VARCHAR(16)    NOT NULL,
    source_id      BIGINT         NOT NULL,
    target_id      BIGINT         NOT NULL,
    PRIMARY KEY (source, kind, source_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
