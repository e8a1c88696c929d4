//! [`Chunked`]: a list that grows without moving what it holds, and without room for as much again.

/// So many lie together.
const CHUNK: usize = 64;

/// A list in pieces.
#[derive(Debug)]
pub(super) struct Chunked<T>(Vec<Vec<T>>);

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunked<T> {
    /// Adds one behind the others; its place.
    pub(super) fn push(&mut self, thing: T) -> usize {
        let place = self.len();
        match self.0.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(thing),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(thing);
                self.0.push(chunk);
            }
        }
        place
    }

    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place / CHUNK)?.get(place % CHUNK)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// Heap memory in bytes, without what the things hold.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Vec<T>>() + self.0.len() * CHUNK * size_of::<T>()
    }
}
