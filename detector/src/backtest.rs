//! [`Backtest`]: the engine over what already happened, from lines of NDJSON or from stored activities.
//!
//! The engine is the live one; here are only the things around it that a live system has from elsewhere: when a
//! record was received (the latest time so far), whether it is late, and whether it came before.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use domain::{Activity, Alert, AlertState, MINUTE, Severity, Timestamp, WireError, wire};
use uuid::Uuid;

use crate::engine::{Engine, Footprint, Settings};
use crate::rules::RuleSet;
use crate::seen::Seen;
use crate::wording::Wording;

/// Behind the lateness, as the live watermark.
const MARGIN: i64 = MINUTE;
/// Records between two looks at the watermark.
const STRIDE: u64 = 4096;
/// Records between two looks at the alerts: an open one is written anew at each look, so the rarer the better, but what
/// has closed must not pile up.
const LOOK: u64 = 16 * STRIDE;
/// Refused lines whose reason is kept.
const REASONS: usize = 5;
/// Bytes read at once: few calls, and what was read is still near the core when it is parsed.
const BUFFER: usize = 1 << 18;

/// A run of the engine over the past.
pub struct Backtest {
    engine: Engine,
    lateness: i64,
    newest: Option<Timestamp>,
    lines: u64,
    ids: Seen,
    alerts: HashMap<Uuid, Alert>,
    wording: Wording,
    summary: Summary,
    line: Vec<u8>,
    reader: wire::Reader,
}

/// What a run went over.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Records with an id of their own, late ones included.
    pub events: u64,
    /// Those of them that were later than the lateness allows: no rule saw them. History that was imported is none of
    /// them.
    pub late: u64,
    /// Lines that are no activity.
    pub rejected: u64,
    /// The first rejected lines: number and reason.
    pub reasons: Vec<(u64, String)>,
    /// Records whose id had come before.
    pub duplicates: u64,
    /// The farthest that one record moved the newest time forward, in microseconds, and its line. What follows such a
    /// record is late, so one wrong clock shows here.
    pub largest_jump: Option<(i64, u64)>,
    /// Alerts by the title of their rule.
    pub alerts: BTreeMap<String, u64>,
    /// Findings of informational rules: they count for risk and are no alerts.
    pub signals: u64,
    /// What the engine gave up because of its bounds, by the reason: how many events or values.
    pub given_up: BTreeMap<String, u64>,
    /// State of the engine when the records ended.
    pub footprint: Footprint,
}

