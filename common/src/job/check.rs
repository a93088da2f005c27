//! The checks of a job: each problem names the field's path in the spec and says what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use super::columns::output_columns;
use super::problem::{FieldProblem, InvalidJob};
use super::{Exec, ExecFormat, Header, Job, Op, OpKind, Retry, Sink};
use crate::ids::OpId;
use crate::limits;

impl Job {
    /// Checks everything that can be checked without looking at the source.
    pub fn check(&self) -> Result<(), InvalidJob> {
        let mut problems = Vec::new();
        check_name(&mut problems, "name", &self.name);
        self.check_source(&mut problems);
        self.check_ops(&mut problems);
        check_retry(&mut problems, "", &self.op(OpId::EXTRACT).retry);
        if self
            .failure
            .tolerated_percent
            .is_some_and(|percent| !(0.0..=100.0).contains(&percent))
        {
            problems.push(FieldProblem::new(
                "failure.tolerated_failed_percent",
                "must be 0 to 100",
            ));
        }
        check_time(&mut problems, "deadline", self.deadline);
        self.check_sinks(&mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(InvalidJob { problems })
        }
    }

    /// Checks that every op finds the columns it needs, starting from the source's header.
    pub fn check_columns(&self, header: &[String]) -> Result<(), InvalidJob> {
        let mut columns = header.to_vec();
        for id in self.op_ids() {
            columns = output_columns(&self.op(id).kind, &columns).map_err(|problem| FieldProblem {
                path: format!("{}.{}", spec_path(id), problem.path),
                problem: problem.problem,
            })?;
        }
        Ok(())
    }

    fn check_source(&self, problems: &mut Vec<FieldProblem>) {
        if self.source.uris.is_empty() {
            problems.push(FieldProblem::new("source.uris", "name at least one file"));
        }
        let dialect = &self.source.csv;
        for (place, uri) in self.source.uris.iter().enumerate() {
            if uri.is_empty() || uri.contains('\0') {
                problems.push(FieldProblem::new(format!("source.uris[{place}]"), "is no path"));
            }
        }
        if dialect.delimiter == dialect.quote {
            problems.push(FieldProblem::new("source.csv.quote", "must differ from the delimiter"));
        }
        for (field, byte) in [("delimiter", dialect.delimiter), ("quote", dialect.quote)] {
            if !byte.is_ascii() || matches!(byte, b'\n' | b'\r' | 0) {
                problems.push(FieldProblem::new(
                    format!("source.csv.{field}"),
                    "must be one ASCII character other than a line break",
                ));
            }
        }
        match dialect.header {
            Header::None if dialect.columns.is_empty() => {
                problems.push(FieldProblem::new(
                    "source.csv.columns",
                    "name the columns, because the file has no header",
                ));
            }
            Header::FirstRow if !dialect.columns.is_empty() => {
                problems.push(FieldProblem::new(
                    "source.csv.columns",
                    "goes with header: none; the file's header names the columns",
                ));
            }
            Header::None | Header::FirstRow => {}
        }
    }

    fn check_ops(&self, problems: &mut Vec<FieldProblem>) {
        if self.ops.len() < 2 {
            problems.push(FieldProblem::new("ops", "name at least one op"));
        }
        if self.ops.len() > limits::MAX_OPS + 1 {
            problems.push(FieldProblem::new(
                "ops",
                format!(
                    "has {} ops, at most {} are allowed",
                    self.ops.len() - 1,
                    limits::MAX_OPS
                ),
            ));
        }
        let mut names = BTreeSet::from([self.ops[0].name.as_str()]);
        for id in self.op_ids().skip(1) {
            let op = self.op(id);
            let path = spec_path(id);
            check_name(problems, &format!("{path}.name"), &op.name);
            if !names.insert(&op.name) {
                problems.push(FieldProblem::new(
                    format!("{path}.name"),
                    format!("{:?} names an earlier op already; names are unique", op.name),
                ));
            }
            check_limits(problems, &path, op);
            check_retry(problems, &format!("{path}."), &op.retry);
            check_time(problems, &format!("{path}.timeout"), op.timeout);
            if id == self.last_op() && self.is_checkpoint(id) {
                problems.push(FieldProblem::new(
                    format!("{path}.checkpoint"),
                    "nothing comes behind the last op that could begin there; take it off",
                ));
            }
            self.check_kind(problems, id, &path);
        }
    }

