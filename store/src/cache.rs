//! Hot rows in memory, on SQLite only: there this process is the one writer, so they can be exact.
//!
//! The writer drops entries before its commit, and until that is done nothing is kept in their place: who reads meanwhile
//! reads the file. (Dropped afterwards, one of two readers could see the change in the file and then, of another row, the
//! state before it in memory.) A reader that was slow must not put back what it read before that commit: it notes the
//! generation before it reads, and its row is kept only if no entry has been dropped since. Another process that writes to the file is noticed by the writer (`PRAGMA data_version`, before each
//! transaction and every 200 ms), and then everything is dropped: `admin reset-password` beside a live server ends
//! sessions within that time.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;
use domain::Timestamp;

use crate::{ApiKey, ItemRow, UserRow};

/// Entries of one cache; a full one starts anew.
const MOST: usize = 50_000;

/// A row that has changed.
#[derive(Debug, Clone)]
pub(crate) enum Touched {
    /// The user's row; sessions read it with each request.
    User(i64),
    /// One session.
    Session(String),
    /// All sessions of a user.
    SessionsOf(i64),
    /// An item, and every list of items.
    Item(i64),
    /// An API key, by id.
    ApiKey(String),
}

/// What the session cache holds of a session that has not ended.
#[derive(Debug)]
pub(crate) struct CachedSession {
    pub(crate) user_id: i64,
    pub(crate) started_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A bounded map with generations.
pub(crate) struct Cache<K, V> {
    rows: DashMap<K, V>,
    generation: Generation,
    on: bool,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    fn new(on: bool) -> Self {
        Self { rows: DashMap::new(), generation: Generation::default(), on }
    }

    /// The row, if it is held.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.rows.get(key).map(|row| row.value().clone())
    }

    /// To be noted before the row is read from the database.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.now()
    }

    /// Keeps a row that was read after `generation` was noted, unless something was dropped meanwhile.
    pub(crate) fn put(&self, key: K, row: V, generation: u64) {
        if !self.on {
            return;
        }
        if self.rows.len() >= MOST {
            self.rows.clear();
        }
        // The entry locks its shard; `drop_if` raises the generation before it takes that lock, so either it is seen
        // here or the entry is seen there.
        let entry = self.rows.entry(key);
        if self.generation.is_still(generation) {
            entry.insert(row);
        }
    }

    fn drop_one(&self, key: &K) {
        self.generation.rise();
        self.rows.remove(key);
    }

    fn drop_if(&self, gone: impl Fn(&V) -> bool) {
        self.generation.rise();
        self.rows.retain(|_, row| !gone(row));
    }
}

/// Which reads are new enough to be kept.
#[derive(Debug, Default)]
struct Generation {
    number: AtomicU64,
    /// Changes of which nobody can say yet whether a read saw them.
    open_changes: AtomicU64,
}

