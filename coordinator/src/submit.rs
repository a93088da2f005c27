//! From a job that reads well to a run: everything that has to be looked at outside the job.
//!
//! Owns the steps between the wire and the driver: the submission's name, absolute paths, allowed roots, the listing,
//! the columns, existing targets, the seed. Owns no state: the name is looked up first, so that a retry of an accepted
//! submission is answered although its input may be gone and its output may be there, and checked again by the driver.
//! Whatever touches files runs on a thread that may block.
//!
//! Known weakness: a target is looked at when the job is submitted; what somebody else puts there later is found by
//! the worker that puts the output in place.

mod preview;
mod rerun;
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::RunId;
use common::job::{FieldProblem, InvalidJob, Job, PoolName, output_columns};
use common::slice::FrozenSource;
use uuid::Uuid;

pub use preview::Preview;
pub use rerun::{RerunAccepted, RerunRefused, RerunRequest, rerun};

use crate::blocking::Blocking;
use crate::driver::{DriverHandle, FoundSlices, Refused, SliceFinder, Stopped, Submission};
use crate::registry::RequestIdTaken;
use crate::source::{AllowedRoots, Roots, Sharder, SourceError, list};

/// The longest name of a submission, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Where jobs may read and write, and what their relative paths are relative to.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Where relative sources begin, and which folders may be read.
    sources: Roots,
    data_root: PathBuf,
    output_root: PathBuf,
    /// Where checkpoints are kept of jobs that do not say where.
    checkpoint_root: Option<PathBuf>,
    /// Below which folders sinks may write; `None` is anywhere.
    writable: Option<Vec<PathBuf>>,
}

/// A job that somebody wants to run.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The job.
    pub job: Job,
    /// The submitter's name for the submission.
    pub request_id: Option<String>,
    /// Whether it is to be run, or only looked at.
    pub intent: Intent,
}

/// What a submitter wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Check the job and run it.
    Run,
    /// Check the job.
    Validate,
}

/// A job that was accepted, or found acceptable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The run; `None` when the job was only looked at.
    pub run: Option<RunId>,
    /// What the run will do.
    pub plan: Plan,
}

/// What a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job with its paths absolute.
    pub job: Arc<Job>,
    /// The listing and the header.
    pub source: Arc<FrozenSource>,
    /// The columns after the last op.
    pub output_columns: Vec<String>,
    /// A look into the source; empty for a job that is run.
    pub preview: Preview,
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The job is wrong, or what it names is.
    #[error(transparent)]
    Invalid(#[from] InvalidJob),
    /// The submission's name stands for another job.
    #[error(transparent)]
    RequestIdTaken(#[from] RequestIdTaken),
    /// A live run writes to its target.
    #[error("{0}")]
    TargetTaken(InvalidJob),
    /// The later ops of the run that it names cannot be run again.
    #[error(transparent)]
    Rerun(#[from] RerunRefused),
    /// Nobody is there to run it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A check panicked or was cut off.
    #[error("the coordinator failed to check the job; its log says why")]
    CheckFailed,
}

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> SubmitError {
        match refused {
            Refused::RequestIdTaken(taken) => SubmitError::RequestIdTaken(taken),
            Refused::TargetTaken(taken) => SubmitError::TargetTaken(taken),
        }
    }
}

impl Folders {
    /// Makes folders from the roots that the coordinator was started with; none allowed means anywhere.
    ///
    /// # Errors
    /// [`SourceError`] when a root does not exist.
    pub fn new(data_root: &Path, output_root: &Path, allowed: &[PathBuf]) -> Result<Folders, SourceError> {
        let readable = match allowed {
            [] => AllowedRoots::Anywhere,
            some => AllowedRoots::below(some)?,
        };
        let writable = match allowed {
            [] => None,
            some => Some(some.iter().filter_map(|root| root.canonicalize().ok()).collect()),
        };
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Folders {
            sources: Roots::new(data_root, readable)?,
            data_root: absolute(data_root),
            output_root: absolute(output_root),
            checkpoint_root: None,
            writable,
        })
    }

    /// Keeps the checkpoints of jobs that do not say where in a folder.
    #[must_use]
    pub fn with_checkpoint_root(self, root: Option<&Path>) -> Folders {
        Folders {
            checkpoint_root: root.map(|root| std::path::absolute(root).unwrap_or_else(|_| root.to_owned())),
            ..self
        }
    }
}

