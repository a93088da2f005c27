//! The vocabulary of Plumbline: one word per thing, for every other crate.
//!
//! Owns the ids, times, units, the job as people define it, what a run is made of, the failures that ops report,
//! and the messages that a coordinator and a worker exchange. It owns no behaviour beyond checking and printing
//! itself, and it never touches a clock, a file, a socket or a random source.
//!
//! Data flows through here by name: a [`job::Job`] becomes a run ([`ids::RunId`]), its source becomes
//! [`slice::Slice`]s, a slice becomes a batch, an op on a batch is a task, and the right to run some of them is a
//! lease, granted and reported on with the messages of [`message`].

pub mod counts;
pub mod done;
pub mod explain;
pub mod failure;
pub mod holdings;
pub mod ids;
pub mod job;
pub mod limits;
pub mod link;
pub mod logs;
pub mod message;
pub mod part;
pub mod slice;
pub mod state;
pub mod steering;
pub mod summary;
pub mod time;
pub mod timeline;
pub mod units;
