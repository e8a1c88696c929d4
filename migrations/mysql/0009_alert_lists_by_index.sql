-- A list of alerts finds in an index alone which ones it shows, whatever it asks for, and in its order: newest first, and of
-- one moment by id. Documents are large, and a row that is passed over should not be read. Twin of
-- sqlite/0009_alert_lists_by_index.sql.

-- By time alone is how alerts_of_rules begins.
DROP INDEX alerts_by_time ON alerts;
DROP INDEX alerts_by_rule ON alerts;
DROP INDEX alerts_by_status ON alerts;
DROP INDEX alerts_by_severity ON alerts;
DROP INDEX alerts_of_rules ON alerts;
DROP INDEX alerts_open ON alerts;
CREATE INDEX alerts_by_rule ON alerts (rule_id, at, alert_id, severity, status, suppressed, state);
CREATE INDEX alerts_by_status ON alerts (status, at, alert_id, severity, suppressed, state);
CREATE INDEX alerts_by_severity ON alerts (severity, at, alert_id, status, suppressed, state);
CREATE INDEX alerts_by_state ON alerts (state, at, alert_id, rule_id, severity, status, suppressed);
CREATE INDEX alerts_of_rules ON alerts (at, alert_id, rule_id, severity, status, verdict, suppressed, state);
