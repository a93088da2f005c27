//! Which columns have to be read: a walk back over the chain from what its ops and sinks use.
//!
//! A column that nobody uses is never made into views, parked or sent. What an op needs is said by its factory. A checkpoint
//! uses all the columns that there are behind its op: later ops may be run again from it, and may be others then.

use std::collections::BTreeSet;

use common::failure::Failure;
use common::job::{Checkpointing, Job, output_columns};

use super::Registry;

/// A set of column names.
pub type ColumnNames = BTreeSet<String>;

/// Returns the columns of the source that the chain needs, in the source's order.
pub(super) fn source_columns(registry: &Registry, job: &Job, header: &[String]) -> Result<Vec<String>, Failure> {
    // What each op is given, and behind the last one what it makes.
    let mut columns = vec![header.to_vec()];
    for (op, input) in job.ops.iter().zip(0..) {
        let output = output_columns(&op.kind, &columns[input])
            .map_err(|problem| Failure::permanent(format!("{}: {}: {}", op.name, problem.path, problem.problem)))?;
        columns.push(output);
    }
    let mut needed = ColumnNames::new();
    for (op, around) in job.ops.iter().zip(columns.windows(2)).rev() {
        let [input, output] = around else { continue };
        if op.checkpoint == Checkpointing::Yes {
            needed = output.iter().cloned().collect();
        }
        needed = registry.factory(&op.kind)?.needs(&op.kind, input, needed);
    }
    Ok(header.iter().filter(|name| needed.contains(*name)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use common::job::{Op, OpKind, Select, SelectedColumn, Sink};

    use super::*;
    use crate::testing::run_of_ops;

    #[test]
    fn a_checkpoint_holds_every_column_behind_its_op_whatever_later_ops_need() {
        let header = ["a", "b", "c"].map(str::to_owned);
        let mut job = (*run_of_ops().job).clone();
        job.ops.push(Op::new("load", OpKind::Write(Sink::Discard)));
        let read = |job: &Job| source_columns(&Registry::standard(), job, &header).expect("the columns fit");
        assert_eq!(read(&job), [""; 0]);
        job.ops[2].checkpoint = Checkpointing::Yes;
        assert_eq!(read(&job), header);
        let selected = ["c", "a"].map(|name| SelectedColumn {
            source: name.to_owned(),
            name: name.to_owned(),
        });
        let select = Select {
            columns: selected.to_vec(),
        };
        job.ops.insert(1, Op::new("some", OpKind::Select(select)));
        assert_eq!(read(&job), ["a", "c"]);
    }
}
