//! Passwords: which are taken, and how they are hashed without stopping anything else.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::problem::{Outcome, Problem};

/// What everybody tries first; longer than seven characters, since shorter ones are refused anyway.
const COMMON: &str = "password password1 password12 password123 passw0rd p@ssw0rd p@ssword 12345678 123456789 \
    1234567890 11111111 00000000 87654321 987654321 123123123 12341234 11223344 88888888 66666666 qwertyui qwertyuiop \
    qwerty123 qwerty12 qwerty1234 1q2w3e4r 1q2w3e4r5t 1qaz2wsx zaq12wsx asdfghjk asdfghjkl zxcvbnm1 iloveyou \
    iloveyou1 sunshine princess football baseball superman batman123 michael1 jennifer trustno1 welcome1 welcome123 \
    letmein1 letmein123 admin123 admin1234 administrator changeme changeme1 changeme123 default1 secret123 master123 \
    abc12345 abcd1234 a1b2c3d4 aa123456 computer internet whatever starwars dragon123 monkey123 shadow123 charlie1 \
    liverpool chelsea1 arsenal1 corvette mercedes maverick steelers hello123 test1234 testtest guest123 user1234 \
    root1234 toor1234 pass1234 password! password1! welcome1! qwerty1! summer2024 winter2024 spring2024 summer2025 \
    winter2025 spring2025 summer2026 winter2026 company123 security samsung1 google123 facebook linkedin";

/// Says which rule a new password breaks.
pub(crate) fn check(password: &str, username: &str) -> Outcome<()> {
    let refuse = |why: &str| Err(Problem::field("password", why));
    if password.chars().count() < 8 {
        return refuse("password must be at least 8 characters long");
    }
    if password.len() > 72 {
        return refuse("password must be at most 72 bytes long");
    }
    let lower = password.to_lowercase();
    if COMMON.split_whitespace().any(|common| common == lower) {
        return refuse("password is among the most common ones; choose another");
    }
    let name = domain::username_key(username);
    if !name.is_empty() && domain::username_key(password).contains(&name) {
        return refuse("password must not contain the user name");
    }
    Ok(())
}

/// Slots for bcrypt, which is slow by design: as many as cores, given out in turns over the sources that wait, so
/// that one source that floods log-ins delays itself and nobody else.
#[derive(Clone)]
pub(crate) struct Hasher {
    slots: Arc<Mutex<Slots>>,
    cost: u32,
    /// Hash of nothing anybody knows, so that an unknown name costs what a known one costs.
    dummy: Arc<str>,
}

#[derive(Default)]
struct Slots {
    free: usize,
    waiting: usize,
    turns: VecDeque<IpAddr>,
    queues: HashMap<IpAddr, VecDeque<oneshot::Sender<Slot>>>,
    most_waiting: usize,
}

/// The right to run one bcrypt; hands itself on when dropped.
struct Slot(Option<Arc<Mutex<Slots>>>);

impl Hasher {
    /// `slots` at once, at most `most_waiting` in the queue.
    pub(crate) fn new(cost: u32, slots: usize, most_waiting: usize) -> Result<Self, bcrypt::BcryptError> {
        let secret: [u8; 16] = rand::random();
        let dummy = bcrypt::hash(uuid::Uuid::from_bytes(secret).simple().to_string(), cost)?;
        let slots = Slots { free: slots.max(1), most_waiting, ..Slots::default() };
        Ok(Self { slots: Arc::new(Mutex::new(slots)), cost, dummy: dummy.into() })
    }

    /// Whether `password` belongs to `hash`; the same work where there is no hash.
    pub(crate) async fn verify(&self, source: IpAddr, password: String, hash: Option<String>) -> Outcome<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        // Longer than bcrypt reads: it cannot be right, but takes as long.
        let fits = password.len() <= 72 && !password.contains('\0');
        let password = if fits { password } else { String::from("x") };
        let right = self.run(source, move || bcrypt::verify(password, &hash)).await?;
        Ok(known && fits && right)
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, source: IpAddr, password: String) -> Outcome<String> {
        let cost = self.cost;
        self.run(source, move || bcrypt::hash(password, cost)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        source: IpAddr,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Outcome<T> {
        let slot = self.slot(source).await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(slot);
            result
        });
        done.await.map_err(Problem::internal)?.map_err(Problem::internal)
    }

    async fn slot(&self, source: IpAddr) -> Outcome<Slot> {
        let wait = {
            let mut slots = lock(&self.slots);
            if slots.free > 0 {
                slots.free -= 1;
                return Ok(Slot(Some(self.slots.clone())));
            }
            if slots.waiting >= slots.most_waiting {
                return Err(Problem::overloaded("Too many log-ins at once. Try again in a moment."));
            }
            let (give, wait) = oneshot::channel();
            slots.waiting += 1;
            let queue = slots.queues.entry(source).or_default();
            queue.push_back(give);
            if queue.len() == 1 {
                slots.turns.push_back(source);
            }
            wait
        };
        wait.await.map_err(Problem::internal)
    }
}

fn lock(slots: &Mutex<Slots>) -> std::sync::MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        loop {
            let next = {
                let mut slots = lock(&shared);
                let Some(source) = slots.turns.pop_front() else {
                    slots.free += 1;
                    return;
                };
                slots.waiting -= 1;
                let queue = slots.queues.get_mut(&source);
                let next = queue.and_then(VecDeque::pop_front);
                if slots.queues.get(&source).is_some_and(|queue| !queue.is_empty()) {
                    slots.turns.push_back(source);
                } else {
                    slots.queues.remove(&source);
                }
                next
            };
            // Whoever stopped waiting does not take the slot: on to the next, without handing on twice.
            match next.map(|give| give.send(Slot(Some(shared.clone())))) {
                Some(Ok(())) => return,
                Some(Err(mut refused)) => refused.0 = None,
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_which_it_is() {
        for (password, part) in [
            ("short", "at least 8"),
            (&"ä".repeat(37)[..], "72 bytes"),
            ("Password123", "common"),
            ("my-ALICE-secret", "user name"),
        ] {
            assert!(check(password, "alice").unwrap_err().error.contains(part), "{password}");
        }
        assert!(check("correct horse", "alice").is_ok());
    }

    #[tokio::test]
    async fn slots_go_round_over_sources() {
        let hasher = Hasher::new(4, 1, 10).unwrap();
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = hasher.slot(a).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, source) in [("a1", a), ("a2", a), ("a3", a), ("b1", b)] {
            let (hasher, order) = (hasher.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let slot = hasher.slot(source).await.unwrap();
                order.lock().unwrap().push(name);
                drop(slot);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["a1", "b1", "a2", "a3"]);
        assert_eq!(lock(&hasher.slots).free, 1);
    }
}
