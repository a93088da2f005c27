//! What ops make of their batches: rows and parts, or a failure that was drawn.

use common::done::OpDone;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::part::Part;
use common::time::Time;

use crate::jobs::{IsSink, ROW_BYTES, range_of, rows_of_op};
use crate::plan::SinkPlan;
use crate::random::{Draw, mix};
use crate::worker::ProcessId;
use crate::world::World;

impl World {
    /// Says what an op did, or why it failed.
    pub(crate) fn outcome(&mut self, id: ProcessId, lease: LeaseId, place: usize) -> Result<OpDone, Failure> {
        let process = &self.processes[&id];
        let chain = &process.chains[&lease].chain;
        let (run, batch, op) = (chain.run.run, chain.batch, chain.steps[place].op);
        let is_connected = process.session.is_connected();
        let job = self.oracle.job_of_run[&run];
        let names = [
            self.plan.seed,
            7,
            run.0,
            u64::from(op.0),
            lease.generation.0,
            lease.sequence,
        ];
        if Draw::of(mix(&names), self.plan.weather.op_failures) == Draw::Yes {
            self.oracle.injected += 1;
            return Err(Failure::retryable("the disk is full"));
        }
        let Some(batch) = batch else {
            if !is_connected {
                self.oracle.injected += 1;
                return Err(Failure::retryable("the worker is not connected to its coordinator"));
            }
            self.oracle.stage_join(run, lease);
            return Ok(OpDone {
                parts: vec![part(op, lease, 1)],
                ..OpDone::default()
            });
        };
        if op == OpId(1) && self.has_bad_row(job, run, batch) {
            self.oracle.injected += 1;
            return Err(Failure::bad_input("a row is wrong"));
        }
        let is_checkpoint = chain.run.job.is_checkpoint(op);
        let mut done = self.op_done(job, op, batch, lease);
        if is_checkpoint {
            done.checkpoint = Some(self.oracle.checkpoints.write(run, op, lease, done.rows_out));
        }
        Ok(done)
    }

    /// Tells whether one of the rows of a batch is wrong now.
    fn has_bad_row(&self, job: usize, run: RunId, batch: BatchId) -> bool {
        let is_mended = self
            .plan
            .weather
            .mended_at
            .is_some_and(|at| Time::ZERO + at <= self.now);
        let is_bad = |row| {
            let drawn = mix(&[self.plan.seed, 9, run.0, batch.index, row]);
            Draw::of(drawn, self.plan.weather.bad_rows) == Draw::Yes
        };
        !is_mended && range_of(&self.plan.jobs[job], batch).any(is_bad)
    }

    fn op_done(&self, job: usize, op: OpId, batch: BatchId, lease: LeaseId) -> OpDone {
        let plan = &self.plan.jobs[job];
        let is_sink = IsSink::of(plan, op);
        let rows = rows_of_op(plan, job, op, batch);
        let stages = is_sink == IsSink::Yes && plan.sink != SinkPlan::Discard;
        OpDone {
            rows_in: rows.rows_in,
            rows_out: rows.rows_out,
            rows_rejected: rows.rejected,
            bytes_held: rows.rows_out * ROW_BYTES,
            parts: stages.then(|| part(op, lease, rows.rows_out)).into_iter().collect(),
            checkpoint: None,
        }
    }
}

/// A part that an attempt staged; it is named after the lease, as in production.
fn part(op: OpId, lease: LeaseId, rows: u64) -> Part {
    Part {
        op,
        file: format!("/out/.staged/{lease}"),
        offset: 0,
        length: rows * ROW_BYTES,
        checksum: 0,
        rows,
    }
}
