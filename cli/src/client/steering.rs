//! What runs are told while they go on, and what they were told.

pub(crate) use common::steering::CancelMode;
use proto::v1;
use serde::Serialize;

use super::view::{RunView, run_view};
use super::{Client, ClientError, with_timeout};

/// One thing that happened to a run as a whole.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ActivityView {
    /// When, as in RFC 3339.
    pub(crate) time: String,
    /// What kind of thing: a command or a milestone.
    pub(crate) kind: String,
    /// Who gave the command.
    pub(crate) by: Option<String>,
    /// What happened.
    pub(crate) message: String,
}

impl Client {
    /// Asks for a run to be cancelled and returns it as it is then.
    pub(crate) async fn cancel(&mut self, id: &str, mode: CancelMode) -> Result<RunView, ClientError> {
        let mode = match mode {
            CancelMode::Now => v1::CancelMode::Now,
            CancelMode::AfterRunning => v1::CancelMode::AfterRunning,
        };
        let request = v1::CancelRunRequest {
            run_id: id.to_owned(),
            mode: mode.into(),
        };
        let response = self.service.cancel_run(with_timeout(request)).await;
        run_view(response.map_err(|status| self.refusal(status))?.into_inner().run)
    }

    /// Asks for a run to begin nothing more, and returns it when nothing of it can begin.
    pub(crate) async fn pause(&mut self, id: &str) -> Result<RunView, ClientError> {
        let request = v1::PauseRunRequest { run_id: id.to_owned() };
        let response = self.service.pause_run(with_timeout(request)).await;
        run_view(response.map_err(|status| self.refusal(status))?.into_inner().run)
    }

    /// Asks for a paused run to go on and returns it as it is then.
    pub(crate) async fn resume(&mut self, id: &str) -> Result<RunView, ClientError> {
        let request = v1::ResumeRunRequest { run_id: id.to_owned() };
        let response = self.service.resume_run(with_timeout(request)).await;
        run_view(response.map_err(|status| self.refusal(status))?.into_inner().run)
    }

    /// Lists what happened to a run as a whole, oldest first.
    pub(crate) async fn activity(&mut self, id: &str) -> Result<Vec<ActivityView>, ClientError> {
        let request = v1::ListActivityRequest { run_id: id.to_owned() };
        let response = self.service.list_activity(with_timeout(request)).await;
        let entries = response.map_err(|status| self.refusal(status))?.into_inner().entries;
        Ok(entries.into_iter().map(activity_view).collect())
    }
}

fn activity_view(entry: v1::Activity) -> ActivityView {
    ActivityView {
        time: entry.time.map(|time| time.to_string()).unwrap_or_default(),
        kind: entry.kind,
        by: Some(entry.by).filter(|by| !by.is_empty()),
        message: entry.message,
    }
}
