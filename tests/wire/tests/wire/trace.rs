//! What happened, told line by line: every piece that went through a connection, every op, every fault.
//!
//! Two histories are the same if their lines are. What a line says of a piece is when, from where to where, and how long
//! it is: the bytes themselves hold keys that are drawn anew in each history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ids::{LeaseId, OpId, RunId};

/// The history as it is told. Cloned freely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    /// Every task that truly runs, by the process that runs it.
    running: BTreeMap<(u32, LeaseId), (RunId, OpId)>,
    most_running: usize,
    exits: Vec<String>,
}

/// A task that runs until this is dropped, by its end or by that of its process.
#[derive(Debug)]
pub(crate) struct Runs {
    trace: Trace,
    key: (u32, LeaseId),
}

impl Trace {
    /// Tells something that happens now.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.tell_at(at, what);
    }

    /// Tells something that happens at a time of the history.
    pub(crate) fn tell_at(&self, at: Duration, what: impl FnOnce() -> String) {
        let line = format!("{:11.6} {}", at.as_secs_f64(), what());
        self.lock().lines.push(line);
    }

    /// Notes a task that begins to run.
    pub(crate) fn runs(&self, process: u32, lease: LeaseId, run: RunId, op: OpId) -> Runs {
        self.tell(|| format!("process {process} runs {run}/op {} under {lease}", op.0));
        let key = (process, lease);
        let mut told = self.lock();
        told.running.insert(key, (run, op));
        told.most_running = told.most_running.max(told.running.len());
        drop(told);
        let trace = self.clone();
        Runs { trace, key }
    }

    /// Notes that a process of a worker ends by itself.
    pub(crate) fn exits(&self, process: u32, why: &str) {
        self.tell(|| format!("process {process} ends: {why}"));
        self.lock().exits.push(why.to_owned());
    }

    /// Returns all lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Returns how many tasks ran at once at most.
    pub(crate) fn most_running(&self) -> usize {
        self.lock().most_running
    }

    /// Returns why processes of workers ended by themselves.
    pub(crate) fn exits_told(&self) -> Vec<String> {
        self.lock().exits.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.trace.lock().running.remove(&self.key);
    }
}
