//! The oracles: what is promised, checked against what truly happened in the world.
//!
//! They know the truth that neither the coordinator nor a worker has: what runs where at this very moment, what is on
//! the disk, which lease is the latest. Each has the id that the promise has in RELIABILITY.md.

use std::collections::{BTreeMap, BTreeSet};

use agent::{Chain, ExitReason};
use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId};
use common::message::{Grant, Input, Publish, ToWorker};
use common::slice::Slice;
use common::state::RunState;
use common::steering::RunCommand;
use scheduler::{Finishing, Record, Tolerance};

use crate::bounds::Out;
use crate::caps::Caps;
use crate::checkpoints::Checkpoints;
use crate::counts::Counts;
use crate::fairness::Shares;
use crate::jobs;
use crate::limits::Begins;
use crate::numbers::Numbers;
use crate::order::Begun;
use crate::plan::Plan;
use crate::worker::ProcessId;
use crate::world::World;

/// What a lease works on: a batch, or an op over the whole run.
pub(crate) type Work = (RunId, Option<BatchId>, Option<OpId>);

/// What the oracles know.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) job_of_run: BTreeMap<RunId, usize>,
    /// Runs that somebody asked to cancel, and those of which that is durable.
    pub(crate) cancelled: BTreeSet<RunId>,
    pub(crate) durably_cancelled: BTreeSet<RunId>,
    /// Runs of which more has failed than is tolerated, since the coordinator was started.
    pub(crate) exceeded: BTreeSet<RunId>,
    /// The grants of this step, and where they went.
    pub(crate) grants: Vec<(SessionId, Grant)>,
    /// Every task that runs.
    pub(crate) running: BTreeMap<(ProcessId, LeaseId), (RunId, OpId)>,
    pub(crate) work_of: BTreeMap<LeaseId, Work>,
    /// What is known of the begin of batches.
    pub(crate) begun: Begun,
    /// The op that each lease begins with.
    pub(crate) first_ops: BTreeMap<LeaseId, (RunId, OpId)>,
    pub(crate) latest: BTreeMap<Work, LeaseId>,
    /// Durable commits.
    pub(crate) committed: BTreeMap<(RunId, BatchId), LeaseId>,
    pub(crate) failed: BTreeSet<(RunId, BatchId)>,
    /// Batches that were cut in two for good.
    pub(crate) halved: BTreeSet<(RunId, BatchId)>,
    /// The rows of durable commits, by the whole batch that they are of.
    loaded: BTreeSet<(RunId, u64, u64)>,
    run_ops: BTreeMap<(RunId, OpId), LeaseId>,
    /// Commits asked for, by the generation that did.
    pub(crate) appended: BTreeSet<(u64, Work)>,
    /// What ops have kept.
    pub(crate) checkpoints: Checkpoints,
    /// What is known of counts.
    pub(crate) counts: Counts,
    /// What is in place.
    pub(crate) visible: BTreeMap<(RunId, BatchId), LeaseId>,
    joins_staged: BTreeMap<LeaseId, BTreeMap<BatchId, LeaseId>>,
    pub(crate) joined: BTreeMap<RunId, BTreeMap<BatchId, LeaseId>>,
    pub(crate) ended: BTreeMap<RunId, RunState>,
    /// Runs whose end was durable once, also if they were begun again since.
    pub(crate) ended_once: BTreeSet<RunId>,
    /// What is durable of how runs end whose batches are all done.
    pub(crate) finishing: BTreeMap<RunId, Finishing>,
    /// The highest numbers of attempts at ops over whole runs that have failed, durably or not.
    pub(crate) failed_of_run: BTreeMap<(RunId, OpId), u32>,
    /// Leases that this coordinator took over.
    pub(crate) taken_over: BTreeSet<LeaseId>,
    /// Leases that the coordinator took over in this step.
    pub(crate) adopted: BTreeSet<LeaseId>,
    /// What is known of attempts.
    pub(crate) numbers: Numbers,
    /// The limits, as the plan and the journal have them.
    pub(crate) caps: Caps,
    /// What is known of the shares of runs.
    pub(crate) shares: Shares,
    /// The leases that workers have a permit for.
    pub(crate) out: Out,
    /// What is known of rates and pauses.
    pub(crate) begins: Begins,
    /// How many records are durable.
    pub(crate) durable_records: u64,
    /// How many failures were injected.
    pub(crate) injected: u64,
    pub(crate) exits: Vec<ExitReason>,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Oracle {
        Oracle {
            caps: Caps::new(plan),
            ..Oracle::default()
        }
    }

    /// Tells whether a commit is durable.
    pub(crate) fn is_committed(&self, (run, batch, op): Work) -> bool {
        let of_batch = batch.is_some_and(|batch| self.committed.contains_key(&(run, batch)));
        of_batch || op.is_some_and(|op| self.run_ops.contains_key(&(run, op)))
    }

    /// Remembers what a join or a manifest is made of; whoever makes a manifest puts the parts in place first.
    pub(crate) fn stage_join(&mut self, run: RunId, lease: LeaseId) {
        let of_run = self.committed.iter().filter(|((owner, _), _)| *owner == run);
        let listing: BTreeMap<BatchId, LeaseId> = of_run.map(|((_, batch), lease)| (*batch, *lease)).collect();
        for (batch, lease) in &listing {
            self.visible.insert((run, *batch), *lease);
        }
        self.joins_staged.insert(lease, listing);
    }
}

