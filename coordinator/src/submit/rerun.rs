//! Running the later ops of an ended run again: a new run whose batches begin at that one's checkpoints.
//!
//! Owns the decision behind which op it begins, and every reason for which it cannot. The source, its batches, and the ops up
//! to the last checkpoint before the op that is asked for have to be those of the ended run, since nothing of them is done
//! again; what comes behind may be anything. Of each batch the last checkpoint before that op counts, and a batch without one
//! begins at its slice, so that the new run is of the whole input. How many begin where is counted here, and said.
//!
//! Like a submission, a request is first looked up by its name: whoever repeats it gets the run that was made, even if it
//! could not be made any more. Known weakness: the files of all checkpoints are looked at one by one, here and again when
//! the run takes its batches.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use common::ids::{OpId, RunId};
use common::job::{InvalidJob, Job, OpKind, Sink};
use common::slice::FrozenSource;
use common::steering::Asker;
use scheduler::{Origin, Rerun};

use super::{
    Folders, Plan, Preview, SubmitError, check_request_id, columns_after, targets, undeclared_pools,
    with_absolute_paths,
};
use crate::driver::{DriverHandle, NoSuchRun, Submission, World};
use crate::registry::RequestIdTaken;
use crate::source::{Sharder, SourceError, check_unchanged};
use crate::store::{Archive, ArchiveError, beginnings};

/// How many batches are looked at at once.
const PAGE: usize = 1_024;

/// A run of which somebody wants the later ops to be run again.
#[derive(Clone, Debug)]
pub struct RerunRequest {
    /// The run, which has ended.
    pub of: RunId,
    /// The op to begin with, by its name.
    pub from: String,
    /// The job with other later ops; `None` for the run's own.
    pub job: Option<Job>,
    /// The submitter's name for the submission.
    pub request_id: Option<String>,
    /// Who asks.
    pub by: Asker,
}

/// A run that runs later ops of another one again.
#[derive(Clone, Debug)]
pub struct RerunAccepted {
    /// The new run.
    pub run: RunId,
    /// What it will do.
    pub plan: Plan,
    /// How many of its batches begin at checkpoints.
    pub kept: u64,
    /// Of how many the last checkpoint is gone, so that they begin at one before or at their source.
    pub gone: u64,
}

/// Why the later ops of a run are not run again.
#[derive(Debug, thiserror::Error)]
pub enum RerunRefused {
    /// There is no such run.
    #[error(transparent)]
    NoSuchRun(#[from] NoSuchRun),
    /// It goes on.
    #[error("{run} goes on; wait until it has ended, or cancel it, and ask again")]
    GoesOn {
        /// The run.
        run: RunId,
    },
    /// The job has no op of that name.
    #[error("the job has no op {op:?}; its ops are {}", .ops.join(", "))]
    NoSuchOp {
        /// The name that was asked for.
        op: String,
        /// Those that there are.
        ops: Vec<String>,
    },
    /// No checkpoint lies before the op.
    #[error("{run} has no checkpoint before {from}{}; say checkpoint: true of an op before it and submit the job", behind(.checkpoints))]
    NoCheckpoint {
        /// The run.
        run: RunId,
        /// The op that was asked for.
        from: String,
        /// The ops that have checkpoints.
        checkpoints: Vec<String>,
    },
    /// No batch has come to a checkpoint, or those that made them are forgotten.
    #[error("no batch of {run} has a checkpoint before {from} that is kept; submit the job to run all of it")]
    NothingKept {
        /// The run.
        run: RunId,
        /// The op that was asked for.
        from: String,
    },
    /// Something up to the checkpoint is not what it was.
    #[error(
        "{what} is not as in {run}; change only what comes behind its checkpoint of {behind}, or submit the job to run all of it"
    )]
    Differs {
        /// The run.
        run: RunId,
        /// What differs.
        what: String,
        /// The checkpoint's op.
        behind: String,
    },
    /// An op up to the checkpoint writes files, which would be missing.
    #[error(
        "{op} writes files before the checkpoint of {behind}, and would not write them again; submit the job to run all of it"
    )]
    WritesBefore {
        /// The op.
        op: String,
        /// The checkpoint's op.
        behind: String,
    },
    /// The files of all checkpoints are gone.
    #[error(
        "the checkpoints of {run} are gone, of all {of} batches that had one; the first was {first}; put them back, or submit the job to run all of it"
    )]
    FilesGone {
        /// The run.
        run: RunId,
        /// How many batches had one.
        of: u64,
        /// The first one's file.
        first: String,
    },
    /// The source is not what it was.
    #[error("the batches of {run} cannot be cut again: {source}")]
    SourceChanged {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        source: SourceError,
    },
    /// What the journal keeps cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

