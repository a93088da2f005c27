//! The ops of a chain. Adding a kind of op touches this file and the proto.

use common::job::{
    Add, AddedColumn, Checkpointing, ColumnKind, Comparison, Delay, Exec, ExecFormat, Filter, Op, OpKind, Require,
    Retry, Select,
};

use super::problems::Problems;
use super::time::duration_to_wire;
use super::{limits, schedule, select, sink};
use crate::v1;
use crate::v1::Comparison as WireComparison;
use crate::v1::column::Kind as WireColumn;
use crate::v1::exec::Format as WireFormat;
use crate::v1::op::Kind as WireKind;

/// Reads an op; `path` is its place in the spec, such as `ops[1]`, and `retry` what holds if it says nothing of it.
pub(super) fn op_from_wire(problems: &mut Problems, path: &str, wire: v1::Op, retry: Retry) -> Op {
    let kind = match wire.kind {
        Some(kind) => kind_from_wire(problems, path, kind),
        None => {
            problems.add(
                path,
                "op has no kind: name one of select, add, filter, require, noop, write, exec",
            );
            OpKind::Noop
        }
    };
    Op {
        name: wire.name,
        kind,
        priority: wire.priority,
        max_concurrent: problems.count(format!("{path}.max_concurrent"), wire.max_concurrent),
        rate: wire
            .rate
            .and_then(|rate| limits::rate_from_wire(problems, &format!("{path}.rate"), rate)),
        pools: limits::pools_from_wire(problems, path, wire.pools),
        retry: match wire.retry {
            Some(wire) => schedule::retry_from_wire(problems, &format!("{path}.retry"), wire),
            None => retry,
        },
        timeout: problems.duration(format!("{path}.timeout"), wire.timeout),
        delay: delay_from_wire(problems, path, wire.delay.unwrap_or_default()),
        checkpoint: if wire.checkpoint {
            Checkpointing::Yes
        } else {
            Checkpointing::No
        },
    }
}

/// Spells an op out; `extract` is implied, so that nothing is left of it.
pub(super) fn op_to_wire(op: &Op) -> Option<v1::Op> {
    Some(v1::Op {
        name: op.name.clone(),
        needs: Vec::new(),
        kind: Some(kind_to_wire(&op.kind)?),
        max_concurrent: op.max_concurrent.map(Into::into),
        retry: Some(schedule::retry_to_wire(&op.retry)),
        priority: op.priority,
        delay: delay_to_wire(op.delay),
        timeout: op.timeout.map(duration_to_wire),
        rate: op.rate.map(limits::rate_to_wire),
        pools: op.pools.iter().map(ToString::to_string).collect(),
        checkpoint: op.checkpoint == Checkpointing::Yes,
    })
}

fn kind_from_wire(problems: &mut Problems, path: &str, wire: WireKind) -> OpKind {
    match wire {
        WireKind::Select(wire) => OpKind::Select(Select {
            columns: select::columns_from_wire(problems, path, &wire.columns),
        }),
        WireKind::Add(wire) => OpKind::Add(Add {
            columns: wire
                .columns
                .into_iter()
                .map(|(name, column)| added_column(problems, path, name, column))
                .collect(),
        }),
        WireKind::Filter(wire) => {
            let comparison = comparison_from_wire(problems, &format!("{path}.filter"), wire.comparison, &wire.value);
            OpKind::Filter(Filter {
                column: wire.column,
                comparison,
                value: wire.value,
            })
        }
        WireKind::Require(wire) => {
            let comparison = comparison_from_wire(problems, &format!("{path}.require"), wire.comparison, &wire.value);
            OpKind::Require(Require {
                column: wire.column,
                comparison,
                value: wire.value,
            })
        }
        WireKind::Noop(v1::Noop {}) => OpKind::Noop,
        WireKind::Exec(wire) => OpKind::Exec(Exec {
            format: match problems.known(format!("{path}.exec.format"), wire.format) {
                Some(WireFormat::Unspecified | WireFormat::Csv) | None => ExecFormat::Csv,
                Some(WireFormat::Lines) => ExecFormat::Lines,
            },
            program: wire.program,
            args: wire.args,
            columns: wire.columns,
        }),
        WireKind::Write(wire) => match sink::sink_from_wire(problems, path, wire) {
            Some(sink) => OpKind::Write(sink),
            None => OpKind::Noop,
        },
    }
}

