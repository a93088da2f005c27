//! One history: a coordinator, three workers, people, and faults of the network and of hosts at moments of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proto::v1::RunState;
use turmoil::{Builder, Sim};

use crate::trace::Trace;
use crate::{coordinator, people, worker};

/// How many workers there are, and how many slots each has.
pub(crate) const WORKERS: usize = 3;
const SLOTS: u32 = 2;
const PEOPLE: &str = "people";
/// How long a history may take in its own time.
const LONGEST: Duration = Duration::from_secs(120);

/// Something that goes wrong at a moment, and is over after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) kind: Kind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing passes between a worker and the coordinator.
    Partition(usize),
    /// Nothing passes from a worker to the coordinator.
    Deaf(usize),
    /// What passes between a worker and the coordinator comes when it is over.
    Hold(usize),
    /// A worker's host dies; it is started again when it is over.
    CrashWorker(usize),
    /// The coordinator's host loses its power, and nobody is told; it is started again when it is over.
    CrashCoordinator,
}

/// What a history is made of besides its seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// What a message takes at most.
    pub(crate) latency: Duration,
    /// What a sync of the coordinator's disk takes.
    pub(crate) sync: Duration,
    pub(crate) faults: Vec<Fault>,
    /// How fast the workers' clocks go, in percent. The leases' margin is for less than they are off by here, if they are.
    pub(crate) clock_rate: u64,
}

/// What came of a history.
pub(crate) struct Outcome {
    pub(crate) trace: Trace,
    /// How the run ended; none if it did not.
    pub(crate) state: Option<RunState>,
    pub(crate) output: Option<String>,
    /// What else is in the folder of the output.
    pub(crate) leftovers: Vec<String>,
}

impl Plan {
    /// A plan without faults.
    pub(crate) fn calm(seed: u64) -> Plan {
        Plan {
            seed,
            latency: Duration::from_millis(20),
            sync: Duration::from_millis(4),
            faults: Vec::new(),
            clock_rate: 100,
        }
    }

    /// Draws some faults of every kind.
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut drawn = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut up_to = |bound: u64| {
            drawn ^= drawn << 13;
            drawn ^= drawn >> 7;
            drawn ^= drawn << 17;
            drawn % bound
        };
        let mut plan = Plan {
            seed,
            latency: Duration::from_millis(2 + up_to(60)),
            sync: Duration::from_millis(1 + up_to(30)),
            clock_rate: 98 + up_to(5),
            ..Plan::calm(seed)
        };
        let mut at = Duration::from_millis(500);
        for _ in 0..5 + up_to(4) {
            at += Duration::from_millis(200 + up_to(2_000));
            let worker = up_to(WORKERS as u64) as usize;
            let kind = match up_to(7) {
                0 | 1 => Kind::Partition(worker),
                2 => Kind::Deaf(worker),
                3 => Kind::Hold(worker),
                4 => Kind::CrashWorker(worker),
                _ => Kind::CrashCoordinator,
            };
            let lasts = Duration::from_millis(100 + up_to(4_000));
            plan.faults.push(Fault { at, lasts, kind });
            at += lasts;
        }
        plan
    }
}