impl Backtest {
    /// A run that has seen nothing. `lateness` in microseconds.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, settings: Settings, lateness: i64) -> Self {
        Self {
            engine: Engine::new(rules, settings),
            lateness,
            newest: None,
            lines: 0,
            ids: Seen::default(),
            alerts: HashMap::new(),
            wording: Wording::default(),
            summary: Summary::default(),
            line: Vec::new(),
            reader: wire::Reader::default(),
        }
    }

    /// Every line of `reader`, in their order. Lines of a further reader are numbered on.
    ///
    /// # Errors
    /// The reader fails.
    pub fn read(&mut self, reader: impl Read) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let mut line = std::mem::take(&mut self.line);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            self.line(&line);
        }
        self.line = line;
        Ok(())
    }

    /// One line. Blank ones are counted as lines and pass.
    pub fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        if line.is_empty() {
            return;
        }
        if let Err(error) = self.record(line) {
            self.summary.rejected += 1;
            if self.summary.reasons.len() < REASONS {
                self.summary.reasons.push((self.lines, error.to_string()));
            }
        }
    }

    fn record(&mut self, line: &[u8]) -> Result<(), WireError> {
        let incoming = self.reader.parse(line)?;
        let own_id = incoming.event_id;
        let said = incoming.occurred_at;
        // A line without a time moves nothing, and is refused below.
        let received_at = said.max(self.newest).unwrap_or_default();
        let number = Uuid::from_u128(u128::from(self.lines));
        let mut activity = self.reader.backtest(incoming, received_at, number)?;
        if self.ids.insert(own_id, self.lines) {
            activity.late = wire::late(activity.occurred_at, received_at, self.lateness);
            self.arrived(&activity);
        } else {
            self.summary.duplicates += 1;
        }
        self.reader.done_with(activity);
        Ok(())
    }

    /// One stored activity, whose `late` and `received_at` stand as they were stamped. They come in event time, so
    /// everything before it is complete. What was imported is looked at although no live rule ever saw it: that is what
    /// the question is about.
    pub fn stored(&mut self, activity: &Activity) {
        self.count(activity, activity.occurred_at, activity.late && !activity.is_imported());
        if self.summary.events.is_multiple_of(STRIDE) {
            self.settle(activity.occurred_at.plus(-1));
        }
    }

    fn arrived(&mut self, activity: &Activity) {
        self.count(activity, activity.received_at, activity.late);
        if self.summary.events.is_multiple_of(STRIDE) {
            self.settle(activity.received_at.plus(-self.lateness - MARGIN));
        }
    }

    fn count(&mut self, activity: &Activity, now: Timestamp, is_late: bool) {
        if let Some(newest) = self.newest {
            let jump = now.since(newest);
            if jump > self.summary.largest_jump.map_or(0, |(largest, _)| largest) {
                self.summary.largest_jump = Some((jump, self.lines));
            }
        }
        self.newest = self.newest.max(Some(now));
        self.summary.events += 1;
        if is_late {
            self.summary.late += 1;
        } else {
            self.engine.observe(activity);
            self.wording.remember(activity);
        }
    }

    fn settle(&mut self, watermark: Timestamp) {
        self.engine.advance(watermark);
        if self.summary.events.is_multiple_of(LOOK) {
            self.collect();
            self.wording.forget(watermark);
        }
    }

    fn collect(&mut self) {
        let mut drained = self.engine.drain();
        self.wording.tell(&mut drained, &self.alerts);
        self.alerts.extend(drained.into_iter().map(|alert| (alert.alert_id, alert)));
        for gap in self.engine.gaps() {
            *self.summary.given_up.entry(gap.reason).or_default() += gap.lost;
        }
    }

    /// What the engine keeps at this moment.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        self.engine.footprint()
    }

    /// Nothing more will come: the alerts in their final state, by `at`, rule and key, and what the run went over.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Alert>, Summary) {
        self.summary.footprint = self.engine.footprint();
        self.engine.finish();
        self.collect();
        let mut alerts = Vec::new();
        for alert in self.alerts.into_values() {
            match (alert.state, alert.severity) {
                (AlertState::Retracted | AlertState::Merged, _) => {}
                (_, Severity::Informational) => self.summary.signals += 1,
                _ => {
                    *self.summary.alerts.entry(alert.rule.clone()).or_default() += 1;
                    alerts.push(alert);
                }
            }
        }
        alerts.sort_by(|a, b| (a.at, &a.rule_id, &a.key).cmp(&(b.at, &b.rule_id, &b.key)));
        (alerts, self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (Vec<Alert>, Summary) {
        let mut backtest = Backtest::new(Arc::new(RuleSet::default()), Settings::default(), 5 * MINUTE);
        backtest.read(text.as_bytes()).expect("memory can be read");
        backtest.finish()
    }

    #[test]
    fn lines_are_counted_by_what_becomes_of_them() {
        let (alerts, summary) = run("\u{feff}{\"ts\":\"2026-01-01T12:00:00Z\",\"action\":\"View\"}\n\
            \r\n\
            {\"ts\":\"2026-01-01T12:10:00Z\",\"action\":\"View\",\"event_id\":\"0191A0000000700080000000000000AA\"}\n\
            {\"ts\":\"2026-01-01T12:05:00Z\",\"action\":\"View\"}\n\
            {\"ts\":\"2026-01-01T12:04:59.999999Z\",\"action\":\"View\"}\n\
            {\"ts\":\"2026-01-01T12:09:00Z\",\"action\":\"View\",\"event_id\":\"0191a000-0000-7000-8000-0000000000aa\"}\n\
            {\"ts\":\"yesterday\",\"action\":\"View\"}\n\
            {\"action\":\"View\"}\n\
            {\"ts\":\"2026-01-01T12:10:00Z\",\"action\":\"View\"}");
        assert!(alerts.is_empty());
        assert_eq!((summary.events, summary.late, summary.rejected, summary.duplicates), (5, 1, 2, 1));
        assert_eq!(summary.largest_jump, Some((10 * MINUTE, 3)));
        assert_eq!(summary.reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn imported_history_is_looked_at_and_what_came_late_is_not() {
        let rules = "title: Seen\nid: 5a0f3d0e-90f1-4d8f-8f52-0a7f2f0b1d03\nlogsource: {category: activity}\n\
            detection: {s: {action: View}, condition: s}\nlevel: low\n";
        let rules = crate::rules::load(&[crate::rules::RuleSource::text("r.yml", rules)]).expect("valid").rules;
        let mut backtest = Backtest::new(Arc::new(rules), Settings::default(), 5 * MINUTE);
        for (number, origin) in [(1, "api"), (2, Activity::IMPORTED)] {
            let at = Timestamp::parse("2024-01-01T12:00:00Z").expect("time").plus(number * 60 * MINUTE);
            let mut activity = Activity::new(Uuid::from_u128(number as u128), "View", at);
            activity.user = Some(format!("from {origin}"));
            origin.clone_into(&mut activity.origin);
            activity.late = true;
            backtest.stored(&activity);
        }
        let (alerts, summary) = backtest.finish();
        assert_eq!((summary.events, summary.late, alerts.len()), (2, 1, 1));
        assert_eq!(alerts[0].user.as_deref(), Some("from import"));
    }

    #[test]
    fn an_alert_speaks_of_people_and_addresses_as_their_events_do() {
        let rules = "title: View\nid: 5a0f3d0e-90f1-4d8f-8f52-0a7f2f0b1d01\nname: a\nlogsource: {category: activity}\n\
            detection: {s: {action: View}, condition: s}\nlevel: informational\n"
            .to_owned();
        let by = |field: &str, digit: u8| {
            format!(
                "---\ntitle: By {field}\nid: 5a0f3d0e-90f1-4d8f-8f52-0a7f2f0b1d1{digit}\nlevel: low\ncorrelation: {{type: \
                 event_count, rules: [a], group-by: [{field}], timespan: 1h, condition: {{gte: 3}}}}\n"
            )
        };
        let rules = rules + &by("user", 1) + &by("source_ip", 2) + &by("session_id", 3);
        let rules = crate::rules::load(&[crate::rules::RuleSource::text("r.yml", rules)]).expect("valid").rules;
        let mut backtest = Backtest::new(Arc::new(rules), Settings::default(), 5 * MINUTE);
        for (second, user, ip) in [(1, "ada", 1), (3, "ADA ", 3), (2, "Ada", 2), (4, "ada", 4)] {
            let line = format!(
                r#"{{"ts":"2026-01-01T12:00:0{second}Z","action":"View","user":"{user}","session":"S","ip":"2001:db8::{ip}"}}"#
            );
            backtest.line(line.as_bytes());
        }
        let (alerts, _) = backtest.finish();
        let told: Vec<_> = alerts.iter().map(|a| (a.user.as_deref(), a.ip.as_deref(), a.session.as_deref())).collect();
        let ada = Some("ADA ");
        assert_eq!(told, [(ada, None, None), (None, Some("2001:db8::3"), None), (ada, None, Some("S"))]);
        assert_eq!((&*alerts[0].key["user"], &*alerts[1].key["source_ip"]), ("ada", "2001:db8::/64"));
    }

    #[test]
    fn what_the_engine_gives_up_is_told() {
        let rules = "title: Many\nid: 5a0f3d0e-90f1-4d8f-8f52-0a7f2f0b1d01\nname: a\nlogsource: {category: activity}\ndetection: {s: {action: View}, \
            condition: s}\nlevel: informational\n---\ntitle: Hundred\nid: 5a0f3d0e-90f1-4d8f-8f52-0a7f2f0b1d02\n\
            correlation: {type: event_count, rules: [a], group-by: [user], timespan: 1h, condition: {gte: 100}}\n";
        let rules = crate::rules::load(&[crate::rules::RuleSource::text("r.yml", rules)]).expect("valid").rules;
        let settings = Settings { events_per_key: 64, ..Settings::default() };
        let mut backtest = Backtest::new(Arc::new(rules), settings, 5 * MINUTE);
        for second in 0..90 {
            let (minute, second) = (second / 60, second % 60);
            let line = format!(r#"{{"ts":"2026-01-01T12:{minute:02}:{second:02}Z","action":"View","user":"ada"}}"#);
            backtest.line(line.as_bytes());
        }
        let (_, summary) = backtest.finish();
        let (reason, lost) = summary.given_up.first_key_value().expect("a bound was reached");
        assert!(reason.starts_with("a key had more than 64 events") && *lost > 0, "{reason}: {lost}");
    }
}
