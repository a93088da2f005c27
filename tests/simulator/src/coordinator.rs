//! The coordinator's process: the real scheduler, and the glue that the driver is in production.
//!
//! Events are handled one after another; their commands are executed at once, as the driver does. All of it is gone
//! when the process dies; what comes back is what the disk's ledger says, under a raised generation.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use common::ids::{BatchId, Generation, RunId, SessionId};
use common::slice::Slice;
use common::time::Time;
use scheduler::{Ask, Command, Config, Event, Hold, RecordSequence, Scheduler, SourceEnd, Ticket};

use crate::disk::{SyncNeeded, Tail};
use crate::jobs;
use crate::links::Link;
use crate::plan::{CoordinatorPoint, Notice};
use crate::random::{Draw, mix};
use crate::sabotage::Sabotage;
use crate::wire::{ConnectionId, Down};
use crate::world::{Happening, World};

/// How far back a coordinator with full buckets is started.
const LONG_AGO: Duration = Duration::from_secs(10);
/// The coordinator's clock when the history begins.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// A running coordinator.
pub(crate) struct Coordinator {
    pub(crate) scheduler: Scheduler,
    /// What its clock says beyond true time.
    offset: Duration,
    pub(crate) links: BTreeMap<SessionId, Link>,
    pub(crate) last_session: u64,
    pub(crate) last_run: RunId,
    /// What submissions are named, and the runs they stand for.
    pub(crate) names: BTreeMap<String, RunId>,
    /// The users that wait for a run to be accepted.
    pub(crate) submitters: BTreeMap<RunId, Vec<usize>>,
    /// What was asked for and is not answered.
    pub(crate) asked: BTreeMap<Ticket, Ask>,
    pub(crate) last_ticket: Ticket,
    /// How many slices were found of the runs whose source is open.
    found: BTreeMap<RunId, usize>,
    /// How often the source of a run was opened again: a search of before finds nothing for it.
    reopened: BTreeMap<RunId, u64>,
    events: VecDeque<Event>,
    busy: Busy,
    wake: Option<Time>,
}

/// Whether an event is being handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Yes,
    No,
}

impl Coordinator {
    /// Returns what its clock says.
    pub(crate) fn now(&self, now: Time) -> Time {
        now + self.offset
    }

    fn times_reopened(&self, run: RunId) -> u64 {
        self.reopened.get(&run).copied().unwrap_or(0)
    }
}

impl World {
    pub(crate) fn start_coordinator(&mut self) {
        self.incarnation += 1;
        self.oracle.taken_over.clear();
        self.trace
            .note(self.now, &[1, self.incarnation], || "coordinator starts".to_owned());
        let terms = &self.plan.terms;
        let mut config = Config {
            generation: Generation(self.incarnation),
            global_cap: self.told_cap(terms.global_cap),
            pools: self.declared_pools(),
            lease_time: terms.lease_time,
            lease_margin: terms.lease_margin,
            reconnect_patience: terms.patience,
            reattach_patience: terms.lease_time.min(std::time::Duration::from_millis(1_500)),
            slices_ahead: 8,
            reopening: common::state::Reopening::Possible,
        };
        // A wall clock may have been set while the coordinator was down; within a process it never goes back.
        let offset = EPOCH + self.random.up_to(Duration::from_secs(600));
        let tail = if self.sabotage == Sabotage::TornTailAccepted {
            self.disk.accept_torn_tail()
        } else {
            self.disk.cut_torn_tail()
        };
        self.trace.note(self.now, &[8, u64::from(tail == Tail::CutOff)], || {
            format!("the journal is read: {tail:?}")
        });
        self.check_journal();
        self.check_replay();
        self.oracle.exceeded.clear();
        self.forget_tickets();
        let mut ledger = self.disk.ledger().clone();
        if self.sabotage == Sabotage::LeasesForgottenOnRestart {
            ledger.sessions.clear();
        }
        if self.sabotage == Sabotage::PauseForgottenOnRestart {
            for run in ledger.runs.values_mut() {
                run.hold = Hold::GoesOn;
            }
        }
        // A scheduler that was restored long ago has full buckets; all that is due later is due so much later.
        let is_filled = self.sabotage == Sabotage::BucketsFilledOnRestart && self.incarnation > 1;
        let ago = if is_filled { LONG_AGO } else { Duration::ZERO };
        config.lease_margin += ago;
        config.reattach_patience += ago;
        let named = ledger.runs.iter().map(|(run, known)| (known.request_id.clone(), *run));
        let ended = ledger.ended.iter();
        let ended = ended.map(|(run, known)| (known.run.request_id.clone(), *run));
        let names = named
            .chain(ended)
            .filter_map(|(name, run)| name.map(|name| (name, run)))
            .collect();
        self.coordinator = Some(Coordinator {
            scheduler: Scheduler::restore(config, &ledger, Time((self.now + offset).0 - ago.as_nanos() as u64)),
            offset,
            links: BTreeMap::new(),
            last_session: 0,
            last_run: ledger.last_run,
            names,
            submitters: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_ticket: Ticket::default(),
            found: BTreeMap::new(),
            reopened: BTreeMap::new(),
            events: VecDeque::new(),
            busy: Busy::No,
            wake: None,
        });
        self.note_restart();
        self.obey();
        self.finish_round();
    }

