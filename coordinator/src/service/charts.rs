//! Charts, series and tiles of runs: the driver says what runs, the timelines what ran, everything is drawn elsewhere.
//!
//! Viewers of one run share what one of them made a moment ago: a look is taken once for a tick's time
//! ([`Service::recent_chart`]), an answer that was made from it is made once for all who ask the same ([`Look::answer`]), a
//! tile is drawn and encoded once as long as nothing in it changed. Overviews and tiles that were drawn last are kept, each
//! kind within a bound.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common::ids::RunId;
use common::slice::FrozenSource;
use common::time::Time;
use scheduler::WorkerState;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{LookupError, RunView, Service};
use crate::chart::{Arrangement, Overview, Seal, Sums, TileId, Totals};
use crate::driver::{NoSuchRun, Stopped};
use crate::timeline::TimelineView;
use crate::timeline::series::{Bucket, Series};
use crate::timeline::{Known, TimelineError};

/// How long a look is good enough for another viewer.
pub const TICK: Duration = Duration::from_millis(250);
/// How many bytes of overviews are kept, and of tiles.
const OVERVIEW_BYTES: usize = 48 << 20;
const TILE_BYTES: usize = 12 << 20;
/// How many looks are kept, and how many runs' totals.
const KEPT_LOOKS: usize = 64;
const KEPT_TOTALS: usize = 64;
/// How many different answers are kept with a look.
const KEPT_ANSWERS: usize = 256;
/// How many streams of events there may be at once.
const MAX_VIEWERS: usize = 256;

/// What was drawn once and is looked at again. Cloned freely.
#[derive(Clone)]
pub(super) struct Drawn {
    overviews: Kept<(RunId, Arrangement), Mutex<Overview>>,
    tiles: Kept<(RunId, TileId), DrawnTile>,
    looks: Kept<RunId, Taking>,
    totals: Kept<RunId, Mutex<Totals>>,
    viewers: Arc<Semaphore>,
    /// Tells this process from others whose versions mean something else.
    born: u64,
}

/// The newest things of a kind, the newest at the end.
type Kept<K, T> = Arc<Mutex<Vec<(K, Arc<T>)>>>;

/// A look that somebody takes, for all who want it meanwhile.
#[derive(Debug)]
struct Taking {
    begun: Instant,
    look: OnceCell<Arc<Look>>,
}

/// A run and its chart at one moment.
#[derive(Debug)]
pub struct Look {
    /// The run.
    pub view: RunView,
    /// Its chart.
    pub chart: Arc<TimelineView>,
    told: OnceLock<Told>,
    /// What was made of it, by what was asked.
    answers: Mutex<BTreeMap<String, Arc<OnceCell<Bytes>>>>,
}

/// A look as viewers are told of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// What names it: equal when nothing but clocks differs.
    pub id: String,
    /// The text.
    pub text: String,
}

/// A tile as it is sent.
#[derive(Clone, Debug)]
pub struct DrawnTile {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it may change.
    pub seal: Seal,
    /// The epoch it was drawn in.
    pub epoch: u32,
    /// Tells two versions of it apart.
    pub checksum: u64,
    /// The version of the chart in which it was found to have changed last.
    pub changed: u64,
    version: u64,
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
    /// How many tasks of all runs may run at once; `None` leaves it to the slots.
    pub max_concurrent: Option<NonZeroU32>,
    /// When that was.
    pub now: Time,
}

impl Default for Drawn {
    fn default() -> Self {
        Drawn {
            overviews: Kept::default(),
            tiles: Kept::default(),
            looks: Kept::default(),
            totals: Kept::default(),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
            born: RandomState::new().build_hasher().finish(),
        }
    }
}

impl Look {
    /// Returns the look as viewers are told of it; the first one who asks says how.
    pub fn told(&self, tell: impl FnOnce(&Look) -> Told) -> &Told {
        self.told.get_or_init(|| tell(self))
    }

    /// Returns the answer to a question about the look; of those who ask the same at once, one makes it.
    ///
    /// # Errors
    /// What making it fails with.
    pub async fn answer<E>(&self, question: &str, make: impl Future<Output = Result<Bytes, E>>) -> Result<Bytes, E> {
        let answer = self.answer_to(question);
        answer.get_or_try_init(|| make).await.cloned()
    }

    fn answer_to(&self, question: &str) -> Arc<OnceCell<Bytes>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(question) {
            return Arc::clone(answer);
        }
        let answer = Arc::new(OnceCell::new());
        if answers.len() < KEPT_ANSWERS {
            answers.insert(question.to_owned(), Arc::clone(&answer));
        }
        answer
    }
}

