-- A list of alerts finds in an index alone which ones it shows, whatever it asks for: documents are large, and a row that
-- is passed over should not be read. Twin of mysql/0009_alert_lists_by_index.sql.

-- By time alone is how alerts_of_rules begins.
DROP INDEX alerts_by_time;
DROP INDEX alerts_by_rule;
CREATE INDEX alerts_by_rule ON alerts (rule_id, at, severity, status, suppressed, state);
DROP INDEX alerts_open;
CREATE INDEX alerts_by_state ON alerts (state, at, rule_id, severity, status, suppressed);
