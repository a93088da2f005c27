//! What becomes of an op that panics: it has failed, and its worker goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::failure::{Failure, FailureKind};

/// Does the work of an op; a panic in it is a failure like another.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("the op panicked: {}", text.unwrap_or("no message"));
        Err(Failure::new(FailureKind::Panicked, message))
    })
}
