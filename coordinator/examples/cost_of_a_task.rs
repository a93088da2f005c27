//! What a task costs the scheduler alone, by how many workers share the work: simulated workers whose chains end at
//! once, and a journal that is always in time.
//!
//! `cargo run --release -p coordinator --example cost_of_a_task -- WORKERS SLOTS BATCHES`
//!
//! Everything happens in the same order each time, so what `valgrind --tool=callgrind` counts is the same on a busy
//! machine. Workers speak in turn, a frame each: every chain that they were given, and in its slot every chain that
//! waits. As in the driver, what the scheduler commands is done when so many frames were taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use common::done::OpDone;
use common::ids::{Generation, LeaseId, RunId, SessionId, WorkerName};
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::message::{ChainRan, Grant, LeaseEnd, OpRan, PermitFate, Report, Start, ToWorker};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice, SourceFile};
use common::time::Time;
use scheduler::{Command, Config, Event, NewRun, NewSession, RecordSequence, Scheduler, SourceEnd};

const RUN: RunId = RunId(1);
const ROW_BYTES: u64 = 8;
/// How many frames are taken before commands are done.
const FRAMES_A_ROUND: usize = 256;
/// How long everything takes that happens: chains, ways, rounds.
const MOMENT_NANOS: u64 = 1_000;

/// What a worker holds.
#[derive(Default)]
struct Worker {
    permitted: VecDeque<Grant>,
    waiting: VecDeque<Grant>,
    /// Reports of leases that were taken back.
    taken_back: Vec<Report>,
    speaks: bool,
}

struct World {
    scheduler: Scheduler,
    now: Time,
    workers: BTreeMap<SessionId, Worker>,
    /// The workers that have something to say, in the order in which they got it.
    speakers: VecDeque<SessionId>,
    batches: u64,
    found: u64,
    tasks: u64,
    frames: u64,
    ended: bool,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [workers, slots, batches] = numbers[..] else {
        panic!("say how many workers, slots of each, and batches");
    };
    let slots = NonZeroU32::new(u32::try_from(slots).expect("few slots")).expect("at least one slot");
    let mut world = World::new(workers, slots, batches);
    let began = Instant::now();
    world.run(slots, workers);
    let seconds = began.elapsed().as_secs_f64();
    let micros = Duration::micros_each(seconds, world.tasks);
    eprintln!(
        "{workers} workers x {slots} slots, {batches} batches: {} tasks in {} frames, {micros:.3} us a task",
        world.tasks, world.frames
    );
}

/// How long things took on average.
struct Duration;

impl Duration {
    #[expect(clippy::cast_precision_loss, reason = "counts of tasks are far below 2^52")]
    fn micros_each(seconds: f64, count: u64) -> f64 {
        seconds * 1e6 / count as f64
    }
}

impl World {
    fn new(workers: u64, slots: NonZeroU32, batches: u64) -> World {
        let mut world = World {
            scheduler: Scheduler::new(Config::default()),
            now: Time(1_000_000_000),
            workers: BTreeMap::new(),
            speakers: VecDeque::new(),
            batches,
            found: 0,
            tasks: 0,
            frames: 0,
            ended: false,
        };
        let ops = BTreeSet::from(["extract".to_owned(), "noop".to_owned()]);
        for sequence in 1..=workers {
            let session = SessionId {
                generation: Generation(1),
                sequence,
            };
            world.workers.insert(session, Worker::default());
            world.tell([Event::SessionOpened(Box::new(NewSession {
                session,
                worker: WorkerName::new(&format!("w{sequence}")).expect("is a name"),
                instance: format!("process-{sequence}"),
                slots,
                ops: ops.clone(),
                exchange_address: format!("http://w{sequence}"),
                hello: 1,
                reattached: None,
            }))]);
            world.obey();
        }
        world
    }

    fn run(&mut self, slots: NonZeroU32, workers: u64) {
        let in_flight = u32::try_from(workers * u64::from(slots.get()) * 2).unwrap_or(u32::MAX);
        let job = Job {
            name: "cost".to_owned(),
            source: Source {
                uris: vec!["in.csv".to_owned()],
                csv: CsvDialect::default(),
            },
            batching: Batching::Bounded {
                rows: NonZeroU32::new(1),
                bytes: Batching::DEFAULT_BYTES,
            },
            schedule: Schedule {
                max_in_flight: NonZeroU32::new(in_flight),
                max_committing: NonZeroU32::new(50_000).expect("is not zero"),
                ..Schedule::default()
            },
            ops: std::iter::once(Op::extract())
                .chain(["a", "b", "c"].map(|name| Op::new(name, OpKind::Noop)))
                .collect(),
            failure: FailurePolicy::default(),
            deadline: None,
            labels: BTreeMap::new(),
            seed: Some(7),
            checkpoint_uri: None,
        };
        let source = FrozenSource {
            files: vec![SourceFile {
                path: "/data/in.csv".to_owned(),
                bytes: self.batches * ROW_BYTES,
                etag: "1".to_owned(),
                data_start: 0,
            }],
            columns: vec!["id".to_owned()],
        };
        self.tell([Event::RunSubmitted(Box::new(NewRun {
            run: RUN,
            job: Arc::new(job),
            source: Arc::new(source),
            seed: 7,
            request_id: None,
            rerun: None,
        }))]);
        self.obey();
        while !self.ended {
            assert!(
                !self.speakers.is_empty(),
                "the run goes on and nobody has anything to do"
            );
            for _ in 0..FRAMES_A_ROUND {
                let Some(session) = self.speakers.pop_front() else {
                    break;
                };
                self.speak(session);
            }
            self.obey();
        }
    }

