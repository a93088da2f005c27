//! The ledger: what the journal's records add up to, and so the snapshot of what must survive.
//!
//! Applying records one after another, or a snapshot and the records behind it, gives the same ledger. It holds what a
//! restarted scheduler needs ([`crate::Scheduler::restore`]) and no more: a run's committed batches are intervals, an
//! ended run is its last summary, and what it could be reopened with. What sinks staged is not in it, because that grows
//! with the batches; the store keeps it beside, and so does whoever lists it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use common::ids::{BatchId, RunId, SessionId, WorkerName};
use common::job::PoolName;
use common::summary::RunSummary;
use serde::{Deserialize, Serialize};

use crate::journal::record::{Record, RecordSequence, SetBy};
use crate::journal::run_ledger::RunLedger;

/// What the records up to one of them add up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The last record that is in it.
    pub last: RecordSequence,
    /// Runs that have not ended.
    pub runs: BTreeMap<RunId, RunLedger>,
    /// Runs that have, oldest first, as long as they are kept.
    pub ended: BTreeMap<RunId, EndedRun>,
    /// Sessions that were opened and not closed: what their workers hold is unknown after a restart.
    pub sessions: BTreeMap<SessionId, SessionLedger>,
    /// The highest run id ever given out.
    pub last_run: RunId,
    /// What was declared and set for the whole coordinator.
    pub limits: CoordinatorLimits,
}

/// What was declared and set for the whole coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorLimits {
    /// Its own cap.
    pub cap: Setting,
    /// The limits shared between runs.
    pub pools: BTreeMap<PoolName, Setting>,
}

/// A number that is declared at the start, and may be set otherwise afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What was declared last.
    pub declared: Option<NonZeroU32>,
    /// What holds.
    pub now: Option<NonZeroU32>,
}

/// What is kept of a run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedRun {
    /// Its last summary.
    pub summary: Arc<RunSummary>,
    /// What it would go on from if it were reopened; of a run that cannot be, its definition and nothing else.
    pub run: RunLedger,
}

/// A session that was opened and not closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLedger {
    /// The worker.
    pub worker: WorkerName,
    /// What tells this process of the worker from another one of the same name.
    pub instance: String,
    /// Its slots.
    pub slots: u32,
}

