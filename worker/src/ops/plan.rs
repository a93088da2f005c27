//! The plan of a run on a worker: the columns before and after every op, and how to open ops.
//!
//! Every worker computes the same plan from the run's job and header, so a batch that moves to another worker finds
//! the columns it expects there.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::failure::Failure;
use common::ids::OpId;
use common::slice::RunContext;

use super::projection::source_columns;
use super::{Op, OpenOp, Registry};

/// What a worker works out once for each run.
#[derive(Clone, Debug)]
pub struct Plan {
    run: Arc<RunContext>,
    registry: Registry,
    /// What `extract` delivers, then the columns after each op; the columns after op `n` are `schemas[n]`.
    schemas: Vec<SchemaRef>,
}

impl Plan {
    /// Works out the columns of a run's chain, or says which op cannot be done here or misses a column.
    pub fn new(registry: &Registry, run: Arc<RunContext>) -> Result<Plan, Failure> {
        let columns = source_columns(registry, &run.job, &run.source.columns)?;
        let fields: Vec<Field> = columns
            .into_iter()
            .map(|name| Field::new(name, DataType::Utf8View, false))
            .collect();
        let mut schemas = vec![Arc::new(Schema::new(fields))];
        for id in run.job.op_ids().skip(1) {
            let kind = &run.job.op(id).kind;
            let output = registry.factory(kind)?.output(kind, &schemas[id.index() - 1])?;
            schemas.push(output);
        }
        Ok(Plan {
            run,
            registry: registry.clone(),
            schemas,
        })
    }

    /// Returns the run.
    pub fn run(&self) -> &Arc<RunContext> {
        &self.run
    }

    /// Returns the columns that an op makes.
    pub fn output(&self, op: OpId) -> &SchemaRef {
        &self.schemas[op.index()]
    }

    /// Returns the columns that an op is given; for `extract`, those that it reads.
    pub fn input(&self, op: OpId) -> &SchemaRef {
        &self.schemas[op.index().saturating_sub(1)]
    }

    /// Opens an op for one slot.
    pub fn open(&self, op: OpId) -> Result<Box<dyn Op>, Failure> {
        self.registry.factory(&self.run.job.op(op).kind)?.open(&OpenOp {
            run: &self.run,
            op,
            input: self.input(op),
            output: self.output(op),
        })
    }
}