/// Checks a job against the world and, if that is wanted, has it run; answers when the run cannot be lost any more.
///
/// # Errors
/// [`SubmitError`] names every field that is wrong.
pub async fn submit(driver: &DriverHandle, folders: &Folders, request: JobRequest) -> Result<Accepted, SubmitError> {
    check_request_id(request.request_id.as_deref())?;
    let (job, mut problems) = with_absolute_paths(request.job, folders);
    let job = Arc::new(job);
    if let Some(name) = request.request_id.clone() {
        let wanted = job.clone();
        let known = driver
            .read(move |world| {
                let run = world.registry.find_submission(&name, &wanted, None)?;
                let entry = run.and_then(|run| Some((run, world.registry.run(run)?)));
                Ok::<_, RequestIdTaken>(entry.map(|(run, entry)| (run, entry.source.clone())))
            })
            .await??;
        if let Some((run, source)) = known {
            let output_columns = columns_after(&job, &source)?;
            return Ok(Accepted {
                run: Some(run),
                plan: Plan {
                    job,
                    source,
                    output_columns,
                    preview: Preview::default(),
                },
            });
        }
    }
    let pools = driver
        .read(|world| world.scheduler.pools().map(|pool| pool.name).collect())
        .await?;
    problems.extend(undeclared_pools(&job, &pools));
    let plan = check_outside(job, folders.clone(), problems, request.intent, driver.blocking()).await?;
    let run = match request.intent {
        Intent::Validate => None,
        Intent::Run => Some(driver.submit(submission(&plan, request.request_id)).await??),
    };
    Ok(Accepted { run, plan })
}

fn submission(plan: &Plan, request_id: Option<String>) -> Submission {
    let sharder = Sharder::new(plan.source.clone(), plan.job.source.csv.clone(), plan.job.batching);
    Submission {
        job: plan.job.clone(),
        source: plan.source.clone(),
        seed: plan.job.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0),
        request_id,
        rerun: None,
        slices: Box::new(sharder),
    }
}

fn check_request_id(request_id: Option<&str>) -> Result<(), InvalidJob> {
    if request_id.is_some_and(|name| name.len() > MAX_REQUEST_ID) {
        let problem = format!("must have at most {MAX_REQUEST_ID} bytes");
        return Err(FieldProblem::new("request_id", problem).into());
    }
    Ok(())
}

/// Names pools that the job's ops want and nobody has declared.
fn undeclared_pools(job: &Job, declared: &BTreeSet<PoolName>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    for (op, path) in job.ops.iter().skip(1).zip(0..) {
        for (place, pool) in op
            .pools
            .iter()
            .enumerate()
            .filter(|(_, pool)| !declared.contains(*pool))
        {
            let names: Vec<&str> = declared.iter().map(PoolName::as_str).collect();
            let there_are = if names.is_empty() {
                "there are none".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            problems.push(FieldProblem::new(
                format!("ops[{path}].pools[{place}]"),
                format!("no pool {pool} is declared, {there_are}; declare it with plumb pool set {pool} N"),
            ));
        }
    }
    problems
}

/// Makes every path of a job absolute; a sink's that cannot be is a problem.
fn with_absolute_paths(mut job: Job, folders: &Folders) -> (Job, Vec<FieldProblem>) {
    for uri in &mut job.source.uris {
        if !uri.contains("://") {
            *uri = folders.data_root.join(&*uri).to_string_lossy().into_owned();
        }
    }
    let mut problems = targets::make_absolute(&mut job, &folders.output_root, folders.writable.as_deref());
    if problems.is_empty() {
        problems.extend(targets::place_checkpoints(&mut job, folders));
    }
    (job, problems)
}

/// Lists the source, checks the columns and the targets, on a thread that may block.
async fn check_outside(
    job: Arc<Job>,
    folders: Folders,
    mut problems: Vec<FieldProblem>,
    intent: Intent,
    blocking: Blocking,
) -> Result<Plan, SubmitError> {
    let check = blocking.run(move || {
        problems.extend(targets::occupied(&job));
        let source = match list(&job.source, &folders.sources) {
            Ok(source) => Arc::new(source),
            Err(invalid) => {
                problems.insert(0, invalid.into());
                return Err(InvalidJob { problems });
            }
        };
        if let Err(invalid) = job.check_columns(&source.columns) {
            problems.extend(invalid.problems);
        }
        if !problems.is_empty() {
            return Err(InvalidJob { problems });
        }
        let output_columns = columns_after(&job, &source)?;
        let preview = match intent {
            Intent::Validate => preview::look(&job, &source),
            Intent::Run => Preview::default(),
        };
        Ok(Plan {
            job,
            source,
            output_columns,
            preview,
        })
    });
    match check.await {
        Ok(plan) => Ok(plan?),
        Err(error) => {
            tracing::error!(%error, "checking a job failed");
            Err(SubmitError::CheckFailed)
        }
    }
}

fn columns_after(job: &Job, source: &FrozenSource) -> Result<Vec<String>, InvalidJob> {
    job.op_ids()
        .try_fold(source.columns.clone(), |columns, op| {
            output_columns(&job.op(op).kind, &columns)
        })
        .map_err(InvalidJob::from)
}

impl SliceFinder for Sharder {
    fn next_slices(&mut self, count: u32) -> Result<FoundSlices, Failure> {
        let found = Sharder::next_slices(self, count)?;
        Ok(FoundSlices {
            slices: found.slices,
            checkpoints: Vec::new(),
            bytes_sharded: found.bytes_sharded,
            end: found.end,
        })
    }
}
