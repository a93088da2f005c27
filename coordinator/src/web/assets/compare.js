// Up to three charts at the same scale, with the numbers that only the tasks themselves tell.

import { follow, get } from "./api.js";
import { duration } from "./format.js";
import { listen, viewKeys } from "./keys.js";
import { Panel } from "./panel.js";
import { View } from "./view.js";

const view = new View();
const scale = { shared: true, max: {} };
/** The furthest end decides the scale of all. @type {Map<string, number>} */
const ends = new Map();
const panels = [...document.querySelectorAll(".chart[data-run]")].map((root) => {
  const panel = new Panel(/** @type {HTMLElement} */ (root), view, { whole: false, scale });
  panel.grow = (end) => {
    ends.set(panel.run, end);
    view.setEnd(Math.max(...ends.values()));
  };
  return panel;
});

function put(key, run, text) {
  const cell = document.querySelector(`[data-computed="${key}:${run}"]`);
  if (cell) cell.textContent = text;
}

/** Says what waits and what is busy: by the coordinator's own numbers, else computed from all tasks of a run. @param {Panel} panel */
async function compute(panel) {
  const { run } = panel;
  const { info, now } = panel.chart;
  const busyShare = (busy) => `${((busy / Math.max(1, now * info.cap)) * 100).toFixed(0)} % of ${info.cap}`;
  if (info.waits) {
    put("busy", run, busyShare(info.busy_us));
    put("p50", run, duration(info.waits.p50_us));
    put("p95", run, duration(info.waits.p95_us));
    return;
  }
  const bars = await get(`/api/runs/${run}/bars`, { by: "batch", from_us: 0, to_us: Math.ceil(now) + 1, first_row: 0,
    last_row: info.batch_rows + 1, limit: 20000 });
  if (!bars.exact) {
    for (const key of ["busy", "p50", "p95"]) put(key, run, "more tasks than are compared");
    return;
  }
  // A batch that was not begun does not wait in memory.
  const begun = bars.start_us.map((start, at) => (bars.op[at] === 0 ? null : Math.max(0, start - bars.queued_us[at])));
  const waits = begun.filter((wait) => wait !== null).sort((a, b) => a - b);
  const rank = (share) => waits[Math.min(waits.length - 1, Math.max(0, Math.ceil(waits.length * share) - 1))];
  const busy = bars.start_us.reduce((sum, start, at) => sum + (bars.end_us[at] ?? now) - start, 0);
  put("busy", run, waits.length ? busyShare(busy) : "–");
  put("p50", run, waits.length ? duration(rank(0.5)) : "–");
  put("p95", run, waits.length ? duration(rank(0.95)) : "–");
}

listen({
  ...viewKeys(view),
  b: () => panels.forEach((panel) => panel.arrange("batch")),
  s: () => panels.forEach((panel) => panel.arrange("slot")),
});

for (const panel of panels) {
  panel.load().then(async () => {
    await compute(panel);
    if (panel.summary.ended_ms !== null) return;
    follow(`/api/runs/${panel.run}/events`, (event, data) => {
      panel.tick(data).then(() => event === "end" && location.reload()).catch(() => {});
    });
  }).catch((error) => {
    panel.scaleLine.textContent = error.message;
  });
}
