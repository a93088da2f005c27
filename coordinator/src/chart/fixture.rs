//! Made-up runs of any size, kept exactly like real ones, to look at pages and tiles at scale.
//!
//! A small simulation hands batches to slots and tells [`Timelines`] of every attempt as the driver does; the same story
//! and seed give the same chart. Nothing of it is reachable from a running coordinator: tests and `examples/fixture_server.rs`
//! put it into the driver's world.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::failure::{Failure, FailureKind};
use common::ids::{Attempt, BatchId, OpId, RunId, WorkerName};
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice};
use common::state::{RunState, TaskState};
use common::summary::{Gauge, Progress, RunSummary};
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};
use scheduler::{Record, SourceEnd, UsedUp};

use crate::driver::{DriverHandle, FoundSlices, SliceFinder, Stopped, Submission, World};
use crate::timeline::series::Sample;
use crate::timeline::{Known, Timelines};

/// After how many attempts those made up so far are taken over.
const PIECE: u64 = 20_000;

/// What happens in a made-up run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// All goes well.
    Plain,
    /// Some attempts fail, and some batches for good.
    Failures,
    /// A worker is lost in the middle.
    LostWorker,
    /// Somebody cancels it in the middle.
    Cancelled,
    /// It has no batch at all.
    Empty,
}

/// In which order batches are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A batch is finished before a new one is begun.
    DepthFirst,
    /// An op is done on all batches before the next one.
    BreadthFirst,
}

/// A run to be made up.
#[derive(Clone, Copy, Debug)]
pub struct Fixture {
    /// The run.
    pub run: RunId,
    /// About how many tasks it has.
    pub tasks: u64,
    /// How many ops its chain has, `extract` included.
    pub ops: u16,
    /// How many workers there are.
    pub workers: u32,
    /// How many slots each has.
    pub slots: u32,
    /// In which order.
    pub shape: Shape,
    /// What happens.
    pub story: Story,
    /// When it was accepted.
    pub accepted: Time,
}

/// A made-up run, alone in timelines of its own.
#[derive(Debug)]
pub struct MadeUp {
    /// Where its timeline is.
    pub timelines: Arc<Timelines>,
    /// What there is to know of it.
    pub known: Known,
    /// Its last summary.
    pub summary: Arc<RunSummary>,
}

impl Fixture {
    /// Makes a run of 4 ops on 4 workers of 4 slots.
    pub fn new(run: RunId, tasks: u64, shape: Shape, story: Story) -> Fixture {
        Fixture {
            run,
            tasks,
            ops: 4,
            workers: 4,
            slots: 4,
            shape,
            story,
            accepted: Time(1_700_000_000_000_000_000),
        }
    }

    /// Makes the run up.
    pub fn make(&self) -> MadeUp {
        let timelines = Timelines::in_memory();
        let summary = self.play(&timelines);
        MadeUp {
            timelines,
            known: Known {
                run: self.run,
                accepted: self.accepted,
                ops: usize::from(self.ops),
                ended: summary.ended,
                now: summary.ended.unwrap_or(self.accepted),
            },
            summary,
        }
    }

    /// Makes the run up in timelines that are there.
    pub fn play(&self, timelines: &Timelines) -> Arc<RunSummary> {
        timelines.begin(self.run, self.accepted, &self.job());
        let mut play = Play::new(*self);
        play.advance(timelines, u64::MAX);
        let summary = Arc::new(play.summary());
        timelines.finish(self.run, summary.ended.unwrap_or(self.accepted));
        timelines.catch_up();
        summary
    }

    /// Puts the run into a driver's world whose timelines were written by [`Fixture::play`] before.
    pub fn install_ended(&self, world: &mut World, summary: Arc<RunSummary>) {
        self.register(world, summary);
    }

    /// Makes the run up and puts it into a driver's world, as if it had run there.
    pub fn install(&self, world: &mut World) {
        let summary = self.play(&world.timelines);
        self.register(world, summary);
    }

    fn register(&self, world: &mut World, summary: Arc<RunSummary>) {
        world.registry.apply(&Record::RunAccepted {
            run: self.run,
            job: Arc::new(self.job()),
            source: Arc::new(FrozenSource::default()),
            seed: 7,
            request_id: None,
            at: self.accepted,
        });
        world.registry.apply(&Record::RunEnded {
            summary,
            used: UsedUp::default(),
        });
    }

