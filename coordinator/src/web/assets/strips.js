// The curves below a chart, on its time axis: batches in flight with the bound, bytes held, tasks running against the
// cap; and the minimap, which shows the whole run and which part of it is seen.

import { get } from "./api.js";
import { GUTTER } from "./chart.js";
import { bytes, count } from "./format.js";
import { palette, prepare } from "./palette.js";
import { onTheme } from "./shell.js";
import { eachFrame } from "./view.js";

const HEIGHT = 60;
const PAUSE = 450;

/** The curves, in the order in which they stand. */
export const CURVES = [
  { name: "batches_in_flight", title: "In flight", long: "Batches in flight", say: count, bound: (info) => info.max_in_flight },
  { name: "bytes_in_flight", title: "Bytes held", long: "Bytes of batches in flight", say: bytes, bound: (info) => info.max_bytes },
  { name: "running", title: "Running", long: "Tasks running, against the cap", say: count, bound: (info) => info.cap },
];

/** Loads the series of a run for a view, and again when that moves. */
export class Series extends EventTarget {
  /** @type {any} */
  data = null;
  #asked = 0;
  #stale = true;
  #busy = false;
  /** @param {string} run @param {import("./view.js").View} view @param {() => number} width @param {boolean} whole */
  constructor(run, view, width, whole) {
    super();
    this.run = run;
    this.view = view;
    this.width = width;
    this.whole = whole;
    this.check = eachFrame(() => this.#check());
    view.addEventListener("change", () => this.check());
  }

  update() {
    this.#stale = true;
    this.check();
  }

  #wanted() {
    const { view } = this;
    if (this.whole) return { from: 0, to: view.end * 1.01 };
    return { from: Math.max(0, view.from), to: view.to };
  }

