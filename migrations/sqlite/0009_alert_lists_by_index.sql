-- A list of alerts finds in an index alone which ones it shows, whatever it asks for, and in its order: newest first, and of
-- one moment by id. Documents are large, and a row that is passed over should not be read. Twin of
-- mysql/0009_alert_lists_by_index.sql.

-- By time alone is how alerts_of_rules begins.
DROP INDEX alerts_by_time;
DROP INDEX alerts_by_rule;
DROP INDEX alerts_by_status;
DROP INDEX alerts_by_severity;
DROP INDEX alerts_of_rules;
DROP INDEX alerts_open;
CREATE INDEX alerts_by_rule ON alerts (rule_id, at, alert_id, severity, status, suppressed, state);
CREATE INDEX alerts_by_status ON alerts (status, at, alert_id, severity, suppressed, state);
CREATE INDEX alerts_by_severity ON alerts (severity, at, alert_id, status, suppressed, state);
CREATE INDEX alerts_by_state ON alerts (state, at, alert_id, rule_id, severity, status, suppressed);
CREATE INDEX alerts_of_rules ON alerts (at, alert_id, rule_id, severity, status, verdict, suppressed, state);
