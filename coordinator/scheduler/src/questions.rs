//! What can be asked: views, explanations, summaries. Nothing here changes anything.
//!
//! Imports the rules, the state, and what is below them.

pub(crate) mod explain;
pub(crate) mod known;
pub(crate) mod outlook;
pub(crate) mod retryable;
pub(crate) mod summary;
pub(crate) mod view;