    /// Ends the process; of what was not synced, so many records may survive.
    pub(crate) fn crash_coordinator(&mut self, survivors: usize, notice: Notice, down: Duration) {
        if self.coordinator.take().is_none() {
            return;
        }
        let records = self.disk.crash(&mut self.random, survivors);
        self.trace.note(self.now, &[2, records.len() as u64], || {
            format!("coordinator dies; {} unsynced records survive", records.len())
        });
        for record in &records {
            self.on_durable_record(record);
        }
        self.stalled_until = self.now;
        let open: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in open {
            match notice {
                Notice::Told => self.send_down(connection, Down::Closed),
                Notice::Silent => self.cut(connection, Notice::Silent),
            }
        }
        self.schedule(self.now + down, Happening::StartCoordinator);
    }

    pub(crate) fn cap_factor(&self) -> u32 {
        if self.sabotage == Sabotage::CapPerWorker {
            self.plan.workers.len() as u32
        } else {
            1
        }
    }

    /// Tells the scheduler something, and does what it says.
    pub(crate) fn tell_scheduler(&mut self, event: Event) {
        self.tell_scheduler_all([event]);
    }

    /// Tells the scheduler what came together, and does what it says.
    pub(crate) fn tell_scheduler_all(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        coordinator.events.extend(events);
        if coordinator.busy == Busy::Yes {
            return;
        }
        coordinator.busy = Busy::Yes;
        while let Some(coordinator) = &mut self.coordinator {
            if coordinator.events.is_empty() {
                coordinator.busy = Busy::No;
                break;
            }
            let now = coordinator.now(self.now);
            let events = std::mem::take(&mut coordinator.events);
            for event in &events {
                self.trace.note(self.now, &[3, event_code(event)], || {
                    format!("scheduler <- {}", brief(event))
                });
                self.note_heirs(event);
            }
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.scheduler.handle_all(events, now);
            }
            self.obey();
        }
        self.finish_round();
    }

    fn obey(&mut self) {
        self.oracle.grants.clear();
        while let Some(command) = self.coordinator.as_mut().and_then(|c| c.scheduler.next_command()) {
            self.execute(command);
        }
        self.check_scheduler();
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Append { sequence, record } => {
                self.trace.note(self.now, &[4, sequence.0], || {
                    format!("append {} {}", sequence.0, record_brief(&record))
                });
                self.check_append(&record);
                let written = self.disk.append(record);
                self.require(written == sequence, "JOURNAL", || {
                    format!("the scheduler numbers record {} as {}", written.0, sequence.0)
                });
                if self.sabotage == Sabotage::AcknowledgedBeforeSync {
                    self.schedule(self.now, Happening::Durable(self.incarnation, sequence));
                }
            }
            Command::Send { session, message } => {
                self.trace.note(self.now, &[5, session.sequence], || {
                    format!("-> {session} {}", message_brief(&message))
                });
                self.check_send(session, &message);
                if let Some(link) = self.coordinator.as_mut().and_then(|c| c.links.get_mut(&session)) {
                    link.round.push(message);
                }
            }
            Command::FindSlices { run, count } => {
                let at = self.now + self.random.up_to(Duration::from_millis(5));
                let reopened = self.coordinator.as_ref().map_or(0, |c| c.times_reopened(run));
                self.schedule(at, Happening::Slices(self.incarnation, run, reopened, count as usize));
            }
            Command::CutSlice { run, batch, slice } => {
                let at = self.now + self.random.up_to(Duration::from_millis(20));
                self.schedule(at, Happening::Cut(self.incarnation, run, batch, Box::new(slice)));
            }
            Command::ReopenSource { run } => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.found.insert(run, 0);
                    *coordinator.reopened.entry(run).or_default() += 1;
                }
            }
            Command::CloseSource { run } => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.found.insert(run, usize::MAX);
                }
            }
            Command::RunAccepted { run } => {
                let waiting = self.coordinator.as_mut().and_then(|c| c.submitters.remove(&run));
                for user in waiting.unwrap_or_default() {
                    self.answer(user, run);
                }
            }
            Command::SessionAccepted { session } => self.accept_session(session),
            Command::LeaseAdopted {
                lease,
                session,
                run,
                batch,
            } => self.on_adopted(lease, session, run, batch),
            Command::EndSession { session, reason } => {
                self.trace.note(self.now, &[6, session.sequence], || {
                    format!("{session} ends: {reason:?}")
                });
                self.end_link(session, reason);
            }
            Command::RecordAttempt { run, entry, failure: _ } => self.check_attempt(run, &entry),
            Command::RecordChain { run, chain } => chain.entries().for_each(|entry| self.check_attempt(run, &entry)),
            Command::Answer { ticket, answer } => self.on_answer(ticket, answer),
            Command::RunEnded { summary } => self.check_run_ended(&summary),
        }
    }

    /// Sends what was collected, lets the disk sync, and sets the alarm.
    fn finish_round(&mut self) {
        self.flush_links();
        if self.disk.begin_sync() == SyncNeeded::Yes {
            self.schedule_sync();
            self.coordinator_reaches(CoordinatorPoint::BeforeSync);
        }
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        let Some(timeout) = coordinator.scheduler.next_timeout() else {
            coordinator.wake = None;
            return;
        };
        let late = Duration::from_nanos(mix(&[self.plan.seed, timeout.0]) % 500_000);
        let true_time = Time(timeout.0.saturating_sub(coordinator.offset.as_nanos() as u64));
        let at = (true_time + late).max(self.now);
        if coordinator.wake.is_none_or(|wake| at < wake || wake < self.now) {
            coordinator.wake = Some(at);
            self.schedule(at, Happening::WakeScheduler(self.incarnation));
        }
    }

    pub(crate) fn wake_scheduler(&mut self, incarnation: u64) {
        let Some(coordinator) = self.coordinator.as_mut().filter(|_| incarnation == self.incarnation) else {
            return;
        };
        let now = coordinator.now(self.now);
        if coordinator.wake.is_none_or(|wake| wake > self.now) {
            // An earlier alarm, for something that is over.
            return;
        }
        coordinator.wake = None;
        if coordinator
            .scheduler
            .next_timeout()
            .is_some_and(|timeout| timeout <= now)
        {
            self.tell_scheduler(Event::TimeoutReached);
        } else {
            self.finish_round();
        }
    }

    fn schedule_sync(&mut self) {
        let slow = self.random.happens(self.plan.weather.slow_syncs) == Draw::Yes || self.now < self.slow_disk_until;
        let longest = if slow {
            Duration::from_secs(2)
        } else {
            self.plan.weather.sync
        };
        let at = self.now + Duration::from_micros(100) + self.random.up_to(longest);
        self.schedule(at, Happening::Synced(self.incarnation));
    }

    pub(crate) fn on_synced(&mut self, incarnation: u64) {
        if incarnation != self.incarnation || self.coordinator.is_none() {
            return;
        }
        self.coordinator_reaches(CoordinatorPoint::InSync);
        if self.coordinator.is_none() {
            return;
        }
        for record in self.disk.end_sync() {
            self.on_durable_record(&record);
        }
        self.coordinator_reaches(CoordinatorPoint::AfterSync);
        if self.coordinator.is_none() {
            return;
        }
        let at = self.now + self.random.up_to(Duration::from_micros(200));
        self.schedule(at, Happening::Durable(incarnation, self.disk.durable_up_to()));
        if self.disk.begin_sync() == SyncNeeded::Yes {
            self.schedule_sync();
        }
        if self.random.happens(20) == Draw::Yes {
            self.check_replay();
            self.disk.take_snapshot();
        }
    }

    pub(crate) fn on_durable(&mut self, incarnation: u64, sequence: RecordSequence) {
        if incarnation == self.incarnation && self.coordinator.is_some() {
            self.note_told_limits(sequence);
            self.note_told_checkpoints(sequence);
            self.tell_scheduler(Event::DurableUpTo { sequence });
            self.check_live(sequence);
        }
    }

    pub(crate) fn on_slices(&mut self, incarnation: u64, run: RunId, reopened: u64, count: usize) {
        let asked = |c: &&mut Coordinator| incarnation == self.incarnation && reopened == c.times_reopened(run);
        let Some(coordinator) = self.coordinator.as_mut().filter(asked) else {
            return;
        };
        let found = coordinator.found.entry(run).or_insert(0);
        let Some(job) = self.oracle.job_of_run.get(&run).copied() else {
            return;
        };
        if *found == usize::MAX {
            return;
        }
        let all = jobs::slices(&self.plan.jobs[job]);
        let first = *found;
        let slices: Vec<_> = all.iter().skip(first).take(count).cloned().collect();
        *found += slices.len();
        let now = *found;
        let end = if now >= all.len() {
            SourceEnd::Reached
        } else {
            SourceEnd::More
        };
        let bytes_sharded = all.iter().take(now).map(common::slice::Slice::bytes).sum();
        let checkpoints = self.beginnings(run, first..now);
        self.note_beginnings(run, first..now, &checkpoints);
        self.tell_scheduler(Event::SlicesFound {
            run,
            slices,
            checkpoints,
            bytes_sharded,
            end,
        });
    }
}

