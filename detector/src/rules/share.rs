//! The part of a rule set that runs where events are split by user, or by source address.

use sha2::{Digest, Sha256};

use super::limits::places;
use super::matcher::Matcher;
use super::model::{Body, DetectionKey, Rule, RuleSet, Share};

impl RuleSet {
    /// The rules that report in a share of the events, with those that they build on. A rule reports in one share, so
    /// that nothing is found twice: by user where it can. A detection without a key reports in both, in each its own
    /// events: the alert is the user's where there is one, and the address's where there is none. What
    /// [`undistributable`](super::undistributable) names reports nowhere.
    #[must_use]
    pub fn of_share(&self, share: Share) -> Self {
        let places = places(self);
        let reports = |at: usize| {
            let rule: &Rule = &self.rules[at];
            rule.reports
                && places[at].as_ref().is_ok_and(|place| match share {
                    Share::Whole => true,
                    Share::ByUser => place.user,
                    Share::BySource => place.source && (!place.user || is_keyless(rule)),
                })
        };
        let mut needed: Vec<bool> = (0..self.rules.len()).map(reports).collect();
        for at in (0..self.rules.len()).rev() {
            // What a rule refers to stands before it.
            if let Body::Correlation(correlation) = &self.rules[at].body
                && needed[at]
            {
                correlation.refs.iter().for_each(|target| needed[*target] = true);
            }
        }
        let mut rules: Vec<Rule> = Vec::new();
        let mut moved = vec![None; self.rules.len()];
        for (at, rule) in self.rules.iter().enumerate().filter(|(at, _)| needed[*at]) {
            moved[at] = Some(rules.len());
            let mut rule = rule.clone();
            rule.reports = reports(at);
            if let Body::Correlation(correlation) = &mut rule.body {
                correlation.refs = correlation.refs.iter().filter_map(|target| moved[*target]).collect();
            }
            rules.push(rule);
        }
        let digest = Sha256::new().chain_update(self.digest).chain_update(format!("{share:?}")).finalize().into();
        Self { rules, matcher: Matcher::of_some(&self.matcher, &moved), digest, share }
    }
}

fn is_keyless(rule: &Rule) -> bool {
    matches!(&rule.body, Body::Detection(detection) if detection.key == DetectionKey::Auto)
}

#[cfg(test)]
mod tests {
    use super::super::{RuleSource, load};
    use super::*;

    fn detection(name: &str, more: &str) -> String {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{a: b}}\ndetection: {{s: {{action: {name}}}, condition: s}}\n{more}---\n"
        )
    }

    fn count(name: &str, of: &str, key: &str) -> String {
        format!(
            "title: {name}\nname: {name}\ncorrelation: {{type: event_count, rules: [{of}], timespan: 5m, group-by: \
             [{key}], condition: {{gte: 2}}}}\n---\n"
        )
    }

    fn names(set: &RuleSet) -> Vec<(&str, bool)> {
        set.rules.iter().map(|rule| (rule.name.as_deref().unwrap_or_default(), rule.reports)).collect()
    }

    #[test]
    fn each_rule_reports_in_one_share_and_a_detection_without_a_key_in_both() {
        let text = [
            detection("plain", ""),
            detection("base", ""),
            count("by_user", "base", "user"),
            count("by_source", "base", "source_ip"),
            count("by_both", "base", "user, source_ip"),
            count("by_neither", "base", "resource"),
        ];
        let set =
            load(&[RuleSource::text("t.yml", text.concat())]).unwrap_or_else(|findings| panic!("{findings:?}")).rules;
        assert_eq!(
            names(&set.of_share(Share::ByUser)),
            [("plain", true), ("base", false), ("by_user", true), ("by_both", true)]
        );
        let by_source = set.of_share(Share::BySource);
        assert_eq!(names(&by_source), [("plain", true), ("base", false), ("by_source", true)]);
        let Body::Correlation(correlation) = &by_source.rules[2].body else { panic!("a correlation") };
        assert_eq!(correlation.refs, [1]);
    }

    #[test]
    fn every_built_in_rule_reports_somewhere() {
        let set = load(&[RuleSource::built_in()]).unwrap_or_else(|findings| panic!("{findings:?}")).rules;
        let shares = [set.of_share(Share::ByUser), set.of_share(Share::BySource)];
        for rule in set.rules.iter().filter(|rule| rule.reports) {
            let times =
                shares.iter().filter(|of| of.rules.iter().any(|other| other.id == rule.id && other.reports)).count();
            assert_eq!(times, 1 + usize::from(is_keyless(rule) && places_both(&set, &rule.id)), "{}", rule.title);
        }
        assert_ne!(shares[0].digest, shares[1].digest);
    }

    fn places_both(set: &RuleSet, id: &str) -> bool {
        let at = set.rules.iter().position(|rule| rule.id == id).expect("there");
        places(set)[at].as_ref().is_ok_and(|place| place.user && place.source)
    }
}
