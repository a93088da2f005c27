//! The harness of the suites that cross crates: real `plumb` processes, and oracles over what they report.
//!
//! Owns nothing of the program: it starts the binary as users do, reads what its contract promises (ready lines, exit
//! codes, summaries, timelines, output files) and judges that with code of its own. Data flows one way: a [`Scratch`]
//! folder holds a test's inputs and outputs, a [`Cluster`] or a [`Plumb`] command makes processes in it, [`RunReport`]
//! and the timeline come back, and [`oracle`] judges them. Faults are signals to a [`Process`], a [`Proxy`] between two of
//! them, and disks of [`own_mounts`]; a [`Disturbed`] run is judged by what comes of the same job without them. Every
//! process carries a mark in its environment, by which orphans are found.
//!
//! A broken promise is a panic that shows the logs. Known weakness: it drives the binary that was built last, which
//! `make tests` sees to and a bare `cargo test -p tests` does not.

pub mod cluster;
pub mod disturbed;
pub mod ideal;
pub mod job;
pub mod oracle;
pub mod own_mounts;
pub mod plumb;
pub mod process;
pub mod proxy;
pub mod report;
pub mod repository;
pub mod scratch;
pub mod skip;
pub mod tables;
pub mod wait;

pub use cluster::Cluster;
pub use disturbed::Disturbed;
pub use job::Job;
pub use plumb::{Ended, Plumb};
pub use process::Process;
pub use proxy::Proxy;
pub use report::{Attempt, RerunOf, RunReport};
pub use scratch::Scratch;
pub use wait::{until, within};
