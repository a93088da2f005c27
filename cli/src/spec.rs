//! Reading a job spec: YAML for people (and JSON, which is YAML too) to the message that is submitted.
//!
//! Owns the way from a file to a checked `JobSpec`: text -> proto JSON ([`coordinator::spec`]) -> message -> the
//! domain's own checks. Whatever is wrong is reported as `file:line:column: path: problem`, all problems at once; what
//! the coordinator finds later (a missing column, say) is mapped back to the file in the same way.
//! Here and in the client are the only generated types of the command line.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use common::job::{FieldProblem, InvalidJob, Job};
use common::limits::MAX_SPEC_BYTES;
use proto::json;
use proto::v1::{self, write::Sink};

use coordinator::spec::{Problem, SpecText};

/// A spec that could be read as a job.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The file as the user named it.
    file: String,
    text: SpecText,
    message: v1::JobSpec,
    job: Job,
}

/// Why a spec could not be read as a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// The file could not be read.
    #[error("cannot read the spec {file:?}: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is larger than a spec may be.
    #[error("the spec {file:?} is larger than {MAX_SPEC_BYTES} bytes; name files and columns instead of holding data")]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The file is no text.
    #[error("the spec {file:?} is not UTF-8 text")]
    NotText {
        /// The file.
        file: PathBuf,
    },
    /// The file says something that no job can be.
    #[error(transparent)]
    Invalid(InvalidSpec),
}

/// Everything that is wrong with a spec, one line per problem.
#[derive(Debug)]
pub(crate) struct InvalidSpec {
    file: String,
    problems: Vec<Problem>,
}

impl std::error::Error for InvalidSpec {}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", problem.display(&self.file))?;
        }
        Ok(())
    }
}

impl Spec {
    /// Reads a file (`-` is standard input), applies overrides and checks everything that needs nothing but the spec.
    pub(crate) fn load(file: &Path, overrides: &[String]) -> Result<Spec, SpecError> {
        let text = read(file)?;
        Spec::parse(&file.display().to_string(), &text, overrides).map_err(SpecError::Invalid)
    }

    fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Spec, InvalidSpec> {
        let invalid = |problems: Vec<Problem>| InvalidSpec {
            file: file.to_owned(),
            problems,
        };
        let mut text = SpecText::parse(text).map_err(|problem| invalid(vec![problem]))?;
        for change in overrides {
            text.apply(change).map_err(|problem| invalid(vec![problem]))?;
        }
        let invalid_job = |error: InvalidJob| invalid(text.locate(error.problems));
        let proto_json = text.to_proto_json().map_err(invalid)?;
        let message = json::job_spec_from_json(&proto_json).map_err(invalid_job)?;
        let job = Job::try_from(message.clone()).map_err(invalid_job)?;
        Ok(Spec {
            file: file.to_owned(),
            text,
            message,
            job,
        })
    }

    /// Returns the job.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Makes relative paths absolute: those of the source from one folder, those of the sinks from another.
    pub(crate) fn resolve(&mut self, sources: &Path, sinks: &Path) {
        for uri in self.message.source.iter_mut().flat_map(|source| &mut source.uris) {
            resolve_uri(uri, sources);
        }
        if let Some(uri) = &mut self.message.checkpoint_uri {
            resolve_uri(uri, sinks);
        }
        for op in &mut self.message.ops {
            let Some(v1::op::Kind::Write(write)) = &mut op.kind else {
                continue;
            };
            match &mut write.sink {
                Some(Sink::Csv(file) | Sink::Jsonl(file)) => resolve_uri(&mut file.uri, sinks),
                Some(Sink::Stdout(_) | Sink::Log(_) | Sink::Discard(_)) | None => {}
            }
        }
    }

    /// Returns the message to submit.
    pub(crate) fn message(&self) -> &v1::JobSpec {
        &self.message
    }

    /// Prints the spec as canonical JSON: proto JSON with the names of the YAML form, defaults left out.
    pub(crate) fn canonical_json(&self) -> String {
        json::job_spec_to_json(&self.message)
    }

    /// Maps problems that the coordinator found, by the paths of their fields, to lines and columns of the file.
    pub(crate) fn explain(&self, violations: Vec<(String, String)>) -> InvalidSpec {
        let problems = violations
            .into_iter()
            .map(|(path, problem)| FieldProblem::new(path.strip_prefix("job.").unwrap_or(&path), problem))
            .collect();
        InvalidSpec {
            file: self.file.clone(),
            problems: self.text.locate(problems),
        }
    }
}

fn resolve_uri(uri: &mut String, base: &Path) {
    if uri.is_empty() || uri.contains("://") || Path::new(uri.as_str()).is_absolute() {
        return;
    }
    let joined = base.join(uri.as_str());
    *uri = joined.to_string_lossy().into_owned();
}

fn read(file: &Path) -> Result<String, SpecError> {
    let open: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = std::fs::File::open(file);
        Box::new(opened.map_err(|source| SpecError::Read {
            file: file.to_owned(),
            source,
        })?)
    };
    let mut bytes = Vec::new();
    open.take(MAX_SPEC_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| SpecError::Read {
            file: file.to_owned(),
            source,
        })?;
    if bytes.len() > MAX_SPEC_BYTES {
        return Err(SpecError::TooLarge { file: file.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|_| SpecError::NotText { file: file.to_owned() })?;
    Ok(text)
}
