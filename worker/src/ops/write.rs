//! `write`: hands the rows to a sink, and the batch on as it is.

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::{MessagePiece, OpKind, Sink as SinkSpec};

use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp};
use crate::sink::{self, Sink};

pub(super) struct WriteFactory;

impl OpFactory for WriteFactory {
    fn kind(&self) -> &'static str {
        "write"
    }

    fn needs(&self, kind: &OpKind, input: &[String], mut later: ColumnNames) -> ColumnNames {
        match kind {
            OpKind::Write(SinkSpec::File(_) | SinkSpec::Stdout) => later.extend(input.iter().cloned()),
            OpKind::Write(SinkSpec::Log(log)) => {
                // A message with a brace too many was refused when the job was checked.
                later.extend(
                    log.pieces()
                        .unwrap_or_default()
                        .into_iter()
                        .filter_map(|piece| match piece {
                            MessagePiece::Text(_) => None,
                            MessagePiece::Column(name) => Some(name),
                        }),
                );
            }
            OpKind::Write(SinkSpec::Discard)
            | OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Exec(_)
            | OpKind::Noop => {}
        }
        later
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        Ok(Box::new(Write {
            sink: sink::open_with(open.run, open.op, open.input)?,
        }))
    }
}

struct Write {
    sink: Box<dyn Sink>,
}

impl Op for Write {
    fn run(&mut self, input: OpInput, context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let parts = self.sink.stage(&batch, context)?;
        Ok(OpOutput {
            parts,
            ..OpOutput::of(batch, rows)
        })
    }
}
