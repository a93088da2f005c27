//! The lanes of the by-slot arrangement: one per worker slot, numbered once and never moved.
//!
//! Known weakness: slots beyond the first [`Lanes::MAX`] of a run share the last lane.

use std::collections::BTreeMap;

use common::ids::WorkerName;

/// Which lane every worker's slot has. A worker's slots lie side by side as far as they were known when it came.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: Vec<(WorkerName, u32)>,
    places: BTreeMap<WorkerName, BTreeMap<u32, u32>>,
}

impl Lanes {
    const MAX: usize = 65_536;
    /// How many slots get lanes with a worker's first one.
    const SIDE_BY_SIDE: u32 = 1_024;

    /// Returns a slot's lane, if it has one.
    pub(crate) fn find(&self, worker: &WorkerName, slot: u32) -> Option<u32> {
        self.places.get(worker)?.get(&slot).copied()
    }

    /// Gives a slot a lane, and with the worker's first one lanes to its other `slots` too.
    pub(crate) fn add(&mut self, worker: &WorkerName, slot: u32, slots: u32) -> u32 {
        let wanted = if self.places.contains_key(worker) {
            0..0
        } else {
            0..slots.min(Self::SIDE_BY_SIDE)
        };
        for slot in wanted.chain([slot]) {
            self.push(worker.clone(), slot);
        }
        let last = u32::try_from(Self::MAX - 1).expect("is small");
        self.find(worker, slot).unwrap_or(last)
    }

    /// Adds a lane behind the last one, as it was kept.
    pub(crate) fn push(&mut self, worker: WorkerName, slot: u32) {
        let of_worker = self.places.entry(worker.clone()).or_default();
        if self.lanes.len() < Self::MAX && !of_worker.contains_key(&slot) {
            of_worker.insert(slot, u32::try_from(self.lanes.len()).expect("is less than MAX"));
            self.lanes.push((worker, slot));
        }
    }

    /// Returns the worker and slot of a lane.
    pub fn get(&self, lane: u32) -> Option<&(WorkerName, u32)> {
        self.lanes.get(lane as usize)
    }

    /// Returns the worker and slot of a lane; of one that was never given, a name that no worker has.
    pub(crate) fn name(&self, lane: u32) -> (WorkerName, u32) {
        let unknown = || (WorkerName::new("?").expect("is a name"), lane);
        self.get(lane).cloned().unwrap_or_else(unknown)
    }

    /// Returns all lanes in their order.
    pub fn iter(&self) -> impl Iterator<Item = &(WorkerName, u32)> {
        self.lanes.iter()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}
