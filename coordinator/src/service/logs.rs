//! What the tasks of a run logged: read page by page, or followed until the run has ended.

use std::sync::Arc;
use std::time::Duration;

use common::ids::RunId;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::sleep;

use super::charts::blocking;
use super::{LookupError, RunView, Service};
use crate::timeline::{LogEnd, LogFilter, LogPage};

/// How often it is looked for more lines.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How many lines a page of a followed log has at most.
const PAGE: usize = 500;

/// Whether to wait for more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Those that are there.
    No,
    /// Until the run has ended.
    UntilTheEnd,
}

impl Service {
    /// Reads up to `limit` lines that pass a filter, from a number on.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::Timeline`] when what is kept cannot be read.
    pub async fn logs(
        &self,
        run: RunId,
        filter: LogFilter,
        from: u64,
        limit: usize,
    ) -> Result<(RunView, LogPage), LookupError> {
        let view = self.run(run).await?;
        let known = view.known();
        let timelines = Arc::clone(self.driver.timelines());
        let page = blocking(move || timelines.logs(&known)?.read(&filter, from, limit)).await??;
        Ok((view, page))
    }

    /// Reads lines in pages that have any, from a number on; an error ends them.
    pub fn tail_logs(
        &self,
        run: RunId,
        filter: LogFilter,
        from: u64,
        follow: Follow,
    ) -> impl Stream<Item = Result<(RunView, LogPage), LookupError>> + Send + use<> {
        let service = self.clone();
        unfold(Some((service, filter, from)), move |state| async move {
            let (service, filter, mut from) = state?;
            loop {
                let (view, page) = match service.logs(run, filter.clone(), from, PAGE).await {
                    Ok(found) => found,
                    Err(error) => return Some((Err(error), None)),
                };
                from = page.next;
                // The run is looked at before its lines, so that an ended one has all of them.
                let is_over = view.summary.ended.is_some() || follow == Follow::No;
                let is_last = page.end == LogEnd::Reached && is_over;
                if !page.lines.is_empty() {
                    let next = (!is_last).then_some((service, filter, from));
                    return Some((Ok((view, page)), next));
                }
                if is_last {
                    return None;
                }
                if page.end == LogEnd::Reached {
                    sleep(LOOK_AGAIN).await;
                }
            }
        })
    }
}
