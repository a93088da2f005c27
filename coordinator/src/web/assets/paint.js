// Painting a chart: axis, rows, exact bars or columns, and failures so that none is missed at any scale.

import { step, tick } from "./format.js";
import { AXIS, GUTTER, drawTask, opColour, palette, prepare } from "./palette.js";
import { picture } from "./tiles.js";

const COLUMNS = 512;
const TILE_ROWS = 64;
/** How high the line under the axis is that marks every moment with a failure in what is seen. */
const RUG = 5;
const FAILED = 2;
/** When the first chart of the page was painted: for whoever measures it. */
let shown = null;
const LOST = 4;

export function paintChart(chart) {
  const height = AXIS + chart.plotHeight + 4;
  const { ctx, width } = prepare(chart.canvas, height);
  axis(chart, ctx, width, height);
  if (!chart.info) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(GUTTER, AXIS, width - GUTTER, chart.plotHeight + 3);
  ctx.clip();
  const rug = new Rug(width);
  if (chart.data?.exact) bars(chart, ctx, width, rug);
  else if (chart.data) columns(chart, ctx, rug);
  ctx.restore();
  ctx.save();
  ctx.beginPath();
  ctx.rect(GUTTER - 1, 0, width, AXIS);
  ctx.clip();
  ctx.fillStyle = palette().failed.css;
  rug.paint(ctx);
  ctx.restore();
  labels(chart, ctx);
  if (!chart.data) return;
  shown ??= performance.mark("chart-shown");
  chart.showed();
}

/** The line under the axis: which pixels of it have a failure below them. */
class Rug {
  constructor(width) {
    this.pixels = new Uint8Array(Math.ceil(width) + 1);
  }

  mark(left, wide) {
    this.pixels.fill(1, Math.max(0, Math.round(left)), Math.max(0, Math.round(left + wide)));
  }

  paint(ctx) {
    for (let from = this.pixels.indexOf(1); from >= 0;) {
      let to = this.pixels.indexOf(0, from);
      if (to < 0) to = this.pixels.length;
      ctx.fillRect(from, AXIS - RUG, to - from, RUG);
      from = this.pixels.indexOf(1, to);
    }
  }
}

function axis(chart, ctx, width, height) {
  const { view } = chart;
  const colours = palette();
  const apart = step(view.span, chart.plotWidth / 90);
  ctx.strokeStyle = colours.line.css;
  ctx.fillStyle = colours.muted.css;
  ctx.lineWidth = 1;
  ctx.textAlign = "center";
  for (let at = Math.max(0, Math.ceil(view.from / apart) * apart); at <= view.to; at += apart) {
    const x = Math.round(chart.x(at)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, AXIS - 4);
    ctx.lineTo(x, height);
    ctx.stroke();
    if (x > GUTTER + 8 || at === 0) ctx.fillText(tick(at, apart), Math.min(Math.max(x, GUTTER + 4), width - 18), AXIS / 2 - 2);
  }
  if (!chart.info?.live) return;
  const x = chart.x(chart.now);
  if (x < GUTTER || x > width) return;
  ctx.strokeStyle = colours.focus.css;
  ctx.beginPath();
  ctx.moveTo(x, AXIS);
  ctx.lineTo(x, height);
  ctx.stroke();
}

function labels(chart, ctx) {
  const per = chart.plotHeight / (chart.rowTo - chart.rowFrom);
  const every = niceRows(Math.ceil(15 / per));
  ctx.textAlign = "right";
  ctx.fillStyle = palette().muted.css;
  const first = Math.max(0, Math.ceil(chart.rowFrom / every) * every);
  for (let row = first; row < Math.min(chart.rowTo, chart.rows); row += every) {
    const y = chart.y(row + (every === 1 ? 0.5 : 0)) + (every === 1 ? 0 : 6);
    if (y > AXIS + chart.plotHeight - 4) break;
    ctx.fillText(chart.rowName(row), GUTTER - 8, y, GUTTER - 12);
  }
}

function niceRows(least) {
  let power = 1;
  while (power * 10 < least) power *= 10;
  return least <= 1 ? 1 : [1, 2, 5, 10].map((digit) => digit * power).find((every) => every >= least) ?? least;
}

