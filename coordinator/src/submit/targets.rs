//! Where a job's file sinks and checkpoints write: absolute, allowed, and not over something that is there.
//!
//! A target need not exist yet, so its deepest folder that does is resolved, every symlink followed, and compared with
//! the allowed roots; what is missing below it is kept as it is spelt and may not go up again.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use common::job::{FieldProblem, FileSink, IfExists, Job, OpKind, SingleFile, Sink};

use super::Folders;

/// Makes the uri of every file sink an absolute path; returns those that cannot be, or may not be written to.
pub(super) fn make_absolute(job: &mut Job, output_root: &Path, writable: Option<&[PathBuf]>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    for (place, op) in job.ops.iter_mut().enumerate() {
        let OpKind::Write(Sink::File(sink)) = &mut op.kind else {
            continue;
        };
        match absolute(&sink.uri, output_root, writable) {
            Ok(path) => sink.uri = path,
            Err(problem) => problems.push(FieldProblem::new(uri_path(place, sink), problem)),
        }
    }
    problems
}

/// Chooses the folder of a job's checkpoints, whose targets are absolute, and makes it absolute; returns what is wrong with it.
pub(super) fn place_checkpoints(job: &mut Job, folders: &Folders) -> Option<FieldProblem> {
    let first = job.checkpoints().next();
    if first.is_none() && job.checkpoint_uri.is_none() {
        return None;
    }
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let beside = |(_, sink): (_, &FileSink)| Path::new(&sink.uri).parent().and_then(text);
    // What the coordinator was started with need not be below the folders that jobs may write to.
    let (wanted, writable) = match (&job.checkpoint_uri, &folders.checkpoint_root) {
        (None, Some(root)) => (text(root), None),
        (Some(uri), _) => (Some(uri.clone()), folders.writable.as_deref()),
        (None, None) => (job.file_sinks().next().and_then(beside), folders.writable.as_deref()),
    };
    let Some(wanted) = wanted else {
        let op = first?.index().saturating_sub(1);
        return Some(FieldProblem::new(
            format!("ops[{op}].checkpoint"),
            "the job writes no files beside which it could be kept; name a folder that every worker sees with checkpoint_uri, or start the coordinator with --checkpoint-root",
        ));
    };
    match absolute(&wanted, &folders.output_root, writable) {
        Ok(folder) => {
            job.checkpoint_uri = Some(folder);
            None
        }
        Err(problem) => Some(FieldProblem::new("checkpoint_uri", problem)),
    }
}

/// Returns the targets that are occupied although the job does not say `if_exists: replace`. Looks at files.
pub(super) fn occupied(job: &Job) -> Vec<FieldProblem> {
    job.file_sinks()
        .filter_map(|(op, sink)| {
            let problem = occupation(sink)?;
            Some(FieldProblem::new(uri_path(op.index(), sink), problem))
        })
        .collect()
}

fn uri_path(op: usize, sink: &FileSink) -> String {
    format!("ops[{}].write.{}.uri", op.saturating_sub(1), sink.format.extension())
}

fn absolute(uri: &str, output_root: &Path, writable: Option<&[PathBuf]>) -> Result<String, String> {
    let path = match uri.split_once("://") {
        None => uri,
        Some(("file", path)) if path.starts_with('/') && !path.contains('%') => path,
        Some((scheme, _)) => return Err(format!("{scheme}:// cannot be written to; name a path")),
    };
    let resolved = resolve(&output_root.join(path)).map_err(|error| format!("{path}: {error}"))?;
    if let Some(roots) = writable
        && !roots.iter().any(|root| resolved.starts_with(root))
    {
        return Err(format!(
            "{path} is outside the allowed roots; write below one, or start the coordinator with --allow-root"
        ));
    }
    resolved
        .into_os_string()
        .into_string()
        .map_err(|_| format!("{path}: the path is not UTF-8"))
}

/// Follows the symlinks of the part of a path that exists.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(mut resolved) => {
                resolved.extend(missing.iter().rev());
                return Ok(resolved);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (Some(Component::Normal(name)), Some(parent)) = (existing.components().next_back(), existing.parent())
        else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a folder that does not exist cannot be left with ..",
            ));
        };
        missing.push(name);
        existing = parent;
    }
}

/// Says why a sink's target cannot be used, if so. An empty folder is not occupied: nothing in it can be lost.
fn occupation(sink: &FileSink) -> Option<String> {
    let target = Path::new(&sink.uri);
    let Ok(found) = fs::symlink_metadata(target) else {
        return None;
    };
    let place = target.display();
    match (sink.single_file, found.is_dir()) {
        (SingleFile::Join, true) => return Some(format!("{place} is a folder; single_file needs the name of a file")),
        (SingleFile::Parts, false) => {
            return Some(format!(
                "{place} is a file; name a folder, or write one file with single_file"
            ));
        }
        (SingleFile::Join, false) | (SingleFile::Parts, true) => {}
    }
    let is_empty = fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    match sink.if_exists {
        IfExists::Refuse if !is_empty => Some(format!(
            "{place} exists; remove it, write elsewhere, or say if_exists: replace"
        )),
        IfExists::Refuse | IfExists::Replace => None,
    }
}

