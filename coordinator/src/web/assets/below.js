// What stands below a chart on its time axis: a strip for each curve, and the whole run with a frame around what is seen.

import { Minimap } from "./minimap.js";
import { GUTTER } from "./palette.js";
import { CURVES, Series } from "./series.js";
import { make } from "./shell.js";
import { Strip } from "./strips.js";

/** How many of the curves stand below a chart that is compared with others. */
const COMPARED = 3;

export class Below {
  minimap = null;

  constructor(root, chart, { whole, scale = { shared: false, max: {} } }) {
    const { run, view } = chart;
    const width = () => chart.plotWidth;
    const canvas = (label) => {
      const made = make("canvas", { role: "img", "aria-label": label });
      root.append(made);
      return made;
    };
    this.series = new Series(run, view, width, false);
    this.strips = CURVES.slice(0, whole ? CURVES.length : COMPARED).map((curve) => {
      const strip = canvas(curve.long);
      strip.addEventListener("pointermove", (event) => view.point(chart.time(Math.max(GUTTER, event.offsetX))));
      strip.addEventListener("pointerleave", () => view.point(null));
      return new Strip(strip, curve, this.series, scale);
    });
    if (!whole) return;
    this.overview = new Series(run, view, width, true);
    this.minimap = new Minimap(canvas("The whole run; the frame is what the chart shows"), this.overview);
  }

  /** Takes the axes as they are now, and asks for new values where there are some. */
  update(info, end, changed) {
    for (const strip of this.strips) strip.update(info, end);
    if (!changed) return;
    this.series.update();
    this.overview?.update();
  }

  /** Marks when something failed. */
  mark(times) {
    if (!this.minimap) return;
    this.minimap.failures = times;
    this.minimap.paint();
  }
}
