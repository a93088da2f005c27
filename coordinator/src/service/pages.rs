//! A run's timeline page by page, as it was at one moment: what exports and streams are made of.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::failure::Failure;
use common::ids::RunId;
use common::timeline::TimelineEntry;

use super::charts::blocking;
use super::{Look, LookupError, Service};
use crate::timeline::{TimelineError, TimelineView};

/// How many attempts a page has at most.
const PAGE: usize = 2_000;

/// An attempt with its place in the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its place, which names it for ever once it has ended.
    pub id: u64,
    /// What happened.
    pub entry: TimelineEntry,
    /// Why it failed, if it did and that is kept.
    pub failure: Option<Failure>,
}

/// Some attempts in the order in which they ended, behind them those that run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimelinePage {
    /// The attempts.
    pub attempts: Vec<Attempt>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<u64>,
}

impl TimelinePage {
    /// Reads a page that begins at a place.
    fn read(chart: &TimelineView, first: u64) -> Result<TimelinePage, TimelineError> {
        let mut page = TimelinePage::default();
        chart.rows_from(first, |id, row| {
            if page.attempts.len() == PAGE {
                page.next = Some(id);
                return ControlFlow::Break(());
            }
            page.attempts.push(Attempt {
                id,
                entry: chart.entry(row),
                failure: chart.failures.of_task(id).cloned(),
            });
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }
}

impl Service {
    /// Looks at a run's timeline as it is now.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::Timeline`] when what is kept cannot be read.
    pub async fn timeline(&self, run: RunId) -> Result<Arc<Look>, LookupError> {
        self.look(run).await
    }

    /// Reads a page of a timeline that was looked at, from a place on.
    ///
    /// # Errors
    /// [`LookupError::Timeline`] when what is kept cannot be read.
    pub async fn timeline_page(&self, look: &Arc<Look>, first: u64) -> Result<TimelinePage, LookupError> {
        let chart = Arc::clone(&look.chart);
        Ok(blocking(move || TimelinePage::read(&chart, first)).await??)
    }
}
