//! The short report of a lease whose ops all ran well: what the long one does in many steps, in one.
//!
//! Brief ops are reported this way by the thousand, so what is common to all of them is looked up once.

use std::sync::Arc;

use common::done::OpDone;
use common::ids::SessionId;
use common::message::{ChainRan, LeaseEnd, OpOutcome, PermitFate};
use common::time::Time;
use common::timeline::ChainEntry;

use crate::handlers::report::Impossible;
use crate::interface::command::Command;
use crate::scheduler::Scheduler;
use crate::state::lease::{Permit, Standing};

impl Scheduler {
    pub(super) fn on_chain_ran(&mut self, session: SessionId, ran: ChainRan, now: Time) -> Result<(), Impossible> {
        let Some(lease) = self.lease_of_session(session, ran.lease) else {
            return Ok(());
        };
        let is_untold = lease.started == 0 && lease.running.is_none();
        if !is_untold || lease.permit != Permit::Held || ran.ops.len() != lease.steps.len() {
            return Err(Impossible);
        }
        let is_plain = lease.standing == Standing::Valid && lease.limited_op.is_none() && lease.batch.is_some();
        let permit = ran.heir.map_or(PermitFate::Returned, PermitFate::PassedTo);
        let id = ran.lease;
        if is_plain {
            self.note_ops_of(ran);
        } else {
            self.replay_ops_of(session, ran)?;
        }
        self.on_lease_ended(session, id, LeaseEnd::Prepared, permit, now)
    }

    /// Takes the ops of a lease on a batch that counts and holds no unit of an op's own limit.
    fn note_ops_of(&mut self, ran: ChainRan) {
        let ChainRan { slot, mut ops, .. } = ran;
        let Some(lease) = self.leases.get_mut(&ran.lease) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&lease.session) else {
            return;
        };
        if let (Some(first), Some(last)) = (ops.first(), ops.last()) {
            session.note_chain(last.ended.since(first.started));
        }
        let Some(run) = self.runs.get_mut(&lease.run) else {
            return;
        };
        let Some(batch) = lease.batch.and_then(|batch| run.batches.get_mut(&batch)) else {
            return;
        };
        lease.started = lease.steps.len();
        let bytes_in = batch.bytes_into(lease.steps[0].op);
        let queued = lease.queued;
        for (step, op) in lease.steps.iter().zip(&mut ops) {
            run.task_counts.succeeded += 1;
            run.task_counts.retried += u64::from(step.attempt.0 > 1);
            let charge = batch.slice.bytes().max(op.done.bytes_held);
            run.gauges.bytes.subtract(batch.charged);
            run.gauges.bytes.add(charge);
            batch.charged = charge;
            let progress = &mut batch.ops[step.op.index()];
            progress.attempts = progress.attempts.max(step.attempt.0);
            progress.done = Some(OpDone {
                parts: std::mem::take(&mut op.done.parts),
                checkpoint: op.done.checkpoint.take(),
                ..op.done
            });
            lease.queued = op.ended;
        }
        let chain = ChainEntry {
            batch: lease.batch,
            worker: session.worker.clone(),
            slot,
            queued,
            granted: lease.granted,
            fetch_started: lease.fetch_started.take(),
            bytes_in,
            steps: Arc::clone(&lease.steps),
            ops,
        };
        let run_id = lease.run;
        self.commands.push_back(Command::RecordChain { run: run_id, chain });
        // Each permit stands for a chain that runs somewhere; when exactly its ops ran beside each other is not looked at.
        let running = &mut run.gauges.running;
        running.peak = running.peak.max(u64::from(run.units));
    }

    /// Takes the ops of a lease one by one.
    fn replay_ops_of(&mut self, session: SessionId, ran: ChainRan) -> Result<(), Impossible> {
        let ChainRan { lease, slot, ops, .. } = ran;
        let Some(steps) = self.leases.get(&lease).map(|lease| lease.steps.clone()) else {
            return Ok(());
        };
        for (step, op) in steps.iter().zip(ops) {
            self.on_op_started(session, lease, step.op, slot, op.started)?;
            self.on_op_ended(session, lease, step.op, op.ended, OpOutcome::Done(op.done))?;
        }
        Ok(())
    }
}