impl World {
    /// The slice of a failed batch was cut.
    pub(crate) fn on_cut(&mut self, incarnation: u64, run: RunId, batch: BatchId, slice: &Slice) {
        if incarnation == self.incarnation && self.coordinator.is_some() {
            let cut = jobs::cut(slice);
            self.tell_scheduler(Event::SliceCut { run, batch, cut });
        }
    }
}

fn event_code(event: &Event) -> u64 {
    match event {
        Event::RunSubmitted(new) => 100 + new.run.0,
        Event::Asked(asked) => 20_000 + asked.ticket.0,
        Event::SlicesFound { run, slices, .. } => 300 + run.0 + 1_000 * slices.len() as u64,
        Event::SourceFailed { run, .. } => 400 + run.0,
        Event::SliceCut { run, batch, .. } => 500 + run.0 + 1_000 * batch.index,
        Event::RetryRequested { run, batches, .. } => 600 + run.0 + 1_000 * batches.len() as u64,
        Event::RunForgotten { run } => 700 + run.0,
        Event::SessionOpened(new) => 1_000 + new.session.sequence,
        Event::SessionDisconnected { session } => 2_000 + session.sequence,
        Event::SessionResumed { session } => 3_000 + session.sequence,
        Event::SessionHeard { session } => 4_000 + session.sequence,
        Event::SessionClosed { session } => 5_000 + session.sequence,
        Event::DrainRequested { session } => 6_000 + session.sequence,
        Event::Reported { session, .. } => 7_000 + session.sequence,
        Event::DurableUpTo { sequence } => 10_000 + sequence.0,
        Event::TimeoutReached => 9_000,
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::RunSubmitted(new) => format!("RunSubmitted {}", new.run),
        Event::SlicesFound { run, slices, end, .. } => format!("SlicesFound {run} {} {end:?}", slices.len()),
        Event::SessionOpened(new) => format!("SessionOpened {} of {} {}", new.session, new.worker, new.instance),
        Event::Reported { session, report } => format!("{session} reports {report:?}"),
        Event::Asked(_)
        | Event::SourceFailed { .. }
        | Event::SliceCut { .. }
        | Event::RetryRequested { .. }
        | Event::RunForgotten { .. }
        | Event::SessionDisconnected { .. }
        | Event::SessionResumed { .. }
        | Event::SessionHeard { .. }
        | Event::SessionClosed { .. }
        | Event::DrainRequested { .. }
        | Event::DurableUpTo { .. }
        | Event::TimeoutReached => format!("{event:?}"),
    }
}

