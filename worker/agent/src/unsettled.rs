//! Prepared leases that were reported, until the coordinator says that what followed from it cannot be lost.
//!
//! A coordinator that dies between a report and the fsync of its record forgets it; the one that is started then hears
//! of them again and need not have the work redone. Owns the count of reports by which both sides name them.

use std::collections::VecDeque;

use common::holdings::{HeldLease, HeldState};
use common::ids::RunId;

use crate::lease::Lease;

/// The prepared leases, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsettled {
    /// How many reports were made in this session.
    reports: u64,
    /// Each with the number of the report that said it; 0 when a hello has said it since.
    leases: VecDeque<(u64, Lease)>,
}

impl Unsettled {
    /// Counts a report.
    pub(crate) fn count_report(&mut self) {
        self.reports += 1;
    }

    /// Keeps a lease that the last report said to be prepared.
    pub(crate) fn keep(&mut self, prepared: Lease) {
        self.leases.push_back((self.reports, prepared));
    }

    /// Forgets those whose commit is durable: what was said with the first so many reports, and with the hello before.
    pub(crate) fn settle(&mut self, reports: u64) {
        while self.leases.front().is_some_and(|(number, _)| *number <= reports) {
            self.leases.pop_front();
        }
    }

    /// Returns all of them, to be said in a hello; the session that it begins counts its reports anew.
    pub(crate) fn list(&mut self) -> Vec<HeldLease> {
        self.reports = 0;
        for (number, _) in &mut self.leases {
            *number = 0;
        }
        self.leases
            .iter()
            .map(|(_, lease)| lease.held(HeldState::Prepared))
            .collect()
    }

    /// Forgets those of a run that has ended.
    pub(crate) fn forget_run(&mut self, run: RunId) {
        self.leases.retain(|(_, lease)| lease.grant.run != run);
    }

    /// Forgets everything: nobody will ask for it any more.
    pub(crate) fn forget(&mut self) {
        *self = Unsettled::default();
    }
}
