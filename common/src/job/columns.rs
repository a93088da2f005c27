//! How each op changes the columns: checked against the header at submission, and used by workers for their schemas.

use std::collections::BTreeSet;

use super::problem::FieldProblem;
use super::{Exec, ExecFormat, OpKind, Sink, sink::MessagePiece};
use crate::limits::MAX_COLUMNS;

/// Returns the columns that an op makes of those it is given, or what it misses; the path is relative to the op.
pub fn output_columns(kind: &OpKind, input: &[String]) -> Result<Vec<String>, FieldProblem> {
    match kind {
        OpKind::Extract | OpKind::Noop | OpKind::Write(Sink::File(_) | Sink::Stdout | Sink::Discard) => {
            Ok(input.to_vec())
        }
        OpKind::Select(select) => {
            for (place, column) in select.columns.iter().enumerate() {
                require(input, &column.source, || format!("select.columns[{place}]"))?;
            }
            let names: Vec<String> = select.columns.iter().map(|column| column.name.clone()).collect();
            let mut seen = BTreeSet::new();
            match names.iter().position(|name| !seen.insert(name)) {
                Some(place) => Err(FieldProblem::new(
                    format!("select.columns[{place}]"),
                    format!("column {:?} is selected twice", names[place]),
                )),
                None => Ok(names),
            }
        }
        OpKind::Add(add) => {
            let mut names = input.to_vec();
            for column in &add.columns {
                if names.contains(&column.name) {
                    return Err(FieldProblem::new(
                        format!("add.columns.{}", column.name),
                        "the batch has a column of this name already",
                    ));
                }
                names.push(column.name.clone());
            }
            if names.len() > MAX_COLUMNS {
                return Err(FieldProblem::new(
                    "add.columns",
                    format!("makes {} columns, at most {MAX_COLUMNS} are allowed", names.len()),
                ));
            }
            Ok(names)
        }
        OpKind::Filter(filter) => {
            require(input, &filter.column, || "filter.column".to_owned())?;
            Ok(input.to_vec())
        }
        OpKind::Exec(exec) => exec_columns(exec, input),
        OpKind::Require(wanted) => {
            require(input, &wanted.column, || "require.column".to_owned())?;
            Ok(input.to_vec())
        }
        OpKind::Write(Sink::Log(log)) => {
            let path = || "write.log.message".to_owned();
            for piece in log.pieces().map_err(|problem| FieldProblem::new(path(), problem))? {
                if let MessagePiece::Column(column) = piece {
                    require(input, &column, path)?;
                }
            }
            Ok(input.to_vec())
        }
    }
}

/// The columns that a program gives back; its lines are the values of one column, both ways.
fn exec_columns(exec: &Exec, input: &[String]) -> Result<Vec<String>, FieldProblem> {
    if exec.format == ExecFormat::Lines && input.len() != 1 {
        return Err(FieldProblem::new(
            "exec.format",
            format!(
                "lines are the values of one column, and there are {} here; select one, or use csv",
                input.len()
            ),
        ));
    }
    if exec.columns.is_empty() {
        return Ok(input.to_vec());
    }
    Ok(exec.columns.clone())
}

fn require(input: &[String], column: &str, path: impl Fn() -> String) -> Result<(), FieldProblem> {
    if input.iter().any(|name| name == column) {
        return Ok(());
    }
    let shown: Vec<&str> = input.iter().take(20).map(String::as_str).collect();
    let more = if input.len() > shown.len() { ", ..." } else { "" };
    Err(FieldProblem::new(
        path(),
        format!(
            "there is no column {column:?} here; the columns are {}{more}",
            shown.join(", ")
        ),
    ))
}
