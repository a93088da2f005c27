//! Steering runs: each command is answered when it cannot be lost any more and is in effect, with the run as it is then.

use common::ids::RunId;
use common::steering::{Asker, RunCommand};
use scheduler::Ask;

use super::{LookupError, RunView, Service};
use crate::driver::NotDone;

impl Service {
    /// Tells a run to do something, and shows it as it is then.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::Refused`] when its state does not allow it.
    pub async fn steer(&self, by: Asker, run: RunId, command: RunCommand) -> Result<RunView, LookupError> {
        self.driver.command(by, Ask::Run { run, command }).await??;
        self.run(run).await
    }
}

impl From<NotDone> for LookupError {
    fn from(reason: NotDone) -> Self {
        match reason {
            NotDone::NoSuchRun(unknown) => unknown.into(),
            NotDone::Refused(refused) => refused.into(),
        }
    }
}
