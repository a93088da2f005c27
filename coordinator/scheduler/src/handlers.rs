//! What the scheduler does about each kind of event; one file for each thing that events are about.

mod commit;
mod crash;
mod finish;
mod ran;
mod report;
mod retry;
mod run;
mod session;
pub(crate) mod steering;
mod timer;

pub use retry::NotRetryable;
