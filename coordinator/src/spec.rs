//! Reading a job spec as people write it: YAML (and JSON, which is YAML too) to the proto JSON of a job.
//!
//! Owns the way from text to JSON: text -> tree with lines and columns (`yaml`, `node`) -> overrides of single fields
//! (`overrides`) -> names, types and sugar by the message's descriptor (`shape`). Whatever is wrong keeps its line and
//! column; what is found later, in the job or in the world, is mapped back to the text by the path of its field.
//! The command line and the web page read specs with it. It knows no generated type and touches no file.

mod node;
mod overrides;
mod problem;
mod shape;
mod yaml;

use common::job::FieldProblem;
use proto::json;

pub use self::problem::Problem;

use self::node::{Node, parse_path};

/// A spec as it was written.
#[derive(Clone, Debug)]
pub struct SpecText {
    tree: Node,
}

impl SpecText {
    /// Reads a text.
    ///
    /// # Errors
    /// What is no YAML, or more of it than a spec may use.
    pub fn parse(text: &str) -> Result<SpecText, Problem> {
        Ok(SpecText {
            tree: yaml::parse(text)?,
        })
    }

    /// Changes one field, as `KEY=VALUE` says.
    ///
    /// # Errors
    /// What names no field.
    pub fn apply(&mut self, text: &str) -> Result<(), Problem> {
        overrides::apply(&mut self.tree, text)
    }

    /// Returns the spec as proto JSON, its sugar resolved.
    ///
    /// # Errors
    /// Every field that is unknown or of the wrong type.
    pub fn to_proto_json(&self) -> Result<serde_json::Value, Vec<Problem>> {
        shape::to_proto_json(&self.tree, &json::job_spec_descriptor())
    }

    /// Finds where the fields stand that something is wrong with.
    pub fn locate(&self, problems: Vec<FieldProblem>) -> Vec<Problem> {
        problems
            .into_iter()
            .map(|FieldProblem { path, problem }| {
                let place = self.tree.nearest(&parse_path(&path)).clone();
                Problem::at(place, path, problem)
            })
            .collect()
    }
}
