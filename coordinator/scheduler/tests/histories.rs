//! Any history of joining, vanishing, draining, reconnecting workers, failing ops, cancelling and cap-changing users
//! keeps the invariants, and every run ends with every row accounted for.

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::{Failure, FailureKind};
use common::ids::{OpId, RunId};
use common::job::{
    Change, Checkpointing, FailurePolicy, LimitsChange, OnFailure, OpLimitsChange, Order, PoolName, Weight,
};
use common::state::RunState;
use common::steering::{CancelMode, RunCommand};
use proptest::prelude::*;
use scheduler::{Ask, Config, EndReason, Event, Record};
use support::{World, jobs};

/// What is done to the world between two steps of time.
#[derive(Clone, Debug)]
enum Deed {
    Join(u32),
    Kill(usize),
    Cut(usize),
    Reconnect(usize),
    Drain(usize),
    DrainByUser(usize),
    FailOp {
        op: u16,
        batch: u64,
        attempt: u32,
        kind: usize,
    },
    Cap(u32),
    Pool(u32),
    Submit {
        priority: i32,
    },
    Steer(u64, RunCommand),
    Restart,
    RestartUnderWorkers,
}

fn limit() -> impl Strategy<Value = Change<NonZeroU32>> {
    prop_oneof![
        3 => Just(Change::Keep),
        3 => (1_u32..6).prop_map(|limit| Change::Set(NonZeroU32::new(limit).expect("is not zero"))),
        1 => Just(Change::Remove),
    ]
}

fn change() -> impl Strategy<Value = LimitsChange> {
    let rate = prop_oneof![
        3 => Just(Change::Keep),
        2 => (5_u32..200).prop_map(|limit| Change::Set(format!("{limit}/s").parse().expect("is a rate"))),
        1 => Just(Change::Remove),
    ];
    let weight = prop_oneof![
        Just(Change::Keep),
        Just(Change::Set(Weight::new(2.5).expect("is a weight")))
    ];
    let drawn = (limit(), limit(), limit(), 1_u16..5, limit(), rate, weight);
    drawn.prop_map(|(cap, window, committing, op, op_limit, rate, weight)| LimitsChange {
        max_concurrent: cap,
        max_in_flight: window,
        max_in_flight_bytes: Change::Keep,
        max_committing: committing,
        weight,
        ops: BTreeMap::from([(
            OpId(op),
            OpLimitsChange {
                max_concurrent: op_limit,
                rate,
            },
        )]),
    })
}

fn command() -> impl Strategy<Value = RunCommand> {
    prop_oneof![
        3 => Just(RunCommand::Pause { reason: None }),
        3 => Just(RunCommand::Resume),
        1 => Just(RunCommand::Cancel(CancelMode::Now)),
        1 => Just(RunCommand::Cancel(CancelMode::AfterRunning)),
        6 => change().prop_map(RunCommand::ChangeLimits),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (1_u32..4).prop_map(Deed::Join),
        2 => any::<usize>().prop_map(Deed::Kill),
        2 => any::<usize>().prop_map(Deed::Cut),
        3 => any::<usize>().prop_map(Deed::Reconnect),
        1 => any::<usize>().prop_map(Deed::Drain),
        1 => any::<usize>().prop_map(Deed::DrainByUser),
        4 => (0_u16..5, 0_u64..30, 1_u32..4, 0_usize..4)
            .prop_map(|(op, batch, attempt, kind)| Deed::FailOp { op, batch, attempt, kind }),
        1 => (1_u32..9).prop_map(Deed::Cap),
        1 => (1_u32..4).prop_map(Deed::Pool),
        1 => (-1_i32..3).prop_map(|priority| Deed::Submit { priority }),
        3 => (1_u64..4, command()).prop_map(|(run, command)| Deed::Steer(run, command)),
        1 => Just(Deed::Restart),
        2 => Just(Deed::RestartUnderWorkers),
    ]
}

fn job(
    order: Order,
    (cap, limit): (u32, u32),
    on_failure: OnFailure,
    priority: i32,
    checkpoint: Checkpointing,
) -> common::job::Job {
    let mut first = jobs::op_of("first", 10);
    first.checkpoint = checkpoint;
    let mut limited = jobs::op_of("limited", 30);
    limited.max_concurrent = NonZeroU32::new(limit);
    let mut pooled = jobs::op_of("third", 20);
    pooled.pools = vec![PoolName::new("shared").expect("is a name")];
    let mut rated = jobs::op_of("last", 5);
    rated.rate = Some("100/s".parse().expect("is a rate"));
    let mut schedule = jobs::cap(cap);
    schedule.max_in_backoff = NonZeroU32::new(2).expect("is not zero");
    schedule.order = order;
    schedule.priority = priority;
    let ops = vec![first, limited, pooled, rated];
    let mut job = jobs::chain("history", ops, jobs::rows(1), schedule);
    job.failure = FailurePolicy {
        on_failure,
        ..FailurePolicy::default()
    };
    job
}

fn pick(world: &World, index: usize) -> Option<common::ids::SessionId> {
    let alive = world.alive();
    (!alive.is_empty()).then(|| alive[index % alive.len()])
}