function bars(chart, ctx, width, rug) {
  const { bars: all } = chart.data;
  const colours = palette();
  const per = chart.plotHeight / (chart.rowTo - chart.rowFrom);
  const gap = per > 6 ? Math.min(4, per * 0.15) : 0;
  const high = Math.max(1, per - gap);
  const size = all.start_us.length;
  if (chart.by === "batch") {
    ctx.fillStyle = colours.waiting.css;
    for (let at = 0; at < size; at++) {
      // A batch that was not begun does not wait in memory: before its first op there is nothing to show.
      if (all.op[at] === 0 && all.attempt[at] === 1) continue;
      const from = chart.x(all.queued_us[at]);
      const to = chart.x(all.start_us[at]);
      if (to - from < 0.5 || to < GUTTER || from > width) continue;
      ctx.fillRect(from, chart.y(all.rows[at]) + gap / 2 + high * 0.3, to - from, Math.max(1, high * 0.4));
    }
  }
  // What went wrong is painted last, over its neighbours.
  for (const last of [false, true]) {
    for (let at = 0; at < size; at++) {
      const state = all.state[at];
      const bad = state === FAILED || state === LOST;
      if (bad !== last) continue;
      const from = chart.x(all.start_us[at]);
      const to = chart.x(all.end_us[at] ?? Math.max(chart.now, all.start_us[at]));
      if (to < GUTTER - 4 || from > width) continue;
      const left = Math.max(from, GUTTER - 20);
      const wide = Math.max(1, Math.min(to, width + 20) - left - (to - left > 4 ? 0.75 : 0));
      drawTask(ctx, all.op[at], state, all.attempt[at] > 1, left, chart.y(all.rows[at]) + gap / 2, wide, high);
      if (bad) rug.mark(left - 1, Math.max(3, wide));
    }
  }
  const at = chart.selectedPlace();
  if (at < 0) return;
  const from = chart.x(all.start_us[at]) - 2;
  const to = chart.x(all.end_us[at] ?? chart.now) + 2;
  ctx.strokeStyle = colours.text.css;
  ctx.lineWidth = 2;
  ctx.strokeRect(from, chart.y(all.rows[at]) + gap / 2 - 1, Math.max(6, to - from), high + 2);
}

function columns(chart, ctx, rug) {
  const { data } = chart;
  const colours = palette();
  const per = chart.plotHeight / (chart.rowTo - chart.rowFrom);
  const cells = chart.cells(data);
  ctx.imageSmoothingEnabled = false;
  const gap = cells.stacked ? Math.min(4, per * 0.15) : 0;
  /** @type {number[]} where failures are, and how large */
  const marks = [];
  for (const { i, j, entry } of data.tiles) {
    const made = picture(entry, cells);
    const left = chart.x(i * COLUMNS * data.column_us);
    const wide = chart.x((i + 1) * COLUMNS * data.column_us) - left;
    const top = j * TILE_ROWS * cells.rows;
    if (cells.stacked) {
      for (let row = 0; row < entry.tile.rows; row++) {
        const y = chart.y(top + row) + gap / 2;
        ctx.drawImage(made.canvas, 0, row * made.high, COLUMNS, made.high, left, y, wide, per - gap);
      }
    } else {
      const high = per * cells.rows * entry.tile.rows;
      ctx.drawImage(made.canvas, 0, 0, COLUMNS, entry.tile.rows, left, chart.y(top), wide, high);
    }
    // A failure underlines its cell: large enough to be seen, and the ops stay visible above it.
    const w = Math.max(2, wide / COLUMNS);
    const high = per * cells.rows - gap;
    const h = Math.min(4, Math.max(2, high * 0.25));
    for (let at = 0; at < made.bad.length; at += 2) {
      const x = left + (made.bad[at] / COLUMNS) * wide;
      if (x < GUTTER - w || x > GUTTER + chart.plotWidth) continue;
      const y = chart.y(top + made.bad[at + 1] * cells.rows) + gap / 2;
      marks.push(x, y + (high > 8 ? high - h : high), w, h);
      rug.mark(x - 1, Math.max(3, w));
    }
  }
  // Boxes cost a fraction of what a path of as many does.
  ctx.fillStyle = colours.failed.css;
  for (let at = 0; at < marks.length; at += 4) ctx.fillRect(marks[at], marks[at + 1], marks[at + 2], marks[at + 3]);
}

/** Draws what a state looks like, for the legend. */
export function swatch(canvas, kind, op = 0) {
  const { ctx, width, height } = prepare(canvas, 12);
  if (kind === "waiting") {
    ctx.fillStyle = palette().waiting.css;
    ctx.fillRect(0, 4, width, 4);
  } else {
    const state = { running: 0, failed: FAILED, cancelled: 3, lost: LOST }[kind] ?? 1;
    drawTask(ctx, op, state, kind === "retried", 0, 0, width, height);
  }
  return opColour(op).css;
}