    /// Lets a worker say in a frame what it did: everything that it may.
    fn speak(&mut self, session: SessionId) {
        let at = self.now;
        let worker = self.workers.get_mut(&session).expect("it was connected");
        worker.speaks = false;
        let mut reports = std::mem::take(&mut worker.taken_back);
        while let Some(mut grant) = worker.permitted.pop_front() {
            loop {
                let next = worker.waiting.pop_front();
                let ran = OpRan {
                    started: at,
                    ended: at,
                    done: OpDone {
                        rows_in: 1,
                        rows_out: 1,
                        ..OpDone::default()
                    },
                };
                self.tasks += grant.steps.len() as u64;
                reports.push(Report::ChainRan(ChainRan {
                    lease: grant.lease,
                    slot: 0,
                    ops: vec![ran; grant.steps.len()],
                    heir: next.as_ref().map(|next| next.lease),
                }));
                let Some(next) = next else { break };
                grant = next;
            }
        }
        self.frames += 1;
        let events: Vec<Event> = reports
            .into_iter()
            .map(|report| Event::Reported { session, report })
            .collect();
        self.tell(events);
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        self.now = Time(self.now.0 + MOMENT_NANOS);
        self.scheduler.handle_all(events, self.now);
    }

    /// Does what the scheduler commands, until it commands nothing more.
    fn obey(&mut self) {
        loop {
            let mut durable = None;
            let mut wanted = None;
            while let Some(command) = self.scheduler.next_command() {
                match command {
                    Command::Append { sequence, .. } => durable = Some(sequence),
                    Command::Send { session, message } => self.deliver(session, message),
                    Command::FindSlices { count, .. } => wanted = Some(count),
                    Command::RunEnded { .. } => self.ended = true,
                    Command::EndSession { reason, .. } => panic!("a session was ended: {reason:?}"),
                    Command::CutSlice { .. }
                    | Command::ReopenSource { .. }
                    | Command::CloseSource { .. }
                    | Command::RunAccepted { .. }
                    | Command::SessionAccepted { .. }
                    | Command::LeaseAdopted { .. }
                    | Command::RecordAttempt { .. }
                    | Command::RecordChain { .. }
                    | Command::Answer { .. } => {}
                }
            }
            if durable.is_none() && wanted.is_none() {
                return;
            }
            if let Some(sequence) = durable {
                self.confirm(sequence);
            }
            if let Some(count) = wanted {
                self.find(count);
            }
        }
    }

    fn confirm(&mut self, sequence: RecordSequence) {
        self.tell([Event::DurableUpTo { sequence }]);
    }

    fn find(&mut self, count: u32) {
        let last = self.batches.min(self.found + u64::from(count));
        let slice = |row: u64| {
            Slice::Bytes(ByteSlice {
                file: FileId(0),
                start: row * ROW_BYTES,
                end: (row + 1) * ROW_BYTES,
                first_line: row + 2,
                first_row: Some(row),
                rows: Some(1),
                rows_before: 0,
            })
        };
        let slices = (self.found..last).map(slice).collect();
        self.found = last;
        let end = if last == self.batches {
            SourceEnd::Reached
        } else {
            SourceEnd::More
        };
        self.tell([Event::SlicesFound {
            run: RUN,
            slices,
            checkpoints: Vec::new(),
            bytes_sharded: last * ROW_BYTES,
            end,
        }]);
    }

    fn deliver(&mut self, session: SessionId, message: ToWorker) {
        let worker = self.workers.get_mut(&session).expect("it was connected");
        match message {
            ToWorker::Grant(grant) => match grant.start {
                Start::Now => worker.permitted.push_back(grant),
                Start::OnFreedPermit => {
                    worker.waiting.push_back(grant);
                    return;
                }
            },
            ToWorker::Permit { lease } => match take_out(&mut worker.waiting, lease) {
                Some(grant) => worker.permitted.push_back(grant),
                None => return,
            },
            ToWorker::Recall { lease } => match take_out(&mut worker.waiting, lease) {
                Some(_) => worker.taken_back.push(Report::LeaseEnded {
                    lease,
                    end: LeaseEnd::Recalled,
                    permit: PermitFate::None,
                }),
                None => return,
            },
            ToWorker::OpenRun(_)
            | ToWorker::CloseRun { .. }
            | ToWorker::Truncate { .. }
            | ToWorker::Revoke { .. }
            | ToWorker::Publish(_)
            | ToWorker::Discard { .. }
            | ToWorker::Drain
            | ToWorker::Settled { .. } => return,
        }
        if !worker.speaks {
            worker.speaks = true;
            self.speakers.push_back(session);
        }
    }
}

fn take_out(waiting: &mut VecDeque<Grant>, lease: LeaseId) -> Option<Grant> {
    let place = waiting.iter().position(|grant| grant.lease == lease)?;
    waiting.remove(place)
}
