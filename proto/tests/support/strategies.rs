//! Any job, any message to a worker, any report.

#[path = "strategies/jobs.rs"]
mod jobs;

use std::sync::Arc;

use common::done::{DoneOp, OpDone, Past};
use common::failure::{Failure, FailureKind};
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldOutput, HeldState, Holdings};
use common::ids::{Attempt, BatchId, Generation, Halves, LeaseId, OpId, OutputId, RunId, SessionId};
use common::message::{
    ChainRan, Grant, Input, LeaseEnd, OpOutcome, OpRan, PermitFate, Publish, RemoteOutput, Report, Start, Step,
    ToWorker,
};
use common::part::Part;
use common::slice::{ByteSlice, FileId, FrozenSource, RunContext, Slice, SourceFile};
use common::time::Time;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use jobs::column;
pub(crate) use jobs::job;

fn run() -> impl Strategy<Value = RunId> {
    (1..=u64::MAX).prop_map(RunId)
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (any::<u64>(), any::<u64>()).prop_map(|(generation, sequence)| LeaseId {
        generation: Generation(generation),
        sequence,
    })
}

fn session() -> impl Strategy<Value = SessionId> {
    (any::<u64>(), any::<u64>()).prop_map(|(generation, sequence)| SessionId {
        generation: Generation(generation),
        sequence,
    })
}

fn op_id() -> impl Strategy<Value = OpId> {
    any::<u16>().prop_map(OpId)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (1..=u32::MAX).prop_map(Attempt)
}

fn batch() -> impl Strategy<Value = BatchId> {
    (any::<u64>(), vec(0..=1_u8, 0..=32)).prop_map(|(index, turns)| BatchId {
        index,
        halves: Halves::from_turns(turns).expect("is not too deep"),
    })
}

fn output() -> impl Strategy<Value = OutputId> {
    (batch(), op_id(), attempt()).prop_map(|(batch, op, attempt)| OutputId { batch, op, attempt })
}

fn failure() -> impl Strategy<Value = Failure> {
    let kinds = vec![
        FailureKind::Retryable,
        FailureKind::Permanent,
        FailureKind::BadInput,
        FailureKind::LostWorker,
        FailureKind::Cancelled,
        FailureKind::TimedOut,
        FailureKind::Panicked,
    ];
    (select(kinds), "\\PC{0,20}").prop_map(|(kind, message)| Failure::new(kind, message))
}

fn part() -> impl Strategy<Value = Part> {
    (
        op_id(),
        "[a-z/]{1,8}",
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
    )
        .prop_map(|(op, file, offset, length, checksum, rows)| Part {
            op,
            file,
            offset: offset.into(),
            length: length.into(),
            checksum,
            rows,
        })
}

fn slice() -> impl Strategy<Value = Slice> {
    (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        of(any::<u64>()),
        of(any::<u64>()),
        any::<u64>(),
    )
        .prop_map(|(file, start, length, first_line, first_row, rows, rows_before)| {
            Slice::Bytes(ByteSlice {
                file: FileId(file),
                start: start.into(),
                end: u64::from(start) + u64::from(length),
                first_line,
                first_row,
                rows,
                rows_before,
            })
        })
}

