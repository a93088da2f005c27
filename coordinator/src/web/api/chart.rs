//! The chart of a run: axes, viewports, tiles, bars, series, tables.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::ids::{BatchId, RunId, WorkerName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, run_id, shapes};
use crate::chart::{Area, Arrangement, Found, Seal, TILE_COLUMNS, TILE_ROWS, TaskFilter, TileId};
use crate::service::{DrawnTile, Service};
use crate::timeline::TimelineView;
use crate::timeline::{NAMES, Outcome, TimelineError};

/// How many attempts are shown as bars at most, unless a client says so.
const BARS: usize = 4_000;
const MAX_BARS: usize = 20_000;
/// How high a cell is at least, in pixels.
const CELL_HEIGHT: u64 = 3;
const MAX_PAGE: usize = 1_000;
/// How many attempts of an area are counted at most.
const MAX_COUNT: usize = 20_000_000;

type Answer = Result<Json<Value>, Problem>;

/// A part of the chart, and which attempts of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AreaQuery {
    by: Option<String>,
    from_us: Option<u64>,
    to_us: Option<u64>,
    first_row: Option<u64>,
    last_row: Option<u64>,
    width: Option<u64>,
    height: Option<u64>,
    limit: Option<usize>,
    points: Option<usize>,
    page_size: Option<usize>,
    page_token: String,
    state: Option<String>,
    op: Option<u16>,
    batch: Option<String>,
    worker: Option<String>,
    error: Option<String>,
    v: Option<u32>,
    inline: Option<u8>,
    since: String,
}

impl AreaQuery {
    fn area(&self) -> Result<Area, Problem> {
        let by = self.by.as_deref().unwrap_or("batch").parse();
        let all = Area::all(by.map_err(|problem| Problem::field("by", problem))?);
        Ok(Area {
            from_us: self.from_us.unwrap_or(all.from_us),
            to_us: self.to_us.unwrap_or(all.to_us),
            first_row: self.first_row.unwrap_or(all.first_row),
            end_row: self.last_row.map_or(all.end_row, |last| last.saturating_add(1)),
            ..all
        })
    }

    fn filter(&self) -> Result<TaskFilter, Problem> {
        let outcome = self.state.as_deref().map(|state| {
            let known = Outcome::ALL.into_iter().find(|known| known.as_str() == state);
            known.ok_or_else(|| Problem::field("state", "is no state of a task"))
        });
        let batch = self.batch.as_deref().map(|batch| {
            let parsed: Result<BatchId, _> = batch.parse();
            parsed.map_err(|error| Problem::field("batch", error.to_string()))
        });
        let worker = self
            .worker
            .as_deref()
            .map(|name| WorkerName::new(name).map_err(|error| Problem::field("worker", error.to_string())));
        Ok(TaskFilter {
            area: self.area()?,
            outcome: outcome.transpose()?,
            op: self.op,
            batch: batch.transpose()?,
            worker: worker.transpose()?,
            error: self.error.clone(),
        })
    }
}

pub(super) async fn axes(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let (view, chart) = service.chart(run_id(&run)?).await?;
    Ok(Json(shapes::chart(&view, &chart)))
}

/// What is seen of a part of a chart: bars, or columns with their tiles. All who ask the same within a tick get the same bytes.
pub(super) async fn view(
    State(service): State<Service>,
    Path(run): Path<String>,
    RawQuery(question): RawQuery,
    Query(query): Query<AreaQuery>,
) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let look = service.recent_chart(run).await?;
    let question = question.unwrap_or_default();
    let is_inline = query.inline == Some(1);
    let area = query.area()?;
    let (service, chart) = (service.clone(), Arc::clone(&look.chart));
    let make = async move {
        let made = tokio::task::spawn_blocking(move || view_of(&service, run, &chart, area, &query));
        Ok::<Bytes, Problem>(made.await.map_err(|_| crate::driver::Stopped)??)
    };
    let answer = look.answer(&question, make).await?;
    let kind = if is_inline {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let named = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    Ok((named, answer).into_response())
}

