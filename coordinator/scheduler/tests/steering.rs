//! What runs do when they are told to pause, resume and cancel, one story each.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use common::ids::RunId;
use common::state::RunState;
use common::steering::{AskRefused, Asker, CancelMode, RunCommand};
use scheduler::{Ask, Asked, Command, Event, RecordSequence, Ticket};
use support::jobs::two_steps;
use support::{World, jobs};

const PAUSE: RunCommand = RunCommand::Pause { reason: None };

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A worker of two slots, and a run of ten batches that is in its second second.
fn under_way() -> (World, RunId) {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 10);
    world.pass(millis(500));
    (world, run)
}

fn state(world: &World, run: RunId) -> RunState {
    let live = world.scheduler.summary(run).map(|summary| summary.state);
    live.unwrap_or_else(|| world.ended[&run].state)
}

/// Attempts that have ended, and those that run.
fn starts(world: &World) -> usize {
    let scheduler = &world.scheduler;
    let running: usize = scheduler.runs().map(|run| scheduler.outlook(run).running.len()).sum();
    world.timeline.len() + running
}

#[test]
fn a_paused_run_ends_the_ops_that_run_and_begins_nothing_until_it_is_resumed() {
    let (mut world, run) = under_way();
    world.steer(run, PAUSE);
    assert_eq!(state(&world, run), RunState::Paused);
    let begun = starts(&world);
    world.pass(millis(60_000));
    assert_eq!(starts(&world), begun, "nothing begins while it is paused");
    let summary = world.scheduler.summary(run).expect("goes on");
    assert_eq!((summary.tasks_running.now, summary.batches_in_flight.now), (0, 2));
    world.steer(run, RunCommand::Resume);
    world.run_to_end();
    assert_eq!(world.granted()[..4], ["op0..2[0]", "op0..2[1]", "op2[0]", "op2[1]"]);
    assert_eq!(world.ended[&run].batches.committed, 10);
}

#[test]
fn a_pause_is_answered_when_nothing_of_the_run_can_begin_any_more() {
    let (mut world, run) = under_way();
    let ticket = world.steer(run, PAUSE);
    assert_eq!(
        world.answers.get(&ticket),
        None,
        "the worker has not said where its chains end"
    );
    while !world.answers.contains_key(&ticket) {
        assert!(world.step(), "the pause is answered");
    }
    let begun = starts(&world);
    world.pass(millis(60_000));
    assert_eq!(starts(&world), begun);
}

#[test]
fn a_pause_is_answered_when_what_waits_at_a_worker_that_is_cut_off_can_certainly_not_begin() {
    let mut world = World::new();
    let worker = world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 10);
    // The last ops run: nothing of these chains would begin any more, but each has an heir behind it.
    world.pass(millis(1_500));
    assert!(!world.queued().is_empty(), "leases are queued ahead");
    world.cut(worker);
    world.pass(world.config.reconnect_patience + millis(1));
    let ticket = world.steer(run, PAUSE);
    assert_eq!(world.answers.get(&ticket), None, "its slots may have taken what waits");
    world.pass(world.config.lease_time + world.config.lease_margin);
    assert_eq!(world.answers.get(&ticket), Some(&Ok(())));
}

#[test]
fn a_pause_after_a_restart_is_answered_when_no_worker_of_before_can_go_on_with_the_run() {
    let (mut world, run) = under_way();
    world.restart_apart();
    let ticket = world.steer(run, PAUSE);
    assert_eq!(world.answers.get(&ticket), None, "its worker may live, and go on");
    let other = world.run(2, two_steps(2), 4);
    let of_other = world.steer(other, PAUSE);
    assert_eq!(
        world.answers.get(&of_other),
        Some(&Ok(())),
        "no worker of before knows it"
    );
    world.pass(world.config.lease_time + world.config.lease_margin);
    assert_eq!(world.answers.get(&ticket), Some(&Ok(())));
}

#[test]
fn commands_may_be_given_twice_and_the_second_leaves_no_record() {
    let (mut world, run) = under_way();
    for command in [PAUSE, RunCommand::Resume, RunCommand::Cancel(CancelMode::Now)] {
        world.steer(run, command.clone());
        world.pass(millis(10));
        let records = world.records.len();
        let again = world.steer(run, command.clone());
        world.pass(millis(2_000));
        assert_eq!(world.answers.get(&again), Some(&Ok(())), "{command}");
        let said = world.records.iter().skip(records);
        let commanded = said.filter(|record| matches!(record, scheduler::Record::RunCommanded { .. }));
        assert_eq!(commanded.count(), 0, "{command}");
    }
}