  async #check() {
    const { from, to } = this.#wanted();
    const have = this.data;
    if (!this.#stale && have && Math.abs(have.from - from) < 1 && Math.abs(have.to - to) < 1) return;
    if (this.whole && have && !this.#stale) return;
    const wait = PAUSE - (performance.now() - this.#asked);
    if (this.#busy || (have && wait > 0)) {
      this.again ??= setTimeout(() => {
        this.again = undefined;
        this.#check();
      }, Math.max(60, wait));
      return;
    }
    this.#busy = true;
    this.#asked = performance.now();
    this.#stale = false;
    try {
      const points = Math.max(60, Math.min(1000, Math.round(this.width())));
      const found = await get(`/api/runs/${this.run}/series`, { points, from_us: Math.floor(from), to_us: Math.ceil(to) });
      const places = Object.fromEntries(found.names.map((name, place) => [name, place]));
      this.data = { ...found, from, to, places };
      this.dispatchEvent(new Event("loaded"));
    } catch {
      // The next tick or step asks again.
    } finally {
      this.#busy = false;
    }
  }
}

/** Returns the value of a curve at a time. */
export function valueAt(data, name, us) {
  const place = data?.places[name];
  if (place === undefined) return null;
  const { t_us } = data;
  let [low, high] = [0, t_us.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t_us[middle] <= us) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : data.last[place][low - 1];
}

/** One curve. */
export class Strip {
  /** @param {HTMLCanvasElement} canvas @param {typeof CURVES[0]} curve @param {Series} series @param {{max: Record<string, number>}} scale */
  constructor(canvas, curve, series, scale) {
    Object.assign(this, { canvas, curve, series, scale });
    this.info = null;
    this.end = Infinity;
    this.paint = eachFrame(() => this.#paint());
    series.addEventListener("loaded", this.paint);
    series.view.addEventListener("change", this.paint);
    series.view.addEventListener("cursor", this.paint);
    onTheme(this.paint);
    new ResizeObserver(this.paint).observe(canvas.parentElement);
  }

  update(info, end) {
    this.info = info;
    this.end = end;
    this.paint();
  }

  #paint() {
    const { ctx, width, height } = prepare(this.canvas, HEIGHT);
    const colours = palette();
    const { view, data } = this.series;
    const place = data?.places[this.curve.name];
    ctx.fillStyle = colours.text.css;
    ctx.textAlign = "right";
    ctx.fillText(this.curve.title, GUTTER - 8, 16, GUTTER - 12);
    ctx.fillStyle = colours.muted.css;
    ctx.strokeStyle = colours.line.css;
    ctx.beginPath();
    ctx.moveTo(GUTTER, height - 0.5);
    ctx.lineTo(width, height - 0.5);
    ctx.moveTo(0, 0.5);
    ctx.lineTo(width, 0.5);
    ctx.stroke();
    if (place === undefined || !this.info) return;
    const peak = data.max[place].reduce((most, value) => Math.max(most, value), 0);
    const bound = this.curve.bound(this.info);
    // A bound far above the curve would press it flat: then it is said and not drawn.
    const drawn = bound && bound <= peak * 4;
    const most = Math.max(peak, drawn ? bound : 0);
    if (most > (this.scale.max[this.curve.name] ?? 0)) {
      this.scale.max[this.curve.name] = most;
      // Charts that are compared share the scale: those that are drawn already follow.
      this.series.view.point(this.series.view.cursor);
    }
    const top = Math.max(1, this.scale.max[this.curve.name]) * 1.12;
    const plot = width - GUTTER;
    const x = (us) => GUTTER + ((us - view.from) / view.span) * plot;
    const y = (value) => height - 1 - (value / top) * (height - 8);
    ctx.save();
    ctx.beginPath();
    ctx.rect(GUTTER, 0, plot, height);
    ctx.clip();
    const steps = new Path2D();
    const { t_us } = data;
    const last = Math.min(this.end, view.to);
    if (t_us.length > 0) {
      steps.moveTo(x(t_us[0]), y(0));
      for (let at = 0; at < t_us.length; at++) {
        const right = x(Math.min(at + 1 < t_us.length ? t_us[at + 1] : last, last));
        const high = y(data.max[place][at]);
        steps.lineTo(x(t_us[at]), high);
        if (right > x(t_us[at])) steps.lineTo(right, high);
      }
      steps.lineTo(Math.max(x(t_us.at(-1)), x(last)), y(0));
    }
    ctx.globalAlpha = 0.22;
    ctx.fillStyle = colours.focus.css;
    ctx.fill(steps);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colours.focus.css;
    ctx.lineWidth = 1.5;
    ctx.stroke(steps);
    if (drawn) {
      ctx.strokeStyle = colours.text.css;
      ctx.lineWidth = 1;
      ctx.setLineDash([5, 3]);
      ctx.beginPath();
      ctx.moveTo(GUTTER, Math.round(y(bound)) + 0.5);
      ctx.lineTo(width, Math.round(y(bound)) + 0.5);
      ctx.stroke();
      ctx.setLineDash([]);
    }
    if (view.cursor !== null) {
      ctx.strokeStyle = colours.muted.css;
      ctx.beginPath();
      ctx.moveTo(x(view.cursor), 0);
      ctx.lineTo(x(view.cursor), height);
      ctx.stroke();
    }
    ctx.restore();
    this.#words(ctx, data, peak, bound, drawn, height);
  }

  #words(ctx, data, peak, bound, drawn, height) {
    const { say } = this.curve;
    const cursor = this.series.view.cursor;
    const colours = palette();
    ctx.textAlign = "right";
    ctx.fillStyle = colours.muted.css;
    const value = cursor === null ? null : valueAt(data, this.curve.name, cursor);
    const first = value !== null && cursor <= this.end ? say(value) : `peak ${say(peak)}`;
    ctx.fillText(first, GUTTER - 8, 34, GUTTER - 12);
    const bounds = bound ? `of ${say(bound)}` : "no bound";
    ctx.fillText(bounds, GUTTER - 8, 50, GUTTER - 12);
    this.canvas.setAttribute("aria-label",
      `${this.curve.long} over time: peak ${say(peak)}, ${bound ? `bound ${say(bound)}${drawn ? "" : ", far above the curve"}` : "no bound"}.`);
  }
}

/** The whole run with the part that is seen; dragging moves it. */
export class Minimap {
  /** @param {HTMLCanvasElement} canvas @param {Series} series */
  constructor(canvas, series) {
    this.canvas = canvas;
    this.series = series;
    this.failures = [];
    this.paint = eachFrame(() => this.#paint());
    series.addEventListener("loaded", this.paint);
    series.view.addEventListener("change", this.paint);
    onTheme(this.paint);
    new ResizeObserver(this.paint).observe(canvas.parentElement);
    const jump = (event) => {
      const { view } = series;
      const box = canvas.getBoundingClientRect();
      const us = ((event.clientX - box.left - GUTTER) / (box.width - GUTTER)) * view.end * 1.01;
      view.show(us - view.span / 2, us + view.span / 2);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (series.view.mode === "fit") return;
      canvas.setPointerCapture(event.pointerId);
      jump(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons & 1 && series.view.mode !== "fit" && jump(event));
  }

  #paint() {
    const { ctx, width, height } = prepare(this.canvas, 36);
    const colours = palette();
    const { view, data } = this.series;
    const plot = width - GUTTER;
    const x = (us) => GUTTER + (us / (view.end * 1.01)) * plot;
    ctx.fillStyle = colours.panel.css;
    ctx.fillRect(0, 6, width, height - 6);
    ctx.fillStyle = colours.muted.css;
    ctx.textAlign = "right";
    ctx.fillText("Whole run", GUTTER - 8, height / 2 + 3, GUTTER - 12);
    const place = data?.places.running;
    if (place !== undefined) {
      const most = Math.max(1, ...data.max[place]);
      ctx.fillStyle = colours.waiting.css;
      data.t_us.forEach((us, at) => {
        const right = x(at + 1 < data.t_us.length ? data.t_us[at + 1] : view.end);
        const high = (data.max[place][at] / most) * (height - 12);
        ctx.fillRect(x(us), height - high, Math.max(0.5, right - x(us)), high);
      });
    }
    ctx.fillStyle = colours.failed.css;
    for (const us of this.failures) ctx.fillRect(x(us) - 1, 6, 3, 8);
    const [from, to] = [x(Math.max(0, view.from)), Math.min(x(view.to), width)];
    ctx.strokeStyle = colours.focus.css;
    ctx.lineWidth = 2;
    ctx.strokeRect(from + 1, 7, Math.max(6, to - from - 2), height - 8);
  }
}
