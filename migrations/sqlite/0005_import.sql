-- What became of the rows of another installation: which row here each of them is, so that an import can be taken up again
-- and run twice. Twin of mysql/0005_import.sql.

CREATE TABLE imported (
    source    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    source_id INTEGER NOT NULL,
    target_id INTEGER NOT NULL,
    PRIMARY KEY (source, kind, source_id)
) WITHOUT ROWID;
