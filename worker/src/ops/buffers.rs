//! Buffers that are used again: what a slice is read into.
//!
//! A buffer leaves the pool as plain memory, becomes an Arrow buffer when it is filled, and comes back when the last
//! view into it is gone, wherever in the process that is. So reading a slice neither asks the system for memory nor
//! fills it with zeros first.
//!
//! Known weakness: a buffer is handed out as large as it is, so a short slice may keep a larger buffer.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_buffer::Buffer;

/// The most buffers that wait.
const MAX_WAITING: usize = 2;
/// Larger buffers go back to the system.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Buffers that wait to be used again.
#[derive(Clone, Debug, Default)]
pub(super) struct BufferPool {
    waiting: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer on loan.
#[derive(Debug)]
pub(super) struct PooledBuffer {
    bytes: Vec<u8>,
    pool: BufferPool,
}

impl BufferPool {
    /// Lends a buffer of at least so many bytes, which hold anything.
    pub(super) fn take(&self, bytes: usize) -> PooledBuffer {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = waiting.iter().position(|buffer| buffer.len() >= bytes);
        // One that is too small makes room for a larger one.
        let found = fitting.map(|place| waiting.swap_remove(place));
        if found.is_none() {
            waiting.clear();
        }
        drop(waiting);
        PooledBuffer {
            bytes: found.unwrap_or_else(|| vec![0; bytes]),
            pool: self.clone(),
        }
    }
}

impl PooledBuffer {
    /// Returns the memory.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Makes an Arrow buffer of all of it.
    pub(super) fn into_buffer(self) -> Buffer {
        Buffer::from(bytes::Bytes::from_owner(self))
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() > MAX_KEPT_BYTES {
            return;
        }
        let mut waiting = self.pool.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nothing_points_into_it_any_more() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(100);
        buffer.as_mut_slice()[0] = 7;
        let place = buffer.as_ref().as_ptr();
        let first = buffer.into_buffer();
        let second = first.slice_with_length(10, 20);
        drop(first);
        assert_ne!(pool.take(50).as_ref().as_ptr(), place, "it is still in use");
        drop(second);
        let again = pool.take(100);
        assert_eq!(again.as_ref().as_ptr(), place);
        assert_eq!(again.as_ref()[0], 7, "nothing is cleared");
    }

    #[test]
    fn a_buffer_that_is_too_small_makes_way_for_a_larger_one() {
        let pool = BufferPool::default();
        drop(pool.take(10));
        drop(pool.take(20));
        let waiting = || {
            pool.waiting
                .lock()
                .expect("no panic")
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>()
        };
        assert_eq!(waiting(), [20]);
        drop(pool.take(MAX_KEPT_BYTES + 1));
        assert_eq!(waiting(), [] as [usize; 0]);
    }
}
