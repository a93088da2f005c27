//! Charts, series and tiles of runs: the driver only shares rows, everything is drawn elsewhere.
//!
//! Overviews are kept for the runs that were looked at last. The chart of a run that this process did not see is made
//! again from its timeline, once.
//!
//! Known weakness: a chart made again has no errors of its failures and no series, because the timeline has none.

use std::sync::{Arc, Mutex, PoisonError};

use common::ids::RunId;
use common::slice::FrozenSource;
use common::time::Time;
use scheduler::WorkerState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{LookupError, RunView, Service};
use crate::chart::series::Bucket;
use crate::chart::{Arrangement, Chart, ChartView, Overview, Reported, Seal, TileId};
use crate::driver::{NoSuchRun, Stopped};

/// How many overviews are kept.
const KEPT_OVERVIEWS: usize = 4;
/// How many charts are kept that were made again.
const KEPT_CHARTS: usize = 2;
/// How many streams of events there may be at once.
const MAX_VIEWERS: usize = 256;

/// What was drawn once and is looked at again. Cloned freely.
#[derive(Clone)]
pub(super) struct Drawn {
    overviews: Kept<(RunId, Arrangement), Mutex<Overview>>,
    charts: Kept<RunId, ChartView>,
    viewers: Arc<Semaphore>,
}

/// The newest things of a kind, the newest last.
type Kept<K, T> = Arc<Mutex<Vec<(K, Arc<T>)>>>;

/// A tile as it is sent.
#[derive(Clone, Debug)]
pub struct DrawnTile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it may change.
    pub seal: Seal,
    /// The epoch it was drawn in.
    pub epoch: u32,
}

