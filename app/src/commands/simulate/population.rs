//! The people whose work `simulate` posts: the same seed gives the same people who do the same things in the same order.

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

pub(super) struct Population {
    people: Vec<Person>,
    dice: StdRng,
}

impl Population {
    pub(super) fn new(users: u16, seed: u64) -> Self {
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
    pub(super) fn act(&mut self) -> Value {
        let person = &self.people[self.dice.random_range(0..self.people.len())];
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
}
