//! How long an op that runs may go on.

use common::ids::OpId;
use common::time::Time;

/// The time limit of an op that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpLimit {
    /// It is stopped then.
    Until {
        /// The op.
        op: OpId,
        /// When.
        at: Time,
    },
    /// It was told to stop. If it has not by then, the process has to end.
    Over {
        /// When.
        exit_at: Time,
    },
}

impl OpLimit {
    /// Returns when something is to be done about it.
    pub(crate) fn at(self) -> Time {
        match self {
            OpLimit::Until { at, .. } => at,
            OpLimit::Over { exit_at } => exit_at,
        }
    }
}
