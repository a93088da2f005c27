//! `require`: fails the batch unless a comparison holds for every row, and names the first row for which it does not.
//!
//! How values are compared is said in [`super::condition`]. The rows are what they are, so the failure is one of the
//! input and the batch is not tried again; with `retry: { bisect: true }` it is halved down to the rows that are wrong.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::{Comparison, OpKind, Require};
use common::slice::RunContext;

use super::condition::Condition;
use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, locate, place_of, wrong_kind};
use crate::batch::Batch;
use crate::column::TextColumn;

/// How much of a wrong value a message shows, in characters.
const SHOWN: usize = 60;

pub(super) struct RequireFactory;

impl RequireFactory {
    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Require, Failure> {
        match kind {
            OpKind::Require(require) => Ok(require),
            OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Exec(_)
            | OpKind::Noop
            | OpKind::Write(_) => Err(wrong_kind(self, kind)),
        }
    }
}

impl OpFactory for RequireFactory {
    fn kind(&self) -> &'static str {
        "require"
    }

    fn needs(&self, kind: &OpKind, _input: &[String], mut later: ColumnNames) -> ColumnNames {
        if let Ok(require) = self.config(kind) {
            later.insert(require.column.clone());
        }
        later
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        let require = self.config(open.kind())?;
        Ok(Box::new(RequireOp {
            run: open.run.clone(),
            column: place_of(open.input, &require.column)?,
            condition: Condition::new(require.comparison, &require.value),
            require: require.clone(),
        }))
    }
}

struct RequireOp {
    run: Arc<RunContext>,
    /// Where the compared column is.
    column: usize,
    condition: Condition,
    require: Require,
}

impl Op for RequireOp {
    fn run(&mut self, input: OpInput, _context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let column = TextColumn::of(&self.require.column, batch.records().column(self.column))?;
        let wrong = self.condition.of_rows(column, rows as usize).position(|holds| !holds);
        match wrong {
            Some(row) => Err(self.refusal(&batch, column, row)),
            None => Ok(OpOutput::of(batch, rows)),
        }
    }
}

impl RequireOp {
    fn refusal(&self, batch: &Batch, column: TextColumn<'_>, row: usize) -> Failure {
        let mut value = Vec::new();
        column.append(row, &mut value);
        let value: String = String::from_utf8_lossy(&value).chars().take(SHOWN).collect();
        let place = locate::row(&self.run, batch.provenance(), row);
        Failure::bad_input(format!(
            "{place}: column {:?} is {value:?}, the job requires {}; mend the row, or filter such rows out",
            self.require.column,
            self.wanted()
        ))
    }

    fn wanted(&self) -> String {
        let Require { comparison, value, .. } = &self.require;
        match comparison {
            Comparison::IsNull => "that it is empty".to_owned(),
            Comparison::IsNotNull => "that it is not empty".to_owned(),
            Comparison::Eq | Comparison::Ne | Comparison::Lt | Comparison::Le | Comparison::Gt | Comparison::Ge => {
                format!("{} {value:?}", comparison.as_str())
            }
        }
    }
}
