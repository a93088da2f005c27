// The chart of one run: a canvas of rows (batches or slots) over time, drawn from exact bars or from columns,
// whichever the coordinator decided for what is seen.

import { get } from "./api.js";
import { duration, step, tick } from "./format.js";
import { drawTask, opColour, palette, prepare } from "./palette.js";
import { onTheme } from "./shell.js";
import { loadTile, picture } from "./tiles.js";
import { eachFrame } from "./view.js";

export const GUTTER = 88;
const AXIS = 22;
const ROW = 22;
const LEAST = 88;
const MOST = 396;
const COLUMNS = 512;
const TILE_ROWS = 64;
/** The shortest time between two looks at a live run. */
const LIVE_PAUSE = 400;

export class Chart extends EventTarget {
  /** @type {"batch"|"slot"} */
  by = "batch";
  /** @type {any} what the axes are made of */
  info = null;
  /** @type {any} bars or columns of a part of the run */
  data = null;
  /** @type {any} the task that is selected */
  selected = null;
  now = 0;
  rowFrom = 0;
  rowTo = 0;
  /** Whether all rows are seen, however many there will be. */
  allRows = true;
  #dirty = true;
  /** @type {AbortController|null} */
  #asking = null;
  #asked = 0;

  /** @param {string} run @param {HTMLCanvasElement} canvas @param {import("./view.js").View} view */
  constructor(run, canvas, view) {
    super();
    this.run = run;
    this.canvas = canvas;
    this.view = view;
    this.paint = eachFrame(() => this.#paint());
    this.look = eachFrame(() => this.#load());
    view.addEventListener("change", () => this.#moved());
    onTheme(this.paint);
    new ResizeObserver(() => this.#moved()).observe(canvas.parentElement);
    pointers(this);
  }

  /** Takes the axes as they are now. @param {any} info @param {number} now */
  update(info, now) {
    const before = this.info;
    this.info = info;
    this.now = now;
    if (this.allRows) this.#showAllRows();
    if (!before || before.epoch !== info.epoch || before.version !== info.version || info.live) this.#dirty = true;
    this.#moved();
  }

  /** @param {"batch"|"slot"} by */
  arrange(by) {
    this.by = by;
    this.data = null;
    this.#dirty = true;
    this.allRows = true;
    if (this.info) this.#showAllRows();
    this.#moved();
    this.dispatchEvent(new Event("arranged"));
  }

  get rows() {
    if (!this.info) return 1;
    return Math.max(1, this.by === "slot" ? this.info.lanes.length : this.info.batch_rows);
  }

  get plotWidth() {
    return Math.max(50, this.canvas.clientWidth - GUTTER);
  }

  get plotHeight() {
    return Math.min(MOST, Math.max(LEAST, this.rows * ROW));
  }

  x(us) {
    return GUTTER + ((us - this.view.from) / this.view.span) * this.plotWidth;
  }

  time(x) {
    return this.view.from + ((x - GUTTER) / this.plotWidth) * this.view.span;
  }

  y(row) {
    return AXIS + ((row - this.rowFrom) / (this.rowTo - this.rowFrom)) * this.plotHeight;
  }

  row(y) {
    return this.rowFrom + ((y - AXIS) / this.plotHeight) * (this.rowTo - this.rowFrom);
  }

  #showAllRows() {
    this.rowFrom = 0;
    // A single batch would fill the chart; a row never becomes higher than that of a few.
    this.rowTo = Math.max(this.rows, LEAST / ROW);
    if (this.rows > LEAST / ROW) this.rowTo = this.rows;
  }

  /** Shows other rows. @param {number} from @param {number} to */
  showRows(from, to) {
    const span = Math.min(Math.max(to - from, LEAST / ROW), Math.max(this.rows, LEAST / ROW));
    this.rowFrom = Math.min(Math.max(0, from), Math.max(0, Math.max(this.rows, LEAST / ROW) - span));
    this.rowTo = this.rowFrom + span;
    this.allRows = span >= this.rows;
    this.#moved();
  }

  #moved() {
    this.paint();
    if (this.info && this.#needs()) this.look();
  }

  /** Tells whether what was loaded does not do for what is seen. */
  #needs() {
    const { data, view } = this;
    if (!data || this.#dirty) return true;
    const inside = data.from <= Math.max(0, view.from) && data.to >= Math.min(view.to, view.end);
    const rows = data.firstRow <= this.rowFrom && data.lastRow >= Math.min(this.rowTo, this.rows);
    if (!inside || !rows) return true;
    const coarse = (data.to - data.from) / view.span > 4.5 || (data.lastRow - data.firstRow) / (this.rowTo - this.rowFrom) > 3;
    return !data.exact && coarse;
  }

  async #load() {
    const since = performance.now() - this.#asked;
    if (this.#asking && since < 2000) {
      this.again ??= setTimeout(() => this.#later(), 120);
      return;
    }
    const pause = this.data && this.info.live ? LIVE_PAUSE : 60;
    if (since < pause) {
      this.again ??= setTimeout(() => this.#later(), pause - since + 5);
      return;
    }
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#asked = performance.now();
    this.#dirty = false;
    try {
      const data = await this.#fetch(asking.signal);
      if (asking.signal.aborted || data.by !== this.by) return;
      this.data = data;
      this.dispatchEvent(new Event("loaded"));
      this.paint();
    } catch (error) {
      if (!asking.signal.aborted) this.#dirty = true;
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
  }

  #later() {
    this.again = undefined;
    if (this.#needs()) this.#load();
  }

  /** Asks for twice what is seen, so that a small step shows nothing empty. @param {AbortSignal} signal */
  async #fetch(signal) {
    const { view, by } = this;
    const margin = view.mode === "fit" ? 0.02 : 0.5;
    const from = Math.max(0, Math.floor(view.from - view.span * margin));
    const to = Math.ceil(view.to + view.span * margin);
    const rowSpan = this.rowTo - this.rowFrom;
    const firstRow = Math.max(0, Math.floor(this.rowFrom - (this.allRows ? 0 : rowSpan / 2)));
    const lastRow = Math.min(this.rows, Math.ceil(this.rowTo + (this.allRows ? 0 : rowSpan / 2)));
    const seen = await get(`/api/runs/${this.run}/view`, {
      by, from_us: from, to_us: to, first_row: firstRow, last_row: lastRow,
      width: Math.round((this.plotWidth * (to - from)) / view.span),
      height: Math.max(1, Math.round((this.plotHeight * (lastRow - firstRow)) / rowSpan)),
    }, signal);
    const tiles = await Promise.all(
      (seen.tiles ?? []).map(async (place) => ({ ...place, entry: await loadTile(place.url, place.sealed, signal) })));
    const exact = seen.shown === "bars";
    return { ...seen, by, from, to, firstRow, lastRow, exact, tiles };
  }

  #paint() {
    const height = AXIS + this.plotHeight + 4;
    const { ctx, width } = prepare(this.canvas, height);
    const colours = palette();
    this.#axis(ctx, width, height, colours);
    if (!this.info) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(GUTTER, AXIS, width - GUTTER, this.plotHeight);
    ctx.clip();
    if (this.data?.exact) this.#bars(ctx, width, colours);
    else if (this.data) this.#columns(ctx, colours);
    ctx.restore();
    this.#labels(ctx, colours);
  }

  #axis(ctx, width, height, colours) {
    const { view } = this;
    const apart = step(view.span, this.plotWidth / 90);
    ctx.strokeStyle = colours.line.css;
    ctx.fillStyle = colours.muted.css;
    ctx.lineWidth = 1;
    ctx.textAlign = "center";
    for (let at = Math.max(0, Math.ceil(view.from / apart) * apart); at <= view.to; at += apart) {
      const x = Math.round(this.x(at)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(x, AXIS - 4);
      ctx.lineTo(x, height);
      ctx.stroke();
      if (x > GUTTER + 8 || at === 0) ctx.fillText(tick(at, apart), Math.min(Math.max(x, GUTTER + 4), width - 18), AXIS / 2);
    }
    if (this.info?.live) {
      const x = this.x(this.now);
      if (x >= GUTTER && x <= width) {
        ctx.strokeStyle = colours.focus.css;
        ctx.beginPath();
        ctx.moveTo(x, AXIS);
        ctx.lineTo(x, height);
        ctx.stroke();
      }
    }
  }

  #labels(ctx, colours) {
    const per = this.plotHeight / (this.rowTo - this.rowFrom);
    const every = niceRows(Math.ceil(15 / per));
    ctx.textAlign = "right";
    ctx.fillStyle = colours.muted.css;
    const first = Math.max(0, Math.ceil(this.rowFrom / every) * every);
    for (let row = first; row < Math.min(this.rowTo, this.rows); row += every) {
      const y = this.y(row + (every === 1 ? 0.5 : 0)) + (every === 1 ? 0 : 6);
      if (y > AXIS + this.plotHeight - 4) break;
      ctx.fillText(this.rowName(row), GUTTER - 8, y, GUTTER - 12);
    }
  }

  /** @param {number} row */
  rowName(row) {
    if (this.by === "batch") return String(row);
    const lane = this.info.lanes[row];
    if (!lane) return "";
    const name = lane.worker.length > 7 ? `…${lane.worker.slice(-6)}` : lane.worker;
    return `${name} · ${lane.slot}`;
  }

  #bars(ctx, width, colours) {
    const { bars } = this.data;
    const per = this.plotHeight / (this.rowTo - this.rowFrom);
    const gap = per > 6 ? Math.min(4, per * 0.15) : 0;
    const high = Math.max(1, per - gap);
    const size = bars.start_us.length;
    if (this.by === "batch") {
      ctx.fillStyle = colours.waiting.css;
      for (let at = 0; at < size; at++) {
        const from = this.x(bars.queued_us[at]);
        const to = this.x(bars.start_us[at]);
        if (to - from < 0.5 || to < GUTTER || from > width) continue;
        const y = this.y(bars.rows[at]);
        ctx.fillRect(from, y + gap / 2 + high * 0.3, to - from, Math.max(1, high * 0.4));
      }
    }
    for (const bad of [false, true]) {
      for (let at = 0; at < size; at++) {
        const state = bars.state[at];
        if ((state === 2 || state === 4) !== bad) continue;
        const from = this.x(bars.start_us[at]);
        const to = this.x(bars.end_us[at] ?? Math.max(this.now, bars.start_us[at]));
        if (to < GUTTER - 4 || from > width) continue;
        const left = Math.max(from, GUTTER - 20);
        const wide = Math.max(1, Math.min(to, width + 20) - left - (to - left > 4 ? 0.75 : 0));
        drawTask(ctx, bars.op[at], state, bars.attempt[at] > 1, left, this.y(bars.rows[at]) + gap / 2, wide, high);
      }
    }
    const at = this.selectedPlace();
    if (at < 0) return;
    const from = this.x(bars.start_us[at]) - 2;
    const to = this.x(bars.end_us[at] ?? this.now) + 2;
    ctx.strokeStyle = colours.text.css;
    ctx.lineWidth = 2;
    ctx.strokeRect(from, this.y(bars.rows[at]) + gap / 2 - 1, Math.max(6, to - from), high + 2);
  }

  /** Returns where the selected task is among the bars. */
  selectedPlace() {
    if (!this.selected || !this.data?.exact) return -1;
    return this.data.bars.id.indexOf(this.selected.id);
  }

  #columns(ctx, colours) {
    const { data } = this;
    const per = this.plotHeight / (this.rowTo - this.rowFrom);
    const stacked = this.by === "slot" && per >= 8 && data.rows_per_cell === 1;
    const column = data.column_us;
    const cellRows = data.rows_per_cell;
    ctx.imageSmoothingEnabled = false;
    const gap = stacked ? Math.min(4, per * 0.15) : 0;
    for (const { i, j, entry } of data.tiles) {
      const made = picture(entry, cellRows, stacked);
      const left = this.x(i * COLUMNS * column);
      const wide = this.x((i + 1) * COLUMNS * column) - left;
      const top = j * TILE_ROWS * cellRows;
      if (stacked) {
        for (let row = 0; row < entry.tile.rows; row++) {
          const y = this.y(top + row) + gap / 2;
          ctx.drawImage(made.canvas, 0, row * 16, COLUMNS, 16, left, y, wide, per - gap);
        }
      } else {
        const high = per * cellRows * entry.tile.rows;
        ctx.drawImage(made.canvas, 0, 0, COLUMNS, entry.tile.rows, left, this.y(top), wide, high);
      }
      // A failure is drawn large enough to be seen, however small its cell is.
      ctx.fillStyle = colours.failed.css;
      const [w, h] = [Math.max(3, wide / COLUMNS), Math.max(3, per * cellRows - gap)];
      for (let at = 0; at < made.bad.length; at += 2) {
        const x = left + (made.bad[at] / COLUMNS) * wide;
        if (x < GUTTER - w || x > GUTTER + this.plotWidth) continue;
        ctx.fillRect(x, this.y(top + made.bad[at + 1] * cellRows) + gap / 2, w, h);
      }
    }
  }

