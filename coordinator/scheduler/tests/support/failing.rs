//! Jobs with rows that are wrong, what of them has failed, and which rows were loaded.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, OpId, RunId};
use common::job::{Bisect, FailurePolicy, Job, OnFailure};
use common::slice::Slice;
use common::steering::Asker;
use common::summary::RunSummary;
use scheduler::{Event, Record};

use super::{World, jobs};

/// The run that fails.
pub const RUN: RunId = RunId(1);

/// Two ops of 10 ms and 20 ms on batches of so many rows; what fails is halved, and the run goes on.
pub fn halving_job(rows_per_batch: u32) -> Job {
    let ops = vec![jobs::op_of("check", 10), jobs::op_of("load", 20)];
    let mut job = jobs::chain("halving", ops, jobs::rows(rows_per_batch), jobs::cap(2));
    for op in &mut job.ops {
        op.retry.bisect = Bisect::Yes;
        op.retry.max_attempts = NonZeroU32::new(2).expect("is not zero");
    }
    job.failure = policy(OnFailure::Continue);
    job
}

pub fn policy(on_failure: OnFailure) -> FailurePolicy {
    FailurePolicy {
        on_failure,
        ..FailurePolicy::default()
    }
}

pub fn bad_row(world: &mut World, row: u64, kind: FailureKind) {
    world
        .bad_rows
        .insert(row, (OpId(1), Failure::new(kind, "the row is wrong")));
}

pub fn failed(world: &World) -> Vec<String> {
    failed_now(world).iter().map(BatchId::to_string).collect()
}

/// The failed batches that could be tried again now.
pub fn failed_now(world: &World) -> Vec<BatchId> {
    let failed = world.scheduler.retryable(RUN);
    failed.map_or_else(|_| Vec::new(), |failed| failed.map(|(batch, _)| batch).collect())
}

pub fn retry(world: &mut World, batches: Vec<BatchId>) {
    let by = Asker::Grpc;
    world.tell(Event::RetryRequested { run: RUN, batches, by });
}

/// The rows that were committed, each as often as it was, by the slices that the records speak of.
pub fn committed_rows(world: &World, rows_per_batch: u64, rows: u64) -> BTreeMap<u64, u32> {
    let mut slices: BTreeMap<BatchId, (u64, u64)> = BTreeMap::new();
    for index in 0..rows.div_ceil(rows_per_batch) {
        let first = index * rows_per_batch;
        slices.insert(index.into(), (first, (first + rows_per_batch).min(rows)));
    }
    let mut loaded = BTreeMap::new();
    for record in &world.records {
        if let Record::BatchHalved {
            batch, first, second, ..
        } = record
        {
            let (of_first, of_second) = batch.halves.split().expect("is not that deep");
            for (halves, Slice::Bytes(bytes)) in [(of_first, first), (of_second, second)] {
                let start = bytes.first_row.expect("is counted");
                slices.insert(
                    BatchId { halves, ..*batch },
                    (start, start + bytes.rows.expect("is counted")),
                );
            }
        }
        if let Record::BatchCommitted { batch, .. } = record {
            let (start, end) = slices[batch];
            for row in start..end {
                *loaded.entry(row).or_insert(0) += 1;
            }
        }
    }
    loaded
}

pub fn ended(world: &World) -> RunSummary {
    world.ended[&RUN].clone()
}