fn context() -> impl Strategy<Value = RunContext> {
    let file =
        ("[a-z/]{1,8}", any::<u64>(), "[0-9.]{0,8}", any::<u64>()).prop_map(|(path, bytes, etag, data_start)| {
            SourceFile {
                path,
                bytes,
                etag,
                data_start,
            }
        });
    let source = (vec(file, 0..3), vec(column(), 0..4)).prop_map(|(files, columns)| FrozenSource { files, columns });
    (run(), job(), source, any::<u64>()).prop_map(|(run, job, source, seed)| RunContext {
        run,
        job: Arc::new(job),
        source: Arc::new(source),
        seed,
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let remote =
        (output(), "[a-z:/]{0,8}", session(), vec(any::<u8>(), 0..8)).prop_map(|(output, address, holder, ticket)| {
            RemoteOutput {
                output,
                address,
                holder,
                ticket,
            }
        });
    let input = prop_oneof![
        slice().prop_map(Input::Slice),
        output().prop_map(Input::Local),
        remote.prop_map(Input::Remote),
        part().prop_map(Input::Checkpoint),
        Just(Input::Committed),
    ];
    let step = (op_id(), attempt()).prop_map(|(op, attempt)| Step { op, attempt });
    let start = select(vec![Start::Now, Start::OnFreedPermit]);
    (lease(), run(), of(batch()), vec(step, 1..4), input, of(past()), start).prop_map(
        |(lease, run, batch, steps, input, past, start)| Grant {
            lease,
            run,
            batch,
            steps: steps.into(),
            input,
            past: past.map(Arc::new),
            start,
        },
    )
}

fn done_op() -> impl Strategy<Value = DoneOp> {
    (op_id(), op_done()).prop_map(|(op, did)| DoneOp { op, did })
}

fn past() -> impl Strategy<Value = Past> {
    (slice(), vec(done_op(), 0..3), of(part())).prop_map(|(slice, done, begun_at)| Past { slice, done, begun_at })
}

fn held_lease() -> impl Strategy<Value = HeldLease> {
    let step = (op_id(), attempt()).prop_map(|(op, attempt)| Step { op, attempt });
    let time = || any::<u64>().prop_map(Time);
    let course = select(vec![HeldCourse::On, HeldCourse::Truncating, HeldCourse::Stopping]);
    let state = prop_oneof![
        (any::<u32>(), of(time()), of(time()), course).prop_map(|(slot, since, fetch_started, course)| {
            HeldState::Running {
                slot,
                since,
                fetch_started,
                course,
            }
        }),
        Just(HeldState::Prepared),
    ];
    let batch = (batch(), slice()).prop_map(|(id, slice)| HeldBatch { id, slice });
    let what = (lease(), run(), of(batch), vec(step, 1..4));
    let did = (vec(done_op(), 0..3), of(part()));
    (what, any::<u32>(), did, state).prop_map(|((lease, run, batch, steps), started, (done, begun_at), state)| {
        HeldLease {
            lease,
            run,
            batch,
            steps,
            started,
            done,
            begun_at,
            state,
        }
    })
}

/// Leases of new batches, some of which have all but their numbers in common.
pub(crate) fn messages() -> impl Strategy<Value = Vec<ToWorker>> {
    let new = |(grant, slice, sequences): (Grant, Slice, Vec<(u64, u64)>)| {
        let of_batch = move |(sequence, index)| {
            let generation = grant.lease.generation;
            ToWorker::Grant(Grant {
                lease: LeaseId { generation, sequence },
                batch: Some(BatchId::whole(index)),
                input: Input::Slice(slice.clone()),
                ..grant.clone()
            })
        };
        sequences.into_iter().map(of_batch).collect::<Vec<_>>()
    };
    let alike = (grant(), slice(), vec(any::<(u64, u64)>(), 0..4)).prop_map(new);
    let others = to_worker().prop_map(|message| vec![message]);
    vec(prop_oneof![alike, others], 0..5).prop_map(|groups| groups.concat())
}

pub(crate) fn holdings() -> impl Strategy<Value = Holdings> {
    let held_output = (run(), output(), any::<u64>(), past()).prop_map(|(run, output, bytes, past)| HeldOutput {
        run,
        output,
        bytes,
        past: Arc::new(past),
    });
    (vec(run(), 0..3), vec(held_lease(), 0..3), vec(held_output, 0..3)).prop_map(|(runs, leases, outputs)| Holdings {
        runs,
        leases,
        outputs,
    })
}

pub(crate) fn to_worker() -> impl Strategy<Value = ToWorker> {
    let publish = (lease(), run(), of(batch()), vec(part(), 0..3)).prop_map(|(lease, run, batch, parts)| Publish {
        lease,
        run,
        batch,
        parts,
    });
    prop_oneof![
        context().prop_map(|context| ToWorker::OpenRun(Arc::new(context))),
        run().prop_map(|run| ToWorker::CloseRun { run }),
        grant().prop_map(ToWorker::Grant),
        lease().prop_map(|lease| ToWorker::Permit { lease }),
        lease().prop_map(|lease| ToWorker::Truncate { lease }),
        lease().prop_map(|lease| ToWorker::Revoke { lease }),
        publish.prop_map(ToWorker::Publish),
        (run(), output()).prop_map(|(run, output)| ToWorker::Discard { run, output }),
        Just(ToWorker::Drain),
        any::<u64>().prop_map(|reports| ToWorker::Settled { reports }),
    ]
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let time = || any::<u64>().prop_map(Time);
    prop_oneof![
        (lease(), op_id(), any::<u32>(), time()).prop_map(|(lease, op, slot, at)| Report::OpStarted {
            lease,
            op,
            slot,
            at
        }),
        (lease(), op_id(), time(), outcome()).prop_map(|(lease, op, at, outcome)| Report::OpEnded {
            lease,
            op,
            at,
            outcome
        }),
        (lease(), time()).prop_map(|(lease, at)| Report::FetchStarted { lease, at }),
        (lease(), op_id()).prop_map(|(lease, last)| Report::Truncated { lease, last }),
        (lease(), lease_end(), permit()).prop_map(|(lease, end, permit)| Report::LeaseEnded { lease, end, permit }),
        chain_ran().prop_map(Report::ChainRan),
        lease().prop_map(|lease| Report::Published { lease }),
        (lease(), failure()).prop_map(|(lease, failure)| Report::PublishFailed { lease, failure }),
        Just(Report::Draining),
    ]
}

fn chain_ran() -> impl Strategy<Value = ChainRan> {
    // A chain that ran to its end has no checkpoint in it: chains are cut there.
    let op = (any::<u64>(), any::<u64>(), op_done()).prop_map(|(started, ended, done)| OpRan {
        started: Time(started),
        ended: Time(ended),
        done: OpDone {
            checkpoint: None,
            ..done
        },
    });
    (lease(), any::<u32>(), vec(op, 0..4), of(1..u64::MAX)).prop_map(|(lease, slot, ops, heir)| ChainRan {
        lease,
        slot,
        ops,
        heir: heir.map(|sequence| LeaseId { sequence, ..lease }),
    })
}

fn outcome() -> impl Strategy<Value = OpOutcome> {
    prop_oneof![
        op_done().prop_map(OpOutcome::Done),
        failure().prop_map(OpOutcome::Failed)
    ]
}

fn op_done() -> impl Strategy<Value = OpDone> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, vec(part(), 0..3), of(part())).prop_map(
        |((rows_in, rows_out, rows_rejected, bytes_held), parts, checkpoint)| OpDone {
            rows_in,
            rows_out,
            rows_rejected,
            bytes_held,
            parts,
            checkpoint,
        },
    )
}

fn lease_end() -> impl Strategy<Value = LeaseEnd> {
    prop_oneof![
        Just(LeaseEnd::Prepared),
        (output(), any::<u64>()).prop_map(|(output, bytes)| LeaseEnd::Parked { output, bytes }),
        (op_id(), of(output())).prop_map(|(op, kept)| LeaseEnd::Failed { op, kept }),
        failure().prop_map(|failure| LeaseEnd::InputLost { failure }),
        Just(LeaseEnd::Stopped),
        Just(LeaseEnd::Recalled),
        Just(LeaseEnd::Checkpointed),
    ]
}

fn permit() -> impl Strategy<Value = PermitFate> {
    prop_oneof![
        Just(PermitFate::Returned),
        lease().prop_map(PermitFate::PassedTo),
        Just(PermitFate::None),
    ]
}
