//! The lanes of the by-slot arrangement: one per worker slot, numbered once and never moved.

use std::collections::BTreeMap;

use common::ids::WorkerName;

/// Which lane every worker's slot has. A worker's slots lie side by side as far as they were known when it came.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: Vec<(WorkerName, u32)>,
    places: BTreeMap<(WorkerName, u32), u16>,
}

impl Lanes {
    /// The most lanes of a run; slots beyond share the last one.
    const MAX: usize = u16::MAX as usize;

    /// Returns a slot's lane, if it has one.
    pub(crate) fn find(&self, worker: &WorkerName, slot: u32) -> Option<u16> {
        self.places.get(&(worker.clone(), slot)).copied()
    }

    /// Gives a slot a lane, and with the worker's first one lanes to its other `slots` too.
    pub(crate) fn add(&mut self, worker: &WorkerName, slot: u32, slots: u32) -> u16 {
        let is_known = self
            .places
            .range((worker.clone(), 0)..=(worker.clone(), u32::MAX))
            .next()
            .is_some();
        let wanted = if is_known { 0..0 } else { 0..slots.min(1_024) };
        for slot in wanted.chain([slot]) {
            if self.lanes.len() < Self::MAX && !self.places.contains_key(&(worker.clone(), slot)) {
                let place = u16::try_from(self.lanes.len()).unwrap_or(u16::MAX);
                self.lanes.push((worker.clone(), slot));
                self.places.insert((worker.clone(), slot), place);
            }
        }
        self.find(worker, slot).unwrap_or(u16::MAX - 1)
    }

    /// Returns the worker and slot of a lane.
    pub fn get(&self, lane: u16) -> Option<&(WorkerName, u32)> {
        self.lanes.get(usize::from(lane))
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
