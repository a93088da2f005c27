// The page of one run: its chart, kept live; keys; the address as the full state of what is seen.

import { follow, get, post } from "./api.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./drawer.js";
import { bytes, count } from "./format.js";
import { Panel } from "./panel.js";
import { byId, isTyping, refresh } from "./shell.js";
import { Tabs } from "./tabs.js";
import { View } from "./view.js";

const HEAD_PAUSE = 500;
const view = new View();
const panel = new Panel(byId("chart"), view, { whole: true });
const { run, chart } = panel;
const tabs = new Tabs(run, { panel, inspect, jump, changed: writeAddress });
/** @type {any} */
let latest = null;
let headAt = 0;
let headTimer = 0;
let tabTimer = 0;
let addressTimer = 0;
let ready = false;

/** Selects a task and opens the drawer. @param {any} task @param {boolean} [focus] */
function inspect(task, focus = true) {
  chart.selected = task;
  chart.paint();
  writeAddressNow();
  const back = document.activeElement;
  return openDrawer(run, task, chart.info.ops, {
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
  writeAddress();
}

/** Selects a task and moves the chart to it. @param {any} task @param {boolean} [open] */
function jump(task, open = true) {
  const end = task.end_us ?? chart.now;
  const seen = task.start_us >= view.from && end <= view.to;
  const wide = ((end - task.start_us) / view.span) * chart.plotWidth > 4;
  if (!seen || !wide) {
    const span = Math.max((end - task.start_us) * 12, view.end / 200);
    const middle = (task.start_us + end) / 2;
    view.show(middle - span / 2, middle + span / 2);
  }
  const row = chart.by === "slot" ? task.lane : Number(String(task.batch ?? chart.rows - 1).split(".")[0]);
  if (row < chart.rowFrom || row + 1 > chart.rowTo) {
    const half = (chart.rowTo - chart.rowFrom) / 2;
    chart.showRows(row - half, row + half);
  }
  chart.selected = task;
  chart.paint();
  writeAddress();
  if (open) inspect(task);
}

/** @type {{tasks: any[], of: string}} */
let failures = { tasks: [], of: "" };

/** Goes to the next failure, or back. @param {number} direction */
async function jumpToFailure(direction) {
  const of = `${chart.info?.epoch} ${chart.info?.version}`;
  if (failures.of !== of) {
    const lists = await Promise.all(["failed", "lost"].map((state) => get(`/api/runs/${run}/tasks`, { state, page_size: 1000 })));
    const tasks = lists.flatMap((list) => list.tasks).sort((a, b) => a.start_us - b.start_us || a.id - b.id);
    failures = { tasks, of };
  }
  step(failures.tasks, direction);
}

/** Goes to the next task of what is in view, or back. @param {number} direction */
async function jumpToTask(direction) {
  const query = { from_us: Math.max(0, Math.floor(view.from)), to_us: Math.ceil(view.to), page_size: 1000 };
  const { tasks } = await get(`/api/runs/${run}/tasks`, view.mode === "fit" ? { page_size: 1000 } : query);
  step(tasks.sort((a, b) => a.start_us - b.start_us || a.id - b.id), direction);
}

function step(tasks, direction) {
  if (tasks.length === 0) return;
  const { selected } = chart;
  const at = selected ? tasks.findIndex((task) => task.id === selected.id) : -1;
  const first = direction > 0 ? 0 : tasks.length - 1;
  const next = at < 0 ? first : (at + direction + tasks.length) % tasks.length;
  jump(tasks[next], isDrawerOpen());
}

const KEYS = {
  ArrowLeft: () => view.pan(-0.15),
  ArrowRight: () => view.pan(0.15),
  ArrowUp: () => panRows(-1),
  ArrowDown: () => panRows(1),
  "+": () => view.zoom(0.625),
  "=": () => view.zoom(0.625),
  "-": () => view.zoom(1.6),
  0: () => panel.fit(),
  f: () => view.follow(),
  b: () => panel.arrange("batch"),
  s: () => panel.arrange("slot"),
  e: () => jumpToFailure(1),
  E: () => jumpToFailure(-1),
  n: () => jumpToTask(1),
  N: () => jumpToTask(-1),
  "/": () => {
    tabs.open("tasks");
    setTimeout(() => byId("filter")?.focus(), 300);
  },
  Enter: () => chart.selected && inspect(chart.selected),
  Escape: () => (isDrawerOpen() ? byId("drawer").querySelector("button").click() : leave()),
};

function panRows(direction) {
  const rows = ((chart.rowTo - chart.rowFrom) / 6) * direction;
  chart.showRows(chart.rowFrom + rows, chart.rowTo + rows);
}

document.addEventListener("keydown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (isTyping(event)) {
    if (event.key === "Escape" && target.id === "filter") chart.canvas.focus();
    return;
  }
  const onControl = target.matches("button, a, summary, [role=tab]");
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  // Arrows over rows move the chart only where it has the focus; elsewhere they scroll.
  const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
  const scrolls = event.key.startsWith("Arrow") && target.matches(".scroll, pre, [role=tab]");
  if (scrolls || (vertical && (target !== chart.canvas || chart.allRows))) return;
  const act = KEYS[event.key];
  if (!act || !chart.info) return;
  event.preventDefault();
  act();
});

