//! Running a job on a cluster of real processes, and what it cost there.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tests::{Cluster, Job, Process, RunReport, Scratch};

use crate::crowd::Crowd;
use crate::figure::Figure;
use crate::usage::{Usage, machine_busy};

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A cluster, and the processes that work for it.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    workers: Vec<u32>,
    /// Processes of simulated workers.
    crowd: Vec<Process>,
}

/// A run, and what the processes used for it.
pub(crate) struct Measured {
    pub(crate) run: String,
    pub(crate) report: RunReport,
    pub(crate) coordinator: Usage,
    pub(crate) workers: Usage,
    /// Seconds that the machine's processors were busy, with these processes and with all else.
    pub(crate) busy: f64,
}

impl Bench {
    /// Starts a coordinator with a journal, and workers.
    pub(crate) fn start(workers: u32, slots: u32) -> Bench {
        let mut cluster = Cluster::start(workers, slots);
        let workers = (1..=workers).map(|number| cluster.worker(&format!("w{number}")).id());
        Bench {
            workers: workers.collect(),
            cluster,
            crowd: Vec::new(),
        }
    }

    /// Starts a coordinator with a journal, and so many simulated workers in so many processes.
    pub(crate) fn start_with_crowd(sessions: u32, slots: NonZeroU32, processes: u32) -> Bench {
        let cluster = Cluster::coordinator_with::<&str>([]);
        let program = std::env::current_exe().expect("this program has a path");
        let each = sessions.div_ceil(processes);
        let share = |process: u32| {
            let crowd = Crowd {
                url: format!("http://{}", cluster.address("worker-grpc")),
                first: process * each,
                sessions: each.min(sessions.saturating_sub(process * each)),
                slots,
            };
            let mut command = Command::new(&program);
            command.arg("--crowd").arg(crowd.word());
            Process::start(&format!("crowd-{process}"), cluster.scratch().folder(), command)
        };
        let crowd: Vec<Process> = (0..processes).map(share).collect();
        cluster.wait_for_workers(sessions as usize);
        Bench {
            workers: crowd.iter().map(Process::id).collect(),
            cluster,
            crowd,
        }
    }

    /// Runs a job to its end.
    ///
    /// # Panics
    /// If it does not succeed.
    pub(crate) fn run(&mut self, job: &Job) -> Measured {
        let (coordinator, workers, busy) = (self.coordinator(), self.workers(), machine_busy());
        let run = self.cluster.submit(job);
        let watch = self.cluster.plumb(["watch", &run, "--json"]);
        let mut watching = watch.start_as(&format!("watch-{run}"));
        watching.wait(PATIENCE);
        Measured {
            report: self.cluster.show(&run).expect_success(),
            run,
            coordinator: self.coordinator().since(&coordinator),
            workers: self.workers().since(&workers),
            busy: machine_busy() - busy,
        }
    }

    /// Returns the run's attempts.
    pub(crate) fn timeline(&self, measured: &Measured) -> Vec<tests::Attempt> {
        self.cluster.timeline(&measured.run)
    }

    /// Ends the cluster in order; simulated workers are just killed.
    pub(crate) fn finish(self) {
        drop(self.crowd);
        self.cluster.finish();
    }

    fn coordinator(&mut self) -> Usage {
        Usage::of(self.cluster.coordinator().id())
    }

    fn workers(&self) -> Usage {
        let mut all = Usage::default();
        for process in &self.workers {
            let usage = Usage::of(*process);
            all.cpu += usage.cpu;
            all.peak_rss = all.peak_rss.max(usage.peak_rss);
            for (name, cpu) in usage.threads {
                *all.threads.entry(name).or_default() += cpu;
            }
        }
        all
    }
}

impl Measured {
    /// Returns how many tasks a second were done.
    pub(crate) fn tasks_per_second(&self) -> f64 {
        as_number(self.report.tasks.succeeded) / self.report.wall_seconds
    }

    /// Adds what a run of many tasks cost to a figure.
    pub(crate) fn costs(&self, figure: Figure) -> Figure {
        let tasks = as_number(self.report.tasks.succeeded);
        let micros = |seconds: f64| seconds * 1e6 / tasks;
        let threads = |usage: &Usage| {
            let shown = usage.threads.iter().filter(|(_, cpu)| **cpu > 0.0);
            let shown = shown.map(|(name, cpu)| (name.clone(), (micros(*cpu) * 1_000.0).round() / 1_000.0));
            serde_json::Map::from_iter(shown.map(|(name, cpu)| (name, cpu.into())))
        };
        figure
            .with("batches", self.report.batches.committed)
            .with("tasks", self.report.tasks.succeeded)
            .number("wall_s", self.report.wall_seconds)
            .with("tasks_per_s", self.tasks_per_second().round())
            .number("coordinator_us_per_task", micros(self.coordinator.cpu))
            .number("workers_us_per_task", micros(self.workers.cpu))
            .number("machine_busy_us_per_task", micros(self.busy))
            .with("coordinator_rss_mb", self.coordinator.peak_rss >> 20)
            .with("worker_rss_mb", self.workers.peak_rss >> 20)
            .with("peak_in_flight", self.report.peak_batches_in_flight)
            .with("peak_committing", self.report.peak_committing)
            .with("coordinator_threads_us", threads(&self.coordinator))
            .with("workers_threads_us", threads(&self.workers))
    }
}

/// Writes a CSV file of so many rows of one small column, and returns its path.
pub(crate) fn numbers(scratch: &Scratch, rows: u64) -> PathBuf {
    let mut text = String::from("id\n");
    for row in 0..rows {
        let _ = writeln!(text, "{row}");
    }
    scratch.write(format!("numbers-{rows}.csv").as_str(), text)
}

/// Makes a number of a count, for ratios.
#[expect(clippy::cast_precision_loss, reason = "counts of tasks are far below 2^52")]
pub(crate) fn as_number(count: u64) -> f64 {
    count as f64
}