/// Lets a history happen.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    people::write_input(folder.path()).expect("writes");
    let trace = Trace::default();
    let mut sim = Builder::new()
        .rng_seed(plan.seed)
        .simulation_duration(LONGEST + Duration::from_secs(1))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency)
        .tcp_capacity(1_024)
        .build();
    add_coordinator(&mut sim, plan, folder.path(), &trace);
    for place in 0..WORKERS {
        add_worker(&mut sim, plan, place, folder.path(), &trace);
    }
    let seen = Arc::new(std::sync::Mutex::new(None));
    let (told, see) = (trace.clone(), Arc::clone(&seen));
    sim.client(PEOPLE, async move {
        let state = people::run_one_job(told).await;
        *see.lock().expect("no other has it") = Some(state);
        Ok(())
    });
    let mut pending: Vec<(Duration, bool, Fault)> = plan
        .faults
        .iter()
        .flat_map(|fault| [(fault.at, true, *fault), (fault.at + fault.lasts, false, *fault)])
        .collect();
    pending.sort_by_key(|(at, ..)| *at);
    let mut pending = pending.into_iter().peekable();
    while sim.elapsed() < LONGEST {
        while let Some((_, begins, fault)) = pending.next_if(|(at, ..)| *at <= sim.elapsed()) {
            trace.tell_at(sim.elapsed(), || {
                format!("{} {:?}", if begins { "begins" } else { "is over" }, fault.kind)
            });
            happen(&mut sim, fault.kind, begins);
        }
        if sim.step().expect("no host fails") {
            break;
        }
    }
    drop(sim);
    let state = *seen.lock().expect("no other has it");
    let output = std::fs::read_to_string(folder.path().join("out.csv")).ok();
    Outcome {
        trace,
        state,
        output,
        leftovers: leftovers(folder.path()),
    }
}

fn leftovers(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("is there");
    let names = names.map(|entry| entry.expect("is there").file_name().to_string_lossy().into_owned());
    let known = ["in.csv", "out.csv", "state"];
    names.filter(|name| !known.contains(&name.as_str())).collect()
}

fn name_of(worker: usize) -> String {
    format!("worker-{worker}")
}

/// Returns every host that speaks to the coordinator.
fn others() -> impl Iterator<Item = String> {
    (0..WORKERS).map(name_of).chain([PEOPLE.to_owned()])
}

fn add_coordinator(sim: &mut Sim<'_>, plan: &Plan, folder: &Path, trace: &Trace) {
    let setup = coordinator::Setup {
        folder: folder.to_owned(),
        sync: plan.sync,
        trace: trace.clone(),
    };
    sim.host(coordinator::HOST, move || coordinator::run(setup.clone()));
}

fn add_worker(sim: &mut Sim<'_>, plan: &Plan, place: usize, folder: &Path, trace: &Trace) {
    let processes = AtomicU32::new(place as u32 * 100);
    let setup = worker::Setup {
        name: name_of(place),
        slots: SLOTS,
        process: 0,
        ahead: Duration::from_secs(1_000 * (place as u64 + 1)),
        clock_rate: plan.clock_rate,
        seed: plan.seed,
        folder: folder.to_owned(),
        trace: trace.clone(),
    };
    sim.host(name_of(place), move || {
        worker::run(worker::Setup {
            process: processes.fetch_add(1, Ordering::Relaxed) + 1,
            ..setup.clone()
        })
    });
}

fn happen(sim: &mut Sim<'_>, kind: Kind, begins: bool) {
    match (kind, begins) {
        (Kind::Partition(worker), true) => sim.partition(name_of(worker), coordinator::HOST),
        (Kind::Partition(worker), false) => sim.repair(name_of(worker), coordinator::HOST),
        (Kind::Deaf(worker), true) => sim.partition_oneway(name_of(worker), coordinator::HOST),
        (Kind::Deaf(worker), false) => sim.repair_oneway(name_of(worker), coordinator::HOST),
        (Kind::Hold(worker), true) => sim.hold(name_of(worker), coordinator::HOST),
        (Kind::Hold(worker), false) => sim.release(name_of(worker), coordinator::HOST),
        (Kind::CrashWorker(worker), true) => sim.crash(name_of(worker)),
        (Kind::CrashWorker(worker), false) => sim.bounce(name_of(worker)),
        (Kind::CrashCoordinator, true) => {
            // In which order the tasks of a runtime are dropped, and so its connections, does not follow from the seed.
            for other in others() {
                sim.partition(other, coordinator::HOST);
            }
            sim.crash(coordinator::HOST);
        }
        (Kind::CrashCoordinator, false) => {
            for other in others() {
                sim.repair(other, coordinator::HOST);
            }
            sim.bounce(coordinator::HOST);
        }
    }
}
