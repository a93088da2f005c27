//! Hunts for histories that break what is promised: the real scheduler and the real agents in a simulated world.
//!
//! One seed is one history. A [`plan::Plan`] is drawn from it: workers, jobs, weather and faults. The
//! [`world::World`] then lets it happen on one thread, without waiting: the real [`scheduler::Scheduler`], restored
//! from the real ledger after each crash, one real [`agent::Agent`] a worker process, and the numbered frames of
//! [`common::link`] between them; network, disk, clocks and ops are simulated. After every step the oracles compare
//! what the parts believe with what is true. The same seed gives the same history, always.
//!
//! A failing seed is printed with the smallest plan that still fails ([`history::tell`]).
//!
//! Known weakness: the glue (the coordinator's driver and sessions, the worker's session and executor) is written
//! anew here, after the model of the production code; a bug in the production glue is not seen. The suites on real
//! processes look there.

pub mod history;
pub mod plan;
pub mod random;
pub mod sabotage;
pub mod trace;
pub mod world;

mod bounds;
mod caps;
mod checkpoints;
mod coordinator;
mod counts;
mod disk;
mod draw;
mod draw_limits;
mod executor;
mod fairness;
mod faults;
mod jobs;
mod limits;
mod links;
mod numbers;
mod ops;
mod oracle;
mod order;
mod reattached;
mod reruns;
mod session;
mod users;
mod verdict;
mod wire;
mod worker;
