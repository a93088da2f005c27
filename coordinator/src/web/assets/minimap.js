// The whole run below its chart, with a frame around what is seen; dragging moves the frame.

import { GUTTER, palette, prepare } from "./palette.js";
import { onTheme } from "./shell.js";
import { eachFrame } from "./view.js";

const HEIGHT = 40;

/** The whole run with the part that is seen; dragging moves it. */
export class Minimap {
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
    const { ctx, width, height } = prepare(this.canvas, HEIGHT);
    const colours = palette();
    const { view, data } = this.series;
    const plot = width - GUTTER;
    const x = (us) => GUTTER + (us / (view.end * 1.01)) * plot;
    ctx.fillStyle = colours.panel.css;
    ctx.fillRect(0, 6, width, height - 6);
    ctx.fillStyle = colours.muted.css;
    ctx.textAlign = "right";
    ctx.fillText("Whole run", GUTTER - 8, height / 2 + 3, GUTTER - 12);
    const values = data?.curves.running;
    if (values) {
      const most = values.reduce((peak, value) => Math.max(peak, value), 1);
      ctx.fillStyle = colours.waiting.css;
      data.t_us.forEach((us, at) => {
        const right = x(at + 1 < data.t_us.length ? data.t_us[at + 1] : view.end);
        const high = (values[at] / most) * (height - 14);
        ctx.fillRect(x(us), height - high, Math.max(0.5, right - x(us)), high);
      });
    }
    ctx.fillStyle = colours.failed.css;
    for (const us of this.failures) ctx.fillRect(x(us) - 1, 6, 3, 7);
    const [from, to] = [x(Math.max(0, view.from)), Math.min(x(view.to), width)];
    ctx.globalAlpha = 0.6;
    ctx.fillStyle = colours.panel.css;
    ctx.fillRect(GUTTER, 6, from - GUTTER, height - 6);
    ctx.fillRect(to, 6, width - to, height - 6);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colours.focus.css;
    ctx.lineWidth = 2;
    ctx.strokeRect(from + 1, 7, Math.max(6, to - from - 2), height - 8);
  }
}
