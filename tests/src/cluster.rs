//! A cluster of real processes: one coordinator on free ports, and workers that come and go.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::job::Job;
use crate::plumb::{Ended, Plumb};
use crate::process::Process;
use crate::report::{Activity, Attempt, OpExplanation, Pool, RunReport};
use crate::repository;
use crate::scratch::Scratch;
use crate::wait::until;

/// A coordinator's flags for leases that are soon over.
pub const SHORT_LEASES: [&str; 4] = ["--lease-time", "1s", "--heartbeat-interval", "200ms"];

/// A coordinator and its workers.
#[derive(Debug)]
pub struct Cluster {
    coordinator: Process,
    workers: BTreeMap<String, Process>,
    addresses: BTreeMap<String, String>,
    /// What the coordinator is started with each time, beside its ports and its state.
    flags: Vec<OsString>,
    /// How often the coordinator was started.
    starts: u32,
    scratch: Scratch,
}

impl Cluster {
    /// Starts a coordinator and so many workers, `w1`, `w2` and so on, with so many slots each.
    pub fn start(workers: u32, slots: u32) -> Cluster {
        let mut cluster = Cluster::coordinator_with::<&str>([]);
        for number in 1..=workers {
            cluster.add_worker(&format!("w{number}"), slots);
        }
        cluster.wait_for_workers(workers as usize);
        cluster
    }

    /// Starts a coordinator with further flags and no workers.
    pub fn coordinator_with<W: AsRef<OsStr>>(flags: impl IntoIterator<Item = W>) -> Cluster {
        Cluster::coordinator_with_scratch(Scratch::new(), flags)
    }

    /// Starts a coordinator with further flags, in a folder that the test has prepared, and no workers.
    pub fn coordinator_with_scratch<W: AsRef<OsStr>>(scratch: Scratch, flags: impl IntoIterator<Item = W>) -> Cluster {
        let folder = scratch.folder().to_owned();
        Cluster::coordinator_in(scratch, &folder, flags)
    }

    /// Starts a coordinator whose leases live for a second, so that a test need not wait for long until one is over.
    pub fn with_short_leases() -> Cluster {
        Cluster::coordinator_with(SHORT_LEASES)
    }

    /// Starts a coordinator in the repository's folder, where the README's relative paths start, and no workers.
    pub fn coordinator_in_the_repository() -> Cluster {
        Cluster::coordinator_in::<&str>(Scratch::new(), &repository::root(), [])
    }

    fn coordinator_in<W: AsRef<OsStr>>(scratch: Scratch, folder: &Path, flags: impl IntoIterator<Item = W>) -> Cluster {
        let any = "127.0.0.1:0";
        let flags: Vec<OsString> = flags.into_iter().map(|flag| flag.as_ref().to_owned()).collect();
        let mut coordinator = Plumb::new(
            &scratch,
            ["coordinator", "--grpc", any, "--worker-grpc", any, "--web", any],
        )
        .arg("--state")
        .arg(scratch.path("state"))
        .args(&flags)
        .in_folder(folder)
        .start_as("coordinator");
        let line = coordinator.first_line();
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        let addresses: BTreeMap<String, String> = words
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .collect();
        for name in ["grpc", "worker-grpc", "web"] {
            assert!(addresses.contains_key(name), "the ready line names {name}: {line}");
        }
        Cluster {
            coordinator,
            workers: BTreeMap::new(),
            addresses,
            flags,
            starts: 1,
            scratch,
        }
    }

    /// Kills the coordinator and starts another one on the same ports and the same state.
    ///
    /// # Panics
    /// If the new one does not become ready.
    pub fn restart_coordinator(&mut self) {
        self.kill_coordinator();
        self.start_coordinator();
    }

