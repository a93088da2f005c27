//! Other engines doing the same work on the same machine, run between our own repetitions.
//!
//! Nothing of them is in the repository: the user names a folder whose `run.sh PEER WORKLOAD [N]` prints a JSON line a
//! run. Which peers there are says `PEER_NAMES`. Known weakness: a peer that is not set up is noted and left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::figure::Figure;

/// The peers to run beside, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    folder: Option<PathBuf>,
    names: Vec<String>,
}

impl Peers {
    /// Takes the peers of a folder; without one there are none.
    pub(crate) fn new(folder: Option<PathBuf>) -> Peers {
        let names = std::env::var("PEER_NAMES").unwrap_or_else(|_| "ray dask celery".to_owned());
        Peers {
            folder,
            names: names.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Runs every peer once on a workload, and adds what it says.
    pub(crate) fn run(&self, workload: &'static str, sizes: &[&str], figures: &mut Vec<Figure>) {
        self.run_with(&[], workload, sizes, figures);
    }

    /// The same for a workload with an input, whose path the peers get as `CSV` in their environment.
    pub(crate) fn run_on(&self, input: &Path, workload: &'static str, sizes: &[&str], figures: &mut Vec<Figure>) {
        self.run_with(&[("CSV", input)], workload, sizes, figures);
    }

    fn run_with(
        &self,
        environment: &[(&str, &Path)],
        workload: &'static str,
        sizes: &[&str],
        figures: &mut Vec<Figure>,
    ) {
        let Some(folder) = &self.folder else { return };
        for name in &self.names {
            let mut command = Command::new(folder.join("run.sh"));
            command.args(["-n", "1", name, workload]).args(sizes);
            command.envs(environment.iter().copied());
            let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let lines: Vec<Value> = text
                .unwrap_or_default()
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            if lines.is_empty() {
                figures.push(Figure::new(workload, name.clone()).with("skipped", "it printed no figure"));
            }
            for line in lines {
                figures.push(Figure::new(workload, name.clone()).with("said", line));
            }
        }
    }
}
