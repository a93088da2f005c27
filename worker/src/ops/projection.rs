//! Which columns have to be read: a walk back over the chain from what its ops and sinks use.
//!
//! A column that nobody uses is never made into views, parked or sent. What an op needs is said by its factory.

use std::collections::BTreeSet;

use common::failure::Failure;
use common::job::{Job, output_columns};

use super::Registry;

/// A set of column names.
pub type ColumnNames = BTreeSet<String>;

/// Returns the columns of the source that the chain needs, in the source's order.
pub(super) fn source_columns(registry: &Registry, job: &Job, header: &[String]) -> Result<Vec<String>, Failure> {
    let mut inputs = Vec::with_capacity(job.ops.len());
    let mut columns = header.to_vec();
    for op in &job.ops {
        let output = output_columns(&op.kind, &columns)
            .map_err(|problem| Failure::permanent(format!("{}: {}: {}", op.name, problem.path, problem.problem)))?;
        inputs.push(std::mem::replace(&mut columns, output));
    }
    let mut needed = ColumnNames::new();
    for (op, input) in job.ops.iter().zip(&inputs).rev() {
        needed = registry.factory(&op.kind)?.needs(&op.kind, input, needed);
    }
    Ok(header.iter().filter(|name| needed.contains(*name)).cloned().collect())
}