fn kind_to_wire(kind: &OpKind) -> Option<WireKind> {
    match kind {
        OpKind::Extract => None,
        OpKind::Select(select) => Some(WireKind::Select(v1::Select {
            columns: select.columns.iter().map(select::column_to_wire).collect(),
        })),
        OpKind::Add(add) => Some(WireKind::Add(v1::Add {
            columns: add
                .columns
                .iter()
                .map(|column| (column.name.clone(), column_to_wire(&column.kind)))
                .collect(),
        })),
        OpKind::Filter(filter) => Some(WireKind::Filter(v1::Filter {
            column: filter.column.clone(),
            comparison: comparison_to_wire(filter.comparison).into(),
            value: filter.value.clone(),
        })),
        OpKind::Require(require) => Some(WireKind::Require(v1::Require {
            column: require.column.clone(),
            comparison: comparison_to_wire(require.comparison).into(),
            value: require.value.clone(),
        })),
        OpKind::Noop => Some(WireKind::Noop(v1::Noop {})),
        OpKind::Exec(exec) => Some(WireKind::Exec(v1::Exec {
            program: exec.program.clone(),
            args: exec.args.clone(),
            format: match exec.format {
                ExecFormat::Csv => WireFormat::Unspecified,
                ExecFormat::Lines => WireFormat::Lines,
            }
            .into(),
            columns: exec.columns.clone(),
        })),
        OpKind::Write(sink) => Some(WireKind::Write(sink::sink_to_wire(sink))),
    }
}

fn added_column(problems: &mut Problems, op: &str, name: String, wire: v1::Column) -> AddedColumn {
    let kind = match wire.kind {
        Some(WireColumn::Uuid(v1::Uuid { random: false })) => ColumnKind::Uuid,
        Some(WireColumn::Uuid(v1::Uuid { random: true })) => ColumnKind::RandomUuid,
        Some(WireColumn::Literal(text)) => ColumnKind::Literal(text),
        Some(WireColumn::RowNumber(v1::RowNumber {})) => ColumnKind::RowNumber,
        None => {
            problems.add(
                format!("{op}.add.columns.{name}"),
                "column has no kind: name one of uuid, literal, row_number",
            );
            ColumnKind::RowNumber
        }
    };
    AddedColumn { name, kind }
}

fn column_to_wire(kind: &ColumnKind) -> v1::Column {
    let kind = match kind {
        ColumnKind::Uuid => WireColumn::Uuid(v1::Uuid { random: false }),
        ColumnKind::RandomUuid => WireColumn::Uuid(v1::Uuid { random: true }),
        ColumnKind::Literal(text) => WireColumn::Literal(text.clone()),
        ColumnKind::RowNumber => WireColumn::RowNumber(v1::RowNumber {}),
    };
    v1::Column { kind: Some(kind) }
}

/// Reads a comparison; `kind` is the path of the op's kind, such as `ops[1].filter`.
fn comparison_from_wire(problems: &mut Problems, kind: &str, comparison: i32, value: &str) -> Comparison {
    let path = format!("{kind}.comparison");
    let comparison = match problems.known(path.as_str(), comparison) {
        Some(WireComparison::Unspecified) => {
            problems.add(path, "name one of eq, ne, lt, le, gt, ge, is_null, is_not_null");
            Comparison::Eq
        }
        Some(WireComparison::Eq) | None => Comparison::Eq,
        Some(WireComparison::Ne) => Comparison::Ne,
        Some(WireComparison::Lt) => Comparison::Lt,
        Some(WireComparison::Le) => Comparison::Le,
        Some(WireComparison::Gt) => Comparison::Gt,
        Some(WireComparison::Ge) => Comparison::Ge,
        Some(WireComparison::IsNull) => Comparison::IsNull,
        Some(WireComparison::IsNotNull) => Comparison::IsNotNull,
    };
    if matches!(comparison, Comparison::IsNull | Comparison::IsNotNull) && !value.is_empty() {
        problems.add(
            format!("{kind}.value"),
            "is_null and is_not_null compare with no value; leave it out",
        );
    }
    comparison
}

fn comparison_to_wire(comparison: Comparison) -> WireComparison {
    match comparison {
        Comparison::Eq => WireComparison::Eq,
        Comparison::Ne => WireComparison::Ne,
        Comparison::Lt => WireComparison::Lt,
        Comparison::Le => WireComparison::Le,
        Comparison::Gt => WireComparison::Gt,
        Comparison::Ge => WireComparison::Ge,
        Comparison::IsNull => WireComparison::IsNull,
        Comparison::IsNotNull => WireComparison::IsNotNull,
    }
}

fn delay_from_wire(problems: &mut Problems, op: &str, wire: v1::Delay) -> Delay {
    Delay {
        per_batch: problems
            .duration(format!("{op}.delay.per_batch"), wire.per_batch)
            .unwrap_or_default(),
        per_row: problems
            .duration(format!("{op}.delay.per_row"), wire.per_row)
            .unwrap_or_default(),
    }
}

fn delay_to_wire(delay: Delay) -> Option<v1::Delay> {
    (delay != Delay::default()).then(|| v1::Delay {
        per_batch: Some(duration_to_wire(delay.per_batch)),
        per_row: Some(duration_to_wire(delay.per_row)),
    })
}