/// A part of a run's series.
#[derive(Clone, Debug, Default)]
pub struct SeriesPart {
    /// The length of a bucket in microseconds.
    pub bucket_us: u64,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

/// What the cluster is like now.
#[derive(Clone, Copy, Debug)]
pub struct ClusterView {
    /// Workers that are not lost.
    pub workers: u64,
    /// Their slots.
    pub slots: u64,
    /// Slots that run something.
    pub busy: u64,
    /// Runs that have not ended.
    pub runs_live: usize,
    /// When that was.
    pub now: Time,
}

impl Default for Drawn {
    fn default() -> Self {
        Drawn {
            overviews: Kept::default(),
            charts: Kept::default(),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
        }
    }
}

impl Service {
    /// Shows a run and its chart.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn chart(&self, run: RunId) -> Result<(RunView, Arc<ChartView>), LookupError> {
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            let now = world.now;
            let chart = world.charts.get_mut(run).map(|run| run.chart.view(now));
            Ok::<_, NoSuchRun>((view, chart))
        });
        let (view, chart) = found.await??;
        let chart = match chart {
            Some(chart) => Arc::new(chart),
            None => self.chart_of_timeline(&view).await?,
        };
        Ok((view, chart))
    }

    /// Draws a tile; `None` when it lies where no tile can be.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn tile(&self, run: RunId, tile: TileId) -> Result<Option<DrawnTile>, LookupError> {
        let Some(window) = tile.window() else { return Ok(None) };
        let (_, chart) = self.chart(run).await?;
        let overviews = self.drawn.overviews.clone();
        let drawn = tokio::task::spawn_blocking(move || {
            let overview = keep(&overviews, (run, tile.by), KEPT_OVERVIEWS, || {
                Mutex::new(Overview::new(&chart, tile.by))
            });
            let mut overview = overview.lock().unwrap_or_else(PoisonError::into_inner);
            let cells = overview.cells(&chart, window);
            drop(overview);
            let seal = chart.seal(&window);
            DrawnTile {
                bytes: cells.encode(seal),
                seal,
                epoch: chart.epoch,
            }
        });
        Ok(Some(drawn.await.map_err(|_| Stopped)?))
    }

    /// Reads a part of a run's series in at most so many buckets.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn series(
        &self,
        run: RunId,
        (from_us, to_us): (u64, u64),
        points: usize,
    ) -> Result<(RunView, SeriesPart), LookupError> {
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            let read = |series: &crate::chart::series::Series| series.read(from_us, to_us, points);
            let part = world.charts.get_mut(run).map(|run| read(&run.series));
            let (bucket_us, buckets) = part.unwrap_or_default();
            Ok::<_, NoSuchRun>((view, SeriesPart { bucket_us, buckets }))
        });
        Ok(found.await??)
    }

    /// Returns the strips of runs: batches in flight at so many moments of each.
    ///
    /// # Errors
    /// [`LookupError::Stopped`].
    pub async fn sparks(&self, runs: Vec<RunId>, points: usize) -> Result<Vec<Vec<u64>>, LookupError> {
        let found = self.driver.read(move |world| {
            let now = world.now;
            let mut spark = |run| {
                let chart = world.charts.get_mut(run)?;
                let end_us = chart.chart.view(now).end_us;
                Some(chart.series.spark(0, end_us, points))
            };
            runs.into_iter().map(|run| spark(run).unwrap_or_default()).collect()
        });
        Ok(found.await?)
    }

    /// Returns a run's listing.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn source(&self, run: RunId) -> Result<Arc<FrozenSource>, LookupError> {
        let found = self.driver.read(move |world| {
            let entry = world.registry.run(run).ok_or(NoSuchRun { run })?;
            Ok::<_, NoSuchRun>(entry.source.clone())
        });
        Ok(found.await??)
    }

    /// Counts workers, slots and live runs.
    ///
    /// # Errors
    /// [`LookupError::Stopped`].
    pub async fn cluster(&self) -> Result<ClusterView, LookupError> {
        let found = self.driver.read(|world| {
            let mut cluster = ClusterView {
                workers: 0,
                slots: 0,
                busy: 0,
                runs_live: world.scheduler.runs().count(),
                now: world.now,
            };
            for worker in world.scheduler.workers() {
                let is_here = worker.state != WorkerState::Fenced;
                cluster.workers += u64::from(is_here);
                cluster.slots += if is_here { u64::from(worker.slots) } else { 0 };
                cluster.busy += u64::from(worker.busy);
            }
            cluster
        });
        Ok(found.await?)
    }

    /// Lets one more viewer follow events, unless there are too many.
    pub fn admit_viewer(&self) -> Option<OwnedSemaphorePermit> {
        self.drawn.viewers.clone().try_acquire_owned().ok()
    }

    async fn chart_of_timeline(&self, view: &RunView) -> Result<Arc<ChartView>, LookupError> {
        let run = view.summary.run;
        let kept = |charts: &Kept<RunId, ChartView>| {
            let charts = charts.lock().unwrap_or_else(PoisonError::into_inner);
            charts
                .iter()
                .find(|(known, _)| *known == run)
                .map(|(_, chart)| chart.clone())
        };
        if let Some(chart) = kept(&self.drawn.charts) {
            return Ok(chart);
        }
        let mut chart = Chart::new(view.summary.accepted, view.job.ops.len(), view.job.last_op());
        let mut first = 0;
        loop {
            let (_, entries) = self.timeline(run, first).await?;
            if entries.is_empty() {
                break;
            }
            first += entries.len();
            for entry in &entries {
                chart.record(&Reported {
                    entry,
                    failure: None,
                    slots: 0,
                });
            }
        }
        let Some(ended) = view.summary.ended else {
            return Ok(Arc::new(chart.view(view.now)));
        };
        chart.finish(ended);
        Ok(keep(&self.drawn.charts, run, KEPT_CHARTS, || chart.view(ended)))
    }
}

/// Returns what is kept under a key, or makes it; the one not wanted for the longest time goes.
fn keep<K: PartialEq, T>(kept: &Kept<K, T>, key: K, most: usize, make: impl FnOnce() -> T) -> Arc<T> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept.iter().position(|(known, _)| *known == key);
    let value = known.map_or_else(|| Arc::new(make()), |place| kept.remove(place).1);
    kept.push((key, value.clone()));
    if kept.len() > most {
        kept.remove(0);
    }
    value
}
