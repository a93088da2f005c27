//! Meeting a coordinator that was started again: it knows nothing of this worker's leases, so the worker lists them.
//!
//! Chains go on meanwhile, for as long as their leases live; what they say after the listing is reported in the new
//! session. Leases that have not started are let go of: they hold nothing, and the coordinator plans them anew. Chains that
//! wait at the executor are asked back first, because a slot may have taken one that the agent has not heard of.

use common::holdings::{HeldLease, HeldOutput, Holdings};
use common::ids::{OutputId, RunId};

use super::Agent;
use crate::action::Action;
use crate::book::AskedBack;
use crate::lease::{LeaseState, Why};
use crate::outputs::KeptOutput;

/// Whether a coordinator wants to be told what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    NotWanted,
    /// As soon as it is known which chains run.
    Wanted,
}

impl Agent {
    pub(super) fn on_session_unknown(&mut self) {
        self.listing = Listing::Wanted;
        for id in self.book.not_started() {
            match self.book.ask_back(id, Why::Recalled) {
                AskedBack::Now => self.act(Action::TakeBackChain { lease: id }),
                AskedBack::Before => {}
                AskedBack::NotWaiting => {
                    self.book.remove(id);
                }
            }
        }
    }

    /// Lists what is held, for a hello, once no chain waits. What is said after it belongs to the session that the hello begins.
    pub(super) fn list_if_wanted(&mut self) {
        if self.listing == Listing::NotWanted || self.book.has_not_started() {
            return;
        }
        self.listing = Listing::NotWanted;
        let running = self.book.leases.values().filter_map(|lease| match lease.state {
            LeaseState::Running { slot, course } => Some(lease.held_in_slot(slot, course)),
            LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
        });
        let running: Vec<HeldLease> = running.collect();
        let mut leases = self.unsettled.list();
        leases.extend(running);
        let holdings = Holdings {
            runs: self.runs.keys().copied().collect(),
            leases,
            outputs: self.outputs.iter().filter_map(held_output).collect(),
        };
        self.act(Action::Reattach(Box::new(holdings)));
    }
}

fn held_output(((run, output), kept): (&(RunId, OutputId), &KeptOutput)) -> Option<HeldOutput> {
    Some(HeldOutput {
        run: *run,
        output: *output,
        bytes: kept.bytes,
        past: kept.past.clone()?,
    })
}