fn view_of(
    service: &Service,
    run: RunId,
    chart: &TimelineView,
    mut area: Area,
    query: &AreaQuery,
) -> Result<Bytes, TimelineError> {
    area.to_us = area.to_us.min(chart.end_us + 1).max(area.from_us + 1);
    area.end_row = area.end_row.min(chart.row_count(area.by)).max(area.first_row);
    let width = query.width.unwrap_or(1_200).clamp(64, 4_096);
    let height = query.height.unwrap_or(600).clamp(64, 4_096);
    let tasks = chart.count_in(area, MAX_COUNT)?;
    let k = level((area.to_us - area.from_us).div_ceil(width));
    let r = level((area.end_row - area.first_row).div_ceil(height / CELL_HEIGHT));
    let has_bars = tasks <= BARS;
    let bars = if has_bars {
        bars_shape(chart, area, BARS)?
    } else {
        Value::Null
    };
    let places = if has_bars { Vec::new() } else { tiles_in(area, (k, r)) };
    let since = service.version_of(chart, &query.since);
    let mut tiles = Vec::new();
    let mut drawn = Vec::new();
    for id in places {
        let is_sealed = id.window().is_some_and(|window| chart.seal(&window) == Seal::Sealed);
        let is_wanted = query.inline == Some(1) && !(since.is_some() && is_sealed);
        let tile = if is_wanted { service.draw(run, chart, id)? } else { None };
        let news = tile.filter(|tile| since.is_none_or(|since| tile.changed > since));
        tiles.push(json!({
            "i": id.i,
            "j": id.j,
            "sealed": is_sealed,
            "url": format!("/api/runs/{run}/tiles/{}/{k}/{r}/{}/{}?v={}", area.by.as_str(), id.i, id.j, chart.epoch),
            "bytes": news.as_ref().map(|tile| tile.bytes.len()),
        }));
        drawn.extend(news);
    }
    let shape = json!({
        "by": area.by.as_str(),
        "shown": if has_bars { "bars" } else { "columns" },
        "tasks": tasks,
        "tasks_exact": tasks < MAX_COUNT,
        "epoch": chart.epoch,
        "mark": service.mark(chart),
        "k": k,
        "r": r,
        "column_us": 1_u64 << k,
        "rows_per_cell": 1_u64 << r,
        "tiles": tiles,
        "bars": bars,
    });
    let text = shape.to_string();
    if query.inline != Some(1) {
        return Ok(text.into());
    }
    Ok(with_tiles(&text, &drawn).into())
}

/// The text of a view and the tiles behind it, each from a multiple of eight bytes on.
fn with_tiles(text: &str, tiles: &[Arc<DrawnTile>]) -> Vec<u8> {
    let most = 16 + text.len() + tiles.iter().map(|tile| tile.bytes.len() + 8).sum::<usize>();
    let mut bytes = Vec::with_capacity(most);
    bytes.extend(b"PLV1");
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
    for tile in tiles {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(&tile.bytes);
    }
    bytes
}

/// The least level whose cells hold so much.
fn level(extent: u64) -> u32 {
    extent.max(1).next_power_of_two().trailing_zeros()
}

fn tiles_in(area: Area, (k, r): (u32, u32)) -> Vec<TileId> {
    let (columns, rows) = ((TILE_COLUMNS as u64) << k, (TILE_ROWS as u64) << r);
    let lines = area.first_row / rows..=area.end_row.saturating_sub(1) / rows;
    let places = lines.flat_map(|j| (area.from_us / columns..=(area.to_us - 1) / columns).map(move |i| (i, j)));
    let tile = |(i, j)| TileId {
        by: area.by,
        k,
        r,
        i,
        j,
    };
    places.map(tile).collect()
}

pub(super) async fn totals(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let sums = service.totals(run_id(&run)?).await?;
    let waits = sums
        .waits
        .map(|waits| json!({"p50_us": waits.p50_us, "p95_us": waits.p95_us}));
    Ok(Json(
        json!({"tasks": sums.tasks, "busy_us": sums.busy_us, "waits": waits}),
    ))
}

pub(super) async fn bars(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<AreaQuery>,
) -> Answer {
    let (_, chart) = service.chart(run_id(&run)?).await?;
    let area = query.area()?;
    let limit = query.limit.unwrap_or(BARS).min(MAX_BARS);
    let bars = tokio::task::spawn_blocking(move || bars_shape(&chart, area, limit));
    Ok(Json(bars.await.map_err(|_| crate::driver::Stopped)??))
}