chart.addEventListener("pick", async (event) => {
  const { x, y, at } = /** @type {any} */ (event).detail;
  const row = Math.floor(chart.row(y));
  const us = chart.time(x);
  const slack = chart.data?.exact ? 1 : chart.data?.column_us ?? 1;
  if (at < 0 && chart.data?.exact) return leave();
  const from = at >= 0 ? chart.data.bars.start_us[at] : us - slack;
  const query = { by: chart.by, first_row: row, last_row: row + 1, from_us: Math.max(0, Math.floor(from)),
    to_us: Math.ceil(at >= 0 ? chart.data.bars.end_us[at] ?? chart.now : us + slack) + 1, page_size: 1000 };
  const { tasks } = await get(`/api/runs/${run}/tasks`, query);
  const id = at >= 0 ? chart.data.bars.id[at] : null;
  const task = tasks.find((one) => one.id === id) ?? tasks.find((one) => one.state === "failed") ?? tasks[0];
  if (task) inspect(task, false);
});

/** The address says everything: a link shows the same part of the same chart. */
function writeAddress() {
  if (!ready) return;
  clearTimeout(addressTimer);
  addressTimer = setTimeout(writeAddressNow, 200);
}

function writeAddressNow() {
  if (!ready) return;
  const state = new URLSearchParams();
  if (chart.by !== "batch") state.set("by", chart.by);
  if (view.mode === "free") state.set("t", `${Math.round(view.from)}-${Math.round(view.to)}`);
  if (view.mode === "follow") state.set("follow", "1");
  if (!chart.allRows) state.set("rows", `${chart.rowFrom.toFixed(1)}-${chart.rowTo.toFixed(1)}`);
  if (tabs.current !== "failures") state.set("tab", tabs.current);
  if (chart.selected) state.set("task", `${chart.selected.batch ?? "run"}/${chart.selected.op}/${chart.selected.attempt}`);
  const hash = state.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

async function readAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  const pair = (name) => /^(-?[\d.]+)-(-?[\d.]+)$/.exec(state.get(name) ?? "")?.slice(1).map(Number);
  if (state.get("by") === "slot") panel.arrange("slot");
  const time = pair("t");
  if (time && time[1] > time[0]) view.show(time[0], time[1]);
  if (state.has("follow")) view.follow();
  const rows = pair("rows");
  if (rows && rows[1] > rows[0]) chart.showRows(rows[0], rows[1]);
  const named = /^(run|[\d.]+)\/(\d+)\/(\d+)$/.exec(state.get("task") ?? "");
  ready = true;
  tabs.open(state.get("tab") ?? "failures");
  if (!named) return;
  const [, batch, op, attempt] = named;
  const query = { op, batch: batch === "run" ? null : batch, page_size: 1000 };
  const { tasks } = await get(`/api/runs/${run}/tasks`, query);
  const task = tasks.find((one) => one.attempt === Number(attempt) && (one.batch ?? "run") === batch);
  if (task) inspect(task, false);
}

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
    const panelNow = byId(`panel-${tabs.current}`);
    // What somebody is in the middle of is left alone.
    if (!panelNow.contains(document.activeElement) || panelNow === document.activeElement) tabs.load();
  }, 1500);
}

/** @param {string} event @param {any} data */
function heard(event, data) {
  const before = latest;
  latest = data.run;
  panel.tick(data).catch(() => {});
  renewHead();
  if (event === "end" || !before || before.tasks.failed !== latest.tasks.failed || tabs.current !== "failures") renewTab();
}

const dialog = byId("cancel-dialog");
document.addEventListener("click", (event) => {
  if (/** @type {Element} */ (event.target).closest?.("[data-act=cancel]")) askCancel();
});
byId("cancel-no").addEventListener("click", () => dialog.close());
byId("cancel-yes").addEventListener("click", async () => {
  try {
    await post(`/api/runs/${run}/cancel`);
    dialog.close();
    renewHead();
  } catch (error) {
    byId("cancel-said").textContent = error.message;
  }
});

function askCancel() {
  const { batches, bytes: held, running } = latest ?? panel.summary;
  byId("cancel-loses").textContent =
    `${count(batches.in_flight)} batches in flight are given up and their work is lost: ${count(running.now)} running tasks, ` +
    `${bytes(held.in_flight)} held. ${count(batches.committed)} committed batches stay committed; the rest is never begun. ` +
    "A cancelled run cannot be resumed.";
  byId("cancel-said").textContent = "";
  dialog.showModal();
}

view.addEventListener("change", () => {
  writeAddress();
  if (tabs.current === "tasks" && view.mode === "free") renewTab();
});
chart.addEventListener("arranged", writeAddress);

panel.load().then(readAddress).catch((error) => {
  byId("chart").querySelector(".scale").textContent = error.message;
}).finally(() => follow(`/api/runs/${run}/events`, heard));
