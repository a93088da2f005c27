// Up to three charts at the same scale, with the numbers that only the tasks themselves tell.

import { follow, get } from "./api.js";
import { duration } from "./format.js";
import { listen, viewKeys } from "./keys.js";
import { Panel } from "./panel.js";
import { View } from "./view.js";

const view = new View();
const scale = { shared: true, max: {} };
/** The furthest end decides the scale of all. */
const ends = new Map();
const panels = [...document.querySelectorAll(".chart[data-run]")].map((root) => {
  const panel = new Panel(root, view, { whole: false, scale });
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

/** Says what waits and what is busy, by the coordinator's sums over all tasks of a run. */
async function compute(panel) {
  const { run } = panel;
  const { info, now } = panel.chart;
  const { busy_us: busy, waits } = await get(`/api/runs/${run}/totals`);
  put("busy", run, `${((busy / Math.max(1, now * info.cap)) * 100).toFixed(0)} % of ${info.cap}`);
  put("p50", run, waits ? duration(waits.p50_us) : "–");
  put("p95", run, waits ? duration(waits.p95_us) : "–");
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