fn bars_shape(chart: &TimelineView, area: Area, limit: usize) -> Result<Value, TimelineError> {
    let found = chart.tasks_in(area, 0, limit + 1)?;
    let is_exact = found.len() <= limit;
    let tasks = if is_exact {
        found.len()
    } else {
        chart.count_in(area, MAX_COUNT)?
    };
    let shown: &[Found] = if is_exact { &found } else { &[] };
    let column = |value: &dyn Fn(&Found) -> Value| shown.iter().map(value).collect::<Vec<_>>();
    Ok(json!({
        "exact": is_exact,
        "tasks": tasks,
        "id": column(&|found| found.id.into()),
        "rows": column(&|found| chart.row_of(&found.task, area.by).into()),
        "batch": column(&|found| found.task.batch_id().map(|batch| batch.to_string()).into()),
        "op": column(&|found| found.task.op.into()),
        "attempt": column(&|found| found.task.attempt.into()),
        "lane": column(&|found| found.task.lane.into()),
        "state": column(&|found| (found.task.outcome as u8).into()),
        "queued_us": column(&|found| found.task.queued.into()),
        "start_us": column(&|found| found.task.started.into()),
        "end_us": column(&|found| found.task.ended.into()),
    }))
}

pub(super) async fn tile(
    State(service): State<Service>,
    Path((run, by, k, r, i, j)): Path<(String, String, u32, u32, u64, u64)>,
    Query(query): Query<AreaQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let by: Arrangement = by.parse().map_err(|problem: String| Problem::field("by", problem))?;
    let tile = service.tile(run_id(&run)?, TileId { by, k, r, i, j }).await?;
    let tile = tile.ok_or_else(|| Problem::field("tile", "lies where no tile can be"))?;
    let etag = format!("\"{:016x}\"", tile.checksum);
    let is_immutable = tile.seal == Seal::Sealed && query.v == Some(tile.epoch);
    let cache = if is_immutable {
        "private, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let named = [(header::ETAG, etag), (header::CACHE_CONTROL, cache.to_owned())];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, named).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((named, kind, tile.bytes.clone()).into_response())
}

pub(super) async fn series(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<AreaQuery>,
) -> Answer {
    let span = (query.from_us.unwrap_or(0), query.to_us.unwrap_or(u64::MAX));
    let points = query.points.unwrap_or(600).clamp(2, 4_096);
    let (view, part) = service.series(run_id(&run)?, span, points).await?;
    let queues = view.job.ops.iter().map(|op| format!("queue:{}", op.name));
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).chain(queues).collect();
    let value = |series: usize, place: usize| {
        let buckets = part.buckets.iter();
        buckets
            .map(|bucket| bucket.values.get(series).map_or(0, |values| values[place]))
            .collect::<Vec<u64>>()
    };
    let each = |place: usize| (0..names.len()).map(|series| value(series, place)).collect::<Vec<_>>();
    Ok(Json(json!({
        "bucket_us": part.bucket_us,
        "from_us": part.buckets.first().map_or(0, |bucket| bucket.t_us),
        "t_us": part.buckets.iter().map(|bucket| bucket.t_us).collect::<Vec<_>>(),
        "min": each(0),
        "max": each(1),
        "last": each(2),
        "names": names,
    })))
}

pub(super) async fn tasks(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<AreaQuery>,
) -> Answer {
    let (_, chart) = service.chart(run_id(&run)?).await?;
    let filter = query.filter()?;
    let from = match query.page_token.as_str() {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| Problem::field("page_token", "pass on next_page_token as it came"))?,
    };
    let size = query.page_size.unwrap_or(100).clamp(1, MAX_PAGE);
    let page = tokio::task::spawn_blocking(move || {
        let mut found = chart.filter(&filter, from, size + 1)?;
        let next = found.get(size).map(|(id, _)| id.to_string()).unwrap_or_default();
        found.truncate(size);
        let tasks: Vec<_> = found.iter().map(|(id, row)| shapes::task(&chart, *id, row)).collect();
        Ok::<_, TimelineError>(json!({"tasks": tasks, "next_page_token": next}))
    });
    Ok(Json(page.await.map_err(|_| crate::driver::Stopped)??))
}

pub(super) async fn failures(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let (_, chart) = service.chart(run_id(&run)?).await?;
    let groups = chart.failures.groups().into_iter().map(|group| {
        let batches: Vec<String> = group.batches.iter().map(ToString::to_string).collect();
        json!({
            "op": group.op,
            "error": group.error,
            "example": group.example.message,
            "kind": group.example.kind.as_str(),
            "attempts": group.attempts,
            "first_batch": batches.first(),
            "first_task": group.first_task,
            "batches": batches,
            "workers": group.workers.iter().map(WorkerName::as_str).collect::<Vec<_>>(),
            "first_us": group.first_us,
            "last_us": group.last_us,
        })
    });
    Ok(Json(
        json!({"groups": groups.collect::<Vec<_>>(), "dropped": chart.failures.dropped}),
    ))
}
