// The chart of one run: a canvas of rows (batches or slots) over time, drawn from exact bars or from columns,
// whichever the coordinator decided for what is seen.

import { count, duration } from "./format.js";
import { AXIS, GUTTER, STATES } from "./palette.js";
import { paintChart } from "./paint.js";
import { pointers } from "./pointer.js";
import { onTheme } from "./shell.js";
import { loadView, picture } from "./tiles.js";
import { FRAME, afterwards, breathe, eachFrame } from "./view.js";

/** How high a row is at most, and how high the chart is at least and at most. */
const ROW = 22;
const LEAST = 88;
const MOST = 352;
/** The shortest time between two looks at a live run. */
const LIVE_PAUSE = 400;

export class Chart extends EventTarget {
  /** @type {"batch"|"slot"} */
  by = "batch";
  /** What the axes are made of. */
  info = null;
  /** Bars or columns of a part of the run. */
  data = null;
  /** The task that is selected. */
  selected = null;
  now = 0;
  rowFrom = 0;
  rowTo = 0;
  /** Whether all rows are seen, however many there will be. */
  allRows = true;
  #dirty = true;
  #asking = null;
  #asked = 0;
  /** The first view, which the page asked for ahead, for a screen of a common size. */
  #ahead = null;
  showed = () => {};
  /** Fulfilled when something was painted, or cannot be. */
  shown = new Promise((resolve) => (this.showed = resolve));

  constructor(run, canvas, view) {
    super();
    this.run = run;
    this.canvas = canvas;
    this.view = view;
    this.paint = eachFrame(() => paintChart(this));
    this.look = afterwards(() => this.#load());
    view.addEventListener("change", () => this.#moved());
    onTheme(this.paint);
    new ResizeObserver(() => this.#moved()).observe(canvas.parentElement);
    pointers(this);
  }

  /** Takes the address of a view of the whole run that is being loaded already. */
  expect(url) {
    this.#ahead = url;
  }

  /** Takes the axes as they are now. */
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

  /** Shows other rows. */
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
      if (this.#dirty) this.look();
    } catch (error) {
      if (!asking.signal.aborted) this.#dirty = true;
      this.showed();
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
  }

  #later() {
    this.again = undefined;
    if (this.#needs()) this.#load();
  }

  /** Asks for twice what is seen, so that a small step shows nothing empty. */
  async #fetch(signal) {
    const { view, by } = this;
    const margin = view.mode === "fit" ? 0.02 : 0.5;
    const from = Math.max(0, Math.floor(view.from - view.span * margin));
    const to = Math.ceil(view.to + view.span * margin);
    const rowSpan = this.rowTo - this.rowFrom;
    const firstRow = Math.max(0, Math.floor(this.rowFrom - (this.allRows ? 0 : rowSpan / 2)));
    const lastRow = Math.min(this.rows, Math.ceil(this.rowTo + (this.allRows ? 0 : rowSpan / 2)));
    const width = Math.round((this.plotWidth * (to - from)) / view.span);
    const height = Math.max(1, Math.round((this.plotHeight * (lastRow - firstRow)) / rowSpan));
    // Only what changed comes along where the same tiles are seen as before.
    const before = this.data;
    const isAlike = before?.by === by && before.tiles?.length && before.width === width && before.height === height &&
      before.to - before.from === to - from;
    const asked = new URLSearchParams({ by, from_us: String(from), to_us: String(to), first_row: String(firstRow),
      last_row: String(lastRow), width: String(width), height: String(height), inline: "1", since: isAlike || view.mode === "fit" && before ? before.mark : "" });
    const ahead = by === "batch" && view.mode === "fit" && this.allRows ? this.#ahead : null;
    this.#ahead = null;
    const seen = await loadView(ahead ?? `/api/runs/${this.run}/view?${asked}`, signal);
    const data = { ...seen, by, from, to, firstRow, lastRow, width, height, exact: seen.shown === "bars" };
    // This screen may want finer columns than a common one.
    if (ahead && !data.exact && data.column_us >= (2 * (to - from)) / width) this.#dirty = true;
    // Many pictures are made in turns, so that the page answers in between.
    let began = performance.now();
    for (const { entry } of data.tiles) {
      picture(entry, this.cells(data));
      if (performance.now() - began < FRAME) continue;
      await breathe();
      began = performance.now();
    }
    return data;
  }

  /** How the cells of columns are drawn: rows in each, how many tasks fill one, whether the ops' shares are stacked. */
  cells(data) {
    const rows = data.rows_per_cell;
    const stacked = data.by === "slot" && rows === 1 && this.plotHeight / (this.rowTo - this.rowFrom) >= 8;
    return { rows, full: Math.min(rows, Math.max(1, this.info?.cap ?? rows)), stacked };
  }

  rowName(row) {
    if (this.by === "batch") return row === this.info.batch_rows ? "whole" : count(row);
    const lane = this.info.lanes[row];
    if (!lane) return "";
    const name = lane.worker.length > 7 ? `…${lane.worker.slice(-6)}` : lane.worker;
    return `${name} · ${lane.slot}`;
  }

  /** Returns where the selected task is among the bars. */
  selectedPlace() {
    if (!this.selected || !this.data?.exact) return -1;
    // Its id is another one when it has ended; op, batch and attempt name it for ever.
    const { op, batch, attempt } = this.selected;
    const { bars } = this.data;
    return bars.op.findIndex((one, at) => one === op && bars.batch[at] === batch && bars.attempt[at] === attempt);
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

  /** Says in words what a bar is. */
  describe(at) {
    const { bars } = this.data;
    const name = this.info.ops[bars.op[at]]?.name ?? "?";
    const task = bars.batch[at] === null ? name : `${name}[${bars.batch[at]}]`;
    const state = STATES[bars.state[at]];
    const lane = this.info.lanes[bars.lane[at]];
    const where = lane ? `${lane.worker}, slot ${lane.slot}` : "";
    const took = (bars.end_us[at] ?? this.now) - bars.start_us[at];
    return `${task}#${bars.attempt[at]} · ${state}\n${duration(took)} on ${where}\nwaited ${duration(
      bars.start_us[at] - bars.queued_us[at])}, began at ${duration(bars.start_us[at])}`;
  }
}
