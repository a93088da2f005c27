// The strips below a chart, on its time axis: one curve each, with its bound as a line.

import { GUTTER, dashed, opColour, palette, prepare } from "./palette.js";
import { valueAt } from "./series.js";
import { onTheme } from "./shell.js";
import { eachFrame } from "./view.js";

const HEIGHT = 48;

export class Strip {
  /**
   * @param {any} curve one of CURVES
   * @param {{max: Record<string, number>}} scale
   */
  constructor(canvas, curve, series, scale) {
    Object.assign(this, { canvas, curve, series, scale });
    this.info = null;
    this.end = Infinity;
    this.said = null;
    this.paint = eachFrame(() => this.#paint());
    series.addEventListener("loaded", this.paint);
    series.view.addEventListener("change", this.paint);
    series.view.addEventListener("cursor", eachFrame(() => this.#point()));
    series.view.addEventListener("rescale", this.paint);
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
    const { view, data } = this.series;
    const colours = palette();
    ctx.fillStyle = colours.line.css;
    ctx.fillRect(0, 0, width, 1);
    const values = data?.curves[this.curve.name];
    if (!values || !this.info) return this.#words(null, null, false);
    const peak = values.reduce((most, value) => Math.max(most, value), 0);
    const bound = this.curve.bound?.(this.info) ?? null;
    // A bound far above the curve would press it flat: then it is said and not drawn.
    const drawn = bound !== null && bound > 0 && bound <= peak * 4;
    const top = this.#top(Math.max(peak, drawn ? bound : 0));
    const y = (value) => height - 1 - (value / top) * (height - 8);
    if (this.curve.name === "queue") this.#stack(ctx, data, width, y);
    else this.#area(ctx, this.#pixels(data.t_us, values, width), y, colours.focus.css);
    if (drawn) dashed(ctx, GUTTER, width, y(bound));
    this.#words(peak, bound, drawn);
  }

  /** Charts that are compared share the scale: those that are drawn already follow. */
  #top(most) {
    const { scale, curve } = this;
    if (!scale.shared) return Math.max(1, most) * 1.12;
    if (most > (scale.max[curve.name] ?? 0)) {
      scale.max[curve.name] = most;
      this.series.view.dispatchEvent(new Event("rescale"));
    }
    return Math.max(1, scale.max[curve.name]) * 1.12;
  }

  /** The greatest value of every pixel from the gutter on; NaN where there is none. */
  #pixels(t_us, values, width) {
    const { view } = this.series;
    const plot = width - GUTTER;
    const pixels = new Float64Array(Math.max(0, Math.ceil(plot))).fill(NaN);
    const last = Math.min(this.end, view.to);
    const x = (us) => ((us - view.from) / view.span) * plot;
    for (let at = 0; at < t_us.length; at++) {
      const from = Math.max(0, Math.floor(x(t_us[at])));
      const to = Math.min(pixels.length, Math.max(from + 1, Math.round(x(Math.min(at + 1 < t_us.length ? t_us[at + 1] : last, last)))));
      for (let pixel = from; pixel < to; pixel++) if (!(pixels[pixel] >= values[at])) pixels[pixel] = values[at];
    }
    return pixels;
  }

  /** Calls back with each stretch of pixels of one value. */
  #runs(pixels, each) {
    for (let from = 0; from < pixels.length;) {
      let to = from + 1;
      while (to < pixels.length && pixels[to] === pixels[from]) to++;
      if (!Number.isNaN(pixels[from])) each(GUTTER + from, to - from, pixels[from], pixels[from - 1]);
      from = to;
    }
  }

  /** Fills below the values, and draws their edge: boxes, which cost a fraction of what outlines do. */
  #area(ctx, pixels, y, css) {
    ctx.fillStyle = css;
    const floor = y(0);
    ctx.globalAlpha = 0.22;
    this.#runs(pixels, (left, wide, value) => ctx.fillRect(left, y(value), wide, floor - y(value)));
    ctx.globalAlpha = 1;
    this.#runs(pixels, (left, wide, value, before) => {
      const high = y(value) - 0.75;
      ctx.fillRect(left, high, wide, 1.5);
      const other = y(Number.isNaN(before ?? NaN) ? 0 : before) - 0.75;
      ctx.fillRect(left, Math.min(high, other), 1, Math.abs(high - other) + 1.5);
    });
  }

  /** One op's queue upon the other, in the colours of the ops: the highest first, and the others over it. */
  #stack(ctx, data, width, y) {
    const floor = y(0);
    let below = data.t_us.map(() => 0);
    const layers = data.queues.map((queue, op) => {
      below = below.map((value, at) => value + queue[at]);
      return { op, sums: below, is_empty: !queue.some((value) => value > 0) };
    });
    for (const { op, sums, is_empty } of layers.reverse()) {
      if (is_empty) continue;
      ctx.fillStyle = opColour(op).css;
      this.#runs(this.#pixels(data.t_us, sums, width), (left, wide, value) => ctx.fillRect(left, y(value), wide, floor - y(value)));
    }
  }

  /** Says only what is pointed at: the curve stays as it is. */
  #point() {
    const { ctx, height } = prepare(this.canvas, HEIGHT, false);
    ctx.clearRect(0, 1, GUTTER - 1, height);
    if (this.said) this.#words(...this.said);
  }

  #words(peak, bound, drawn) {
    this.said = [peak, bound, drawn];
    const { ctx } = prepare(this.canvas, HEIGHT, false);
    const { say, title, long } = this.curve;
    const { cursor } = this.series.view;
    const colours = palette();
    ctx.textAlign = "right";
    const put = (text, y, css) => {
      ctx.fillStyle = css;
      ctx.fillText(text, GUTTER - 8, y, GUTTER - 12);
    };
    put(title, 12, colours.text.css);
    if (peak === null) return;
    const value = cursor === null || cursor > this.end || cursor < 0 ? null : valueAt(this.series.data, this.curve.name, cursor);
    put(value === null ? `peak ${say(peak)}` : say(value), 27, value === null ? colours.muted.css : colours.focus.css);
    if (this.curve.bound) put(bound ? `of ${say(bound)}` : "no bound", 41, colours.muted.css);
    const words = bound ? `bound ${say(bound)}${drawn ? "" : ", far above the curve"}` : "no bound";
    this.canvas.setAttribute("aria-label", `${long} over time: peak ${say(peak)}${this.curve.bound ? `, ${words}` : ""}.`);
  }
}