fn behind(checkpoints: &[String]) -> String {
    match checkpoints {
        [] => String::new(),
        some => format!(", only behind {}", some.join(", ")),
    }
}

/// What is known of the run that is run again.
struct Base {
    job: Arc<Job>,
    source: Arc<FrozenSource>,
    seed: u64,
    /// The runs whose checkpoints it has: itself, and those that it began at, if they are known.
    origins: Vec<Origin>,
    /// The ops of which there may be checkpoints.
    checkpoints: BTreeSet<OpId>,
}

/// How many batches begin where.
struct Counted {
    kept: u64,
    gone: u64,
}

/// Has the later ops of an ended run run again, in a new run; answers when that cannot be lost any more.
///
/// # Errors
/// [`SubmitError`] names every field that is wrong, and [`RerunRefused`] says why the run cannot be gone on from.
pub async fn rerun(
    driver: &DriverHandle,
    folders: &Folders,
    request: RerunRequest,
) -> Result<RerunAccepted, SubmitError> {
    check_request_id(request.request_id.as_deref())?;
    let RerunRequest {
        of,
        from,
        job,
        request_id,
        by,
    } = request;
    let (job, mut problems) = match job.map(|job| with_absolute_paths(job, folders)) {
        Some((job, problems)) => (Some(Arc::new(job)), problems),
        None => (None, Vec::new()),
    };
    if let Some(name) = request_id.clone() {
        let (wanted, from) = (job.clone(), from.clone());
        let known = driver.read(move |world| made_before(world, &name, wanted.as_deref(), of, &from));
        if let Some(made) = known.await?? {
            return Ok(made);
        }
    }
    let base = driver.read(move |world| base_of(world, of)).await??;
    let job = job.unwrap_or_else(|| Arc::clone(&base.job));
    let behind = decide(of, &base, &job, &from)?;
    let pools = driver
        .read(|world| world.scheduler.pools().map(|pool| pool.name).collect())
        .await?;
    problems.extend(undeclared_pools(&job, &pools));
    let (checked, source) = (Arc::clone(&job), Arc::clone(&base.source));
    let mut origins = base.origins.clone();
    for origin in &mut origins {
        origin.up_to = origin.up_to.min(behind);
    }
    let (wanted, looked_at) = (from.clone(), origins.clone());
    let check = driver.read_archive(move |archive| {
        problems.extend(targets::occupied(&checked));
        if let Err(invalid) = checked.check_columns(&source.columns) {
            problems.extend(invalid.problems);
        }
        if let Err(source) = check_unchanged(&source) {
            return Ok((problems, Err(RerunRefused::SourceChanged { run: of, source })));
        }
        let counted = count(archive, of, &wanted, &looked_at)?;
        Ok((problems, counted))
    });
    let (problems, counted) = check.await?.map_err(RerunRefused::from)?;
    let Counted { kept, gone } = counted?;
    if !problems.is_empty() {
        return Err(InvalidJob { problems }.into());
    }
    let rerun = Rerun {
        of,
        from,
        behind,
        origins,
        kept,
        gone,
        by,
    };
    let sharder = Sharder::new(base.source.clone(), job.source.csv.clone(), job.batching);
    let submission = Submission {
        job: Arc::clone(&job),
        source: Arc::clone(&base.source),
        seed: base.seed,
        request_id,
        rerun: Some(Box::new(rerun)),
        slices: Box::new(sharder),
    };
    let run = driver.submit(submission).await??;
    Ok(RerunAccepted {
        run,
        plan: plan(job, base.source)?,
        kept,
        gone,
    })
}