    /// Returns the job that the run is of.
    pub fn job(&self) -> Job {
        let names = (1..self.ops).map(|op| Op::new(format!("transform_{op}"), OpKind::Noop));
        Job {
            name: match self.shape {
                Shape::DepthFirst => "made_up_depth_first".to_owned(),
                Shape::BreadthFirst => "made_up_breadth_first".to_owned(),
            },
            source: Source {
                uris: vec!["made-up.csv".to_owned()],
                csv: CsvDialect::default(),
            },
            batching: Batching::default(),
            schedule: Schedule::default(),
            ops: std::iter::once(Op::extract()).chain(names).collect(),
            failure: FailurePolicy::default(),
            deadline: None,
            labels: BTreeMap::new(),
            seed: None,
        }
    }
}

/// A made-up run that goes on: what happens in it is told as its time passes.
pub struct Growing {
    play: Play,
}

/// Whether a growing run has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It has not.
    Something,
    /// It has.
    Nothing,
}

/// The source of a growing run: it has one slice, and nobody reads it.
struct OneSlice;

impl SliceFinder for OneSlice {
    fn next_slices(&mut self, _count: u32) -> Result<FoundSlices, Failure> {
        Ok(FoundSlices {
            slices: vec![Slice::Bytes(ByteSlice {
                file: FileId(0),
                start: 0,
                end: 8_000,
                first_line: 1,
                first_row: None,
                rows_before: 0,
                rows: None,
            })],
            bytes_sharded: 8_000,
            end: SourceEnd::Reached,
        })
    }
}

impl Growing {
    /// Submits a job that no worker works on, and makes up what happens in its run: it is live and never ends.
    ///
    /// # Errors
    /// [`Stopped`] when nobody is there to take it.
    pub async fn start(handle: &DriverHandle, fixture: Fixture) -> Result<(RunId, Growing), Stopped> {
        let submission = Submission {
            job: Arc::new(fixture.job()),
            source: Arc::new(FrozenSource::default()),
            seed: 7,
            request_id: None,
            slices: Box::new(OneSlice),
        };
        let run = handle.submit(submission).await?.map_err(|_| Stopped)?;
        let found = handle.read(move |world| world.scheduler.summary(run)).await?;
        let accepted = found.ok_or(Stopped)?.accepted;
        let growing = Growing::new(Fixture {
            run,
            accepted,
            ..fixture
        });
        Ok((run, growing))
    }

    /// Makes a run that nothing has happened in, about 400 tasks a second and slot. Its timeline must have been begun.
    pub fn new(fixture: Fixture) -> Growing {
        Growing {
            play: Play::new(fixture),
        }
    }

    /// Lets happen what happens up to so many microseconds after the run's acceptance.
    pub fn advance(&mut self, timelines: &Timelines, until_us: u64) -> Left {
        self.play.advance(timelines, until_us)
    }
}

/// A task that waits for a slot.
#[derive(Clone, Copy)]
struct Next {
    batch: u64,
    op: u16,
    attempt: u32,
    queued: u64,
}

struct Play {
    fixture: Fixture,
    told: u64,
    batches: u64,
    begun: u64,
    /// Depth first: what each slot goes on with.
    own: Vec<Option<Next>>,
    /// Breadth first, and what lost slots held: what anybody may take.
    shared: VecDeque<Next>,
    free: BinaryHeap<Reverse<(u64, u32)>>,
    /// Microseconds at which the story turns.
    turn: u64,
    in_flight: Gauge,
    counts: BatchCounts,
    tasks: TaskCounts,
    sampled: u64,
    end: u64,
    names: Vec<WorkerName>,
}

impl Play {
    fn new(fixture: Fixture) -> Play {
        let slots = fixture.workers * fixture.slots;
        let batches = match fixture.story {
            Story::Empty => 0,
            Story::Plain | Story::Failures | Story::LostWorker | Story::Cancelled => {
                fixture.tasks / u64::from(fixture.ops)
            }
        };
        let mut shared = VecDeque::new();
        if fixture.shape == Shape::BreadthFirst {
            shared.extend((0..batches).map(Next::begin));
        }
        let names = (1..=fixture.workers).map(|worker| WorkerName::new(&format!("w{worker}")).expect("is a name"));
        Play {
            fixture,
            told: 0,
            batches,
            begun: 0,
            own: vec![None; slots as usize],
            shared,
            free: (0..slots).map(|slot| Reverse((u64::from(slot) * 130, slot))).collect(),
            turn: batches * u64::from(fixture.ops) * 2_000 / u64::from(slots) / 2,
            in_flight: Gauge::default(),
            counts: BatchCounts {
                total: batches,
                ..BatchCounts::default()
            },
            tasks: TaskCounts::default(),
            sampled: 0,
            end: 0,
            names: names.collect(),
        }
    }

