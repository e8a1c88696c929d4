-- Lists and counts of alerts by status and severity, newest first, and what each rule found: without reading documents
-- of alerts that are not asked for.
CREATE INDEX alerts_by_status ON alerts (status, at, severity, suppressed, state);
CREATE INDEX alerts_by_severity ON alerts (severity, at, status, suppressed, state);
CREATE INDEX alerts_of_rules ON alerts (at, rule_id, severity, status, verdict, suppressed, state);
