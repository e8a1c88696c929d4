//! The people whose work `simulate` posts: the same seed gives the same people who do the same things in the same order.

use domain::{HOUR, MINUTE, SECOND, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const GIVEN: [&str; 8] = ["ada", "ben", "carla", "dora", "emil", "fritz", "greta", "hugo"];
const AGENTS: [&str; 3] =
    ["Mozilla/5.0 (Windows NT 10.0)", "Mozilla/5.0 (Macintosh)", "Mozilla/5.0 (X11; Linux x86_64)"];

/// One of them, at a desk of its own.
struct Person {
    name: String,
    role: &'static str,
    agent: &'static str,
    address: String,
    /// The share of what they do that changes something.
    busy: f64,
}

/// People.
pub(crate) struct Population {
    people: Vec<Person>,
    dice: StdRng,
}

impl Population {
    /// So many of them.
    pub(crate) fn new(users: u16, seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let people = (0..users)
            .map(|number| Person {
                name: format!("{}{number}", GIVEN[dice.random_range(0..GIVEN.len())]),
                role: if dice.random_bool(0.15) { "Supervisor" } else { "Employee" },
                agent: AGENTS[dice.random_range(0..AGENTS.len())],
                address: format!("10.20.{}.{}", number / 250, number % 250 + 1),
                busy: dice.random_range(0.05..0.3),
            })
            .collect();
        Self { people, dice }
    }

    /// What somebody does next.
    pub(crate) fn act(&mut self) -> Value {
        let person = self.dice.random_range(0..self.people.len());
        self.act_of(person)
    }

    /// A working day that begins at `midnight` (UTC): who comes, when, and what they do until they go; in order of time.
    pub(crate) fn day(&mut self, midnight: Timestamp) -> Vec<(Timestamp, Value)> {
        let mut day = Vec::new();
        for number in 0..self.people.len() {
            // Not everybody comes every day.
            if !self.dice.random_bool(0.9) {
                continue;
            }
            let from = midnight.plus(8 * HOUR + self.dice.random_range(0..90) * MINUTE);
            let acts = self.dice.random_range(15..45);
            let person = &self.people[number];
            let session = format!("{}-{}", person.name, midnight.micros() / HOUR);
            let login = json!({"action": "Login", "resource": "auth", "log_type": "auth", "user": person.name,
                "role": person.role, "user_agent": person.agent, "source_ip": person.address, "session_id": session});
            day.push((from, login));
            let mut at = from;
            for _ in 0..acts {
                at = at.plus(self.dice.random_range(60..1_500) * SECOND);
                let mut act = self.act_of(number);
                act["session_id"] = session.clone().into();
                day.push((at, act));
            }
        }
        day.sort_by_key(|(at, _)| *at);
        day
    }

    fn act_of(&mut self, number: usize) -> Value {
        let person = &self.people[number];
        let item = self.dice.random_range(1..400);
        let (action, resource) = match self.dice.random_bool(person.busy) {
            true if person.role == "Supervisor" => ("Update", format!("inventory/{item}")),
            true => ("Create", format!("orders/{item}")),
            false => ("View", format!("inventory/{item}")),
        };
        json!({"action": action, "resource": resource, "log_type": "data_access", "user": person.name,
               "role": person.role, "user_agent": person.agent, "source_ip": person.address})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_people() {
        let day = |seed| -> Vec<Value> {
            let mut population = Population::new(20, seed);
            (0..200).map(|_| population.act()).collect()
        };
        assert_eq!(day(7), day(7));
        assert_ne!(day(7), day(8));
    }

    #[test]
    fn a_day_is_in_order_and_within_working_hours() {
        let midnight = Timestamp::from_micros(20_000 * domain::DAY);
        let day = Population::new(20, 7).day(midnight);
        assert!(day.len() > 200 && day.is_sorted_by_key(|(at, _)| *at));
        assert!(day.iter().all(|(at, _)| (8 * HOUR..29 * HOUR).contains(&at.since(midnight))));
    }
}