fn plan(job: Arc<Job>, source: Arc<FrozenSource>) -> Result<Plan, InvalidJob> {
    Ok(Plan {
        output_columns: columns_after(&job, &source)?,
        job,
        source,
        preview: Preview::default(),
    })
}

/// Returns the run that a request of this name has made before, if it cannot be lost any more.
fn made_before(
    world: &World,
    request_id: &str,
    job: Option<&Job>,
    of: RunId,
    from: &str,
) -> Result<Option<RerunAccepted>, SubmitError> {
    let Some(run) = world.registry.find_rerun(request_id, job, of, from)? else {
        return Ok(None);
    };
    let Some(entry) = world.registry.run(run) else {
        return Ok(None);
    };
    let Some(Rerun { kept, gone, .. }) = entry.rerun.as_deref() else {
        return Err(RequestIdTaken { run }.into());
    };
    Ok(Some(RerunAccepted {
        run,
        plan: plan(Arc::clone(&entry.job), Arc::clone(&entry.source))?,
        kept: *kept,
        gone: *gone,
    }))
}

fn base_of(world: &World, run: RunId) -> Result<Base, RerunRefused> {
    let entry = world.registry.run(run).ok_or(NoSuchRun { run })?;
    if entry.ended.is_none() {
        return Err(RerunRefused::GoesOn { run });
    }
    let itself = Origin {
        run,
        up_to: OpId(u16::MAX),
    };
    let before = entry.rerun.iter().flat_map(|rerun| rerun.origins.iter().copied());
    let origins: Vec<Origin> = std::iter::once(itself)
        .chain(before)
        .filter(|origin| world.registry.run(origin.run).is_some())
        .collect();
    let mut checkpoints = BTreeSet::new();
    for origin in &origins {
        let made = world.registry.run(origin.run).map(|made_by| made_by.job.checkpoints());
        checkpoints.extend(made.into_iter().flatten().filter(|op| *op <= origin.up_to));
    }
    Ok(Base {
        job: Arc::clone(&entry.job),
        source: Arc::clone(&entry.source),
        seed: entry.seed,
        origins,
        checkpoints,
    })
}

/// Decides behind which op of the job the batches begin.
fn decide(run: RunId, base: &Base, job: &Job, from: &str) -> Result<OpId, RerunRefused> {
    let name = |op: OpId| job.op(op).name.clone();
    let Some(from_op) = job.op_ids().find(|op| job.op(*op).name == from) else {
        return Err(RerunRefused::NoSuchOp {
            op: from.to_owned(),
            ops: job.op_ids().map(name).collect(),
        });
    };
    let Some(last) = base.checkpoints.range(..from_op).next_back().copied() else {
        let of_base = |op: &OpId| base.job.op(*op).name.clone();
        return Err(RerunRefused::NoCheckpoint {
            run,
            from: from.to_owned(),
            checkpoints: base.checkpoints.iter().map(of_base).collect(),
        });
    };
    let behind = base.job.op(last).name.clone();
    let differs = |what: &dyn fmt::Display| RerunRefused::Differs {
        run,
        what: what.to_string(),
        behind: behind.clone(),
    };
    if job.source != base.job.source {
        return Err(differs(&"the source"));
    }
    if job.batching != base.job.batching {
        return Err(differs(&"how the source is cut into batches"));
    }
    if job.seed.is_some_and(|seed| seed != base.seed) {
        return Err(differs(&"the seed"));
    }
    for op in job.op_ids().take_while(|op| *op <= last) {
        let (wanted, made) = (job.op(op), base.job.op(op));
        if wanted.name != made.name || wanted.kind != made.kind {
            return Err(differs(&format_args!("op {}", wanted.name)));
        }
        if let OpKind::Write(Sink::File(_)) = &wanted.kind {
            return Err(RerunRefused::WritesBefore { op: name(op), behind });
        }
    }
    Ok(last)
}

