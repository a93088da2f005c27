//! Slices: how many are found ahead of admission, so that sharding never holds a slot up.

use common::ids::RunId;

use crate::interface::command::Command;
use crate::scheduler::Scheduler;
use crate::state::run::{RunPhase, Sharding};

/// How many slices of a run are found ahead of admission at the most.
const MAX_SLICES_AHEAD: u32 = 4_096;

impl Scheduler {
    /// Asks for more slices when few are left, one request at a time.
    pub(crate) fn ask_for_slices(&mut self, run: RunId) {
        let for_slots = u32::try_from(self.live_slots * 8).unwrap_or(u32::MAX);
        let Some(run) = self.runs.get_mut(&run) else { return };
        let mut ahead = self.config.slices_ahead.max(for_slots.min(MAX_SLICES_AHEAD));
        ahead = ahead.max(run.slices_ahead);
        if run.slices.is_empty() && run.begun > 0 && run.sharding == Sharding::Asked {
            // They are used up before the next ones came.
            run.slices_ahead = (ahead * 2).min(MAX_SLICES_AHEAD);
        }
        let few = run.slices.len() < ahead.div_ceil(2) as usize;
        if run.phase == RunPhase::Active && run.sharding == Sharding::Idle && few {
            run.sharding = Sharding::Asked;
            let count = ahead - run.slices.len() as u32;
            let run = run.id;
            self.command(Command::FindSlices { run, count });
        }
    }
}