    /// Lets happen what happens up to a moment; tells whether anything is left.
    fn advance(&mut self, timelines: &Timelines, until: u64) -> Left {
        while let Some(Reverse((at, slot))) = self.free.pop() {
            if at > until {
                self.free.push(Reverse((at, slot)));
                return Left::Something;
            }
            if self.fixture.story == Story::Cancelled && at > self.turn {
                continue;
            }
            let Some(next) = self.next(at, slot) else { continue };
            self.attempt(timelines, next, at, slot);
        }
        Left::Nothing
    }

    fn next(&mut self, at: u64, slot: u32) -> Option<Next> {
        if let Some(next) = self.own[slot as usize].take() {
            return Some(next);
        }
        let is_begun = self.fixture.shape == Shape::DepthFirst && self.begun < self.batches;
        if self.shared.is_empty() && is_begun {
            self.begun += 1;
            self.in_flight.add(1);
            return Some(Next {
                queued: at,
                ..Next::begin(self.begun - 1)
            });
        }
        let next = self.shared.pop_front()?;
        if next.op == 0 && next.attempt == 1 {
            self.in_flight.add(1);
        }
        Some(next)
    }

    fn attempt(&mut self, timelines: &Timelines, next: Next, at: u64, slot: u32) {
        let Fixture { slots, story, .. } = self.fixture;
        let (worker, in_worker) = (slot / slots, slot % slots);
        let start = at.max(next.queued);
        let dice = mix(next.batch << 8 | u64::from(next.op) << 4 | u64::from(next.attempt));
        let usual = start + [300, 2_500, 2_500, 1_200][usize::from(next.op % 4)] + dice % 1_500;
        let fails = (dice >> 20).is_multiple_of(997) || next.batch % 5_003 == 17 && next.op == 2;
        let is_lost = story == Story::LostWorker && worker == 1 && start <= self.turn && usual > self.turn;
        let is_cancelled = story == Story::Cancelled && usual > self.turn;
        let (state, end, failure) = if is_lost {
            let failure = Failure::new(FailureKind::LostWorker, "the worker was lost while it ran the op");
            (TaskState::Lost, self.turn + 500_000, Some(failure))
        } else if is_cancelled {
            (TaskState::Cancelled, self.turn + 100, None)
        } else if story == Story::Failures && fails {
            let line = dice % 100_000;
            let failure = Failure::retryable(format!(
                "row {line} of <made-up>.csv: status {} from host",
                500 + line % 4
            ));
            (TaskState::Failed, usual, Some(failure))
        } else {
            (TaskState::Succeeded, usual, None)
        };
        self.record(
            timelines,
            next,
            (worker, in_worker),
            state,
            (start, end),
            failure.as_ref(),
        );
        self.end = self.end.max(end);
        self.go_on(next, state, end, slot);
        let leaves = story == Story::LostWorker && worker == 1 && end > self.turn;
        if !leaves {
            self.free.push(Reverse((end + 40, slot)));
        } else if let Some(own) = self.own[slot as usize].take() {
            self.shared.push_back(own);
            let other = (slot + slots) % u32::try_from(self.own.len()).expect("are few");
            self.free.push(Reverse((end + 50, other)));
        }
        self.sample(timelines, start);
    }

    fn go_on(&mut self, next: Next, state: TaskState, end: u64, slot: u32) {
        let last = self.fixture.ops - 1;
        let gives_up = next.attempt >= 3 && state == TaskState::Failed || state == TaskState::Cancelled;
        let after = if state == TaskState::Succeeded && next.op == last || gives_up {
            self.in_flight.subtract(1);
            self.counts.committed += u64::from(!gives_up);
            self.counts.failed += u64::from(state == TaskState::Failed);
            return;
        } else if state == TaskState::Succeeded {
            Next {
                op: next.op + 1,
                attempt: 1,
                queued: end,
                ..next
            }
        } else {
            Next {
                attempt: next.attempt + 1,
                queued: end,
                ..next
            }
        };
        match self.fixture.shape {
            Shape::DepthFirst => self.own[slot as usize] = Some(after),
            Shape::BreadthFirst => self.shared.push_back(after),
        }
    }

