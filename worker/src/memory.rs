//! The memory that batches take on this worker: counted as they come and go, held against a budget.
//!
//! Owns the counts: what chains work on in their slots, what is parked in memory, and what is on its way to or from
//! another worker; each byte is counted from before it is used to after it is freed by a [`Held`], so a count cannot be
//! forgotten. The budget is over all of them. What gives way when it is used up are parked outputs: one that does not
//! fit is spilled to disk at once, and when chains grow beyond the budget, parked ones are spilled until it holds again
//! ([`crate::parking`]). What chains themselves hold cannot be spilled; admission bounds that.
//!
//! Known weakness: a batch is counted by the buffers of its columns, not by what the allocator makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::units::ByteSize;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A chain works on them.
    Running,
    /// They wait for their next op.
    Parked,
    /// They are sent to another worker, or come from one.
    InTransfer,
}

/// The bytes that are held, and how many there may be.
#[derive(Debug)]
pub struct Memory {
    budget: u64,
    running: AtomicU64,
    parked: AtomicU64,
    in_transfer: AtomicU64,
    total: AtomicU64,
    peak: AtomicU64,
}

/// How many bytes are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBytes {
    /// By chains in their slots.
    pub running: u64,
    /// By parked outputs in memory.
    pub parked: u64,
    /// By outputs on their way to or from other workers.
    pub in_transfer: u64,
    /// The most of all together since [`Memory::take_peak`] was called last.
    pub peak: u64,
}

/// Some bytes that are held; they are given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    used_for: Use,
    bytes: u64,
}

impl Memory {
    /// Makes an empty memory with a budget.
    pub fn new(budget: ByteSize) -> Arc<Memory> {
        Arc::new(Memory {
            budget: budget.0,
            running: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            in_transfer: AtomicU64::new(0),
            total: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        })
    }

    /// Holds bytes, whether they fit or not.
    pub fn hold(self: &Arc<Memory>, used_for: Use, bytes: u64) -> Held {
        let total = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.held(used_for, bytes, total)
    }

    /// Holds bytes if they fit into the budget.
    pub fn try_hold(self: &Arc<Memory>, used_for: Use, bytes: u64) -> Option<Held> {
        let fits = |total: u64| total.checked_add(bytes).filter(|total| *total <= self.budget);
        let before = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        before.ok().map(|before| self.held(used_for, bytes, before + bytes))
    }

    /// Tells whether more is held than the budget has.
    pub fn is_over_budget(&self) -> bool {
        self.total.load(Ordering::Relaxed) > self.budget
    }

    /// Returns how many bytes are held.
    pub fn bytes(&self) -> HeldBytes {
        HeldBytes {
            running: self.running.load(Ordering::Relaxed),
            parked: self.parked.load(Ordering::Relaxed),
            in_transfer: self.in_transfer.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }

    /// Returns the most bytes that were held at once since the last call; from now on it is what is held now.
    pub fn take_peak(&self) -> u64 {
        self.peak.swap(self.total.load(Ordering::Relaxed), Ordering::Relaxed)
    }

    fn held(self: &Arc<Memory>, used_for: Use, bytes: u64, total: u64) -> Held {
        self.count(used_for).fetch_add(bytes, Ordering::Relaxed);
        self.peak.fetch_max(total, Ordering::Relaxed);
        Held {
            memory: Arc::clone(self),
            used_for,
            bytes,
        }
    }

    fn give_back(&self, used_for: Use, bytes: u64) {
        self.count(used_for).fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn count(&self, used_for: Use) -> &AtomicU64 {
        match used_for {
            Use::Running => &self.running,
            Use::Parked => &self.parked,
            Use::InTransfer => &self.in_transfer,
        }
    }
}

impl Held {
    /// Returns how many bytes are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds another number of bytes instead.
    pub fn change(&mut self, bytes: u64) {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let total = self.memory.total.fetch_add(more, Ordering::Relaxed) + more;
            self.memory.peak.fetch_max(total, Ordering::Relaxed);
            self.memory.count(self.used_for).fetch_add(more, Ordering::Relaxed);
        } else {
            self.memory.give_back(self.used_for, self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.give_back(self.used_for, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_and_the_peak_stays() {
        let memory = Memory::new(ByteSize(100));
        let mut running = memory.hold(Use::Running, 60);
        running.change(20);
        let parked = memory.try_hold(Use::Parked, 80).expect("fits exactly");
        assert!(memory.try_hold(Use::InTransfer, 1).is_none());
        assert!(!memory.is_over_budget());
        let transfer = memory.hold(Use::InTransfer, 1);
        assert!(memory.is_over_budget());
        let held = HeldBytes {
            running: 20,
            parked: 80,
            in_transfer: 1,
            peak: 101,
        };
        assert_eq!(memory.bytes(), held);
        drop(transfer);
        assert_eq!((memory.take_peak(), memory.take_peak()), (101, 100));
        drop((running, parked));
        assert_eq!(
            memory.bytes(),
            HeldBytes {
                peak: 100,
                ..HeldBytes::default()
            }
        );
    }

    #[test]
    fn threads_that_hold_at_the_same_time_never_hold_more_than_the_budget() {
        let memory = Memory::new(ByteSize(10));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in (1..=7).cycle().take(2_000) {
                        drop(memory.try_hold(Use::Parked, bytes));
                    }
                });
            }
        });
        assert!(memory.bytes().peak <= 10);
        assert_eq!(memory.bytes().parked, 0);
    }
}