/// Counts the batches that begin at checkpoints.
fn count(
    archive: &dyn Archive,
    run: RunId,
    from: &str,
    origins: &[Origin],
) -> Result<Result<Counted, RerunRefused>, ArchiveError> {
    let mut counted = Counted { kept: 0, gone: 0 };
    let mut first_gone = None;
    let mut next = Some(0);
    while let Some(begin) = next {
        let found = beginnings(archive, origins, begin, PAGE)?;
        next = found.next;
        counted.kept += found.kept.len() as u64;
        counted.gone += found.gone;
        first_gone = first_gone.or(found.first_gone);
    }
    Ok(match (counted.kept, first_gone) {
        (0, Some(first)) => Err(RerunRefused::FilesGone {
            run,
            of: counted.gone,
            first,
        }),
        (0, None) => Err(RerunRefused::NothingKept {
            run,
            from: from.to_owned(),
        }),
        (1.., _) => Ok(counted),
    })
}

#[cfg(test)]
mod tests {
    use common::job::{Batching, Checkpointing, Op, Select, SelectedColumn};

    use super::*;
    use crate::testing;

    fn job() -> Job {
        let mut job = testing::job("test", ["clean", "dear", "load"].map(|name| (name, OpKind::Noop)));
        job.ops[2].checkpoint = Checkpointing::Yes;
        job
    }

    fn decided(change: impl FnOnce(&mut Job), from: &str) -> Result<OpId, String> {
        let base = Base {
            job: Arc::new(job()),
            source: Arc::default(),
            seed: 7,
            origins: Vec::new(),
            checkpoints: BTreeSet::from([OpId(2)]),
        };
        let mut wanted = job();
        change(&mut wanted);
        decide(RunId(7), &base, &wanted, from).map_err(|refused| refused.to_string())
    }

    fn select() -> OpKind {
        let (source, name) = ("a".to_owned(), "a".to_owned());
        OpKind::Select(Select {
            columns: vec![SelectedColumn { source, name }],
        })
    }

    #[test]
    fn the_last_checkpoint_before_the_op_is_gone_on_from_and_later_ops_may_be_others() {
        assert_eq!(decided(|_| {}, "load"), Ok(OpId(2)));
        assert_eq!(decided(|job| job.ops[3].kind = select(), "load"), Ok(OpId(2)));
        assert_eq!(
            decided(|job| job.ops.push(Op::new("more", select())), "more"),
            Ok(OpId(2))
        );
        assert_eq!(decided(|job| job.seed = Some(7), "load"), Ok(OpId(2)));
    }

    #[test]
    fn what_cannot_be_gone_on_from_is_refused_with_what_to_do() {
        let refused = |change: fn(&mut Job), from| decided(change, from).expect_err("cannot be");
        assert_eq!(
            refused(|_| {}, "dear"),
            "r7 has no checkpoint before dear, only behind dear; say checkpoint: true of an op before it and submit the job"
        );
        assert!(refused(|_| {}, "lode").contains("its ops are extract, clean, dear, load"));
        assert_eq!(
            refused(|job| job.ops[1].kind = select(), "load"),
            "op clean is not as in r7; change only what comes behind its checkpoint of dear, or submit the job to run all of it"
        );
        assert!(refused(|job| job.source.uris.clear(), "load").starts_with("the source is not as in r7"));
        assert!(refused(|job| job.batching = Batching::WholeInput, "load").contains("cut into batches"));
        assert!(refused(|job| job.seed = Some(8), "load").starts_with("the seed is not as in r7"));
    }
}
