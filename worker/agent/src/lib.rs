//! The pure core of a worker: holds its leases, and decides what to start, stop, keep, drop and report.
//!
//! Owns the leases and their permits, the slots, the list of kept outputs, and the time for which the worker may
//! believe in its leases. It owns no clock, thread, socket or data: [`Agent::handle`] takes an [`Input`] and the time,
//! [`Agent::next_action`] hands out what is to be done about it, and [`Agent::next_timeout`] says when it wants to be
//! woken. The same inputs at the same times give the same actions, always.
//!
//! The coordinator's messages come in as they are, and become chains that the executor runs, one in each slot. What
//! the executor says comes in too, and becomes reports. A chain runs without asking back between its ops, so that a
//! cheap op costs no round trip; the agent learns of each op afterwards, in order.
//!
//! Known weakness: the agent trusts the executor's word that a chain has ended. A thread that hangs is counted as
//! running until the lease would end, and then the process has to exit.

mod action;
mod agent;
mod book;
mod check;
mod input;
mod lease;
mod leaving;
mod link;
mod op_limit;
mod outputs;
mod time_limits;
mod unsettled;

#[cfg(test)]
mod tests;

pub use action::{Action, Chain, ExitReason};
pub use agent::{Agent, Config};
pub use check::Broken;
pub use input::{ChainEnd, Input, Kept, SessionEnd, SessionKind, Welcome};