#[test]
fn a_run_that_was_paused_is_paused_after_a_restart() {
    let (mut world, run) = under_way();
    world.steer(run, PAUSE);
    world.restart();
    assert_eq!(state(&world, run), RunState::Paused);
    let granted = world.grants.len();
    world.pass(millis(60_000));
    assert_eq!(world.grants.len(), granted);
    world.steer(run, RunCommand::Resume);
    world.run_to_end();
    assert_eq!(world.ended[&run].batches.committed, 10);
}

#[test]
fn what_waits_at_workers_is_taken_back_by_a_pause() {
    let (mut world, run) = under_way();
    assert!(!world.queued().is_empty(), "leases are queued ahead");
    world.steer(run, PAUSE);
    world.pass(millis(1));
    assert!(world.queued().is_empty());
}

#[test]
fn another_run_gets_the_slots_of_a_paused_one() {
    let (mut world, run) = under_way();
    let other = world.run(2, two_steps(2), 4);
    world.steer(run, PAUSE);
    while state(&world, other) != RunState::Succeeded {
        assert!(world.step(), "the other run ends");
    }
    assert_eq!(state(&world, run), RunState::Paused);
}

#[test]
fn a_run_that_is_cancelled_after_its_running_tasks_lets_them_end() {
    let mut world = World::new();
    world.worker("w1", 2);
    let mut job = two_steps(2);
    job.ops[2].max_concurrent = NonZeroU32::new(1);
    let run = world.run(1, job, 10);
    // One batch runs its last op, the other its last but one.
    world.pass(millis(1_500));
    world.steer(run, RunCommand::Cancel(CancelMode::AfterRunning));
    let begun = starts(&world);
    let took = world.run_to_end();
    let summary = &world.ended[&run];
    assert!(took >= millis(500), "running ops end: {took:?}");
    assert_eq!(starts(&world), begun, "nothing begins any more");
    assert_eq!(summary.state, RunState::Cancelled);
    assert_eq!(summary.batches.committed, 1);
    assert!(summary.rows.balances());
}

#[test]
fn cancelling_at_once_stops_what_a_gentler_cancel_let_run() {
    let (mut world, run) = under_way();
    world.steer(run, RunCommand::Cancel(CancelMode::AfterRunning));
    world.pass(millis(100));
    assert!(world.scheduler.summary(run).is_some(), "tasks still run");
    world.steer(run, RunCommand::Cancel(CancelMode::Now));
    assert!(world.run_to_end() < millis(100));
    assert_eq!(world.ended[&run].state, RunState::Cancelled);
}

#[test]
fn a_paused_run_can_be_cancelled() {
    for mode in [CancelMode::Now, CancelMode::AfterRunning] {
        let (mut world, run) = under_way();
        world.steer(run, PAUSE);
        world.pass(millis(5_000));
        world.steer(run, RunCommand::Cancel(mode));
        world.run_to_end();
        assert_eq!(world.ended[&run].state, RunState::Cancelled);
    }
}

#[test]
fn a_run_that_has_ended_can_be_cancelled_again_and_neither_paused_nor_resumed() {
    let (mut world, run) = under_way();
    world.run_to_end();
    let answer = |world: &World, ticket: Ticket| world.answers[&ticket].clone();
    let cancelled = world.steer(run, RunCommand::Cancel(CancelMode::Now));
    assert_eq!(answer(&world, cancelled), Ok(()));
    let paused = world.steer(run, PAUSE);
    assert_eq!(answer(&world, paused), Err(AskRefused::Ended { run, what: "pause" }));
    let resumed = world.steer(run, RunCommand::Resume);
    assert_eq!(answer(&world, resumed), Err(AskRefused::Ended { run, what: "resume" }));
}

#[test]
fn a_run_that_is_being_stopped_cannot_be_paused() {
    let (mut world, run) = under_way();
    world.steer(run, RunCommand::Cancel(CancelMode::AfterRunning));
    let paused = world.steer(run, PAUSE);
    let refused = AskRefused::Stopping { run, what: "pause" };
    assert_eq!(world.answers[&paused], Err(refused));
}

#[test]
fn the_log_of_a_run_says_what_it_was_told_also_after_a_restart() {
    let (mut world, run) = under_way();
    world.steer(run, PAUSE);
    world.steer(run, RunCommand::Resume);
    world.restart();
    world.steer(run, RunCommand::Cancel(CancelMode::Now));
    world.run_to_end();
    let ledger = world.ledger();
    let log = ledger.ended[&run].run.activity.iter();
    let said: Vec<String> = log.map(|(_, activity)| activity.command.to_string()).collect();
    assert_eq!(said, ["pause", "resume", "cancel now"]);
}

#[test]
fn batches_that_were_found_wait_while_a_run_is_paused_and_it_ends_when_nothing_is_left() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, jobs::two_steps(2), 2);
    world.pass(millis(1_500));
    world.steer(run, PAUSE);
    world.run_to_end();
    assert_eq!(
        world.ended[&run].state,
        RunState::Succeeded,
        "its last ops ran when it was paused"
    );
}

