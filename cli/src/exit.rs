//! The exit codes, which scripts rely on.

use std::process::ExitCode;

use common::state::RunState;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Ok,
    /// The run failed, or a request was refused.
    Failed,
    /// The command line or the spec is wrong.
    Usage,
    /// The run ended, but some of its batches failed.
    CompletedWithFailures,
    /// The run was cancelled.
    Cancelled,
    /// No coordinator answers.
    Unavailable,
    /// Ctrl-C detached from a run that goes on.
    Detached,
}

impl Exit {
    /// Returns how a program ends that waited for a run.
    pub(crate) fn of_run(state: RunState) -> Exit {
        match state {
            RunState::Queued | RunState::Running | RunState::Paused | RunState::Succeeded => Exit::Ok,
            RunState::CompletedWithFailures => Exit::CompletedWithFailures,
            RunState::Failed => Exit::Failed,
            RunState::Cancelled => Exit::Cancelled,
        }
    }

    /// Returns the number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::CompletedWithFailures => 3,
            Exit::Cancelled => 4,
            Exit::Unavailable => 69,
            // As every program that SIGINT ends: nobody should take it for the run's success.
            Exit::Detached => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            (RunState::Succeeded, 0),
            (RunState::Failed, 1),
            (RunState::CompletedWithFailures, 3),
            (RunState::Cancelled, 4),
        ];
        for (state, code) in codes {
            assert_eq!(Exit::of_run(state).code(), code, "{state}");
        }
        assert_eq!((Exit::Usage.code(), Exit::Unavailable.code()), (2, 69));
    }
}
