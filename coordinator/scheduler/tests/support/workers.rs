//! How the simulated workers behave: they run the steps of a lease back to back, and report.

use super::*;

impl World {
    pub(super) fn deliver(&mut self, session: SessionId, message: ToWorker) {
        let now = self.now;
        if let Some(held_back) = self.held_back.get_mut(&session) {
            return held_back.push(message);
        }
        let Some(worker) = self.workers.get_mut(&session).filter(|worker| worker.connected) else {
            return;
        };
        match message {
            ToWorker::Grant(grant) => match grant.start {
                Start::Now => self.start_lease(session, grant),
                Start::OnFreedPermit => worker.waiting.push_back(grant),
            },
            ToWorker::Permit { lease } => {
                let place = worker.waiting.iter().position(|grant| grant.lease == lease);
                if let Some(grant) = place.and_then(|place| worker.waiting.remove(place)) {
                    self.start_lease(session, grant);
                }
            }
            ToWorker::Recall { lease } => self.end_waiting(session, lease, LeaseEnd::Recalled),
            ToWorker::Truncate { lease } => self.truncate(session, lease),
            ToWorker::Revoke { lease } => {
                self.end_waiting(session, lease, LeaseEnd::Stopped);
                let Some(worker) = self.workers.get_mut(&session) else {
                    return;
                };
                if !worker.leases.contains_key(&lease) {
                    self.revoked.insert(lease);
                    return;
                }
                if let Some(held) = worker.leases.remove(&lease) {
                    worker.free.insert(held.slot);
                    let running = self.running_step(lease);
                    if let Some(place) = running {
                        let op = held.grant.steps[place].op;
                        let outcome = OpOutcome::Failed(Failure::cancelled());
                        self.schedule(
                            now,
                            Happening::Tell(Event::Reported {
                                session,
                                report: Report::OpEnded {
                                    lease,
                                    op,
                                    at: now,
                                    outcome,
                                },
                            }),
                        );
                    }
                    let end = LeaseEnd::Stopped;
                    let report = Report::LeaseEnded {
                        lease,
                        end,
                        permit: PermitFate::Returned,
                    };
                    self.schedule(now, Happening::Tell(Event::Reported { session, report }));
                }
            }
            ToWorker::Publish(publish) => {
                if publish.batch.is_none() && publish.parts.is_empty() {
                    self.swept.push(publish.run);
                }
                let report = Report::Published { lease: publish.lease };
                self.schedule(now, Happening::Tell(Event::Reported { session, report }));
            }
            ToWorker::OpenRun(_)
            | ToWorker::CloseRun { .. }
            | ToWorker::Discard { .. }
            | ToWorker::Settled { .. }
            | ToWorker::Drain => {}
        }
    }

    pub(super) fn running_step(&mut self, lease: LeaseId) -> Option<usize> {
        let key = self.agenda.iter().find_map(|(key, happening)| match happening {
            Happening::StepEnd(_, of, place) if *of == lease => Some((*key, *place)),
            Happening::Step(..) | Happening::StepEnd(..) | Happening::Tell(_) | Happening::Timeout => None,
        });
        let (key, place) = key?;
        self.agenda.remove(&key);
        Some(place)
    }

    pub(super) fn truncate(&mut self, session: SessionId, lease: LeaseId) {
        if let Some(held) = self
            .workers
            .get_mut(&session)
            .and_then(|worker| worker.leases.get_mut(&lease))
        {
            held.truncated = true;
        }
    }

    pub(super) fn report(&mut self, session: SessionId, report: Report) {
        if self.workers[&session].connected {
            self.tell(Event::Reported { session, report });
        }
    }

    pub(super) fn begin_step(&mut self, session: SessionId, lease: LeaseId, place: usize) {
        let Some(held) = self.workers[&session].leases.get(&lease) else {
            return;
        };
        let grant = held.grant.clone();
        let slot = held.slot;
        let over = place == grant.steps.len() || held.truncated && place > 0;
        if over {
            let end = self.lease_end(&grant, place);
            self.end_lease(session, lease, end);
            return;
        }
        if place == 0 && self.cannot_read(&grant) {
            let failure = Failure::retryable("the checkpoint is gone");
            self.end_lease(session, lease, LeaseEnd::InputLost { failure });
            return;
        }
        let step = grant.steps[place];
        let duration = self.duration(&grant, step.op);
        if place == 0 && matches!(grant.input, Input::Remote(_)) {
            self.fetches.insert(lease, self.now);
            self.report(session, Report::FetchStarted { lease, at: self.now });
        }
        self.schedule(self.now + duration, Happening::StepEnd(session, lease, place));
        self.report(
            session,
            Report::OpStarted {
                lease,
                op: step.op,
                slot,
                at: self.now,
            },
        );
    }

