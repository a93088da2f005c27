// The page of one run: wires its chart, tabs, drawer, keys and commands together and keeps them live.

import { Address } from "./address.js";
import { follow } from "./api.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./drawer.js";
import { look } from "./failures.js";
import { Jumps } from "./jumps.js";
import { listen, viewKeys } from "./keys.js";
import { Panel } from "./panel.js";
import { byId, refresh } from "./shell.js";
import { Steering } from "./steer.js";
import { Tabs } from "./tabs.js";
import { View } from "./view.js";

/** How often the numbers and the open tab are asked for at most, in milliseconds. */
const HEAD_PAUSE = 500;
const TAB_PAUSE = 1500;
const view = new View();
const panel = new Panel(byId("chart"), view, { whole: true });
const { run, chart } = panel;
const jumps = new Jumps(panel, (task) => {
  address.soon();
  if (isDrawerOpen()) inspect(task);
});
/** @type {import("./tabs.js").Page} */
const page = {
  run, panel, inspect,
  get ops() {
    return chart.info?.ops ?? [];
  },
  jump: (task) => {
    jumps.to(task);
    inspect(task);
  },
  changed: () => address?.soon(),
  open: (tab) => tabs.open(tab),
  reload: () => {
    address.soon();
    tabs.load();
  },
};
const tabs = new Tabs(page);
const address = new Address(panel, tabs);
/** @type {any} */
let latest = null;
let headAt = 0;
let headTimer = 0;
let tabTimer = 0;
new Steering(run, () => latest ?? panel.summary, renewHead);

/** Selects a task and opens the drawer. @param {any} task @param {boolean} [focus] */
function inspect(task, focus = true) {
  chart.selected = task;
  chart.paint();
  address.write();
  const back = document.activeElement;
  return openDrawer(page, task, {
    focus,
    pick: (other) => inspect(other),
    close: () => {
      leave();
      if (back instanceof HTMLElement && back.isConnected && back !== document.body) back.focus();
      else chart.canvas.focus();
    },
  });
}

function leave() {
  closeDrawer();
  chart.selected = null;
  chart.paint();
  address.soon();
}

function panRows(direction) {
  const rows = ((chart.rowTo - chart.rowFrom) / 6) * direction;
  chart.showRows(chart.rowFrom + rows, chart.rowTo + rows);
}

listen({
  ...viewKeys(view),
  ArrowUp: () => panRows(-1),
  ArrowDown: () => panRows(1),
  0: () => panel.fit(),
  b: () => panel.arrange("batch"),
  s: () => panel.arrange("slot"),
  e: () => jumps.failure(1),
  E: () => jumps.failure(-1),
  n: () => jumps.task(1),
  N: () => jumps.task(-1),
  "/": () => tabs.open("tasks").then(() => byId("filter")?.focus()),
  Enter: () => chart.selected && inspect(chart.selected),
  Escape: () => (isDrawerOpen() ? byId("drawer").querySelector("button").click() : leave()),
}, (event) => {
  // Arrows over rows move the chart only where it has the focus; elsewhere they scroll.
  const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
  return !chart.info || (vertical && (event.target !== chart.canvas || chart.allRows));
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && /** @type {Element} */ (event.target).matches("#filter, #log-q")) chart.canvas.focus();
});

chart.addEventListener("pick", async (event) => {
  const task = await jumps.at(/** @type {any} */ (event).detail);
  if (task) inspect(task, false);
  else leave();
});

/** Refreshes the numbers above the chart, at most twice a second. */
function renewHead() {
  headTimer ||= setTimeout(async () => {
    headTimer = 0;
    headAt = performance.now();
    await refresh();
  }, Math.max(0, HEAD_PAUSE - (performance.now() - headAt)));
}

function renewTab() {
  if (tabs.current === "spec") return;
  tabTimer ||= setTimeout(() => {
    tabTimer = 0;
    const open = byId(`panel-${tabs.current}`);
    // What somebody is in the middle of is left alone; a log only grows.
    const busy = open.contains(document.activeElement) && open !== document.activeElement;
    if (!busy || tabs.current === "log") tabs.load();
  }, TAB_PAUSE);
}

/** @param {string} event @param {any} data */
function heard(event, data) {
  const before = latest;
  latest = data.run;
  panel.tick(data).catch(() => {});
  renewHead();
  const failed = !before || before.tasks.failed !== latest.tasks.failed;
  if (failed && latest.tasks.failed > 0 && tabs.current !== "failures") look(page).catch(() => {});
  if (event === "end" || failed || tabs.current !== "failures") renewTab();
}

view.addEventListener("change", () => {
  address.soon();
  if (tabs.current === "tasks" && view.mode === "free") renewTab();
});
chart.addEventListener("arranged", () => address.soon());

/** Shows what the address says, and the task that it names. */
async function show() {
  const task = await address.read();
  if (task) inspect(task, false);
  else if (isDrawerOpen()) leave();
  if (tabs.current !== "failures") look(page).catch(() => {});
}
addEventListener("hashchange", show);

panel.load().then(show).catch((error) => {
  byId("chart").querySelector(".scale").textContent = error.message;
}).finally(() => follow(`/api/runs/${run}/events`, heard));
