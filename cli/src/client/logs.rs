//! What the tasks of a run logged.

use proto::v1;

use super::view::{LogRow, log_row};
use super::{Client, ClientError};

/// Which lines are wanted, as the client asks for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogsWanted {
    pub(crate) op: String,
    pub(crate) batch: String,
    pub(crate) level: Option<common::logs::LogLevel>,
    pub(crate) text: String,
    pub(crate) follow: Follow,
}

/// Whether to wait for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Follow {
    #[default]
    No,
    UntilTheEnd,
}

impl Client {
    /// Calls `take` with what the tasks of a run logged, in order; returns how many lines were not kept.
    pub(crate) async fn logs(
        &mut self,
        id: &str,
        wanted: &LogsWanted,
        mut take: impl FnMut(LogRow),
    ) -> Result<u64, ClientError> {
        let level = wanted.level.map_or(v1::LogLevel::Unspecified, v1::LogLevel::from);
        let request = v1::TailLogsRequest {
            run_id: id.to_owned(),
            op: wanted.op.clone(),
            batch_id: wanted.batch.clone(),
            attempt: 0,
            level: level.into(),
            text: wanted.text.clone(),
            after: 0,
            follow: wanted.follow == Follow::UntilTheEnd,
        };
        let response = self.service.tail_logs(request).await;
        let mut pages = response.map_err(|status| self.refusal(status))?.into_inner();
        let mut dropped = 0;
        while let Some(page) = pages.message().await.map_err(|status| self.refusal(status))? {
            dropped = page.dropped;
            page.lines.into_iter().for_each(|line| take(log_row(line)));
        }
        Ok(dropped)
    }
}
