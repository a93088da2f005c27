//! What happened to a run as a whole: what it was told, which the journal keeps, among its milestones.

use common::ids::RunId;
use common::steering::{Activity, Asker};
use common::time::Time;
use scheduler::Rerun;

use super::{LookupError, Service};
use crate::driver::NoSuchRun;

/// How many kinds of failure are shown.
const FAILURES: usize = 100;

/// One thing that happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityEntry {
    /// When.
    pub at: Time,
    /// What kind of thing: a command's name, or a milestone.
    pub kind: &'static str,
    /// Who gave the command; `None` for a milestone.
    pub by: Option<Asker>,
    /// What happened, for people.
    pub message: String,
}

impl Service {
    /// Lists what happened to a run as a whole, oldest first.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn activity(&self, run: RunId) -> Result<Vec<ActivityEntry>, LookupError> {
        let (view, chart) = self.chart(run).await?;
        let (rerun, commands) = self.commands(run).await?;
        let summary = &view.summary;
        let micros_in = |micros: u64| Time(summary.accepted.0 + micros * 1_000);
        let milestone = |at: Time, kind: &'static str, message: String| ActivityEntry {
            at,
            kind,
            by: None,
            message,
        };
        let accepted = format!("{} accepted as {run}", summary.job);
        let mut entries = vec![milestone(summary.accepted, "run_accepted", accepted)];
        if let Some(rerun) = rerun {
            let behind = view.job.ops.get(rerun.behind.index()).map_or("?", |op| &op.name);
            let Rerun { of, from, kept, by, .. } = *rerun;
            entries.push(ActivityEntry {
                at: summary.accepted,
                kind: "rerun",
                by: Some(by),
                message: format!("{of} again from {from}: {kept} batches begin at its checkpoints, up to {behind}"),
            });
        }
        if let Some(first) = chart.task(0)? {
            let message = "the first task started".to_owned();
            entries.push(milestone(micros_in(first.started), "first_task_started", message));
        }
        if let Some(loaded) = summary.first_batch_loaded {
            let message = "the first batch was loaded".to_owned();
            entries.push(milestone(loaded, "first_batch_loaded", message));
        }
        for group in chart.failures.groups().into_iter().take(FAILURES) {
            let op = view.job.ops.get(usize::from(group.op)).map_or("?", |op| &op.name);
            let message = format!("{op} failed {} times: {}", group.attempts, group.error);
            entries.push(milestone(micros_in(group.first_us), "first_failure", message));
        }
        entries.extend(commands.into_iter().map(|activity| ActivityEntry {
            at: activity.at,
            kind: activity.command.name(),
            by: Some(activity.by),
            message: activity.command.to_string(),
        }));
        if let Some(ended) = summary.ended {
            entries.push(milestone(ended, "run_ended", format!("{run} {}", summary.state)));
        }
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    /// Returns what a run began at, if at another one's checkpoints, and the commands that it was given, oldest first.
    async fn commands(&self, run: RunId) -> Result<(Option<Box<Rerun>>, Vec<Activity>), LookupError> {
        let found = self.driver.read(move |world| {
            let entry = world.registry.run(run).ok_or(NoSuchRun { run })?;
            let commands = entry.activity.iter().map(|(_, activity)| activity.clone());
            Ok::<_, NoSuchRun>((entry.rerun.clone(), commands.collect()))
        });
        Ok(found.await??)
    }
}
