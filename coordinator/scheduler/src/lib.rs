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
//!
//! # The map
//!
//! Each floor imports those below it and none above.
//!
//! | floor | what lives there |
//! |---|---|
//! | `handlers` | what is done about each event, durable record and timer; its root says who does what, and what follows each step |
//! | `questions`, `check` | what can be asked: views, explanations, summaries; the invariants, recomputed |
//! | `rules` | what may happen: admission, granting, permits, rates, holding back |
//! | `scheduler` | the [`Scheduler`] itself: all state in one place, and its queue of commands |
//! | `state` | what there is: runs, batches, leases, workers; data that keeps itself true and knows no scheduler |
//! | `interface` | what goes in and comes out: events, commands, configuration |
//! | `journal` | what must survive: records, the ledger that they add up to, and what both are made of |
//!
//! An event comes in at the handlers, which change the state and append records; when a step's events are taken, the rules
//! grant what fits.

mod check;
mod handlers;
mod interface;
mod journal;
mod questions;
mod rules;
mod scheduler;
mod state;

pub use check::Violation;
pub use interface::command::{Command, EndReason};
pub use interface::config::Config;
pub use interface::event::{Ask, Asked, Event, NewRun, NewSession, Reattached, SliceCut, SourceEnd, Ticket};
pub use journal::budgets::{Budgets, UsedUp};
pub use journal::checkpoint::{Checkpoint, Origin, Rerun};
pub use journal::committed::Committed;
pub use journal::ending::{Ending, Finishing};
pub use journal::failed::{FailedBatch, Tolerance};
pub use journal::intervals::{Insertion, Intervals};
pub use journal::ledger::{CoordinatorLimits, EndedRun, Ledger, SessionLedger, Setting};
pub use journal::marks::HighMarks;
pub use journal::record::{Record, RecordSequence, SetBy};
pub use journal::run_ledger::{Hold, RunLedger};
pub use questions::outlook::Outlook;
pub use questions::retryable::NotRetryable;
pub use questions::view::{BatchView, ComesBack, PoolView, WorkerState, WorkerView};
pub use scheduler::Scheduler;