fn work_of_grant(grant: &Grant) -> Work {
    match grant.batch {
        Some(batch) => (grant.run, Some(batch), None),
        None => (grant.run, None, Some(grant.steps[0].op)),
    }
}

impl World {
    pub(crate) fn forget_tasks(&mut self, id: ProcessId) {
        self.oracle.running.retain(|(process, _), _| *process != id);
    }

    pub(crate) fn on_thawed(&mut self, _process: ProcessId) {
        self.check_caps();
    }

    /// A chain has a slot of its own, and begins where its input ends.
    pub(crate) fn check_chain(&mut self, id: ProcessId, slot: u32, chain: &Chain) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let slots = self.plan.workers[process.worker].slots;
        let is_free = slot < slots && process.chains.values().all(|other| other.slot() != slot);
        self.require(is_free, "CAP", || {
            format!("process {} starts {} in a slot that is taken", id.0, chain.lease)
        });
        let first = chain.steps[0].op;
        let follows = match (&chain.input, chain.batch) {
            (Input::Slice(_), Some(_)) => first == OpId::EXTRACT,
            (Input::Local(output), Some(batch)) => output.batch == batch && output.op.0 + 1 == first.0,
            (Input::Remote(remote), Some(batch)) => remote.output.batch == batch && remote.output.op.0 + 1 == first.0,
            (Input::Checkpoint(part), Some(_)) => part.op.0 + 1 == first.0,
            (Input::Committed, None) => true,
            (Input::Slice(_) | Input::Local(_) | Input::Remote(_) | Input::Checkpoint(_), None)
            | (Input::Committed, Some(_)) => false,
        };
        let in_row = chain.steps.windows(2).all(|pair| pair[0].op.0 + 1 == pair[1].op.0);
        self.require(follows && in_row, "ORDER", || {
            format!("{chain:?} does not begin where its input ends")
        });
    }

    /// What the coordinator says has a durable reason.
    pub(crate) fn check_send(&mut self, session: SessionId, message: &ToWorker) {
        match message {
            ToWorker::Grant(grant) => self.check_grant(session, grant),
            ToWorker::Publish(publish) => self.check_publish(publish),
            ToWorker::CloseRun { run } => {
                let has_ended = self.disk.ledger().ended.contains_key(run);
                // Until the coordinator hears that it is durable that the run is begun again, the run has ended for it.
                let goes_on = self
                    .coordinator
                    .iter()
                    .any(|c| c.scheduler.runs().any(|live| live == *run));
                let is_over = has_ended || self.oracle.ended_once.contains(run) && !goes_on;
                self.require(is_over, "ACK-DURABLE", || {
                    format!("{run} is closed before its end is durable")
                });
            }
            ToWorker::OpenRun(context) => {
                let run = context.run;
                let is_durable = self.disk.ledger().runs.contains_key(&run);
                self.require(is_durable, "ACK-DURABLE", || {
                    format!("{run} is opened before it is durable")
                });
            }
            ToWorker::Permit { .. }
            | ToWorker::Truncate { .. }
            | ToWorker::Recall { .. }
            | ToWorker::Revoke { .. }
            | ToWorker::Discard { .. }
            | ToWorker::Settled { .. }
            | ToWorker::Drain => {}
        }
        self.note_begin(session, message);
    }

    fn check_grant(&mut self, session: SessionId, grant: &Grant) {
        let work = work_of_grant(grant);
        let lease = grant.lease;
        let before = self.oracle.latest.insert(work, lease);
        self.require(before.is_none_or(|before| before < lease), "FENCE", || {
            format!("{lease} was granted after {before:?}")
        });
        self.oracle.work_of.insert(lease, work);
        self.check_numbers(session, grant);
        self.check_not_paused(grant.run);
        self.oracle.first_ops.insert(lease, (grant.run, grant.steps[0].op));
        self.note_granted(lease);
        let is_committed = grant
            .batch
            .is_some_and(|batch| self.oracle.committed.contains_key(&(grant.run, batch)));
        self.require(!is_committed, "NO-RERUN-AFTER-ACK", || {
            format!("{} batch {:?} is committed, and granted again", grant.run, grant.batch)
        });
        self.check_goes_on_behind_checkpoint(grant);
        self.oracle.grants.push((session, grant.clone()));
    }

    fn check_publish(&mut self, publish: &Publish) {
        let (run, lease) = (publish.run, publish.lease);
        let by = match publish.batch {
            Some(batch) => self.oracle.committed.get(&(run, batch)).copied(),
            None => self
                .oracle
                .run_ops
                .iter()
                .find(|((of, _), by)| *of == run && **by == lease)
                .map(|(_, by)| *by),
        };
        self.require(by == Some(lease), "ACK-DURABLE", || {
            format!(
                "{run} {:?} is published under {lease}, durable is {by:?}",
                publish.batch
            )
        });
    }

    /// COMMIT-ONCE, FENCE: only the latest lease of a batch commits it, and once.
    pub(crate) fn check_append(&mut self, record: &Record) {
        self.note_given_up(record);
        match record {
            Record::BatchCommitted {
                run,
                batch,
                lease,
                rows,
                ..
            } => {
                let work = (*run, Some(*batch), None);
                self.check_commit(work, *lease);
                let job = self.oracle.job_of_run[run];
                let expected = jobs::rows_committed(&self.plan.jobs[job], job, *batch);
                self.require(*rows == expected, "EXACT COVER", || {
                    format!("{run} batch {batch} is committed with {rows:?}, it has {expected:?}")
                });
            }
            Record::BatchCheckpointed { run, batch, lease, .. } => self.check_checkpoint(*run, *batch, *lease),
            Record::CheckpointLost { run, batch, op: _ } => self.oracle.checkpoints.lose(*run, *batch),
            Record::RunOpCommitted { run, op, lease, .. } => self.check_commit((*run, None, Some(*op)), *lease),
            Record::BatchFailed {
                run,
                tolerance: Tolerance::Exceeded,
                ..
            } => {
                self.oracle.exceeded.insert(*run);
            }
            Record::FailedRetried { run, .. } => {
                self.oracle.exceeded.remove(run);
            }
            Record::AttemptFailed {
                run,
                batch: None,
                op,
                attempt,
            } => {
                let failed = self.oracle.failed_of_run.entry((*run, *op)).or_default();
                *failed = attempt.0.max(*failed);
            }
            Record::AttemptFailed { .. }
            | Record::BatchFailed { .. }
            | Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunCommanded { .. }
            | Record::BatchHalved { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. }
            | Record::RunEnded { .. } => {}
            // What ops over the whole run committed is made anew.
            Record::RunReopened { run, .. } => self
                .oracle
                .appended
                .retain(|(_, (of, batch, _))| of != run || batch.is_some()),
        }
    }

    fn check_commit(&mut self, work: Work, lease: LeaseId) {
        let latest = self.oracle.latest.get(&work).copied();
        self.require(latest == Some(lease), "FENCE", || {
            format!("{work:?} is committed under {lease}, the latest is {latest:?}")
        });
        let is_new = self.oracle.appended.insert((self.incarnation, work));
        self.require(is_new, "COMMIT-ONCE", || {
            format!("{work:?} is committed again, under {lease}")
        });
    }

    /// The broken world takes what any lease prepared.
    pub(crate) fn accept_late_commit(&mut self, lease: LeaseId) {
        if let Some(work) = self.oracle.work_of.get(&lease).copied() {
            let latest = self.oracle.latest.get(&work).copied();
            self.require(latest == Some(lease), "FENCE", || {
                format!("{work:?} is committed under {lease}, the latest is {latest:?}")
            });
        }
    }

    pub(crate) fn on_durable_record(&mut self, record: &Record) {
        self.oracle.numbers.note(record);
        self.oracle.durable_records += 1;
        self.note_durable_limit(record);
        match record {
            Record::BatchCommitted { run, batch, lease, .. } => {
                let before = self.oracle.committed.insert((*run, *batch), *lease);
                self.require(before.is_none(), "COMMIT-ONCE", || {
                    format!("{run} batch {batch} is durable under {before:?} and {lease}")
                });
                self.check_rows_are_new(*run, *batch);
                let has_failed = self.oracle.failed.contains(&(*run, *batch));
                self.require(!has_failed, "EXACT COVER", || {
                    format!("{run} batch {batch} failed and is committed")
                });
            }
            Record::BatchCheckpointed {
                run, batch, checkpoint, ..
            } => self.on_durable_checkpoint(*run, *batch, checkpoint),
            Record::BatchFailed { run, batch, .. } => {
                let is_new = self.oracle.failed.insert((*run, *batch));
                let is_committed = self.oracle.committed.contains_key(&(*run, *batch));
                self.require(is_new && !is_committed, "EXACT COVER", || {
                    format!("{run} batch {batch} fails twice, or is committed and fails")
                });
            }
            Record::RunOpCommitted { run, op, lease, .. } => {
                let before = self.oracle.run_ops.insert((*run, *op), *lease);
                self.require(before.is_none(), "COMMIT-ONCE", || {
                    format!("{run} op {} is durable under {before:?} and {lease}", op.0)
                });
            }
            Record::RunCommanded { run, activity } => {
                if let RunCommand::Cancel(_) = activity.command {
                    self.oracle.durably_cancelled.insert(*run);
                }
            }
            Record::BatchHalved {
                run,
                batch,
                first,
                second,
            } => self.check_halves(*run, *batch, first, second),
            Record::FailedRetried { run, batches, .. } => self.forget_failed(*run, batches),
            Record::RunReopened { run, batches, .. } => {
                self.forget_failed(*run, batches);
                self.note_may_go_on(*run);
                let ended = self.oracle.ended.remove(run);
                let may_be = ended.is_some_and(RunState::may_be_reopened);
                self.require(may_be, "MONOTONE STATE", || {
                    format!("{run} is reopened, and was {ended:?}")
                });
                self.oracle.run_ops.retain(|(of, _), _| of != run);
                self.oracle.finishing.remove(run);
            }
            Record::RunEnded { summary, .. } => {
                self.check_outcome(summary);
                self.check_counts(summary);
            }
            Record::RunFinishing { run, finishing } => {
                self.oracle.finishing.insert(*run, *finishing);
            }
            Record::MarksRisen { run, marks } => self.oracle.counts.note_marks(*run, *marks),
            Record::CheckpointLost { run, batch, op: _ } => self.oracle.checkpoints.forget(*run, *batch),
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::RunFailing { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. } => {}
        }
    }

    /// EXACT COVER: no row is loaded twice, as part of whatever batch.
    fn check_rows_are_new(&mut self, run: RunId, batch: BatchId) {
        let plan = &self.plan.jobs[self.oracle.job_of_run[&run]];
        for row in jobs::range_of(plan, batch) {
            let is_new = self.oracle.loaded.insert((run, batch.index, row));
            self.require(is_new, "EXACT COVER", || {
                format!("{run} row {row} of batch {} is loaded again, with {batch}", batch.index)
            });
        }
    }

    /// EXACT COVER: the halves of a batch are its rows, cut in two.
    fn check_halves(&mut self, run: RunId, batch: BatchId, first: &Slice, second: &Slice) {
        let (Slice::Bytes(first), Slice::Bytes(second)) = (first, second);
        let range = jobs::range_of(&self.plan.jobs[self.oracle.job_of_run[&run]], batch);
        let rows = first.rows.unwrap_or(0) + second.rows.unwrap_or(0);
        let covers = first.rows_before == range.start
            && first.end == second.start
            && rows == range.end - range.start
            && first.rows.is_some_and(|rows| rows > 0)
            && second.rows.is_some_and(|rows| rows > 0);
        let is_done = self.oracle.committed.contains_key(&(run, batch)) || self.oracle.failed.contains(&(run, batch));
        self.oracle.halved.insert((run, batch));
        self.require(covers && !is_done, "EXACT COVER", || {
            format!("{run} batch {batch} of {range:?} is cut into {first:?} and {second:?}")
        });
    }

    fn forget_failed(&mut self, run: RunId, batches: &[BatchId]) {
        for batch in batches {
            self.oracle.failed.remove(&(run, *batch));
        }
    }

    /// Parts are put in place.
    pub(crate) fn on_published(&mut self, publish: &Publish) {
        let (run, lease) = (publish.run, publish.lease);
        let made_by = format!("/out/.staged/{lease}");
        let is_its_own = publish.parts.iter().all(|part| part.file == made_by);
        self.require(is_its_own, "FENCE", || {
            format!("{lease} publishes parts of another lease: {publish:?}")
        });
        match publish.batch {
            Some(batch) => {
                let before = self.oracle.visible.insert((run, batch), lease);
                self.require(before.is_none_or(|before| before == lease), "COMMIT-ONCE", || {
                    format!("{run} batch {batch} is visible under {before:?} and {lease}")
                });
            }
            None => {
                let listing = self.oracle.joins_staged.get(&lease).cloned().unwrap_or_default();
                self.oracle.joined.insert(run, listing);
            }
        }
    }

    /// ACK-DURABLE: an accepted submission cannot be lost any more.
    pub(crate) fn check_acknowledged_run(&mut self, user: usize, run: RunId) {
        let ledger = self.disk.ledger();
        let is_durable = ledger.runs.contains_key(&run) || ledger.ended.contains_key(&run);
        self.require(is_durable, "ACK-DURABLE", || {
            format!("{run} of user {user} is accepted, and not durable")
        });
    }

    pub(crate) fn check_accepted_session(&mut self, session: SessionId) {
        let is_durable = self.disk.ledger().sessions.contains_key(&session);
        self.require(is_durable, "ACK-DURABLE", || {
            format!("{session} is welcomed, and not durable")
        });
    }
}