  /** Returns the place of the bar at a point, or -1. */
  barAt(x, y) {
    if (!this.data?.exact) return -1;
    const { bars } = this.data;
    const row = Math.floor(this.row(y));
    const us = this.time(x);
    const slack = (this.view.span / this.plotWidth) * 3;
    let best = -1;
    let least = Infinity;
    for (let at = 0; at < bars.start_us.length; at++) {
      if (bars.rows[at] !== row) continue;
      const end = bars.end_us[at] ?? this.now;
      const away = Math.max(bars.start_us[at] - us, us - end, 0);
      if (away <= slack && away <= least) [best, least] = [at, away];
    }
    return best;
  }

  /** Says in words what a bar is. @param {number} at */
  describe(at) {
    const { bars } = this.data;
    const name = this.info.ops[bars.op[at]]?.name ?? "?";
    const task = bars.batch[at] === null ? name : `${name}[${bars.batch[at]}]`;
    const state = ["running", "succeeded", "failed", "cancelled", "lost"][bars.state[at]];
    const lane = this.info.lanes[bars.lane[at]];
    const where = lane ? `${lane.worker}, slot ${lane.slot}` : "";
    const took = (bars.end_us[at] ?? this.now) - bars.start_us[at];
    return `${task}#${bars.attempt[at]} · ${state}\n${duration(took)} on ${where}\nwaited ${duration(
      bars.start_us[at] - bars.queued_us[at])}, began at ${duration(bars.start_us[at])}`;
  }
}

