//! Small batches and ids for the tests of this crate.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
use common::ids::{Attempt, BatchId, OpId, OutputId};
use common::slice::FileId;

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

/// Names the first attempt's output of an op.
pub(crate) fn output(batch: u64, op: u16) -> OutputId {
    OutputId {
        batch: BatchId::whole(batch),
        op: OpId(op),
        attempt: Attempt::FIRST,
    }
}
