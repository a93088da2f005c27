// What is around the chart of one run: wires tabs, drawer, keys and commands to it, and keeps all of them live.

import { follow } from "./api.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./drawer.js";
import { look } from "./failures.js";
import { Jumps } from "./jumps.js";
import { listen, viewKeys } from "./keys.js";
import { atMost, byId, refresh } from "./shell.js";
import { Steering } from "./steer.js";
import { Tabs } from "./tabs.js";

/** How often the numbers and the open tab are asked for at most, in milliseconds. */
const HEAD_PAUSE = 500;
const TAB_PAUSE = 1500;

export class Page {
  /** The run as it was last heard of. */
  #latest = null;
  #renewHead = atMost(HEAD_PAUSE, refresh);
  #renewTab = atMost(TAB_PAUSE, () => this.#reloadTab());

  constructor(panel, address) {
    this.run = panel.run;
    this.panel = panel;
    this.address = address;
    this.tabs = new Tabs(this);
    this.jumps = new Jumps(panel, (task) => {
      address.soon();
      if (isDrawerOpen()) this.inspect(task);
    });
    new Steering(this.run, () => this.#latest ?? panel.summary, () => this.#renewHead());
    this.#listen();
    this.#show();
    follow(`/api/runs/${this.run}/events`, (event, data) => this.#heard(event, data));
  }

  get ops() {
    return this.panel.chart.info?.ops ?? [];
  }

  /** Selects a task and opens the drawer. */
  inspect(task, focus = true) {
    const { chart } = this.panel;
    chart.selected = task;
    chart.paint();
    this.address.write();
    const back = document.activeElement;
    return openDrawer(this, task, {
      focus,
      pick: (other) => this.inspect(other),
      close: () => {
        this.#leave();
        if (back instanceof HTMLElement && back.isConnected && back !== document.body) back.focus();
        else chart.canvas.focus();
      },
    });
  }

  /** Moves the chart to a task and opens the drawer. */
  jump(task) {
    this.jumps.to(task);
    this.inspect(task);
  }

  /** Loads the open tab anew. */
  reload() {
    this.address.soon();
    this.tabs.load();
  }

  #leave() {
    closeDrawer();
    this.panel.chart.selected = null;
    this.panel.chart.paint();
    this.address.soon();
  }

  #panRows(direction) {
    const { chart } = this.panel;
    const rows = ((chart.rowTo - chart.rowFrom) / 6) * direction;
    chart.showRows(chart.rowFrom + rows, chart.rowTo + rows);
  }

  #listen() {
    const { panel, jumps, tabs } = this;
    const { chart, view } = panel;
    listen({
      ...viewKeys(view),
      ArrowUp: () => this.#panRows(-1),
      ArrowDown: () => this.#panRows(1),
      0: () => panel.fit(),
      b: () => panel.arrange("batch"),
      s: () => panel.arrange("slot"),
      e: () => jumps.failure(1),
      E: () => jumps.failure(-1),
      n: () => jumps.task(1),
      N: () => jumps.task(-1),
      "/": () => tabs.open("tasks").then(() => byId("filter")?.focus()),
      Enter: () => chart.selected && this.inspect(chart.selected),
      Escape: () => (isDrawerOpen() ? byId("drawer").querySelector("button").click() : this.#leave()),
    }, (event) => {
      // Arrows over rows move the chart only where it has the focus; elsewhere they scroll.
      const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
      return !chart.info || (vertical && (event.target !== chart.canvas || chart.allRows));
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target.matches("#filter, #log-q")) chart.canvas.focus();
    });
    chart.addEventListener("pick", async (event) => {
      const task = await jumps.at(event.detail);
      if (task) this.inspect(task, false);
      else this.#leave();
    });
    view.addEventListener("change", () => {
      this.address.soon();
      if (tabs.current === "tasks" && view.mode === "free") this.#renewTab();
    });
    chart.addEventListener("arranged", () => this.address.soon());
    addEventListener("hashchange", () => {
      this.address.showChart();
      this.#show();
    });
  }

  #reloadTab() {
    const { tabs } = this;
    const open = byId(`panel-${tabs.current}`);
    // What somebody is in the middle of is left alone; a log only grows, and a spec stays as it is.
    const busy = open.contains(document.activeElement) && open !== document.activeElement;
    if (tabs.current !== "spec" && (!busy || tabs.current === "log")) tabs.load();
  }

  #heard(event, data) {
    const { tabs } = this;
    const before = this.#latest;
    const now = (this.#latest = data.run);
    this.panel.tick(data).catch(() => {});
    this.#renewHead();
    const failed = !before || before.tasks.failed !== now.tasks.failed;
    if (failed && now.tasks.failed > 0 && tabs.current !== "failures") look(this).catch(() => {});
    if (event === "end" || failed || tabs.current !== "failures") this.#renewTab();
  }

  /** Shows the tab and the task that the address names. */
  async #show() {
    const task = await this.address.showRest(this.tabs);
    if (task) this.inspect(task, false);
    else if (isDrawerOpen()) this.#leave();
    if (this.tabs.current !== "failures") look(this).catch(() => {});
  }
}
