//! What goes in and comes out: [`event::Event`]s, [`command::Command`]s, and what the scheduler is told once, when it is made.
//!
//! Imports `common` and the journal's words.

pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod event;