fn record_brief(record: &scheduler::Record) -> String {
    let mut text = format!("{record:?}");
    text.truncate(120);
    text
}

fn message_brief(message: &common::message::ToWorker) -> String {
    use common::message::ToWorker;
    match message {
        ToWorker::OpenRun(context) => format!("OpenRun {}", context.run),
        ToWorker::Grant(grant) => {
            let steps: Vec<u16> = grant.steps.iter().map(|step| step.op.0).collect();
            let input = match &grant.input {
                common::message::Input::Slice(_) => "slice".to_owned(),
                common::message::Input::Local(output) => format!("local {output:?}"),
                common::message::Input::Remote(remote) => format!("remote {:?} at {}", remote.output, remote.holder),
                common::message::Input::Checkpoint(part) => format!("checkpoint {}", part.file),
                common::message::Input::Committed => "committed".to_owned(),
            };
            let batch = grant.batch.map_or("whole".to_owned(), |batch| batch.to_string());
            format!("Grant {} {}[{batch}] ops {steps:?} of {input}", grant.lease, grant.run)
        }
        ToWorker::CloseRun { .. }
        | ToWorker::Permit { .. }
        | ToWorker::Truncate { .. }
        | ToWorker::Recall { .. }
        | ToWorker::Revoke { .. }
        | ToWorker::Publish(_)
        | ToWorker::Discard { .. }
        | ToWorker::Settled { .. }
        | ToWorker::Drain => format!("{message:?}"),
    }
}