#[cfg(test)]
mod tests {
    use common::job::{Batching, Checkpointing, FailurePolicy, FileFormat, Op, Schedule, Source};

    use super::*;

    fn sink(uri: &Path, single_file: SingleFile, if_exists: IfExists) -> FileSink {
        FileSink {
            format: FileFormat::Csv,
            uri: uri.to_str().expect("UTF-8").to_owned(),
            single_file,
            if_exists,
        }
    }

    fn job_of(first: OpKind) -> Job {
        Job {
            name: "test".to_owned(),
            source: Source {
                uris: vec!["in.csv".to_owned()],
                csv: Default::default(),
            },
            batching: Batching::default(),
            schedule: Schedule::default(),
            ops: vec![Op::extract(), Op::new("first", first), Op::new("last", OpKind::Noop)],
            failure: FailurePolicy::default(),
            deadline: None,
            labels: Default::default(),
            seed: None,
            checkpoint_uri: None,
        }
    }

    #[test]
    fn a_target_may_not_leave_the_allowed_roots_by_dots_or_symlinks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("exists");
        let inside = base.join("in");
        fs::create_dir(&inside).expect("is new");
        std::os::unix::fs::symlink("/", inside.join("way_out")).expect("is new");
        let roots = [inside.clone()];
        let ok = absolute("new/parts/", &inside, Some(&roots)).expect("is inside");
        assert_eq!(ok, inside.join("new/parts").to_str().expect("UTF-8"));
        for outside in ["../x", "/etc/x", "way_out/tmp/x", "new/../../x", "s3://bucket/x"] {
            assert!(absolute(outside, &inside, Some(&roots)).is_err(), "{outside}");
        }
    }

    #[test]
    fn checkpoints_go_where_the_job_says_or_the_coordinator_or_beside_the_output() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("exists");
        let folders = Folders::new(&base, &base, std::slice::from_ref(&base)).expect("exists");
        let text = |path: &Path| Some(path.to_str().expect("UTF-8").to_owned());
        let job = || {
            let mut job = job_of(OpKind::Noop);
            job.ops[1].checkpoint = Checkpointing::Yes;
            job
        };
        let mut nowhere = job();
        let problem = place_checkpoints(&mut nowhere, &folders).expect("nobody says where");
        assert_eq!(problem.path, "ops[0].checkpoint");
        let mut beside = job();
        let target = sink(&base.join("out/parts"), SingleFile::Parts, IfExists::Refuse);
        beside.ops[2].kind = OpKind::Write(Sink::File(target));
        assert_eq!(place_checkpoints(&mut beside, &folders), None);
        assert_eq!(beside.checkpoint_uri, text(&base.join("out")));
        let with_root = folders.with_checkpoint_root(Some(&base.join("kept")));
        beside.checkpoint_uri = None;
        assert_eq!(place_checkpoints(&mut beside, &with_root), None);
        assert_eq!(beside.checkpoint_uri, text(&base.join("kept")));
        beside.checkpoint_uri = Some("mine".to_owned());
        assert_eq!(place_checkpoints(&mut beside, &with_root), None);
        assert_eq!(beside.checkpoint_uri, text(&base.join("mine")));
        beside.checkpoint_uri = Some("/etc".to_owned());
        let problem = place_checkpoints(&mut beside, &with_root).expect("is not allowed");
        assert_eq!(problem.path, "checkpoint_uri");
    }

    #[test]
    fn an_existing_target_is_refused_unless_it_is_to_be_replaced_or_is_an_empty_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("out.csv");
        assert_eq!(occupation(&sink(&file, SingleFile::Join, IfExists::Refuse)), None);
        fs::write(&file, "x").expect("writes");
        assert!(occupation(&sink(&file, SingleFile::Join, IfExists::Refuse)).is_some());
        assert_eq!(occupation(&sink(&file, SingleFile::Join, IfExists::Replace)), None);
        assert!(occupation(&sink(&file, SingleFile::Parts, IfExists::Replace)).is_some());
        assert!(occupation(&sink(folder.path(), SingleFile::Parts, IfExists::Refuse)).is_some());
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).expect("is new");
        assert_eq!(occupation(&sink(&empty, SingleFile::Parts, IfExists::Refuse)), None);
    }
}