impl Generation {
    fn now(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    fn is_still(&self, number: u64) -> bool {
        self.open_changes.load(Ordering::SeqCst) == 0 && self.now() == number
    }

    fn rise(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
    }

    fn change_begins(&self) {
        self.open_changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads that began during the change may have seen either side of it.
    fn change_ends(&self) {
        self.rise();
        self.open_changes.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One value with a generation.
pub(crate) struct Single<V> {
    value: RwLock<Option<V>>,
    generation: Generation,
    on: bool,
}

impl<V: Clone> Single<V> {
    fn new(on: bool) -> Self {
        Self { value: RwLock::new(None), generation: Generation::default(), on }
    }

    /// The value, if it is held.
    pub(crate) fn get(&self) -> Option<V> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be noted before the value is read from the database.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.now()
    }

    /// Keeps a value that was read after `generation` was noted, unless it was dropped meanwhile.
    pub(crate) fn put(&self, value: V, generation: u64) {
        if !self.on {
            return;
        }
        let mut held = self.value.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation.is_still(generation) {
            *held = Some(value);
        }
    }

    fn forget(&self) {
        self.generation.rise();
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// All caches of a store.
pub(crate) struct Caches {
    pub(crate) sessions: Cache<String, Arc<CachedSession>>,
    pub(crate) users: Cache<i64, Arc<UserRow>>,
    pub(crate) items: Cache<i64, Arc<ItemRow>>,
    pub(crate) keys: Cache<String, Arc<ApiKey>>,
    pub(crate) list: Single<Arc<Vec<ItemRow>>>,
}

impl Caches {
    /// Empty caches; those that are off stay empty.
    pub(crate) fn new(on: bool) -> Self {
        Self {
            sessions: Cache::new(on),
            users: Cache::new(on),
            items: Cache::new(on),
            keys: Cache::new(on),
            list: Single::new(on),
        }
    }

    /// Before a commit: drops what will no longer hold, and keeps nothing in its place until
    /// [`change_ends`](Self::change_ends).
    pub(crate) fn change_begins(&self, touched: &[Touched]) {
        for what in touched {
            self.generations(what).for_each(Generation::change_begins);
            match what {
                Touched::User(id) => self.users.drop_one(id),
                Touched::Session(id) => self.sessions.drop_one(id),
                Touched::SessionsOf(user) => self.sessions.drop_if(|session| session.user_id == *user),
                Touched::ApiKey(id) => self.keys.drop_one(id),
                Touched::Item(id) => {
                    self.items.drop_one(id);
                    self.list.forget();
                }
            }
        }
    }

    /// The commit is done, or has failed.
    pub(crate) fn change_ends(&self, touched: &[Touched]) {
        for what in touched {
            self.generations(what).for_each(Generation::change_ends);
        }
    }

    /// Of the caches that a change concerns.
    fn generations(&self, what: &Touched) -> impl Iterator<Item = &Generation> {
        let (one, other) = match what {
            Touched::User(_) => (&self.users.generation, None),
            Touched::Session(_) | Touched::SessionsOf(_) => (&self.sessions.generation, None),
            Touched::ApiKey(_) => (&self.keys.generation, None),
            Touched::Item(_) => (&self.items.generation, Some(&self.list.generation)),
        };
        std::iter::once(one).chain(other)
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        self.sessions.drop_if(|_| true);
        self.users.drop_if(|_| true);
        self.items.drop_if(|_| true);
        self.keys.drop_if(|_| true);
        self.list.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_does_not_put_back_what_was_dropped() {
        let cache: Cache<i64, i64> = Cache::new(true);
        let before = cache.generation();
        cache.drop_one(&1);
        cache.put(1, 10, before);
        assert_eq!(cache.get(&1), None);
        cache.put(1, 11, cache.generation());
        assert_eq!(cache.get(&1), Some(11));

        let single = Single::new(true);
        let before = single.generation();
        single.forget();
        single.put(1, before);
        assert_eq!(single.get(), None);
    }

    #[test]
    fn nothing_is_kept_while_a_change_is_on_its_way() {
        let caches = Caches::new(true);
        let touched = [Touched::Item(1), Touched::Item(2)];
        let list = || Arc::new(Vec::new());
        caches.list.put(list(), caches.list.generation());
        caches.change_begins(&touched);
        assert!(caches.list.get().is_none(), "dropped before the commit");
        let during = caches.list.generation();
        caches.list.put(list(), during);
        assert!(caches.list.get().is_none(), "read before the commit or after it");
        caches.change_ends(&touched);
        caches.list.put(list(), during);
        assert!(caches.list.get().is_none(), "too old");
        caches.list.put(list(), caches.list.generation());
        assert!(caches.list.get().is_some());
        assert!(caches.users.generation.is_still(0), "others are not concerned");
    }

    #[test]
    fn a_full_cache_starts_anew_and_one_that_is_off_stays_empty() {
        let cache: Cache<usize, usize> = Cache::new(true);
        for n in 0..=MOST {
            cache.put(n, n, cache.generation());
        }
        assert!(cache.rows.len() <= MOST);
        assert_eq!(cache.get(&MOST), Some(MOST));
        let off: Cache<i64, i64> = Cache::new(false);
        off.put(1, 1, 0);
        assert_eq!(off.get(&1), None);
    }
}