    fn check_kind(&self, problems: &mut Vec<FieldProblem>, id: OpId, path: &str) {
        match &self.op(id).kind {
            OpKind::Extract => problems.push(FieldProblem::new(path, "extract is always op 0 and is never spelt out")),
            OpKind::Select(select) if select.columns.is_empty() => {
                problems.push(FieldProblem::new(
                    format!("{path}.select.columns"),
                    "name at least one column",
                ));
            }
            OpKind::Add(add) if add.columns.is_empty() => {
                problems.push(FieldProblem::new(
                    format!("{path}.add.columns"),
                    "name at least one column",
                ));
            }
            OpKind::Exec(exec) => check_exec(problems, path, exec),
            OpKind::Write(Sink::Log(log)) => {
                if let Err(problem) = log.pieces() {
                    problems.push(FieldProblem::new(format!("{path}.write.log.message"), problem));
                }
            }
            OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Noop
            | OpKind::Write(Sink::File(_) | Sink::Stdout | Sink::Discard) => {}
        }
    }

    fn check_sinks(&self, problems: &mut Vec<FieldProblem>) {
        if self
            .checkpoint_uri
            .as_deref()
            .is_some_and(|uri| uri.is_empty() || uri.contains('\0'))
        {
            problems.push(FieldProblem::new(
                "checkpoint_uri",
                "name a folder that every worker sees, or leave it out",
            ));
        }
        let mut targets = BTreeSet::new();
        for (id, sink) in self.file_sinks() {
            let path = format!("{}.write.{}.uri", spec_path(id), sink.format.extension());
            if sink.uri.is_empty() || sink.uri.contains('\0') {
                problems.push(FieldProblem::new(path, "name where to write"));
            } else if !targets.insert(sink.uri.trim_end_matches('/')) {
                problems.push(FieldProblem::new(path, "another op writes there already"));
            }
        }
    }
}

/// Returns an op's path in the spec, where `extract` is not spelt out.
fn spec_path(id: OpId) -> String {
    format!("ops[{}]", id.index().saturating_sub(1))
}

fn check_name(problems: &mut Vec<FieldProblem>, path: &str, name: &str) {
    if name.is_empty() || name.len() > limits::MAX_NAME_BYTES {
        problems.push(FieldProblem::new(
            path,
            format!("must have 1 to {} bytes", limits::MAX_NAME_BYTES),
        ));
    } else if !name
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    {
        problems.push(FieldProblem::new(path, "may hold letters, digits, _, - and . only"));
    }
}

fn check_time(problems: &mut Vec<FieldProblem>, path: &str, time: Option<Duration>) {
    if time.is_some_and(|time| time.is_zero()) {
        problems.push(FieldProblem::new(
            path,
            "must be more than zero; leave it out for no limit",
        ));
    }
}

fn check_exec(problems: &mut Vec<FieldProblem>, path: &str, exec: &Exec) {
    let program = &exec.program;
    if program.is_empty() || program.contains('\0') || program.contains('/') && !program.starts_with('/') {
        problems.push(FieldProblem::new(
            format!("{path}.exec.program"),
            "name a program as workers allow it: a name without a folder, or an absolute path",
        ));
    }
    if let Some(place) = exec.args.iter().position(|arg| arg.contains('\0')) {
        problems.push(FieldProblem::new(
            format!("{path}.exec.args[{place}]"),
            "holds a zero byte",
        ));
    }
    if exec.columns.len() > limits::MAX_COLUMNS {
        problems.push(FieldProblem::new(
            format!("{path}.exec.columns"),
            format!(
                "names {} columns, at most {} are allowed",
                exec.columns.len(),
                limits::MAX_COLUMNS
            ),
        ));
    }
    if exec.format == ExecFormat::Lines && exec.columns.len() > 1 {
        problems.push(FieldProblem::new(
            format!("{path}.exec.columns"),
            "lines are the values of one column; name one, or use csv",
        ));
    }
    let mut seen = BTreeSet::new();
    for (place, name) in exec.columns.iter().enumerate() {
        if !seen.insert(name) {
            problems.push(FieldProblem::new(
                format!("{path}.exec.columns[{place}]"),
                format!("{name:?} is named twice"),
            ));
        }
    }
}

fn check_retry(problems: &mut Vec<FieldProblem>, path: &str, retry: &Retry) {
    if !(retry.multiplier.is_finite() && retry.multiplier >= 1.0) {
        problems.push(FieldProblem::new(
            format!("{path}retry.multiplier"),
            "must be at least 1",
        ));
    }
    if retry.max_backoff < retry.initial_backoff {
        problems.push(FieldProblem::new(
            format!("{path}retry.max_backoff"),
            "must not be less than initial_backoff",
        ));
    }
}

fn check_limits(problems: &mut Vec<FieldProblem>, path: &str, op: &Op) {
    if let Some(problem) = op.rate.and_then(|rate| rate.problem()) {
        problems.push(FieldProblem::new(format!("{path}.rate"), problem));
    }
    let mut named = BTreeSet::new();
    for (place, pool) in op.pools.iter().enumerate() {
        if !named.insert(pool) {
            problems.push(FieldProblem::new(
                format!("{path}.pools[{place}]"),
                format!("names {pool} again; name each pool once"),
            ));
        }
    }
}
