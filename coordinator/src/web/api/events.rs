//! Live events: at most 4 ticks a second a viewer, whatever happens; a tick is made when the viewer can take it.
//!
//! There is no queue: a stream is polled by the connection, looks, and says what is new. So a slow viewer gets the newest
//! tick and none of those it missed, and costs nothing meanwhile. The id of a tick is a checksum of what it says,
//! clocks left out: a viewer that comes back and has seen it is told nothing until something changes.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use common::ids::RunId;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::{Problem, run_id, runs, shapes};
use crate::service::{LookupError, PageRequest, RunView, Service, TICK, Told};

/// How often a quiet stream says that it is there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After how long a browser connects again.
const RETRY: Duration = Duration::from_secs(1);
/// How many runs a tick of all has at most.
const MAX_RUNS: u32 = 50;

/// Where a viewer is.
struct Viewer {
    service: Service,
    _permit: OwnedSemaphorePermit,
    /// The id of what it saw last.
    seen: String,
    next: Instant,
    /// Runs that were live in the last tick: once more when they have ended.
    live: BTreeSet<RunId>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Following,
    Over,
}

/// What a look came to.
struct Tick {
    name: &'static str,
    id: String,
    text: String,
}

pub(super) async fn of_run(
    State(service): State<Service>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    service.run(run).await?;
    let viewer = Viewer::new(service, &headers)?;
    let ticks = unfold(viewer, move |mut viewer| async move {
        loop {
            viewer.wait().await?;
            let tick = look_at_run(&viewer.service, run).await.ok()?;
            if tick.name == "end" {
                viewer.phase = Phase::Over;
            }
            if let Some(event) = viewer.tell(tick) {
                return Some((Ok::<_, Infallible>(event), viewer));
            }
        }
    });
    Ok(Sse::new(ticks)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

pub(super) async fn of_all(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    let viewer = Viewer::new(service, &headers)?;
    let ticks = unfold(viewer, |mut viewer| async move {
        loop {
            viewer.wait().await?;
            let tick = viewer.look_at_all().await.ok()?;
            if let Some(event) = viewer.tell(tick) {
                return Some((Ok::<_, Infallible>(event), viewer));
            }
        }
    });
    Ok(Sse::new(ticks)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

impl Viewer {
    fn new(service: Service, headers: &HeaderMap) -> Result<Viewer, Problem> {
        let permit = service.admit_viewer().ok_or_else(|| {
            let detail = "too many viewers follow events; close some pages";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_VIEWERS", detail)
        })?;
        let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        Ok(Viewer {
            service,
            _permit: permit,
            seen: seen.unwrap_or_default().to_owned(),
            next: Instant::now(),
            live: BTreeSet::new(),
            phase: Phase::Following,
        })
    }

    /// Waits until the next tick may be; `None` when there will be none.
    async fn wait(&mut self) -> Option<()> {
        if self.phase == Phase::Over {
            return None;
        }
        sleep_until(self.next).await;
        self.next = Instant::now() + TICK;
        Some(())
    }

    /// Makes an event of a tick, if the viewer has not seen it. The end is told always, or a viewer that comes back
    /// would wait for ever.
    fn tell(&mut self, tick: Tick) -> Option<Event> {
        if tick.id == self.seen && tick.name != "end" {
            return None;
        }
        self.seen.clone_from(&tick.id);
        let event = Event::default().event(tick.name).id(tick.id).retry(RETRY);
        Some(event.data(tick.text))
    }

    async fn look_at_all(&mut self) -> Result<Tick, LookupError> {
        let page = PageRequest {
            size: Some(MAX_RUNS),
            token: String::new(),
        };
        let found = self.service.runs(page).await?.items;
        let cluster = self.service.cluster().await?;
        let is_live = |view: &&RunView| view.summary.ended.is_none();
        let live: BTreeSet<RunId> = found.iter().filter(is_live).map(|view| view.summary.run).collect();
        let told = found
            .iter()
            .filter(|view| view.summary.ended.is_none() || self.live.contains(&view.summary.run));
        let told: Vec<&RunView> = told.collect();
        let newest = found.first().map(|view| view.summary.run);
        let marks: Vec<_> = told.iter().map(|view| mark_of(view)).collect();
        let id = checksum(&(
            marks,
            newest,
            cluster.workers,
            cluster.slots,
            cluster.busy,
            cluster.runs_live,
        ));
        let runs: Vec<Value> = told.into_iter().map(shapes::run).collect();
        let text = json!({"runs": runs, "cluster": runs::cluster_shape(&cluster)}).to_string();
        self.live = live;
        Ok(Tick { name: "tick", id, text })
    }
}

/// Viewers of a run who look within a tick share what one of them found, text and all.
async fn look_at_run(service: &Service, run: RunId) -> Result<Tick, LookupError> {
    let look = service.recent_chart(run).await?;
    let told = look.told(|look| Told {
        id: checksum(&(mark_of(&look.view), look.chart.version, look.chart.epoch)),
        text: json!({"run": shapes::run(&look.view), "chart": shapes::chart_head(&look.chart)}).to_string(),
    });
    Ok(Tick {
        name: if look.view.summary.ended.is_some() {
            "end"
        } else {
            "tick"
        },
        id: told.id.clone(),
        text: told.text.clone(),
    })
}

/// What of a run is not a clock.
fn mark_of(view: &RunView) -> String {
    serde_json::to_string(&*view.summary).unwrap_or_default()
}

fn checksum(what: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
