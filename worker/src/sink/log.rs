//! The sink that logs: one line per row in the worker's log, at least once.
//!
//! Lines have the target `plumbline::log_sink` and the level INFO, so that they can be shown, hidden or sent elsewhere
//! apart from the worker's own log; the first ones of each attempt go into the run's log too.

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId};
use common::job::{LogSink as LogSpec, MessagePiece};
use common::logs::LogLevel;
use common::part::Part;

use super::{Finish, Sink};
use crate::batch::Batch;
use crate::column::TextColumn;
use crate::ops::OpContext;

/// A log sink that is open.
pub(super) struct LogSink {
    /// The op's name.
    op: String,
    pieces: Vec<Piece>,
}

/// A piece of the message, its column found.
enum Piece {
    Text(String),
    Column(usize),
}

impl LogSink {
    /// Finds the columns of the message.
    pub(super) fn new(op: &str, spec: &LogSpec, input: &SchemaRef) -> Result<LogSink, Failure> {
        let pieces = spec.pieces().map_err(Failure::permanent)?;
        let pieces = pieces.into_iter().map(|piece| match piece {
            MessagePiece::Text(text) => Ok(Piece::Text(text)),
            MessagePiece::Column(name) => input.index_of(&name).map(Piece::Column).map_err(|_| {
                Failure::permanent(format!(
                    "the message names the column {name:?}, which the batch does not have"
                ))
            }),
        });
        Ok(LogSink {
            op: op.to_owned(),
            pieces: pieces.collect::<Result<_, _>>()?,
        })
    }

    /// Calls `line` with the message of every row.
    fn each_line(&self, batch: &Batch, mut line: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let schema = batch.schema();
        let columns: Vec<TextColumn<'_>> = schema
            .fields()
            .iter()
            .zip(batch.records().columns())
            .map(|(field, column)| TextColumn::of(field.name(), column))
            .collect::<Result<_, _>>()?;
        let mut message = Vec::new();
        for row in 0..batch.records().num_rows() {
            message.clear();
            for piece in &self.pieces {
                match piece {
                    Piece::Text(text) => message.extend_from_slice(text.as_bytes()),
                    Piece::Column(place) => columns[*place].append(row, &mut message),
                }
            }
            line(&String::from_utf8_lossy(&message))?;
        }
        Ok(())
    }
}

impl Sink for LogSink {
    fn stage(&self, batch: &Batch, context: &OpContext) -> Result<Vec<Part>, Failure> {
        // Of all ops only this one logs, so only here is a span worth what it costs.
        let span = tracing::info_span!(
            "op",
            run = %context.run,
            op = self.op,
            batch = %context.batch,
            attempt = context.attempt.0
        );
        self.each_line(batch, |line| {
            context.cancel.check()?;
            tracing::info!(target: "plumbline::log_sink", parent: &span, "{line}");
            context.task_log.say(LogLevel::Info, line);
            Ok(())
        })?;
        Ok(Vec::new())
    }

    fn publish(&self, _batch: Option<BatchId>, _parts: &[Part]) -> Result<(), Failure> {
        Ok(())
    }

    fn abandon(&self, _batch: Option<BatchId>, _lease: LeaseId) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(&self, _finish: Finish<'_>) -> Result<Vec<Part>, Failure> {
        Ok(Vec::new())
    }
}
