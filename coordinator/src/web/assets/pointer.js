// Pointers over a chart: one pans, points and picks, two pinch, a wheel with Ctrl zooms, a double click comes nearer.

import { GUTTER } from "./palette.js";

/** Below this many pixels a press is a pick and no drag. */
const STILL = 4;

export function pointers(chart) {
  const { canvas, view } = chart;
  const down = new Map();
  let drag = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const begin = ({ x, y }) => {
    drag = { x, y, from: view.from, to: view.to, rowFrom: chart.rowFrom, rowTo: chart.rowTo, moved: false };
  };
  const hover = (x, y, place) => chart.dispatchEvent(new CustomEvent("hover", { detail: { x, y, at: place } }));

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    down.set(event.pointerId, at(event));
    if (down.size === 1) begin(at(event));
    else drag.moved = true;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = at(event);
    if (down.size === 2 && down.has(event.pointerId)) {
      const [a, b] = [...down.values()];
      const before = Math.abs(a.x - b.x);
      down.set(event.pointerId, { x, y });
      const [c, d] = [...down.values()];
      const after = Math.abs(c.x - d.x);
      if (before > 8 && after > 8) view.zoom(before / after, chart.time((c.x + d.x) / 2));
      return;
    }
    if (drag && (drag.moved || Math.abs(x - drag.x) + Math.abs(y - drag.y) > STILL)) {
      drag.moved = true;
      const shift = ((drag.x - x) / chart.plotWidth) * (drag.to - drag.from);
      view.show(drag.from + shift, drag.to + shift);
      if (!chart.allRows) {
        const rows = ((drag.y - y) / chart.plotHeight) * (drag.rowTo - drag.rowFrom);
        chart.showRows(drag.rowFrom + rows, drag.rowTo + rows);
      }
    }
    view.point(x >= GUTTER ? chart.time(x) : null);
    hover(x, y, drag?.moved ? -1 : chart.barAt(x, y));
  });
  const end = (event) => {
    const { x, y } = at(event);
    if (event.type === "pointerup" && drag && !drag.moved && x >= GUTTER) {
      chart.dispatchEvent(new CustomEvent("pick", { detail: { x, y, at: chart.barAt(x, y) } }));
    }
    down.delete(event.pointerId);
    if (down.size === 0) drag = null;
    else begin([...down.values()][0]);
    if (drag) drag.moved = true;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => {
    view.point(null);
    hover(0, 0, -1);
  });
  canvas.addEventListener("dblclick", (event) => {
    const { x } = at(event);
    if (x >= GUTTER) view.zoom(event.shiftKey ? 2.5 : 0.4, chart.time(x));
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
