//! What the scheduler does about each event, each effect whose record is durable and each time that has come; one file for
//! each thing that they are about.
//!
//! This file says who handles what, and what is done after each step: [`Scheduler::handle_all`]. Handlers call each other
//! where one thing ends another (a batch its run, a session its leases), and the rules for what may begin.
//!
//! - Runs: [`run`] (submitted, sharded, stopped), [`finish`] (their output put in place), [`retry`] (failed batches again).
//! - Batches: [`commit`] (prepared, failed, given up), [`checkpoint`], [`bisect`], [`crash`] (lost workers), [`publication`].
//! - Workers: [`session`], [`report`] and its short form [`ran`].
//! - People and policies: [`steering`], [`limits`].
//! - A restart: [`restore`], [`reattach`].
//!
//! Imports everything else; nothing imports it but the crate's root.

use common::time::Time;

use crate::interface::event::Event;
use crate::scheduler::Scheduler;
use crate::state::durability::AfterDurable;
use crate::state::run::finish::FinishPhase;
use crate::state::timers::Timer;

mod bisect;
mod checkpoint;
mod commit;
mod crash;
mod finish;
mod limits;
mod publication;
mod ran;
mod reattach;
mod report;
mod restore;
mod retry;
mod run;
mod session;
mod steering;

impl Scheduler {
    /// Takes an event; what is to be done about it comes out of [`Scheduler::next_command`].
    pub fn handle(&mut self, event: Event, now: Time) {
        self.handle_all([event], now);
    }

    /// Takes events that came together, in order, and then grants what fits.
    pub fn handle_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time) {
        self.now = now;
        for event in events {
            self.take(event, now);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            self.on_timer(timer, now);
        }
        self.take_back_into_flight(now);
        self.grant_what_fits(now);
        self.look_ahead(now);
        self.make_room_for_higher_priority();
        self.leave_drained_sessions(now);
        self.wait_for_tokens(now);
        self.settle_lowered();
        self.answer_what_is_settled();
    }

    fn take(&mut self, event: Event, now: Time) {
        match event {
            Event::RunSubmitted(new) => self.on_run_submitted(*new, now),
            Event::Asked(asked) => self.on_asked(*asked, now),
            Event::SlicesFound {
                run,
                slices,
                checkpoints,
                bytes_sharded,
                end,
            } => {
                self.inherit(run, checkpoints);
                self.on_slices_found(run, slices, bytes_sharded, end, now);
            }
            Event::SourceFailed { run, failure } => self.on_source_failed(run, failure, now),
            Event::SliceCut { run, batch, cut } => self.on_slice_cut(run, batch, cut, now),
            Event::RetryRequested { run, batches, by } => self.on_retry_requested(run, batches, by, now),
            Event::RunForgotten { run } => self.on_run_forgotten(run),
            Event::SessionOpened(new) => self.on_session_opened(*new, now),
            Event::SessionDisconnected { session } => self.on_session_disconnected(session, now),
            Event::SessionResumed { session } => self.on_session_resumed(session, now),
            Event::SessionHeard { session } => self.on_session_heard(session, now),
            Event::SessionClosed { session } => self.on_session_closed(session, now),
            Event::DrainRequested { session } => self.on_drain_requested(session),
            Event::Reported { session, report } => self.on_reported(session, report, now),
            Event::DurableUpTo { sequence } => {
                self.waiting.note_durable(sequence);
                while let Some(effect) = self.waiting.pop_durable(sequence) {
                    self.on_durable(effect, now);
                }
            }
            Event::TimeoutReached => {}
        }
    }

    fn on_durable(&mut self, effect: AfterDurable, now: Time) {
        match effect {
            AfterDurable::RunAccepted(run) => self.on_run_accepted(run, now),
            AfterDurable::SessionOpened(session) => self.on_session_durable(session),
            AfterDurable::ReportsTaken(session, reports) => self.on_reports_settled(session, reports),
            AfterDurable::BatchCommitted(run, batch) => self.on_batch_committed(run, batch, now),
            AfterDurable::BatchCheckpointed(run, batch, checkpoint) => {
                self.on_batch_checkpointed(run, batch, *checkpoint, now);
            }
            AfterDurable::BatchHalved(run, batch, halves) => self.on_batch_halved(run, batch, halves, now),
            AfterDurable::FailedRetried(run, batches) => self.on_failed_retried(run, &batches, now),
            AfterDurable::RunReopened(run, ledger) => self.on_run_reopened(run, &ledger, now),
            AfterDurable::RunFinishing(run) => self.on_run_finishing(run),
            AfterDurable::RunOpCommitted(run, op) => self.on_finish_op_committed(run, op, now),
            AfterDurable::RunEnded(summary) => self.on_run_ended(summary),
            AfterDurable::Asked(asked) => self.on_ask_durable(*asked, now),
            AfterDurable::AskedAgain(asked) => self.answer_when_settled(&asked),
        }
    }

    fn on_timer(&mut self, timer: Timer, now: Time) {
        match timer {
            Timer::SessionDeadline(session) => self.on_session_deadline(session, now),
            Timer::Patience(session) => self.on_patience_over(session, now),
            Timer::BatchBackoff(run, batch) => {
                self.end_backoff(run, batch, now);
            }
            Timer::Tokens(run, op) => self.note_woken(run, op),
            Timer::RunOpBackoff(run, op) => {
                let finish = self.runs.get_mut(&run).and_then(|run| run.finish_op(op));
                if finish.is_some_and(|finish| finish.phase == FinishPhase::Backoff) {
                    self.requeue_finish_op(run, op, now);
                }
            }
            Timer::RunDeadline(run) => self.on_run_deadline(run, now),
            Timer::ReattachPatience => self.stop_awaiting(now),
            Timer::FormerSessions => self.on_former_sessions_over(now),
            Timer::Republish(lease) => self.publish_again(lease),
        }
    }
}
