//! Records in chunks: each record behind its length, the whole cut into pieces of one size, each piece behind a
//! checksum that knows its place. Where a record ends and where a chunk does have nothing to do with each other.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::SnapshotError;

/// Bytes of a chunk, without its checksum.
const CHUNK: usize = 256 * 1024;
/// Bytes of a checksum: enough for accidents, which is what it is for.
const CHECK: usize = 8;
/// Bytes of a record's length.
const LENGTH: usize = 4;

/// A chunk of what may be no rows at all.
#[cfg(test)]
pub(super) fn sealed(number: u64, body: &[u8]) -> Vec<u8> {
    [&checksum(number, body), body].concat()
}

/// What a chunk holds.
#[cfg(test)]
pub(super) fn opened(chunk: &[u8]) -> &[u8] {
    &chunk[CHECK..]
}

fn checksum(number: u64, body: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(number.to_le_bytes()).chain_update(body).finalize();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

/// Where records are written.
pub(super) struct Output<'a> {
    buffer: Vec<u8>,
    chunks: u64,
    emit: &'a mut dyn FnMut(Vec<u8>),
}

impl<'a> Output<'a> {
    pub(super) fn new(emit: &'a mut dyn FnMut(Vec<u8>)) -> Self {
        Self { buffer: Vec::with_capacity(2 * CHUNK), chunks: 0, emit }
    }

    /// Writes a record.
    pub(super) fn put<T: Serialize>(&mut self, record: &T) -> Result<(), SnapshotError> {
        let start = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend([0; LENGTH]);
        self.buffer = postcard::to_extend(record, buffer).map_err(|_| SnapshotError::Unwritable)?;
        let length = self.buffer.len() - start - LENGTH;
        let length = u32::try_from(length).map_err(|_| SnapshotError::Unwritable)?;
        self.buffer[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
        self.cut(CHUNK);
        Ok(())
    }

    /// Writes what has not filled a chunk.
    pub(super) fn finish(mut self) {
        self.cut(1);
    }

    /// Hands on chunks while there are at least so many bytes.
    fn cut(&mut self, least: usize) {
        let mut done = 0;
        while self.buffer.len() - done >= least {
            let body = &self.buffer[done..self.buffer.len().min(done + CHUNK)];
            let mut chunk = Vec::with_capacity(CHECK + body.len());
            chunk.extend(checksum(self.chunks, body));
            chunk.extend(body);
            done += body.len();
            self.chunks += 1;
            (self.emit)(chunk);
        }
        self.buffer.drain(..done);
    }
}

/// Where records are read.
pub(super) struct Input<I> {
    chunks: I,
    number: u64,
    buffer: Vec<u8>,
    /// Where the next record begins.
    at: usize,
}

impl<I: Iterator<Item = Vec<u8>>> Input<I> {
    pub(super) fn new(chunks: I) -> Self {
        Self { chunks, number: 0, buffer: Vec::new(), at: 0 }
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, SnapshotError> {
        if !self.fill(LENGTH)? {
            let whole = self.at == self.buffer.len();
            return if whole { Ok(None) } else { Err(SnapshotError::Damaged("it ends within a record")) };
        }
        let mut length = [0; LENGTH];
        length.copy_from_slice(&self.buffer[self.at..self.at + LENGTH]);
        let length = u32::from_le_bytes(length) as usize;
        if !self.fill(LENGTH + length)? {
            return Err(SnapshotError::Damaged("it ends within a record"));
        }
        let from = self.at + LENGTH;
        self.at = from + length;
        Ok(Some(&self.buffer[from..self.at]))
    }

    /// Reads on until so many bytes lie before it; false where there are not so many.
    fn fill(&mut self, bytes: usize) -> Result<bool, SnapshotError> {
        while self.buffer.len() - self.at < bytes {
            let Some(chunk) = self.chunks.next() else { return Ok(false) };
            let Some((check, body)) = chunk.split_at_checked(CHECK) else {
                return Err(SnapshotError::Damaged("a chunk has no checksum"));
            };
            if checksum(self.number, body) != check {
                return Err(SnapshotError::Damaged("a chunk is not what was written"));
            }
            self.number += 1;
            self.buffer.drain(..self.at);
            self.at = 0;
            self.buffer.extend(body);
        }
        Ok(true)
    }
}
