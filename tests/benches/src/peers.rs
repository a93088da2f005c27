//! Other engines doing the same work on the same machine, run between our own repetitions.
//!
//! Nothing of them is in the repository: the user names a folder whose `run.sh PEER WORKLOAD [N]` prints a JSON line a
//! run. Which of them are run says `PEER_NAMES`, or else the workload: frameworks of tasks beside W1, W2 and W5, engines for
//! data beside W3. Known weakness: a peer that is not set up, or knows no such workload, is noted and left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::figure::Figure;

/// The peers to run beside, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    folder: Option<PathBuf>,
    /// The names that the user asked for.
    names: Option<String>,
}

impl Peers {
    /// Takes the peers of a folder; without one there are none.
    pub(crate) fn new(folder: Option<PathBuf>) -> Peers {
        Peers {
            folder,
            names: std::env::var("PEER_NAMES").ok(),
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
        let names = self.names.as_deref().unwrap_or(match workload {
            "W3" => "polars raw duckdb datafusion",
            _ => "ray dask celery",
        });
        for name in names.split_whitespace() {
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
                figures.push(Figure::new(workload, name).with("skipped", "it printed no figure"));
            }
            for line in lines {
                figures.push(Figure::new(workload, name).with("said", line));
            }
        }
    }
}
