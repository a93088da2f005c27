//! Whether failed batches can be tried again, and of which runs.

use std::fmt;

use common::ids::{BatchId, RunId};
use common::state::Reopening;

use crate::journal::failed::FailedBatch;
use crate::scheduler::Scheduler;
use crate::state::run::RunPhase;

/// Why the failed batches of a run cannot be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRetryable {
    /// It ends because of them, and can be reopened when it has.
    Ending {
        /// The run.
        run: RunId,
    },
    /// It has ended in a way that leaves nothing to be done.
    Over {
        /// The run.
        run: RunId,
    },
    /// Runs of this coordinator that have ended stay so.
    Final {
        /// The run.
        run: RunId,
    },
}

impl fmt::Display for NotRetryable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRetryable::Ending { run } => write!(f, "{run} is about to end; try again when it has ended"),
            NotRetryable::Over { run } => {
                write!(
                    f,
                    "{run} has ended, and not with failures; submit its job again to run it again"
                )
            }
            NotRetryable::Final { run } => write!(
                f,
                "{run} has ended, and this coordinator keeps nothing of ended runs that could go on; submit its job again"
            ),
        }
    }
}

impl std::error::Error for NotRetryable {}

impl Scheduler {
    /// Returns the failed batches of a run that could be tried again now, with what failed.
    ///
    /// # Errors
    /// [`NotRetryable`] says when they cannot.
    pub fn retryable(&self, run: RunId) -> Result<impl Iterator<Item = (BatchId, &FailedBatch)>, NotRetryable> {
        let failed = match (self.runs.get(&run), self.ended.get(&run)) {
            (Some(live), _) => match live.phase {
                RunPhase::Accepting | RunPhase::Active => &live.failed,
                RunPhase::Draining(_) | RunPhase::Stopping(_) | RunPhase::Finishing(_) | RunPhase::Ending => {
                    return Err(NotRetryable::Ending { run });
                }
            },
            (None, Some(ended)) => &ended.failed,
            (None, None) => {
                return Err(match self.config.reopening {
                    Reopening::Possible => NotRetryable::Over { run },
                    Reopening::Never => NotRetryable::Final { run },
                });
            }
        };
        Ok(failed.iter().map(|(batch, failed)| (*batch, failed)))
    }

    /// Tells whether a run has ended in a way that it can be reopened from, and is not being reopened yet.
    pub fn can_be_reopened(&self, run: RunId) -> bool {
        self.ended.contains_key(&run) && !self.reopening.contains(&run)
    }

    /// Tells whether runs that have ended with failures may go on again.
    pub fn reopening(&self) -> Reopening {
        self.config.reopening
    }
}