impl Ledger {
    /// Adds a record.
    pub fn apply(&mut self, sequence: RecordSequence, record: &Record) {
        self.last = sequence;
        match record {
            Record::RunAccepted {
                run,
                job,
                source,
                seed,
                request_id,
                rerun,
                at,
            } => {
                self.last_run = self.last_run.max(*run);
                let accepted = RunLedger {
                    rerun: rerun.clone(),
                    ..RunLedger::new(job, source, *seed, request_id.clone(), *at)
                };
                self.runs.insert(*run, accepted);
            }
            Record::MarksRisen { run, marks } => self.with_run(*run, |run| run.marks = *marks),
            Record::RunStarted { run } => self.with_run(*run, |run| run.started = true),
            Record::SessionOpened {
                session,
                worker,
                instance,
                slots,
            } => {
                let opened = SessionLedger {
                    worker: worker.clone(),
                    instance: instance.clone(),
                    slots: *slots,
                };
                self.sessions.insert(*session, opened);
            }
            Record::SessionClosed { session } => {
                self.sessions.remove(session);
            }
            Record::BatchCommitted {
                run,
                batch,
                lease: _,
                rows,
                parts: _,
                ran,
                at,
            } => self.with_run(*run, |run| {
                run.committed.insert(*batch);
                run.halves.remove(batch);
                run.committed_count += 1;
                run.succeeded += u64::from(*ran);
                run.rows += *rows;
                run.first_loaded.get_or_insert(*at);
                run.budgets.remove(batch);
                run.checkpoints.remove(batch);
                run.given_up.remove(batch);
            }),
            Record::BatchCheckpointed {
                run,
                batch,
                lease: _,
                ran,
                checkpoint,
            } => self.with_run(*run, |run| {
                run.succeeded += u64::from(*ran);
                run.checkpoints.insert(*batch, (**checkpoint).clone());
            }),
            Record::CheckpointLost { run, batch, op: _ } => self.with_run(*run, |run| {
                run.checkpoints.remove(batch);
                if run.rerun.is_some() {
                    run.given_up.insert(*batch);
                }
            }),
            Record::BatchFailed {
                run,
                batch,
                failed,
                tolerance,
            } => self.with_run(*run, |run| run.fail(*batch, failed, *tolerance)),
            Record::BatchHalved {
                run,
                batch,
                first,
                second,
            } => self.with_run(*run, |run| {
                run.halves.remove(batch);
                run.budgets.remove(batch);
                run.checkpoints.remove(batch);
                run.given_up.remove(batch);
                run.halvings += 1;
                if let Some((of_first, of_second)) = batch.halves.split() {
                    for (halves, slice) in [(of_first, first), (of_second, second)] {
                        run.halves.insert(BatchId { halves, ..*batch }, slice.clone());
                    }
                }
            }),
            Record::FailedRetried { run, batches, activity } => self.with_run(*run, |run| {
                run.take_back_failed(batches);
                run.activity.push(activity.clone());
            }),
            Record::RunReopened {
                run,
                ledger,
                batches: _,
                activity: _,
            } => {
                self.ended.remove(run);
                self.runs.insert(*run, (**ledger).clone());
            }
            Record::AttemptFailed {
                run,
                batch,
                op,
                attempt,
            } => self.with_run(*run, |run| run.budgets_of(*batch).fail(*op, *attempt)),
            Record::WorkerCrashed {
                run,
                batch,
                op,
                attempt,
                instance,
            } => self.with_run(*run, |run| {
                let budgets = run.budgets_of(Some(*batch));
                budgets.use_up(*op, *attempt);
                budgets.lost.insert(instance.clone());
            }),
            Record::WorkerReturned { instance } => {
                let budgets = self.runs.values_mut().flat_map(|run| run.budgets.values_mut());
                for budgets in budgets {
                    budgets.lost.remove(instance);
                }
            }
            Record::RunFailing { run, failure } => self.with_run(*run, |run| run.failing = Some(failure.clone())),
            Record::RunFinishing { run, finishing } => self.with_run(*run, |run| run.ends = Some(*finishing)),
            Record::RunOpCommitted { run, op, lease, parts } => self.with_run(*run, |run| {
                run.succeeded += 1;
                run.run_ops.insert(*op, (*lease, parts.clone()));
            }),
            Record::RunCommanded { run, activity } => self.with_run(*run, |run| run.command(activity)),
            Record::PoolSet { pool, limit, by } => {
                self.limits
                    .pools
                    .entry(pool.clone())
                    .or_default()
                    .set(Some(*limit), *by);
            }
            Record::CapSet { cap, by } => self.limits.cap.set(*cap, *by),
            Record::RunEnded { summary, used } => {
                if let Some(run) = self.runs.remove(&summary.run) {
                    let ended = EndedRun {
                        run: run.kept_after(summary, used),
                        summary: Arc::clone(summary),
                    };
                    self.ended.insert(summary.run, ended);
                }
            }
        }
    }

    /// Forgets an ended run.
    pub fn forget(&mut self, run: RunId) {
        self.ended.remove(&run);
    }

    fn with_run(&mut self, id: RunId, change: impl FnOnce(&mut RunLedger)) {
        if let Some(run) = self.runs.get_mut(&id) {
            change(run);
        }
    }
}

impl Setting {
    fn set(&mut self, value: Option<NonZeroU32>, by: SetBy) {
        self.now = value;
        match by {
            SetBy::Start => self.declared = value,
            SetBy::Asked(_) => {}
        }
    }
}
