//! What can be wrong with a job, and how it is said: the path of the field, and what to do.

use std::fmt;

/// One thing that is wrong with a field of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field's path as in the spec, such as `ops[1].select.columns[0]`.
    pub path: String,
    /// What is wrong and what to do, lowercase, without a full stop.
    pub problem: String,
}

impl FieldProblem {
    /// Names a problem of a field.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> FieldProblem {
        FieldProblem {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// Everything that is wrong with a job; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidJob {
    /// The problems, in the order of the spec.
    pub problems: Vec<FieldProblem>,
}

impl fmt::Display for InvalidJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.problem))
            .collect();
        f.write_str(&lines.join("; "))
    }
}

impl From<FieldProblem> for InvalidJob {
    fn from(problem: FieldProblem) -> Self {
        InvalidJob {
            problems: vec![problem],
        }
    }
}
