//! Faults: what happens when their moment comes.

use std::time::Duration;

use agent::Input;
use scheduler::{Ask, Event};

use crate::plan::{CoordinatorPoint, DrainBy, FaultKind, Notice, Way, WorkerPoint};
use crate::worker::ProcessId;
use crate::world::{Happening, World};

/// Crashes that wait for their point.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    coordinator: Option<(CoordinatorPoint, Notice, Duration)>,
    workers: Vec<(usize, WorkerPoint, Notice)>,
}

impl World {
    pub(crate) fn on_fault(&mut self, fault: usize) {
        let kind = self.plan.faults[fault].kind;
        self.trace
            .note(self.now, &[40, fault as u64], || format!("FAULT {kind:?}"));
        match kind {
            FaultKind::CrashWorker { worker, point, notice } => match point {
                WorkerPoint::Now => self.crash_newest(worker, notice),
                WorkerPoint::OpStarts | WorkerPoint::OpEnds | WorkerPoint::Staged => {
                    self.armed.workers.push((worker, point, notice));
                }
            },
            FaultKind::FreezeWorker { worker, lasts } => self.freeze(worker, lasts),
            FaultKind::SlowWorker { worker, lasts } => {
                let until = self.now + lasts;
                if let Some(process) = self.newest(worker).and_then(|id| self.processes.get_mut(&id)) {
                    process.slow_until = until;
                }
            }
            FaultKind::CutConnection { worker, notice } => self.cut_newest(worker, notice),
            FaultKind::Partition { worker, lasts } => {
                self.cut_newest(worker, Notice::Told);
                self.blocked[worker].block(Way::Both, self.now + lasts);
            }
            FaultKind::BlockNetwork { worker, way, lasts } => self.blocked[worker].block(way, self.now + lasts),
            FaultKind::SecondProcess { worker } => {
                self.add_process(worker);
            }
            FaultKind::DrainWorker { worker, by } => self.drain(worker, by),
            FaultKind::LoseOutputs { worker } => {
                if let Some(process) = self.newest(worker).and_then(|id| self.processes.get_mut(&id)) {
                    process.parked.clear();
                }
            }
            FaultKind::CrashCoordinator { point, notice, down } => match point {
                CoordinatorPoint::Now => self.crash_coordinator(usize::MAX, notice, down),
                CoordinatorPoint::BeforeSync | CoordinatorPoint::InSync | CoordinatorPoint::AfterSync => {
                    self.armed.coordinator = Some((point, notice, down));
                }
            },
            FaultKind::StallCoordinator { lasts } => self.stalled_until = self.stalled_until.max(self.now + lasts),
            FaultKind::SlowDisk { lasts } => self.slow_disk_until = self.slow_disk_until.max(self.now + lasts),
            FaultKind::Cancel { job } => self.cancel(job),
            FaultKind::RetryFailed { job, which } => self.retry_failed(job, which),
            FaultKind::Resubmit { job } => self.submit(job),
            FaultKind::Rerun { job } => self.rerun(job),
            FaultKind::Pause { job, lasts } => self.pause(job, lasts),
            FaultKind::ChangeLimit { job, limit } => self.change_limit(job, limit),
            FaultKind::SetPool { pool, limit } => self.set_pool(pool, limit),
            FaultKind::FailSync { down } => {
                self.armed.coordinator = Some((CoordinatorPoint::InSync, Notice::Told, down));
            }
            FaultKind::ChangeGlobalCap { cap } => {
                if self.coordinator.is_some() {
                    let cap = self.told_cap(cap);
                    self.ask(Ask::SetCap { cap });
                }
            }
        }
    }

    /// Lets the coordinator die if its armed crash waits for this point.
    pub(crate) fn coordinator_reaches(&mut self, at: CoordinatorPoint) {
        let Some((point, notice, down)) = self.armed.coordinator else {
            return;
        };
        if point != at {
            return;
        }
        self.armed.coordinator = None;
        let survivors = match point {
            CoordinatorPoint::BeforeSync | CoordinatorPoint::AfterSync => 0,
            CoordinatorPoint::InSync | CoordinatorPoint::Now => usize::MAX,
        };
        self.crash_coordinator(survivors, notice, down);
    }

    /// Lets a worker die if its armed crash waits for this point.
    pub(crate) fn worker_reaches(&mut self, id: ProcessId, at: WorkerPoint) {
        let Some(worker) = self.processes.get(&id).map(|process| process.worker) else {
            return;
        };
        let waits = |(of, point, _): &(usize, WorkerPoint, Notice)| *of == worker && *point == at;
        if let Some(place) = self.armed.workers.iter().position(waits) {
            let (_, _, notice) = self.armed.workers.remove(place);
            self.crash_process(id, notice);
        }
    }

    fn crash_newest(&mut self, worker: usize, notice: Notice) {
        if let Some(id) = self.newest(worker) {
            self.crash_process(id, notice);
        }
    }

    fn cut_newest(&mut self, worker: usize, notice: Notice) {
        let process = self.newest(worker).and_then(|id| self.processes.get(&id));
        if let Some(connection) = process.and_then(|process| process.session.connection()) {
            self.cut(connection, notice);
        }
    }

    fn freeze(&mut self, worker: usize, lasts: Duration) {
        let tick = self.random.up_to(Duration::from_millis(90));
        let now = self.now;
        let Some(id) = self.newest(worker) else { return };
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.wakes_at <= now) else {
            return;
        };
        let until = now + lasts;
        process.wakes_at = until + tick;
        process.counts_from = until + Duration::from_millis(100);
        for chain in process.chains.values_mut() {
            chain.due = chain.due + lasts;
        }
        let counts_from = process.counts_from;
        self.schedule(counts_from, Happening::Thawed(id));
    }

    fn drain(&mut self, worker: usize, by: DrainBy) {
        let Some(id) = self.newest(worker) else { return };
        let frozen = self
            .processes
            .get(&id)
            .is_some_and(|process| process.wakes_at > self.now);
        match by {
            DrainBy::Signal if !frozen => self.tell_agent(id, Input::DrainRequested),
            DrainBy::TwoSignals if !frozen => {
                self.tell_agent(id, Input::DrainRequested);
                self.tell_agent(id, Input::LeaveNow);
            }
            DrainBy::Signal | DrainBy::TwoSignals => {}
            DrainBy::Coordinator => {
                let session = self.processes.get(&id).and_then(|process| process.session.session());
                if let (Some(session), Some(_)) = (session, &self.coordinator) {
                    self.tell_scheduler(Event::DrainRequested { session });
                }
            }
        }
    }
}
