//! What goes wrong: workers die, leave, are cut off and hear late; the coordinator is started again.

use super::*;

impl World {
    /// Lets a worker's process vanish without a word.
    pub fn kill(&mut self, session: SessionId) {
        if let Some(worker) = self.workers.get_mut(&session) {
            worker.alive = false;
            worker.connected = false;
            worker.leases.clear();
            worker.waiting.clear();
            self.tell(Event::SessionDisconnected { session });
        }
    }

    /// Breaks a worker's connection; the worker stops what it runs, as its agent would before its leases end.
    pub fn cut(&mut self, session: SessionId) {
        if let Some(worker) = self.workers.get_mut(&session).filter(|worker| worker.connected) {
            worker.connected = false;
            let held = std::mem::take(&mut worker.leases);
            worker.free = (0..worker.slots).collect();
            let waiting = std::mem::take(&mut worker.waiting);
            self.stopped
                .extend(waiting.into_iter().map(|grant| (session, grant.lease, None)));
            for lease in held.into_keys() {
                let op = self.running_step(lease).and_then(|place| self.step_of(lease, place));
                self.stopped.push((session, lease, op));
            }
            self.tell(Event::SessionDisconnected { session });
        }
    }

    /// Lets a cut worker connect again, if the coordinator still knows it: it says that its leases were stopped.
    pub fn reconnect(&mut self, session: SessionId) {
        let is_known = self.scheduler.workers().any(|worker| worker.session == session);
        let Some(worker) = self
            .workers
            .get_mut(&session)
            .filter(|worker| worker.alive && !worker.connected)
        else {
            return;
        };
        if !is_known {
            worker.alive = false;
            return;
        }
        worker.connected = true;
        self.tell(Event::SessionResumed { session });
        let stopped = std::mem::take(&mut self.stopped);
        for (of, lease, op) in stopped {
            if of != session {
                self.stopped.push((of, lease, op));
                continue;
            }
            if let Some(op) = op {
                let outcome = OpOutcome::Failed(Failure::cancelled());
                self.report(
                    session,
                    Report::OpEnded {
                        lease,
                        op,
                        at: self.now,
                        outcome,
                    },
                );
            }
            let end = LeaseEnd::Stopped;
            self.report(
                session,
                Report::LeaseEnded {
                    lease,
                    end,
                    permit: PermitFate::Returned,
                },
            );
        }
    }

    /// Ends the coordinator's process and starts it again on its journal: every worker that lives lets go of what it
    /// holds and connects anew.
    pub fn restart(&mut self) {
        let former = self.crash();
        for worker in former.into_values().filter(|worker| worker.alive) {
            let ops: Vec<&str> = worker.ops.iter().map(String::as_str).collect();
            self.worker_with(&worker.name, worker.slots, &ops);
        }
    }

    /// Ends the coordinator's process and starts it again on its journal; returns the workers of before.
    pub(super) fn crash(&mut self) -> BTreeMap<SessionId, SimWorker> {
        let ledger = self.ledger();
        self.sources.clone_from(&self.whole_sources);
        self.config.generation = Generation(self.config.generation.0 + 1);
        self.agenda.clear();
        self.last_ticket = Ticket(0);
        self.answers.clear();
        self.disk = Disk::Quick;
        self.scheduler = Scheduler::restore(self.config.clone(), &ledger, self.now);
        self.obey();
        std::mem::take(&mut self.workers)
    }

    /// Lets nothing more become durable.
    pub fn stop_the_disk(&mut self) {
        self.disk = Disk::Stuck(RecordSequence::default());
    }

    /// Lets everything become durable that was written meanwhile.
    pub fn start_the_disk(&mut self) {
        if let Disk::Stuck(sequence) = std::mem::replace(&mut self.disk, Disk::Quick) {
            self.tell(Event::DurableUpTo { sequence });
        }
    }

    /// Keeps what a worker is told on its way, until it is let through.
    pub fn hold_back(&mut self, session: SessionId) {
        self.held_back.insert(session, Vec::new());
    }

    /// Lets a worker hear what was held back.
    pub fn let_through(&mut self, session: SessionId) {
        for message in self.held_back.remove(&session).unwrap_or_default() {
            self.deliver(session, message);
        }
    }

    /// Lets a worker say that it leaves.
    pub fn drain(&mut self, session: SessionId) {
        self.report(session, Report::Draining);
        let leases: Vec<LeaseId> = self.workers[&session].leases.keys().copied().collect();
        for lease in leases {
            self.truncate(session, lease);
        }
    }
}