    fn record(
        &mut self,
        timelines: &Timelines,
        next: Next,
        (worker, slot): (u32, u32),
        state: TaskState,
        (start, end): (u64, u64),
        failure: Option<&Failure>,
    ) {
        let time = |micros: u64| Time(self.fixture.accepted.0 + micros * 1_000);
        let moved = match state {
            TaskState::Succeeded => Moved {
                rows_in: 100,
                rows_out: if next.op == 1 { 97 + next.batch % 4 } else { 100 },
                bytes_in: 8_000 + next.batch % 700,
                bytes_out: 9_100 + next.batch % 800,
            },
            TaskState::Blocked
            | TaskState::Ready
            | TaskState::Leased
            | TaskState::Running
            | TaskState::Backoff
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Lost => Moved::default(),
        };
        let is_last = next.op + 1 == self.fixture.ops && state == TaskState::Succeeded;
        let entry = TimelineEntry {
            op: OpId(next.op),
            batch: Some(BatchId::whole(next.batch)),
            attempt: Attempt(next.attempt),
            worker: self.names[worker as usize].clone(),
            slot,
            state,
            queued: time(next.queued.min(start)),
            leased: time(start.saturating_sub(200)),
            fetch_started: None,
            started: time(start),
            finished: Some(time(end)),
            committed: is_last.then(|| time(end + 1_500 + next.batch % 2_000)),
            moved,
        };
        self.tasks.succeeded += u64::from(state == TaskState::Succeeded);
        self.tasks.failed += u64::from(state == TaskState::Failed);
        self.tasks.retried += u64::from(next.attempt > 1);
        timelines.meet(&entry.worker, self.fixture.slots);
        timelines.append(self.fixture.run, entry, failure.cloned());
        self.told += 1;
        if self.told.is_multiple_of(PIECE) {
            timelines.catch_up();
        }
    }

    fn sample(&mut self, timelines: &Timelines, at: u64) {
        if at < self.sampled {
            return;
        }
        self.sampled = at + 250_000;
        let summary = self.summary();
        let queues = vec![self.shared.len() as u64; usize::from(self.fixture.ops)];
        let time = Time(self.fixture.accepted.0 + at * 1_000);
        timelines.sample(self.fixture.run, Sample::of(&summary, &queues), time);
    }

    fn summary(&self) -> RunSummary {
        let slots = u64::from(self.fixture.workers * self.fixture.slots);
        let busy = Gauge {
            now: slots.min(self.in_flight.now),
            peak: slots,
        };
        let rows = RowCounts {
            read: self.batches * 100,
            loaded: self.counts.committed * 100,
            failed: (self.batches - self.counts.committed) * 100,
            ..RowCounts::default()
        };
        RunSummary {
            run: self.fixture.run,
            job: self.fixture.job().name,
            state: match self.fixture.story {
                Story::Cancelled => RunState::Cancelled,
                Story::Failures => RunState::CompletedWithFailures,
                Story::Plain | Story::LostWorker | Story::Empty => RunState::Succeeded,
            },
            accepted: self.fixture.accepted,
            ended: Some(Time(self.fixture.accepted.0 + self.end * 1_000)),
            first_batch_loaded: (self.counts.committed > 0).then(|| Time(self.fixture.accepted.0 + 9_000_000)),
            batches_in_flight: self.in_flight,
            committing: Gauge::default(),
            bytes_in_flight: Gauge {
                now: self.in_flight.now * 8_000,
                peak: self.in_flight.peak * 8_000,
            },
            tasks_running: busy,
            max_in_flight: (self.fixture.shape == Shape::DepthFirst).then_some(slots + slots / 4),
            cap: slots,
            batches: self.counts,
            total_is_exact: true,
            source_bytes: Progress {
                done: self.batches * 8_000,
                total: self.batches * 8_000,
            },
            tasks: self.tasks,
            rows,
            failure: None,
            stalled: None,
        }
    }
}

impl Next {
    fn begin(batch: u64) -> Next {
        Next {
            batch,
            op: 0,
            attempt: 1,
            queued: 0,
        }
    }
}

/// Spreads a number (the finalizer of splitmix64, by Steele, Lea and Flood).
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
