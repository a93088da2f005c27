//! The agent's invariants, recomputed from scratch: one id and one sentence each.

use std::collections::BTreeSet;

use crate::agent::Agent;
use crate::lease::{Course, LeaseState, Why};
use crate::leaving::Leaving;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The invariant's id.
    pub invariant: &'static str,
    /// What it says.
    pub sentence: &'static str,
}

impl Agent {
    /// Recomputes every invariant from scratch.
    pub fn check(&self) -> Result<(), Broken> {
        check(self)
    }
}

fn check(agent: &Agent) -> Result<(), Broken> {
    if agent.leaving == Leaving::Left {
        return Ok(());
    }
    let checks: [(&'static str, &'static str, bool); 9] = [
        ("SLOTS", "every slot is free or runs one chain", slots_add_up(agent)),
        (
            "PERMITS",
            "no lease runs without a permit, and none with a permit waits while a slot is free",
            agent.book.permitted.is_empty() || agent.book.free_slots.is_empty(),
        ),
        (
            "QUEUES",
            "every lease that has a permit and no slot stands in the queue for one, once",
            queue_matches(agent),
        ),
        (
            "RUNS",
            "a lease that is not being stopped belongs to an open run",
            runs_are_open(agent),
        ),
        (
            "DRAIN",
            "a worker that leaves holds no lease that has not started, and no chain goes on past its op",
            drain_is_kept(agent),
        ),
        (
            "LEAVE",
            "a worker that leaves now stops all of its chains",
            leave_is_kept(agent),
        ),
        ("OUTPUTS", "a kept output belongs to an open run", outputs_belong(agent)),
        (
            "ORPHANS",
            "a chain of an ended session has a time at which the process ends it, and nothing else has",
            agent.book.orphans.is_empty() == agent.orphans_exit_at.is_none(),
        ),
        (
            "TIMEOUT",
            "a time limit belongs to a chain that runs",
            agent.op_limits.keys().all(|lease| {
                let held = agent.book.leases.get(lease);
                held.is_some_and(|held| matches!(held.state, LeaseState::Running { .. }))
            }),
        ),
    ];
    match checks.into_iter().find(|(_, _, holds)| !holds) {
        Some((invariant, sentence, _)) => Err(Broken { invariant, sentence }),
        None => Ok(()),
    }
}

fn slots_add_up(agent: &Agent) -> bool {
    let running = agent.book.leases.values().filter_map(|lease| match lease.state {
        LeaseState::Running { slot, .. } => Some(slot),
        LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
    });
    let orphans = agent.book.orphans.values().map(|orphan| orphan.slot);
    let free = agent.book.free_slots.iter().copied();
    let in_slots = agent
        .book
        .leases
        .iter()
        .filter(|(_, lease)| matches!(lease.state, LeaseState::Running { .. }));
    let in_slots: BTreeSet<_> = in_slots.map(|(id, _)| *id).collect();
    let all: Vec<u32> = running.chain(orphans).chain(free).collect();
    let distinct: BTreeSet<u32> = all.iter().copied().collect();
    all.len() == distinct.len()
        && distinct == (0..agent.config.slots.get()).collect()
        && in_slots == agent.book.in_slots
}

fn queue_matches(agent: &Agent) -> bool {
    let book = &agent.book;
    let permitted = book
        .leases
        .iter()
        .filter(|(_, lease)| lease.state == LeaseState::Permitted);
    let permitted: BTreeSet<_> = permitted.map(|(id, _)| *id).collect();
    book.permitted.len() == permitted.len() && book.permitted.iter().copied().collect::<BTreeSet<_>>() == permitted
}

fn runs_are_open(agent: &Agent) -> bool {
    agent.book.leases.values().all(|lease| {
        let stopping = matches!(
            lease.state,
            LeaseState::AskedBack(Why::Stopped)
                | LeaseState::Running {
                    course: Course::Stopping,
                    ..
                }
        );
        stopping || agent.runs.contains_key(&lease.grant.run)
    })
}

fn drain_is_kept(agent: &Agent) -> bool {
    agent.leaving == Leaving::No
        || (!agent.book.leases.values().any(|lease| may_start(lease.state))
            && agent.book.running().all(|(_, course)| course != Course::On))
}

fn may_start(state: LeaseState) -> bool {
    match state {
        LeaseState::Waiting | LeaseState::AskedBack(Why::Permitted) | LeaseState::Permitted => true,
        LeaseState::AskedBack(Why::Recalled | Why::Truncated | Why::Stopped) | LeaseState::Running { .. } => false,
    }
}

fn leave_is_kept(agent: &Agent) -> bool {
    let leaves_now = matches!(agent.leaving, Leaving::Now { .. });
    !leaves_now || agent.book.running().all(|(_, course)| course == Course::Stopping)
}

fn outputs_belong(agent: &Agent) -> bool {
    agent.outputs.keys().all(|(run, _)| agent.runs.contains_key(run))
}
