//! What there is: runs, batches, leases, workers and all that is counted, each with the rules that keep itself true.
//!
//! Everything here is data with methods on itself alone. It knows no [`crate::Scheduler`], sends nothing and records nothing;
//! what binds two of these things is in the rules and the handlers.
//!
//! - What is worked on: [`run`], [`batch`], [`lease`], [`worker`], and [`publication`] for what is put in place.
//! - What waits: [`ready_queue`] for slots, [`durability`] for the journal, [`unanswered`] for workers, [`timers`] for the time,
//!   [`former`] for workers from before a restart, and [`claims`] for what they say that they hold.
//! - What is counted against, and in which order: [`cap`], [`pool`], [`bucket`], [`turn`], [`flow`].
//!
//! Imports `common`, the journal's words and the interface.

pub(crate) mod batch;
pub(crate) mod bucket;
pub(crate) mod cap;
pub(crate) mod claims;
pub(crate) mod durability;
pub(crate) mod flow;
pub(crate) mod former;
pub(crate) mod lease;
pub(crate) mod pool;
pub(crate) mod publication;
pub(crate) mod ready_queue;
pub(crate) mod run;
pub(crate) mod timers;
pub(crate) mod turn;
pub(crate) mod unanswered;
pub(crate) mod worker;
