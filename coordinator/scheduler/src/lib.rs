//! The pure core of the coordinator: decides what runs where, and when.
//!
//! Owns every run, batch, lease and worker session, and the rules that bind them: priority, admission, caps, leases,
//! retries, commits. It owns no clock, no random source, no socket and no file: [`Scheduler::handle`] takes an
//! [`Event`] and the time, [`Scheduler::next_command`] hands out what is to be done about it, and
//! [`Scheduler::next_timeout`] says when it wants to be woken. The same events at the same times give the same
//! commands, always.
//!
//! Nothing with an effect that must survive is commanded before its [`Record`] is durable: the scheduler asks for the
//! record ([`Command::Append`]), goes on, and commands the effect when [`Event::DurableUpTo`] has come back.

mod admission;
mod attempts;
mod batch;
mod bisect;
mod change_limits;
mod check;
mod checkpoint;
mod command;
mod committed;
mod config;
mod durability;
mod event;
mod explain;
mod failed;
mod flow;
mod grant;
mod handlers;
mod intervals;
mod lease;
mod ledger;
mod limits;
mod outlook;
mod pools;
mod publication;
mod queue_ahead;
mod rates;
mod ready_queue;
mod reattach;
mod record;
mod restore;
mod retry;
mod run;
mod scheduler;
mod set_aside;
mod summary;
mod timers;
mod view;
mod worker;

pub use attempts::{Budgets, UsedUp};
pub use check::Violation;
pub use checkpoint::{Checkpoint, Origin, Rerun};
pub use command::{Command, EndReason};
pub use committed::Committed;
pub use config::Config;
pub use event::{Ask, Asked, Event, NewRun, NewSession, Reattached, SliceCut, SourceEnd, Ticket};
pub use failed::{FailedBatch, Tolerance};
pub use handlers::NotRetryable;
pub use intervals::{Insertion, Intervals};
pub use ledger::{CoordinatorLimits, EndedRun, Hold, Ledger, RunLedger, SessionLedger, Setting};
pub use outlook::Outlook;
pub use record::{Record, RecordSequence, SetBy};
pub use scheduler::Scheduler;
pub use view::{BatchView, ComesBack, PoolView, WorkerState, WorkerView};