fn act(world: &mut World, deed: &Deed, joined: &mut u32, runs: &mut u64) {
    match deed {
        Deed::Join(slots) => {
            *joined += 1;
            world.worker(&format!("w{joined}"), *slots);
        }
        Deed::Kill(index) => pick(world, *index).into_iter().for_each(|session| world.kill(session)),
        Deed::Cut(index) => pick(world, *index).into_iter().for_each(|session| world.cut(session)),
        Deed::Reconnect(index) => pick(world, *index)
            .into_iter()
            .for_each(|session| world.reconnect(session)),
        Deed::Drain(index) => pick(world, *index).into_iter().for_each(|session| world.drain(session)),
        Deed::DrainByUser(index) => {
            pick(world, *index)
                .into_iter()
                .for_each(|session| world.tell(Event::DrainRequested { session }));
        }
        Deed::FailOp {
            op,
            batch,
            attempt,
            kind,
        } => {
            let kinds = [
                FailureKind::Retryable,
                FailureKind::Permanent,
                FailureKind::BadInput,
                FailureKind::Panicked,
            ];
            let failure = Failure::new(kinds[*kind], "told to fail");
            world.failing.insert((OpId(*op), (*batch).into(), *attempt), failure);
        }
        Deed::Cap(cap) => {
            world.ask(Ask::SetCap {
                cap: NonZeroU32::new(*cap),
            });
        }
        Deed::Pool(limit) => {
            world.ask(Ask::SetPool {
                pool: PoolName::new("shared").expect("is a name"),
                limit: NonZeroU32::new(*limit).expect("is not zero"),
            });
        }
        Deed::Submit { priority } => {
            *runs += 1;
            let job = job(
                Order::DepthFirst,
                (3, 2),
                OnFailure::Continue,
                *priority,
                Checkpointing::Yes,
            );
            world.run(*runs, job, 10);
        }
        Deed::Restart => world.restart(),
        Deed::RestartUnderWorkers => world.restart_under_workers(),
        Deed::Steer(run, command) => {
            world.steer(RunId(*run), command.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_every_row_is_accounted_for(
        deeds in prop::collection::vec((deed(), 0_u64..60), 1..60),
        cap in 1_u32..6,
        limit in 1_u32..3,
        breadth in any::<bool>(),
        policy in 0_usize..3,
        checkpoint in prop_oneof![Just(Checkpointing::No), Just(Checkpointing::Yes)],
    ) {
        let mut world = World::with(Config {
            pools: BTreeMap::from([(
                PoolName::new("shared").expect("is a name"),
                NonZeroU32::new(2).expect("is not zero"),
            )]),
            ..Config::default()
        });
        let order = if breadth { Order::BreadthFirst } else { Order::DepthFirst };
        let on_failure = [OnFailure::Drain, OnFailure::Cancel, OnFailure::Continue][policy];
        let rows = 30;
        let first = world.run(1, job(order, (cap, limit), on_failure, 0, checkpoint), rows);
        let (mut joined, mut runs) = (0, 1);
        for (deed, wait) in &deeds {
            act(&mut world, deed, &mut joined, &mut runs);
            world.pass(Duration::from_millis(*wait));
            let summary = world.scheduler.summary(first);
            if let Some(summary) = summary {
                let caps = world.caps_ever(first, cap);
                prop_assert!(summary.tasks_running.peak <= u64::from(caps));
            }
        }
        world.ask(Ask::SetCap { cap: None });
        world.worker("rescue", 2);
        for run in world.scheduler.runs().collect::<Vec<_>>() {
            world.steer(run, RunCommand::Resume);
        }
        world.run_to_end();
        for summary in world.ended.values() {
            prop_assert!(summary.rows.balances(), "{summary:?}");
            prop_assert!(summary.state.is_terminal());
            if summary.state == RunState::Succeeded {
                prop_assert_eq!(summary.rows.loaded, summary.batches.total);
                prop_assert_eq!(summary.batches.committed, summary.batches.total);
            }
        }
        prop_assert_eq!(world.answers.len(), world.asked(), "every command is answered");
        prop_assert!(world.session_ends.iter().all(|(_, reason)| *reason != EndReason::Protocol));
        let mut commits: Vec<_> = world.records.iter().filter_map(|record| match record {
            Record::BatchCommitted { run, batch, .. } => Some((*run, *batch)),
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::BatchFailed { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. }
            | Record::RunEnded { .. } => None,
        }).collect();
        let all = commits.len();
        commits.sort_unstable();
        commits.dedup();
        prop_assert_eq!(all, commits.len(), "a batch is committed at most once");
        let mut checkpoints = Vec::new();
        for record in &world.records {
            if let Record::BatchCheckpointed { run, batch, checkpoint, .. } = record {
                checkpoints.push((*run, *batch, checkpoint.op()));
            }
        }
        let all = checkpoints.len();
        checkpoints.sort_unstable();
        checkpoints.dedup();
        prop_assert_eq!(all, checkpoints.len(), "no op is run again on a batch once its checkpoint is durable");
    }
}