    pub(super) fn end_step(&mut self, session: SessionId, lease: LeaseId, place: usize) {
        let Some(held) = self.workers[&session].leases.get(&lease) else {
            return;
        };
        let grant = held.grant.clone();
        let step = grant.steps[place];
        let told = match grant.batch {
            Some(batch) => self.failing.remove(&(step.op, batch, step.attempt.0)),
            None => self.failing_whole.remove(&(step.op, step.attempt.0)),
        };
        let failure = told.or_else(|| self.failure_of_rows(&grant, step.op));
        let rows = self.rows(&grant);
        let bytes_held = rows * ROW_BYTES;
        let outcome = match &failure {
            Some(failure) => OpOutcome::Failed(failure.clone()),
            None => OpOutcome::Done(OpDone {
                rows_in: rows,
                rows_out: rows,
                bytes_held,
                checkpoint: self.checkpoint_of(&grant, step.op),
                ..OpDone::default()
            }),
        };
        self.report(
            session,
            Report::OpEnded {
                lease,
                op: step.op,
                at: self.now,
                outcome,
            },
        );
        match failure {
            Some(_) => {
                let kept = place.checked_sub(1).map(|before| output(&grant, before));
                self.end_lease(session, lease, LeaseEnd::Failed { op: step.op, kept });
            }
            None => self.begin_step(session, lease, place + 1),
        }
    }

    fn cannot_read(&mut self, grant: &Grant) -> bool {
        let Some(batch) = grant.batch.filter(|_| matches!(grant.input, Input::Checkpoint(_))) else {
            return false;
        };
        let left = self.unreadable.get_mut(&batch).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }

    /// What an op writes as its checkpoint, if it is one.
    fn checkpoint_of(&self, grant: &Grant, op: OpId) -> Option<Part> {
        let is_checkpoint = grant.batch.is_some() && self.jobs[&grant.run].is_checkpoint(op);
        is_checkpoint.then(|| Part {
            op,
            file: format!("/checkpoints/{}-{}", op.0, grant.lease),
            offset: 0,
            length: self.rows(grant) * ROW_BYTES,
            checksum: 0,
            rows: self.rows(grant),
        })
    }

    fn lease_end(&self, grant: &Grant, steps_done: usize) -> LeaseEnd {
        let last = grant.steps[steps_done - 1].op;
        let is_last_of_chain = last == self.last_op(grant.run);
        if grant.batch.is_none() || is_last_of_chain {
            LeaseEnd::Prepared
        } else if self.checkpoint_of(grant, last).is_some() {
            LeaseEnd::Checkpointed
        } else {
            LeaseEnd::Parked {
                output: output(grant, steps_done - 1),
                bytes: self.rows(grant) * ROW_BYTES,
            }
        }
    }

    /// Starts a lease that has a permit, in a free slot.
    fn start_lease(&mut self, session: SessionId, grant: Grant) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&session) else {
            return;
        };
        let slot = worker.free.pop_first().expect("a permit comes with a slot");
        let lease = grant.lease;
        self.grants.push((task_name(&grant), grant.clone()));
        worker.leases.insert(
            lease,
            SimLease {
                grant,
                slot,
                truncated: false,
            },
        );
        self.schedule(now, Happening::Step(session, lease, 0));
    }

    /// Gives a lease back that waits for a permit.
    fn end_waiting(&mut self, session: SessionId, lease: LeaseId, end: LeaseEnd) {
        let Some(worker) = self.workers.get_mut(&session) else {
            return;
        };
        let place = worker.waiting.iter().position(|grant| grant.lease == lease);
        if place.and_then(|place| worker.waiting.remove(place)).is_some() {
            let report = Report::LeaseEnded {
                lease,
                end,
                permit: PermitFate::None,
            };
            self.schedule(self.now, Happening::Tell(Event::Reported { session, report }));
        }
    }

    fn end_lease(&mut self, session: SessionId, lease: LeaseId, end: LeaseEnd) {
        let mut permit = PermitFate::Returned;
        let mut next = None;
        if let Some(worker) = self.workers.get_mut(&session)
            && let Some(held) = worker.leases.remove(&lease)
        {
            worker.free.insert(held.slot);
            let of_run = |grant: &Grant| grant.run == held.grant.run;
            let place = worker
                .waiting
                .iter()
                .position(of_run)
                .filter(|_| end == LeaseEnd::Prepared);
            next = place.and_then(|place| worker.waiting.remove(place));
        }
        if let Some(grant) = &next {
            permit = PermitFate::PassedTo(grant.lease);
        }
        if let Some(grant) = next {
            self.start_lease(session, grant);
        }
        self.report(session, Report::LeaseEnded { lease, end, permit });
    }
}

fn output(grant: &Grant, place: usize) -> OutputId {
    let step = grant.steps[place];
    OutputId {
        batch: grant.batch.expect("an output is of a batch"),
        op: step.op,
        attempt: step.attempt,
    }
}

fn task_name(grant: &Grant) -> String {
    let op = grant.steps[0].op.0;
    let last = grant.steps[grant.steps.len() - 1].op.0;
    let ops = if op == last {
        format!("{op}")
    } else {
        format!("{op}..{last}")
    };
    grant
        .batch
        .map_or(format!("op{ops}"), |batch| format!("op{ops}[{batch}]"))
}
