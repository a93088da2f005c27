//! Limits while runs go on: changes of a run's, pools, the coordinator's cap, and why nothing more begins.

use std::num::NonZeroU32;
use std::sync::Arc;

use common::explain::Explanation;
use common::ids::RunId;
use common::job::{InvalidJob, Job, LimitsChange, PoolName};
use common::steering::{Asker, RunCommand};
use scheduler::{Ask, PoolView};

use super::{LookupError, RunView, Service};
use crate::driver::NoSuchRun;

impl Service {
    /// Changes limits of a run, and shows it as it is then. `read` makes the change, given the run's job.
    ///
    /// # Errors
    /// [`LookupError::Invalid`] names every field that is wrong; [`LookupError::NoSuchRun`]; [`LookupError::Refused`].
    pub async fn change_limits(
        &self,
        by: Asker,
        run: RunId,
        read: impl FnOnce(&Job) -> Result<LimitsChange, InvalidJob>,
    ) -> Result<RunView, LookupError> {
        let view = self.run(run).await?;
        let change = read(&view.job)?;
        self.steer(by, run, RunCommand::ChangeLimits(change)).await
    }

    /// Explains why nothing more of a run begins now.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::RunEnded`].
    pub async fn explain(&self, run: RunId) -> Result<(RunView, Explanation), LookupError> {
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            Ok::<_, NoSuchRun>((view, world.scheduler.explain(run)))
        });
        let (view, explanation) = found.await??;
        let explanation = explanation.ok_or(LookupError::RunEnded { run })?;
        Ok((view, explanation))
    }

    /// Lists the limits that runs share, by name.
    ///
    /// # Errors
    /// [`LookupError::Stopped`].
    pub async fn pools(&self) -> Result<Vec<PoolView>, LookupError> {
        Ok(self.driver.read(|world| world.scheduler.pools().collect()).await?)
    }

    /// Sets a limit that runs share, and shows it as it is then.
    ///
    /// # Errors
    /// [`LookupError::Stopped`].
    pub async fn set_pool(&self, by: Asker, pool: PoolName, limit: NonZeroU32) -> Result<PoolView, LookupError> {
        let ask = Ask::SetPool {
            pool: pool.clone(),
            limit,
        };
        self.driver.command(by, ask).await??;
        let unused = PoolView {
            name: pool.clone(),
            limit: limit.get(),
            used: 0,
            holders: Vec::new(),
        };
        let found = self.pools().await?.into_iter().find(|view| view.name == pool);
        Ok(found.unwrap_or(unused))
    }

    /// Sets the coordinator's own cap, or takes it off, and returns it.
    ///
    /// # Errors
    /// [`LookupError::Stopped`].
    pub async fn set_cap(&self, by: Asker, cap: Option<NonZeroU32>) -> Result<Option<NonZeroU32>, LookupError> {
        self.driver.command(by, Ask::SetCap { cap }).await??;
        Ok(self.driver.read(|world| world.scheduler.coordinator_cap()).await?)
    }

    /// Returns a run's job as it was submitted.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn submitted_job(&self, run: RunId) -> Result<Arc<Job>, LookupError> {
        let found = self
            .driver
            .read(move |world| world.registry.run(run).map(|entry| entry.job.clone()));
        Ok(found.await?.ok_or(NoSuchRun { run })?)
    }
}