#[test]
fn what_is_asked_for_twice_is_answered_no_earlier_than_the_first_is_durable() {
    for command in [PAUSE, RunCommand::Cancel(CancelMode::Now)] {
        let mut world = World::new();
        let run = world.run(1, two_steps(2), 10);
        let now = world.now;
        let mut ask = |ticket| {
            let ask = Ask::Run {
                run,
                command: command.clone(),
            };
            let (ticket, by) = (Ticket(ticket), Asker::Grpc);
            let scheduler = &mut world.scheduler;
            scheduler.handle(Event::Asked(Box::new(Asked { ticket, by, ask })), now);
            std::iter::from_fn(|| scheduler.next_command()).collect::<Vec<_>>()
        };
        let answered = |commands: &[Command]| {
            commands
                .iter()
                .filter(|it| matches!(it, Command::Answer { .. }))
                .count()
        };
        let recorded = |commands: &[Command]| commands.iter().filter_map(record_of).max();
        let first = ask(1);
        let again = ask(2);
        assert_eq!((answered(&first), answered(&again)), (0, 0), "{command}");
        let sequence = recorded(&first).expect("is recorded");
        world.scheduler.handle(Event::DurableUpTo { sequence }, now);
        let then: Vec<Command> = std::iter::from_fn(|| world.scheduler.next_command()).collect();
        assert_eq!(answered(&then), 2, "{command}: {then:?}");
    }
}

/// What was answered, in order, and what of it while a record was not durable.
struct Answers {
    all: Vec<(Ticket, Result<(), AskRefused>)>,
    early: Vec<Ticket>,
}

/// Asks a paused run for this at the same moment. What is written is durable when there is nothing else left to do.
fn answers_to(world: &mut World, run: RunId, commands: &[RunCommand]) -> Answers {
    let now = world.now;
    let tickets = (8..).map(Ticket);
    for (ticket, command) in tickets.zip(commands.iter().cloned()) {
        let ask = Ask::Run { run, command };
        let by = Asker::Grpc;
        world
            .scheduler
            .handle(Event::Asked(Box::new(Asked { ticket, by, ask })), now);
    }
    let (mut all, mut early) = (Vec::new(), Vec::new());
    let (mut written, mut durable) = (RecordSequence::default(), RecordSequence::default());
    loop {
        while let Some(command) = world.scheduler.next_command() {
            written = record_of(&command).unwrap_or(written);
            if let Command::Answer { ticket, answer } = command {
                early.extend((written != durable).then_some(ticket));
                all.push((ticket, answer));
            }
        }
        if all.len() == commands.len() {
            return Answers { all, early };
        }
        assert!(durable < written, "only {all:?} were given");
        durable = written;
        world.scheduler.handle(Event::DurableUpTo { sequence: durable }, now);
    }
}

#[test]
fn of_a_resume_and_a_pause_right_behind_it_the_pause_holds() {
    let mut world = World::new();
    let run = world.run(1, two_steps(2), 10);
    world.steer(run, PAUSE);
    let answers = answers_to(&mut world, run, &[RunCommand::Resume, PAUSE]);
    assert_eq!(answers.all, [(Ticket(8), Ok(())), (Ticket(9), Ok(()))]);
    assert_eq!(answers.early, []);
    assert_eq!(state(&world, run), RunState::Paused);
}

#[test]
fn of_two_pauses_behind_a_resume_neither_is_answered_before_its_record_is_durable() {
    let mut world = World::new();
    let run = world.run(1, two_steps(2), 10);
    world.steer(run, PAUSE);
    let answers = answers_to(&mut world, run, &[RunCommand::Resume, PAUSE, PAUSE]);
    assert_eq!((answers.all.len(), answers.early), (3, vec![]));
    assert_eq!(state(&world, run), RunState::Paused);
}

#[test]
fn what_is_asked_while_a_run_is_about_to_go_on_takes_effect_in_the_order_in_which_it_was_asked() {
    let mut world = World::new();
    let run = world.run(1, two_steps(2), 10);
    world.steer(run, PAUSE);
    answers_to(&mut world, run, &[RunCommand::Resume, PAUSE, RunCommand::Resume]);
    assert_eq!(state(&world, run), RunState::Queued, "it goes on, and nobody works");
    world.steer(run, PAUSE);
    answers_to(&mut world, run, &[RunCommand::Resume, PAUSE, RunCommand::Resume, PAUSE]);
    assert_eq!(state(&world, run), RunState::Paused);
}

/// Returns the number of the record that a command appends.
fn record_of(command: &Command) -> Option<RecordSequence> {
    if let Command::Append { sequence, .. } = command {
        Some(*sequence)
    } else {
        None
    }
}
