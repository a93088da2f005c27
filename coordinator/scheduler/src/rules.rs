//! What may happen: who is served next, what is in the way, what is counted when something begins or ends.
//!
//! - Who begins what, and where: [`grant`], [`queue_ahead`], [`set_aside`], [`slices`], [`make_room`]. They act after each step,
//!   when the handlers have brought the state up to date.
//! - What is in the way: [`admission`] and [`obstacles`], predicates that change nothing.
//! - What is counted: [`permits`], [`pools`], [`rates`], and [`lowered`] for caps that were lowered below it.
//! - How what was begun is held back: [`hold_back`]; how long a failure waits: [`backoff`].
//!
//! Imports the state and what is below it, and [`crate::scheduler`]. Calls no handler and answers no question.

pub(crate) mod admission;
pub(crate) mod backoff;
pub(crate) mod grant;
pub(crate) mod hold_back;
pub(crate) mod lowered;
pub(crate) mod make_room;
pub(crate) mod obstacles;
pub(crate) mod permits;
pub(crate) mod pools;
pub(crate) mod queue_ahead;
pub(crate) mod rates;
pub(crate) mod set_aside;
pub(crate) mod slices;