function niceRows(least) {
  let power = 1;
  while (power * 10 < least) power *= 10;
  return least <= 1 ? 1 : [1, 2, 5, 10].map((digit) => digit * power).find((every) => every >= least) ?? least;
}

/** Draws what a state looks like, for the legend. */
export function swatch(canvas, kind, op = 0) {
  const { ctx, width, height } = prepare(canvas, 12);
  if (kind === "waiting") {
    ctx.fillStyle = palette().waiting.css;
    ctx.fillRect(0, 4, width, 4);
  } else {
    const state = { running: 0, failed: 2, cancelled: 3, lost: 4 }[kind] ?? 1;
    drawTask(ctx, op, state, kind === "retried", 0, 0, width, height);
  }
  return opColour(op).css;
}

/** Lets a pointer pan, zoom, point and pick. @param {Chart} chart */
function pointers(chart) {
  const { canvas, view } = chart;
  /** @type {any} */
  let drag = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { x, y } = at(event);
    drag = { x, y, from: view.from, to: view.to, rowFrom: chart.rowFrom, rowTo: chart.rowTo, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = at(event);
    if (drag && (drag.moved || Math.abs(x - drag.x) + Math.abs(y - drag.y) > 4)) {
      drag.moved = true;
      const shift = ((drag.x - x) / chart.plotWidth) * (drag.to - drag.from);
      view.show(drag.from + shift, drag.to + shift);
      if (!chart.allRows) {
        const rows = ((drag.y - y) / chart.plotHeight) * (drag.rowTo - drag.rowFrom);
        chart.showRows(drag.rowFrom + rows, drag.rowTo + rows);
      }
    }
    view.point(x >= GUTTER ? chart.time(x) : null);
    chart.dispatchEvent(new CustomEvent("hover", { detail: { x, y, at: drag?.moved ? -1 : chart.barAt(x, y) } }));
  });
  canvas.addEventListener("pointerup", (event) => {
    const { x, y } = at(event);
    if (drag && !drag.moved && x >= GUTTER) chart.dispatchEvent(new CustomEvent("pick", { detail: { x, y, at: chart.barAt(x, y) } }));
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", () => {
    view.point(null);
    chart.dispatchEvent(new CustomEvent("hover", { detail: { x: 0, y: 0, at: -1 } }));
  });
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      view.zoom(Math.exp(Math.min(60, Math.max(-60, event.deltaY)) / 100), chart.time(at(event).x));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      view.pan((event.deltaX || event.deltaY) / chart.plotWidth);
    }
  }, { passive: false });
}
