//! Measures real clusters: a release build of `plumb`, with everything on, on this machine.
//!
//! Owns the workloads (one file each, named as BENCHMARKS.md names them) and how their figures are shown: a
//! table for people and a JSON line for tools. A workload starts its processes with the harness of `tests`, a state
//! folder on a real disk among their flags, and reads what they used from /proc. It judges nothing: bounds are
//! BENCHMARKS.md's.
//!
//! Data flows one way: a workload returns [`Figure`]s, `main` prints them. Peers are scripts of a folder that the user
//! names and of the one beside this crate's sources ([`peers`]); they run between our own repetitions, so that both see
//! the same machine.
//!
//! Known weakness: whatever else the machine does is in the figures; `machine_busy` beside `cpu` shows it.

mod crowd;
mod data;
mod depth_first;
mod figure;
mod gaps;
mod overhead;
mod peers;
mod recovery;
mod runs;
mod sample;
mod scale;
mod usage;
mod yardstick;

use std::ffi::OsString;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::crowd::Crowd;
use crate::figure::Figure;
use crate::peers::Peers;

/// Measures a release build of plumb. Build it first: `make bench` does.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; everything when none is named.
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Small sizes: whether it works, not how fast.
    #[arg(long)]
    short: bool,
    /// How many batches, where a workload has a choice.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    batches: Vec<u64>,
    /// How many megabytes of input, where a workload has a choice.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    megabytes: Vec<u64>,
    /// How many simulated workers in W4, 0 for none; without --batches nothing else of it is measured.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    crowds: Vec<u32>,
    /// How often each figure is taken, the peers in between; the median is shown with its spread. Unless said, 5 times
    /// W1 to W3 and once the others.
    #[arg(long, value_name = "N")]
    repeat: Option<usize>,
    /// Folders with peers, as in PATH: `run.sh -n 1 PEER WORKLOAD [N]` prints JSON lines. PEER_NAMES says which peers.
    #[arg(long, env = "PEERS", value_name = "DIRS")]
    peers: Option<OsString>,
    /// How long each peer may take beside a workload, all repetitions together. Unless said, 30 and beside W5 150.
    #[arg(long, value_name = "SECONDS")]
    peer_seconds: Option<u64>,
    /// Be a share of the simulated workers of W4 instead.
    #[arg(long, hide = true, value_name = "URL,FIRST,SESSIONS,SLOTS")]
    crowd: Option<Crowd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Overhead per task: a chain of four ops that do nothing.
    W1,
    /// Depth first with latency: 64 batches, two ops of 50 ms, cap 4.
    W2,
    /// Data: a CSV of the sample's rows to CSV part files with four columns and a uuid.
    W3,
    /// Scale: the cost of a task and the coordinator's memory as a run grows.
    W4,
    /// The sample's job with priority, a second a batch and transform.
    W5,
    /// How soon a killed coordinator's runs go on, and what its journal takes.
    Recovery,
}

/// How a workload is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) size: Size,
    /// Sizes that the user asked for; empty for the workload's own.
    pub(crate) batches: Vec<u64>,
    /// Sizes of the input that the user asked for; empty for the workload's own.
    pub(crate) megabytes: Vec<u64>,
    /// Sizes of the crowd of simulated workers that the user asked for; empty for the workload's own.
    pub(crate) crowds: Vec<u32>,
    repeat: Option<usize>,
    pub(crate) peers: Peers,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Enough to see that it works.
    Short,
    /// Enough for a figure.
    Full,
}

impl Settings {
    /// Returns how often to take a figure that is usually taken so often.
    pub(crate) fn repeat(&self, usually: usize) -> usize {
        let usually = match self.size {
            Size::Short => 1,
            Size::Full => usually,
        };
        self.repeat.unwrap_or(usually).max(1)
    }

    /// Returns the sizes to measure: the user's, or the workload's.
    pub(crate) fn sizes(&self, short: &[u64], full: &[u64]) -> Vec<u64> {
        match (self.batches.is_empty(), self.size) {
            (false, Size::Short | Size::Full) => self.batches.clone(),
            (true, Size::Short) => short.to_vec(),
            (true, Size::Full) => full.to_vec(),
        }
    }
}

fn main() {
    let args = Args::parse();
    if let Some(crowd) = &args.crowd {
        match crowd::work(crowd) {
            Ok(()) => return,
            Err(error) => panic!("a simulated worker ended: {error}"),
        }
    }
    let settings = Settings {
        size: if args.short { Size::Short } else { Size::Full },
        batches: args.batches,
        megabytes: args.megabytes,
        crowds: args.crowds,
        repeat: args.repeat,
        peers: Peers::new(args.peers, args.peer_seconds.map(Duration::from_secs)),
    };
    let asked = if args.workloads.is_empty() {
        Workload::value_variants().to_vec()
    } else {
        args.workloads
    };
    for workload in asked {
        let figures: Vec<Figure> = match workload {
            Workload::W1 => overhead::measure(&settings),
            Workload::W2 => depth_first::measure(&settings),
            Workload::W3 => data::measure(&settings),
            Workload::W4 => scale::measure(&settings),
            Workload::W5 => sample::measure(&settings),
            Workload::Recovery => recovery::measure(&settings),
        };
        figure::print(&figures);
    }
}
