//! Other engines doing the same work on the same machine, run between our own repetitions.
//!
//! Owns which peers run beside which workload, what each may take, and what is said of those that did not run. A peer is
//! a program of a folder with a `run.sh`: `run.sh -n 1 PEER WORKLOAD [N]` prints a JSON line for each of its variants
//! (`V` in its environment names those that are wanted). Folders are named by the user; the benchmarks' own, which
//! has what needs no more than Python, is asked last.
//!
//! Data flows one way: [`Beside::round`] runs every peer once and keeps what it printed, [`Beside::figures`] makes a
//! figure of each variant, [`Beside::best`] says which was the best. A peer that has used its time runs no more, and
//! one that takes longer is ended with everything that it started; both are said. Known weakness: a process that overwrote
//! its environment and whose parent has gone is not found then.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use tests::{Process, Scratch, repository};

use crate::figure::{Figure, middle};

/// How often a peer is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much of what a peer complained of is shown.
const COMPLAINT: usize = 240;

/// A peer beside a workload: its name, the batches it is given where that is its choice, and its best variants.
type Entrant = (&'static str, &'static str, &'static str);

/// Where peers are, and what they may take.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    folders: Vec<PathBuf>,
    /// The names that the user asked for.
    names: Option<String>,
    /// How long each may take beside one workload, all rounds together, if the user said so.
    budget: Option<Duration>,
}

/// The peers beside one workload.
pub(crate) struct Beside {
    workload: &'static str,
    entered: Vec<Entered>,
}

struct Entered {
    name: String,
    program: Option<PathBuf>,
    size: Option<String>,
    variants: String,
    left: Duration,
    /// What each variant printed, in the order of the rounds.
    said: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Why it did not run, or runs no more.
    note: Option<String>,
}

impl Peers {
    /// Takes the peers of some folders; without one there are none.
    pub(crate) fn new(named: Option<OsString>, budget: Option<Duration>) -> Peers {
        let mut folders: Vec<PathBuf> = named.iter().flat_map(std::env::split_paths).collect();
        if !folders.is_empty() {
            folders.push(repository::root().join("tests/benches/peers"));
        }
        Peers {
            folders,
            names: std::env::var("PEER_NAMES").ok(),
            budget,
        }
    }

    /// Returns the peers beside a workload.
    pub(crate) fn beside(&self, workload: &'static str) -> Beside {
        let known = entrants(workload);
        let names: Vec<&str> = match &self.names {
            Some(names) => names.split_whitespace().collect(),
            None => known.iter().map(|(name, ..)| *name).collect(),
        };
        let names = if self.folders.is_empty() { Vec::new() } else { names };
        let enter = |name: &str| {
            let (_, size, variants) = known
                .iter()
                .find(|(known, ..)| *known == name)
                .copied()
                .unwrap_or_default();
            let has_it = |folder: &&PathBuf| {
                let text = std::fs::read_to_string(folder.join("run.sh")).unwrap_or_default();
                text.contains(&format!("{name}-{workload}"))
            };
            let program = self.folders.iter().find(has_it).map(|folder| folder.join("run.sh"));
            let missing = program
                .is_none()
                .then(|| format!("no run.sh of {:?} knows it", self.folders));
            Entered {
                name: name.to_owned(),
                program,
                size: (!size.is_empty()).then(|| size.to_owned()),
                variants: std::env::var("V").unwrap_or_else(|_| variants.to_owned()),
                left: self.budget.unwrap_or_else(|| usual_budget(workload)),
                said: BTreeMap::new(),
                note: missing,
            }
        };
        Beside {
            workload,
            entered: names.into_iter().map(enter).collect(),
        }
    }
}

/// Returns who runs beside a workload, and with what: sizes at which they are at their best within a few seconds.
fn entrants(workload: &str) -> &'static [Entrant] {
    match workload {
        "W1" => &[
            ("ray", "4000", "eager"),
            ("dask", "1000", "graph"),
            ("celery", "1000", "prio noprio"),
            ("hyperqueue", "200", "chain independent"),
        ],
        "W2" => &[("ray", "", "window4"), ("dask", "", "prio"), ("celery", "", "prio")],
        "W3" => &[
            ("polars", "", "polars-plugin"),
            ("duckdb", "", "duckdb"),
            ("datafusion", "", "datafusion"),
        ],
        "W5" => &[("dagster", "", "multiprocess")],
        _ => &[],
    }
}

/// Returns how long a peer may take unless the user says it: some rounds of a few seconds, or one long one.
fn usual_budget(workload: &str) -> Duration {
    Duration::from_secs(if workload == "W5" { 150 } else { 30 })
}

impl Beside {
    /// Runs every peer once, unless it has used its time. The input of a workload that has one is `CSV` in its environment.
    pub(crate) fn round(&mut self, input: Option<&Path>) {
        for peer in &mut self.entered {
            if peer.note.is_none() {
                peer.run(self.workload, input);
            }
        }
    }

