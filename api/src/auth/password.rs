//! Passwords: which are taken, and how they are hashed without stopping anything else.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::problem::{Outcome, Problem};

/// Says which rule a new password breaks.
pub(crate) fn check(password: &str, username: &str) -> Outcome<()> {
    domain::check_password(password, username).map_err(|sentence| Problem::field("password", sentence))
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
    queues: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
    most_waiting: usize,
    /// Of one source: its flood must not fill the queue for everybody.
    most_of_one: usize,
}

/// The right to run one bcrypt; hands itself on when dropped.
pub(crate) struct Turn(Option<Arc<Mutex<Slots>>>);

impl Hasher {
    /// `slots` at once, at most `most_waiting` in the queue, an eighth of them from one source.
    pub(crate) fn new(cost: u32, slots: usize, most_waiting: usize) -> Result<Self, bcrypt::BcryptError> {
        let secret: [u8; 16] = rand::random();
        let dummy = bcrypt::hash(uuid::Uuid::from_bytes(secret).simple().to_string(), cost)?;
        let most_of_one = (most_waiting / 8).max(1);
        let slots = Slots { free: slots.max(1), most_waiting, most_of_one, ..Slots::default() };
        Ok(Self { slots: Arc::new(Mutex::new(slots)), cost, dummy: dummy.into() })
    }

    /// Whether `password` belongs to `hash`; the same work where there is no hash. Takes a turn, so that the caller
    /// can record what came of it before the next attempt begins.
    pub(crate) async fn verify(&self, _turn: &Turn, password: String, hash: Option<String>) -> Outcome<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        // Longer than bcrypt reads: it cannot be right, but takes as long.
        let fits = password.len() <= 72 && !password.contains('\0');
        let password = if fits { password } else { String::from("x") };
        let right = blocking(move || bcrypt::verify(password, &hash)).await?;
        Ok(known && fits && right)
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, source: IpAddr, password: String) -> Outcome<String> {
        let _turn = self.turn(source).await?;
        let cost = self.cost;
        blocking(move || bcrypt::hash(password, cost)).await
    }

    /// The right to run one bcrypt, when it is this source's turn. Held until it is dropped; requests that hash run
    /// to their end even if their client goes away, so it never covers less than the work.
    pub(crate) async fn turn(&self, source: IpAddr) -> Outcome<Turn> {
        let wait = {
            let mut slots = lock(&self.slots);
            if slots.free > 0 {
                slots.free -= 1;
                return Ok(Turn(Some(self.slots.clone())));
            }
            let own = slots.queues.get(&source).map_or(0, VecDeque::len);
            if slots.waiting >= slots.most_waiting || own >= slots.most_of_one {
                return Err(Problem::overloaded("Too many log-ins at once. Try again in a moment."));
            }
            let (give, wait) = oneshot::channel();
            slots.waiting += 1;
            tell(&slots);
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::internal)
}

#[expect(clippy::cast_precision_loss, reason = "a queue of some hundred")]
fn tell(slots: &Slots) {
    metrics::gauge!(domain::metric::BCRYPT_WAITING).set(slots.waiting as f64);
}

fn lock(slots: &Mutex<Slots>) -> std::sync::MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
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
                tell(&slots);
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
            match next.map(|give| give.send(Turn(Some(shared.clone())))) {
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

    #[tokio::test]
    async fn slots_go_round_over_sources() {
        let hasher = Hasher::new(4, 1, 32).unwrap();
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = hasher.turn(a).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, source) in [("a1", a), ("a2", a), ("a3", a), ("b1", b)] {
            let (hasher, order) = (hasher.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let turn = hasher.turn(source).await.unwrap();
                order.lock().unwrap().push(name);
                drop(turn);
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
