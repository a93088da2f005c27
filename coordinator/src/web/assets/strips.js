// The strips below a chart, on its time axis: one curve each, with its bound as a line.

import { GUTTER, opColour, palette, prepare } from "./palette.js";
import { valueAt } from "./series.js";
import { onTheme } from "./shell.js";
import { eachFrame } from "./view.js";

const HEIGHT = 48;

export class Strip {
  /**
   * @param {HTMLCanvasElement} canvas @param {any} curve one of CURVES @param {import("./series.js").Series} series
   * @param {{max: Record<string, number>}} scale
   */
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
    const { view, data } = this.series;
    const colours = palette();
    ctx.strokeStyle = colours.line.css;
    ctx.beginPath();
    ctx.moveTo(0, 0.5);
    ctx.lineTo(width, 0.5);
    ctx.stroke();
    const values = data?.curves[this.curve.name];
    if (!values || !this.info) return this.#words(ctx, null, null, false);
    const peak = values.reduce((most, value) => Math.max(most, value), 0);
    const bound = this.curve.bound?.(this.info) ?? null;
    // A bound far above the curve would press it flat: then it is said and not drawn.
    const drawn = bound !== null && bound > 0 && bound <= peak * 4;
    const top = this.#top(Math.max(peak, drawn ? bound : 0));
    const plot = width - GUTTER;
    const x = (us) => GUTTER + ((us - view.from) / view.span) * plot;
    const y = (value) => height - 1 - (value / top) * (height - 8);
    ctx.save();
    ctx.beginPath();
    ctx.rect(GUTTER, 0, plot, height);
    ctx.clip();
    if (this.curve.name === "queue") this.#stack(ctx, data, x, y);
    else this.#area(ctx, this.#steps(data.t_us, values, null, x, y), colours.focus.css);
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
    ctx.restore();
    this.#words(ctx, peak, bound, drawn);
  }

  /** Charts that are compared share the scale: those that are drawn already follow. */
  #top(most) {
    const { scale, curve } = this;
    if (!scale.shared) return Math.max(1, most) * 1.12;
    if (most > (scale.max[curve.name] ?? 0)) {
      scale.max[curve.name] = most;
      this.series.view.point(this.series.view.cursor);
    }
    return Math.max(1, scale.max[curve.name]) * 1.12;
  }

  /** Makes the outline of steps above a floor. */
  #steps(t_us, values, floor, x, y) {
    const path = new Path2D();
    if (t_us.length === 0) return path;
    const last = Math.min(this.end, this.series.view.to);
    const right = (at) => x(Math.min(at + 1 < t_us.length ? t_us[at + 1] : last, last));
    path.moveTo(x(t_us[0]), y(floor ? floor[0] : 0));
    for (let at = 0; at < t_us.length; at++) {
      const high = y(values[at]);
      path.lineTo(x(t_us[at]), high);
      if (right(at) > x(t_us[at])) path.lineTo(right(at), high);
    }
    for (let at = t_us.length - 1; at >= 0; at--) {
      const low = y(floor ? floor[at] : 0);
      path.lineTo(Math.max(right(at), x(t_us[at])), low);
      if (floor || at === 0) path.lineTo(x(t_us[at]), low);
    }
    return path;
  }

  #area(ctx, path, css) {
    ctx.globalAlpha = 0.22;
    ctx.fillStyle = css;
    ctx.fill(path);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = css;
    ctx.lineWidth = 1.5;
    ctx.stroke(path);
  }

  /** One op's queue upon the other, in the colours of the ops. */
  #stack(ctx, data, x, y) {
    let floor = data.t_us.map(() => 0);
    data.queues.forEach((queue, op) => {
      if (!queue.some((value) => value > 0)) return;
      const above = floor.map((value, at) => value + queue[at]);
      ctx.fillStyle = opColour(op).css;
      ctx.fill(this.#steps(data.t_us, above, floor, x, y));
      floor = above;
    });
  }

  #words(ctx, peak, bound, drawn) {
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