    /// Returns the best rate of a peer, in the middle of its rounds, and whose it is.
    pub(crate) fn best(&self, by: &str) -> Option<(f64, String)> {
        let rates = self.entered.iter().flat_map(|peer| {
            let of_variant = |(variant, said): (&String, &Vec<Map<String, Value>>)| {
                let rates: Vec<f64> = said.iter().filter_map(|line| line.get(by)?.as_f64()).collect();
                Some((middle(rates)?, format!("{} {variant}", peer.name)))
            };
            peer.said.iter().filter_map(of_variant)
        });
        rates.max_by(|(one, _), (other, _)| one.total_cmp(other))
    }

    /// Returns a figure for each variant of a peer, and one for each peer that did not run.
    pub(crate) fn figures(&self, by: &'static str) -> Vec<Figure> {
        let mut figures = Vec::new();
        if self.entered.is_empty() {
            let missing = "no folder with peers is named: see --peers";
            figures.push(Figure::new(self.workload, "peers").with("missing", missing));
        }
        for peer in &self.entered {
            for (variant, said) in &peer.said {
                let taken = said.iter().map(|line| {
                    let figure = Figure::new(self.workload, format!("{} {variant}", peer.name));
                    shown(line).fold(figure, |figure, (name, value)| figure.with(name, value))
                });
                let figure = Figure::of_all(taken.collect(), by);
                figures.push(match &peer.note {
                    Some(note) => figure.with("note", note.as_str()),
                    None => figure,
                });
            }
            if peer.said.is_empty() {
                let reason = peer.note.as_deref().unwrap_or("it was not asked to run");
                figures.push(Figure::new(self.workload, peer.name.as_str()).with("missing", reason));
            }
        }
        figures
    }
}

/// Returns what of a peer's line is shown beside ours: how much it did, how fast, and with what.
fn shown(line: &Map<String, Value>) -> impl Iterator<Item = (&'static str, Value)> {
    let batches = line.get("n").and_then(Value::as_u64);
    let tasks = batches
        .filter(|_| line.contains_key("tasks_per_s"))
        .map(|batches| batches * 4);
    let names = [
        "wall_s",
        "tasks_per_s",
        "mb_per_s",
        "max_alive",
        "cpu_s",
        "machine_busy_s",
        "peak_rss_mb",
    ];
    let known = names
        .into_iter()
        .filter_map(|name| Some((name, line.get(name)?.clone())));
    tasks.map(|tasks| ("tasks", tasks.into())).into_iter().chain(known)
}

impl Entered {
    fn run(&mut self, workload: &str, input: Option<&Path>) {
        let Some(program) = &self.program else { return };
        let scratch = Scratch::new();
        let mut command = Command::new(program);
        command.args(["-n", "1", self.name.as_str(), workload]).args(&self.size);
        command.env("V", &self.variants);
        if let Some(input) = input {
            command.env("CSV", input);
        }
        scratch.mark_as_ours(&mut command);
        let began = Instant::now();
        let mut process = Process::start("peer", scratch.folder(), command);
        let ended = loop {
            let ended = process.ended();
            if ended.is_some() || began.elapsed() > self.left {
                break ended;
            }
            sleep(LOOK_EVERY);
        };
        let took = began.elapsed();
        end_all(&scratch);
        let lines = process.stdout();
        let lines = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Map<String, Value>> = lines.collect();
        let complaint = last_of(&process.log());
        if ended.is_none() {
            self.note = Some(format!("ended after {:.0} s: it had used its time", took.as_secs_f64()));
        } else if lines.is_empty() {
            self.note = Some(format!("it printed no figure: {complaint}"));
        } else if took > self.left.saturating_sub(took) {
            self.note = Some("another round would not have fitted into its time".to_owned());
        }
        self.left = self.left.saturating_sub(took);
        for line in lines {
            let variant = line.get("variant").and_then(Value::as_str).unwrap_or_default();
            self.said.entry(variant.to_owned()).or_default().push(line);
        }
    }
}

/// Ends every process that a peer has left: those that carry the mark, and what they started, marked or not.
fn end_all(scratch: &Scratch) {
    let parents = parents();
    let mut found: BTreeSet<u32> = scratch.processes().into_keys().collect();
    loop {
        let started = |(pid, parent): (&u32, &u32)| (found.contains(parent) && !found.contains(pid)).then_some(*pid);
        let more: Vec<u32> = parents.iter().filter_map(started).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    for pid in found.into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        // An error says that it has just ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Returns which process started which, by the one that was started.
fn parents() -> BTreeMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    let parent_of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name in parentheses come the state and the parent.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(parent_of).collect()
}

/// Returns the end of what a process complained of, in a line.
fn last_of(log: &str) -> String {
    let words = log.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = words.chars().count().saturating_sub(COMPLAINT);
    words.chars().skip(skipped).collect()
}
