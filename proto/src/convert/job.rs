//! The job: [`v1::JobSpec`] to [`Job`], with every problem at once, and back exactly.
//!
//! A [`Job`] that comes out of here was checked by [`Job::check`]. The way back fills in every default, so that a spec
//! that was sent or kept means the same to a later version; `extract`, which is implied, is not spelt out.

use common::job::{FieldProblem, InvalidJob, Job, Op, Source};
use common::limits;
use prost::Message as _;

use super::problems::Problems;
use super::time::duration_to_wire;
use super::{needs, op, schedule, source};
use crate::v1;

impl TryFrom<v1::JobSpec> for Job {
    type Error = InvalidJob;

    fn try_from(spec: v1::JobSpec) -> Result<Job, InvalidJob> {
        check_size(&spec)?;
        let mut problems = Problems::default();
        let job = read(spec, &mut problems);
        let mut found = problems.into_inner();
        if let Err(invalid) = job.check() {
            for problem in invalid.problems {
                if !found.iter().any(|earlier| earlier.path == problem.path) {
                    found.push(problem);
                }
            }
        }
        if found.is_empty() {
            return Ok(job);
        }
        found.sort_by_key(place_in_spec);
        Err(InvalidJob { problems: found })
    }
}

impl From<&Job> for v1::JobSpec {
    fn from(job: &Job) -> v1::JobSpec {
        v1::JobSpec {
            name: job.name.clone(),
            source: Some(source::source_to_wire(&job.source)),
            batch: Some(source::batching_to_wire(job.batching)),
            schedule: Some(schedule::schedule_to_wire(&job.schedule)),
            ops: job.ops.iter().skip(1).filter_map(op::op_to_wire).collect(),
            failure: Some(schedule::failure_to_wire(job.failure)),
            labels: job.labels.clone(),
            seed: job.seed,
            deadline: job.deadline.map(duration_to_wire),
            checkpoint_uri: job.checkpoint_uri.clone(),
            // What every op says for itself, and `extract`, which is not spelt out, does not.
            retry: job.ops.first().map(|extract| schedule::retry_to_wire(&extract.retry)),
        }
    }
}

/// Refuses a spec that is too large to be looked at in detail.
fn check_size(spec: &v1::JobSpec) -> Result<(), InvalidJob> {
    if spec.encoded_len() > limits::MAX_SPEC_BYTES {
        let problem = format!(
            "has {} bytes, at most {} are allowed",
            spec.encoded_len(),
            limits::MAX_SPEC_BYTES
        );
        return Err(FieldProblem::new("job", problem).into());
    }
    if spec.ops.len() > limits::MAX_OPS {
        let problem = format!("has {} ops, at most {} are allowed", spec.ops.len(), limits::MAX_OPS);
        return Err(FieldProblem::new("ops", problem).into());
    }
    Ok(())
}

/// Reads every field; one that is wrong is noted and takes its default.
fn read(spec: v1::JobSpec, problems: &mut Problems) -> Job {
    let source = match spec.source {
        Some(source) => source::source_from_wire(problems, source),
        None => Source {
            uris: Vec::new(),
            csv: common::job::CsvDialect::default(),
        },
    };
    needs::check(problems, &spec.ops);
    let retry = schedule::retry_from_wire(problems, "retry", spec.retry.unwrap_or_default());
    let mut ops = vec![Op { retry, ..Op::extract() }];
    for (place, wire) in spec.ops.into_iter().enumerate() {
        ops.push(op::op_from_wire(problems, &format!("ops[{place}]"), wire, retry));
    }
    Job {
        name: spec.name,
        source,
        batching: source::batching_from_wire(problems, spec.batch.unwrap_or_default()),
        schedule: schedule::schedule_from_wire(problems, spec.schedule.unwrap_or_default()),
        ops,
        failure: schedule::failure_from_wire(problems, spec.failure.unwrap_or_default()),
        labels: spec.labels,
        seed: spec.seed,
        deadline: problems.duration("deadline", spec.deadline),
        checkpoint_uri: spec.checkpoint_uri,
    }
}

/// Orders problems as their fields stand in the spec.
fn place_in_spec(problem: &FieldProblem) -> (usize, usize) {
    const FIELDS: [&str; 11] = [
        "name",
        "source",
        "batch",
        "schedule",
        "ops",
        "failure",
        "labels",
        "seed",
        "deadline",
        "retry",
        "checkpoint_uri",
    ];
    let end = problem.path.find(['.', '[']).unwrap_or(problem.path.len());
    let (field, rest) = problem.path.split_at(end);
    let place = FIELDS.iter().position(|name| *name == field).unwrap_or(FIELDS.len());
    let index = rest
        .strip_prefix('[')
        .and_then(|inner| inner.split(']').next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    (place, index)
}
