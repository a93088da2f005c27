//! Made-up runs of any size, kept exactly like real ones, to look at pages and tiles at scale.
//!
//! A small simulation hands batches to slots and tells [`Timelines`] of every attempt as the driver does; the same story
//! and seed give the same chart. Nothing of it is reachable from a running coordinator: tests and `examples/fixture_server.rs`
//! put it into the driver's world.

mod growing;
mod play;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::RunId;
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::slice::FrozenSource;
use common::summary::RunSummary;
use common::time::Time;
use scheduler::{Record, UsedUp};

pub use growing::{Growing, Left};

use self::play::Play;
use crate::driver::World;
use crate::timeline::{Known, Timelines};

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
            rerun: None,
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
            checkpoint_uri: None,
        }
    }
}
