//! The journal's words: what must survive, and what it adds up to.
//!
//! A [`record::Record`] is one entry of the journal, a [`ledger::Ledger`] what all of them add up to; the other files are
//! what both are made of. They are serialized, so a field that changes here changes what is on disks. Nothing in here knows
//! what goes on: no lease, no live worker, no clock.
//!
//! Imports `common` and nothing else of this crate.

pub(crate) mod budgets;
pub(crate) mod checkpoint;
pub(crate) mod committed;
pub(crate) mod ending;
pub(crate) mod failed;
pub(crate) mod intervals;
pub(crate) mod ledger;
pub(crate) mod marks;
pub(crate) mod record;
pub(crate) mod run_ledger;
