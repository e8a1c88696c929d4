-- More than one partition of a log: beside an offset the event before it, by which a log that was made anew is told from
-- the one that was read; which partition an alert and a snapshot of the engine belong to. Twin of mysql/0004_partitions.sql.

ALTER TABLE offsets ADD COLUMN last_event BLOB;

-- None where the alert was found in stored activities.
ALTER TABLE alerts ADD COLUMN log_topic TEXT DEFAULT 'journal';
ALTER TABLE alerts ADD COLUMN log_part INTEGER DEFAULT 0;

ALTER TABLE engine_snapshots ADD COLUMN topic TEXT NOT NULL DEFAULT 'journal';
