//! Waiting for a condition with a deadline: the only place of the suites where time is spent on purpose.

use std::time::{Duration, Instant};

/// How long a test waits for what should take a moment; generous, since debug builds share few cores.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until a look finds something, for [`PATIENCE`] at most.
///
/// # Panics
/// If it does not come in time.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// Waits until a look finds something.
///
/// # Panics
/// If it does not come in time.
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(LOOK);
    }
}
