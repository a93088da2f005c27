//! Small batches and ids for the tests of this crate.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
use common::ids::{Attempt, BatchId, OpId, OutputId, RunId};
use common::job::{Batching, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::slice::{FileId, FrozenSource, RunContext};

use crate::batch::{Batch, Provenance};

/// Makes a batch of so many rows of one column.
pub(crate) fn batch_of(rows: usize) -> Batch {
    let names = (0..rows).map(|row| format!("a name that is too long to be inlined {row}"));
    let column = Arc::new(StringViewArray::from_iter_values(names)) as ArrayRef;
    let records = RecordBatch::try_from_iter([("name", column)]).expect("columns fit");
    let provenance = Provenance {
        file: FileId(0),
        start: 0,
        first_line: 2,
        first_row: None,
        rows_before: 0,
        places: None,
    };
    Batch::new(records, provenance)
}

/// Makes a run of `extract` and two ops that hand the batch on.
pub(crate) fn run_of_ops() -> RunContext {
    let ops = ["first", "second"].map(|name| Op::new(name, OpKind::Noop));
    let job = Job {
        name: "test".to_owned(),
        source: Source {
            uris: vec!["/in.csv".to_owned()],
            csv: Default::default(),
        },
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops: std::iter::once(Op::extract()).chain(ops).collect(),
        failure: FailurePolicy::default(),
        deadline: None,
        labels: Default::default(),
        seed: None,
        checkpoint_uri: None,
    };
    RunContext {
        run: RunId(7),
        job: Arc::new(job),
        source: Arc::new(FrozenSource {
            files: Vec::new(),
            columns: vec!["name".to_owned()],
        }),
        seed: 42,
    }
}

/// Names the first attempt's output of an op.
pub(crate) fn output(batch: u64, op: u16) -> OutputId {
    OutputId {
        batch: BatchId::whole(batch),
        op: OpId(op),
        attempt: Attempt::FIRST,
    }
}