impl Service {
    /// Shows a run and its chart as they are now.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::Timeline`] when what is kept cannot be read.
    pub async fn chart(&self, run: RunId) -> Result<(RunView, Arc<TimelineView>), LookupError> {
        let look = self.look(run).await?;
        Ok((look.view.clone(), look.chart.clone()))
    }

    /// Shows a run and its chart as they were at most a [`TICK`] ago.
    ///
    /// # Errors
    /// As [`Service::chart`].
    pub async fn recent_chart(&self, run: RunId) -> Result<Arc<Look>, LookupError> {
        let known = find(&self.drawn.looks, &run).filter(|taking| taking.begun.elapsed() < TICK);
        let taking = known.unwrap_or_else(|| self.keep_look(run, OnceCell::new()));
        taking.look.get_or_try_init(|| self.take_look(run)).await.cloned()
    }

    fn keep_look(&self, run: RunId, look: OnceCell<Arc<Look>>) -> Arc<Taking> {
        let begun = Instant::now();
        let taking = Arc::new(Taking { begun, look });
        keep(&self.drawn.looks, run, Arc::clone(&taking));
        trim(&self.drawn.looks, |looks| looks.len() > KEPT_LOOKS);
        taking
    }

    pub(super) async fn look(&self, run: RunId) -> Result<Arc<Look>, LookupError> {
        let look = self.take_look(run).await?;
        self.keep_look(run, OnceCell::from(Arc::clone(&look)));
        Ok(look)
    }

