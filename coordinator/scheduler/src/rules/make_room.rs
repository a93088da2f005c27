//! Making room: leases of runs of lower priority are asked to end early while one of higher priority waits for a slot.

use std::cmp::Reverse;

use common::ids::LeaseId;

use crate::rules::admission::may_begin;
use crate::scheduler::Scheduler;
use crate::state::lease::{Lease, Truncation};
use crate::state::run::finish::FinishPhase;

impl Scheduler {
    /// Asks leases of lower-priority runs to end early while a run of higher priority waits for a slot.
    pub(crate) fn make_room_for_higher_priority(&mut self) {
        let (Some((Reverse(first), ..)), Some((Reverse(lowest), ..))) = (self.turns.first(), self.turns.last()) else {
            return;
        };
        let (first, lowest) = (*first, *lowest);
        if first == lowest {
            return;
        }
        let Some((highest, wanted)) = self.best_waiting_priority() else {
            return;
        };
        if highest <= lowest {
            return;
        }
        let is_lower = |lease: &Lease| {
            let run = self.runs.get(&lease.run);
            run.is_some_and(|run| run.job.schedule.priority < highest)
        };
        let leases = self.leases.values().map(Box::as_ref);
        let lower: Vec<&Lease> = leases.filter(|lease| is_lower(lease)).collect();
        let ending = lower
            .iter()
            .filter(|lease| lease.truncation != Truncation::None || !lease.has_more_steps())
            .count();
        let to_ask: Vec<LeaseId> = lower
            .iter()
            .rev()
            .filter(|lease| lease.truncation == Truncation::None && lease.has_more_steps() && lease.batch.is_some())
            .take(wanted.saturating_sub(ending))
            .map(|lease| lease.id)
            .collect();
        for id in to_ask {
            self.truncate(id);
        }
    }

    /// Returns the highest priority of a run that has tasks waiting and room under its cap, and how many wait.
    fn best_waiting_priority(&self) -> Option<(i32, usize)> {
        self.turns.iter().find_map(|(Reverse(priority), _, id)| {
            let run = self.runs.get(id)?;
            let is_awaited = self.former.awaits(run.id);
            let can_begin = usize::from(!is_awaited && may_begin(run, self.cap_in_force(run)).is_ok());
            let finishing = run
                .finish
                .iter()
                .filter(|finish| finish.phase == FinishPhase::Ready && !is_awaited && run.may_finish())
                .count();
            let wanted = run.ready.len() + can_begin + finishing;
            (wanted > 0 && self.has_run_room(run)).then_some((*priority, wanted))
        })
    }
}