    /// Kills the coordinator with SIGKILL.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill_coordinator(&mut self) {
        self.coordinator.kill();
    }

    /// Starts a coordinator where the one was that has ended.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start_coordinator(&mut self) {
        self.starts += 1;
        let mut coordinator = Plumb::new(&self.scratch, ["coordinator", "--state"]).arg(self.scratch.path("state"));
        for name in ["grpc", "worker-grpc", "web"] {
            coordinator = coordinator.arg(format!("--{name}")).arg(&self.addresses[name]);
        }
        self.coordinator = coordinator
            .args(&self.flags)
            .start_as(&format!("coordinator-{}", self.starts));
        self.coordinator.first_line();
    }

    /// Starts a worker; it is connected when it is ready.
    pub fn add_worker(&mut self, name: &str, slots: u32) {
        let call = self.worker_call(name, slots, &self.addresses["worker-grpc"]);
        self.start_worker(name, call);
    }

    /// Begins the call of a worker that finds the coordinator at an address.
    pub fn worker_call(&self, name: &str, slots: u32, coordinator: impl Display) -> Plumb {
        let url = format!("http://{coordinator}");
        Plumb::new(&self.scratch, ["worker", "--coordinator", &url, "--name", name])
            .args(["--slots", &slots.to_string()])
    }

    /// Starts a worker as it was called, under a name by which the test finds the process.
    pub fn start_worker(&mut self, process: &str, call: Plumb) {
        self.workers.insert(process.to_owned(), call.start_as(process));
    }

    /// Waits until the coordinator sees so many live workers.
    pub fn wait_for_workers(&self, count: usize) {
        until(&format!("{count} workers are live"), || {
            let live = self.workers().iter().filter(|worker| worker["state"] == "live").count();
            (live == count).then_some(())
        });
    }

    /// Returns what the coordinator says of a worker: `live`, `disconnected`, `draining` or `fenced`; none if it is gone.
    pub fn state_of(&self, name: &str) -> Option<String> {
        let workers = self.workers();
        // Of two sessions under one name, the newer one counts.
        let found = workers.iter().rev().find(|worker| worker["worker"] == name)?;
        found["state"].as_str().map(str::to_owned)
    }

    /// Tells whether the coordinator has given up a worker: its leases are over, or another's.
    pub fn has_given_up(&self, name: &str) -> bool {
        self.state_of(name).is_none_or(|state| state == "fenced")
    }

    /// Returns the workers that the coordinator knows, as `plumb workers --json` prints them.
    ///
    /// # Panics
    /// If they are not printed as JSON.
    pub fn workers(&self) -> Vec<Value> {
        self.lines_of(&["workers"])
    }

    /// Returns what happened to a run as a whole, oldest first.
    pub fn activity(&self, run: &str) -> Vec<Activity> {
        self.lines_of(&["activity", run])
    }

    /// Returns why nothing more of a run's ops begins, `extract` first.
    pub fn explain(&self, run: &str) -> Vec<OpExplanation> {
        self.lines_of(&["explain", run])
    }

    /// Returns the limits that runs share.
    pub fn pools(&self) -> Vec<Pool> {
        self.lines_of(&["pool", "list"])
    }

    /// Tells the coordinator something about a run, and returns the run as it was when that was answered.
    ///
    /// # Panics
    /// If it is refused.
    pub fn tell(&self, words: &[&str]) -> RunReport {
        self.plumb(words).arg("--json").call().expect_code(0).report()
    }

    fn lines_of<T: DeserializeOwned>(&self, words: &[&str]) -> Vec<T> {
        let printed = self.plumb(words).arg("--json").call().expect_code(0).stdout;
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{words:?}: {error}\n{line}"));
        printed.lines().map(read).collect()
    }

    /// Begins a command that talks to this coordinator.
    pub fn plumb<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Plumb {
        Plumb::new(&self.scratch, words).arg("--coordinator").arg(self.url())
    }

    /// Submits a job and returns the run's id.
    ///
    /// # Panics
    /// If it is refused.
    pub fn submit(&self, job: &Job) -> String {
        let submitted = self.try_submit(job).expect_code(0);
        let line = submitted.stdout.lines().next().expect("submit prints the run");
        let answer: Value = serde_json::from_str(line).expect("the run is JSON");
        answer["run"].as_str().expect("the run has an id").to_owned()
    }

    /// Submits a job, which may be refused.
    pub fn try_submit(&self, job: &Job) -> Ended {
        self.plumb(["submit"]).arg(job.write(&self.scratch)).call()
    }

    /// Returns a run's summary as it is now.
    pub fn show(&self, run: &str) -> RunReport {
        self.plumb(["show", run, "--json"]).call().expect_code(0).report()
    }

    /// Waits until a run's summary is as wanted.
    pub fn wait_until(&self, run: &str, what: &str, wanted: impl Fn(&RunReport) -> bool) -> RunReport {
        until(what, || {
            let report = self.show(run);
            assert!(
                wanted(&report) || !report.ended(),
                "the run ended before {what}: {report:#?}"
            );
            wanted(&report).then_some(report)
        })
    }

    /// Waits for a run's end.
    pub fn wait_for_end(&self, run: &str) -> RunReport {
        self.wait_until(run, "the run ends", RunReport::ended)
    }

    /// Submits a job and waits for its success.
    pub fn run(&self, job: &Job) -> RunReport {
        self.wait_for_end(&self.submit(job)).expect_success()
    }

    /// Returns the attempts of a run.
    pub fn timeline(&self, run: &str) -> Vec<Attempt> {
        Attempt::read_all(&self.plumb(["timeline", run, "--json"]).call().expect_code(0).stdout)
    }

    /// Returns the URL of the JobService.
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses["grpc"])
    }

    /// Returns one of the addresses of the ready line: `grpc`, `worker-grpc` or `web`.
    pub fn address(&self, name: &str) -> &str {
        &self.addresses[name]
    }

    /// Returns the test's folder.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Returns the coordinator's process.
    pub fn coordinator(&mut self) -> &mut Process {
        &mut self.coordinator
    }

    /// Returns a worker's process.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn worker(&mut self, name: &str) -> &mut Process {
        self.workers.get_mut(name).unwrap_or_else(|| panic!("no worker {name}"))
    }

    /// Returns what a worker's process has logged.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn log_of(&self, name: &str) -> String {
        let worker = self.workers.get(name);
        worker.unwrap_or_else(|| panic!("no worker {name}")).log()
    }

    /// Checks that every process is up that was not ended on purpose.
    ///
    /// # Panics
    /// If one has ended.
    pub fn expect_up(&mut self) {
        for process in std::iter::once(&mut self.coordinator).chain(self.workers.values_mut()) {
            let ended = process.ended();
            assert!(
                ended.is_none(),
                "{} ended ({ended:?}):\n{}",
                process.name(),
                process.log()
            );
        }
    }

    /// Ends everything in order and checks that all of it leaves well: exit code 0, no error in a log, no process and
    /// no temporary file left. Processes that have ended already are not judged.
    ///
    /// # Panics
    /// If something does not.
    pub fn finish(mut self) {
        for process in self.workers.values_mut().chain(std::iter::once(&mut self.coordinator)) {
            if process.ended().is_none() {
                let status = process.terminate();
                assert!(
                    status.success(),
                    "{} left with {status}:\n{}",
                    process.name(),
                    process.log()
                );
                process.expect_no_error_in_log();
            }
        }
        self.scratch.expect_no_process();
        self.scratch.expect_no_temporary_file();
    }
}
