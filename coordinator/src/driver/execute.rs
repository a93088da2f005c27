//! Executing the scheduler's commands: appends and messages are collected, everything else is done at once.
//!
//! The scheduler commands an effect only when its record is durable, so the order within a round does not matter for
//! safety; messages of one session keep their order.

use scheduler::{Command, Event};

use super::reruns::RerunFinder;
use super::{Driver, DriverError, NotDone, Refused};
use crate::store::Entry;

impl Driver {
    /// Executes commands until none is left.
    pub(super) fn execute_commands(&mut self) -> Result<(), DriverError> {
        loop {
            while let Some(command) = self.world.scheduler.next_command() {
                self.execute(command);
            }
            self.append_round()?;
            let cut_off = self.sessions.flush();
            if cut_off.is_empty() {
                return Ok(());
            }
            for session in cut_off {
                self.handle(Event::SessionDisconnected { session });
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Append { sequence, record } => {
                self.to_append.push(Entry { sequence, record });
            }
            Command::Send { session, message } => self.sessions.send(session, message),
            Command::FindSlices { run, count } => self.sources.find(run, count),
            Command::CutSlice { run, batch, slice } => {
                if let Some(entry) = self.world.registry.run(run) {
                    self.sources.cut(run, batch, slice, &entry.job, &entry.source);
                }
            }
            Command::ReopenSource { run } => {
                if let Some(entry) = self.world.registry.run(run) {
                    let slices = (self.cut_again)(&entry.job, &entry.source);
                    let slices = RerunFinder::beside(slices, entry.rerun.as_deref(), &self.archive);
                    self.sources.open(run, slices);
                }
            }
            Command::CloseSource { run } => self.sources.close(run),
            Command::RunAccepted { run } => {
                tracing::info!(%run, "run accepted");
                self.world.vitals.run_begins(run);
                for reply in self.submitters.remove(&run).unwrap_or_default() {
                    // An error says that the submitter has gone; the run goes on.
                    let _ = reply.send(Ok::<_, Refused>(run));
                }
            }
            Command::SessionAccepted { session } => self.sessions.accept(session),
            Command::LeaseAdopted {
                lease,
                session,
                run,
                batch,
            } => {
                tracing::debug!(%run, ?batch, %lease, %session, "a lease of before the restart goes on");
            }
            Command::EndSession { session, reason } => {
                tracing::info!(%session, ?reason, "session ended");
                self.sessions.end(session, reason);
            }
            Command::RecordAttempt { run, entry, failure } => {
                self.world.timelines.append(run, entry, failure);
            }
            Command::RecordChain { run, chain } => self.world.timelines.append_chain(run, chain),
            Command::Answer { ticket, answer } => {
                if let Some(reply) = self.askers.remove(&ticket) {
                    // An error says that whoever asked has gone; what was asked for is done.
                    let _ = reply.send(answer.map_err(NotDone::from));
                }
            }
            Command::RunEnded { summary } => {
                tracing::info!(run = %summary.run, state = %summary.state, "run ended");
                self.sources.close(summary.run);
                self.end_timeline(&summary);
                let memory = self.world.vitals.run_ended(summary.run);
                self.world.registry.finish(&summary);
                self.world.registry.keep_memory(summary.run, memory);
            }
        }
    }

    fn append_round(&mut self) -> Result<(), DriverError> {
        if self.to_append.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.to_append);
        self.undurable.extend(entries.iter().cloned());
        self.journal.append(entries)?;
        Ok(())
    }
}
