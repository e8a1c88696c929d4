//! Hot rows in memory, on SQLite only: there this process is the one writer, so they can be exact.
//!
//! The writer drops entries after its commit and before it answers. A reader that was slow must not put back what it
//! read before that commit: it notes the generation before it reads, and its row is kept only if no entry has been
//! dropped since. Another process that writes to the file is noticed by the writer (`PRAGMA data_version`, before each
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
    generation: AtomicU64,
    on: bool,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    fn new(on: bool) -> Self {
        Self { rows: DashMap::new(), generation: AtomicU64::new(0), on }
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
        self.generation.load(Ordering::SeqCst)
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
        if self.generation() == generation {
            entry.insert(row);
        }
    }

    fn drop_one(&self, key: &K) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.rows.remove(key);
    }

    fn drop_if(&self, gone: impl Fn(&V) -> bool) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.rows.retain(|_, row| !gone(row));
    }
}

/// One value with a generation.
pub(crate) struct Single<V> {
    value: RwLock<Option<V>>,
    generation: AtomicU64,
    on: bool,
}

impl<V: Clone> Single<V> {
    fn new(on: bool) -> Self {
        Self { value: RwLock::new(None), generation: AtomicU64::new(0), on }
    }

    /// The value, if it is held.
    pub(crate) fn get(&self) -> Option<V> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be noted before the value is read from the database.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Keeps a value that was read after `generation` was noted, unless it was dropped meanwhile.
    pub(crate) fn put(&self, value: V, generation: u64) {
        if !self.on {
            return;
        }
        let mut held = self.value.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation() == generation {
            *held = Some(value);
        }
    }

    fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
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

    /// Drops what no longer holds.
    pub(crate) fn invalidate(&self, touched: &[Touched]) {
        for what in touched {
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