    async fn take_look(&self, run: RunId) -> Result<Arc<Look>, LookupError> {
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            Ok::<_, NoSuchRun>((view, world.scheduler.outlook(run)))
        });
        let (view, outlook) = found.await??;
        let known = view.known();
        let timelines = Arc::clone(self.driver.timelines());
        let chart = blocking(move || timelines.view(&known, &outlook)).await??;
        Ok(Arc::new(Look {
            view,
            chart: Arc::new(chart),
            told: OnceLock::new(),
            answers: Mutex::default(),
        }))
    }

    /// Draws a tile; `None` when it lies where no tile can be.
    ///
    /// # Errors
    /// As [`Service::chart`].
    pub async fn tile(&self, run: RunId, tile: TileId) -> Result<Option<Arc<DrawnTile>>, LookupError> {
        let look = self.recent_chart(run).await?;
        let (service, chart) = (self.clone(), Arc::clone(&look.chart));
        Ok(blocking(move || service.draw(run, &chart, tile)).await??)
    }

    /// Draws a tile of a chart, unless it is drawn; `None` when it lies where no tile can be. Takes a while: it is for
    /// threads that may wait.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn draw(
        &self,
        run: RunId,
        chart: &TimelineView,
        tile: TileId,
    ) -> Result<Option<Arc<DrawnTile>>, TimelineError> {
        let Some(window) = tile.window() else { return Ok(None) };
        let key = (run, tile);
        let before = find(&self.drawn.tiles, &key);
        let is_current = |drawn: &&Arc<DrawnTile>| {
            drawn.epoch == chart.epoch && (drawn.seal == Seal::Sealed || drawn.version == chart.version)
        };
        if let Some(drawn) = before.as_ref().filter(is_current) {
            return Ok(Some(Arc::clone(drawn)));
        }
        let overviews = &self.drawn.overviews;
        let of_run = (run, tile.by);
        let new = || Arc::new(Mutex::new(Overview::new(chart, tile.by)));
        let overview = find(overviews, &of_run).unwrap_or_else(new);
        let mut drawing = overview.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = drawing.cells(chart, window)?;
        drop(drawing);
        keep(overviews, of_run, overview);
        trim(overviews, |kept| {
            kept.iter().map(|(_, kept)| bytes_of(kept)).sum::<usize>() > OVERVIEW_BYTES
        });
        let seal = chart.seal(&window);
        let bytes = cells.encode(seal, tile.by.shares(tile.r));
        let checksum = checksum(&bytes);
        let is_same = |before: &Arc<DrawnTile>| before.epoch == chart.epoch && before.checksum == checksum;
        let drawn = Arc::new(DrawnTile {
            checksum,
            changed: before.filter(is_same).map_or(chart.version, |before| before.changed),
            bytes: bytes.into(),
            seal,
            epoch: chart.epoch,
            version: chart.version,
        });
        keep(&self.drawn.tiles, key, drawn.clone());
        trim(&self.drawn.tiles, |tiles| {
            tiles.iter().map(|(_, tile)| tile.bytes.len()).sum::<usize>() > TILE_BYTES
        });
        Ok(Some(drawn))
    }

    /// Returns a mark by which a viewer says which state of a chart it has.
    pub fn mark(&self, chart: &TimelineView) -> String {
        format!("{:x}-{}-{}", self.drawn.born, chart.epoch, chart.version)
    }

    /// Returns the version that a mark stands for; `None` when its viewer has nothing that is of use any more.
    pub fn version_of(&self, chart: &TimelineView, mark: &str) -> Option<u64> {
        let version = mark.strip_prefix(&format!("{:x}-{}-", self.drawn.born, chart.epoch))?;
        version.parse().ok()
    }

    /// Adds up what the attempts of a run did and waited.
    ///
    /// # Errors
    /// As [`Service::chart`].
    pub async fn totals(&self, run: RunId) -> Result<Sums, LookupError> {
        let look = self.recent_chart(run).await?;
        let chart = Arc::clone(&look.chart);
        let totals = find(&self.drawn.totals, &run).unwrap_or_default();
        keep(&self.drawn.totals, run, Arc::clone(&totals));
        trim(&self.drawn.totals, |kept| kept.len() > KEPT_TOTALS);
        let sum = move || totals.lock().unwrap_or_else(PoisonError::into_inner).sum(&chart);
        Ok(blocking(sum).await??)
    }

    /// Reads a part of a run's series in at most so many buckets.
    ///
    /// # Errors
    /// As [`Service::chart`].
    pub async fn series(
        &self,
        run: RunId,
        (from_us, to_us): (u64, u64),
        points: usize,
    ) -> Result<(RunView, SeriesPart), LookupError> {
        let view = self.run(run).await?;
        let read = move |series: &Series| series.read(from_us, to_us, points);
        let (bucket_us, buckets) = self.look_at_series(view.known(), read).await?;
        Ok((view, SeriesPart { bucket_us, buckets }))
    }

    /// Returns the strips of runs: batches in flight at so many moments of each.
    ///
    /// # Errors
    /// [`LookupError::Stopped`], or [`LookupError::Timeline`].
    pub async fn sparks(&self, runs: &[RunView], points: usize) -> Result<Vec<Vec<u64>>, LookupError> {
        let known: Vec<Known> = runs.iter().map(RunView::known).collect();
        let timelines = Arc::clone(self.driver.timelines());
        let sparks = blocking(move || {
            let spark = |known: &Known| {
                let until = known.ended.unwrap_or(known.now);
                let end_us = until.0.saturating_sub(known.accepted.0) / 1_000;
                timelines.series(known, |series| series.spark(0, end_us, points))
            };
            known.iter().map(spark).collect::<Result<Vec<_>, _>>()
        });
        Ok(sparks.await??)
    }

    async fn look_at_series<T: Send + 'static>(
        &self,
        known: Known,
        look: impl FnOnce(&Series) -> T + Send + 'static,
    ) -> Result<T, LookupError> {
        let timelines = Arc::clone(self.driver.timelines());
        Ok(blocking(move || timelines.series(&known, look)).await??)
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
                max_concurrent: world.scheduler.coordinator_cap(),
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
}

impl RunView {
    /// Returns what timelines have to know of the run.
    pub(super) fn known(&self) -> Known {
        Known {
            run: self.summary.run,
            accepted: self.summary.accepted,
            ops: self.job.ops.len(),
            ended: self.summary.ended,
            now: self.now,
        }
    }
}

/// Does what may read the disk or take a while.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Stopped)
}

/// What is being drawn by somebody else is taken for what it was at least.
fn bytes_of(overview: &Mutex<Overview>) -> usize {
    overview.try_lock().map_or(0, |overview| overview.bytes())
}

fn find<K: PartialEq, T>(kept: &Kept<K, T>, key: &K) -> Option<Arc<T>> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let found = kept.iter().rev().find(|(known, _)| known == key);
    found.map(|(_, value)| value.clone())
}

fn keep<K: PartialEq, T>(kept: &Kept<K, T>, key: K, value: Arc<T>) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|(known, _)| *known != key);
    kept.push((key, value));
}

/// Lets go of the oldest until there is not too much.
fn trim<K, T>(kept: &Kept<K, T>, is_too_much: impl Fn(&[(K, Arc<T>)]) -> bool) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    while kept.len() > 1 && is_too_much(&kept) {
        kept.remove(0);
    }
}

/// Eight bytes at a time, multiplied and folded: it only has to tell two versions of a tile apart.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}
