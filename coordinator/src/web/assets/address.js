// The address as the full state of what is seen: a link shows the same part of the same chart, task and tab.

import { get } from "./api.js";

const said = () => new URLSearchParams(location.hash.slice(1));

export class Address {
  #timer = 0;
  /** Nothing is written before what was there has been read. */
  #tabs = null;

  constructor(panel) {
    this.panel = panel;
  }

  /** Writes soon: while the chart moves, only the last place counts. */
  soon() {
    if (!this.#tabs) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.write(), 200);
  }

  write() {
    const tabs = this.#tabs;
    if (!tabs) return;
    const { chart, view } = this.panel;
    const state = new URLSearchParams();
    if (chart.by !== "batch") state.set("by", chart.by);
    if (view.mode === "free") state.set("t", `${Math.round(view.from)}-${Math.round(view.to)}`);
    if (view.mode === "follow") state.set("follow", "1");
    if (!chart.allRows) state.set("rows", `${chart.rowFrom.toFixed(1)}-${chart.rowTo.toFixed(1)}`);
    if (tabs.current !== "failures") state.set("tab", tabs.current);
    if (chart.selected) state.set("task", `${chart.selected.batch ?? "run"}/${chart.selected.op}/${chart.selected.attempt}`);
    const filter = tabs.tasks.words.value.trim();
    if (filter) state.set("q", filter);
    const hash = state.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  /** Shows the part of the chart that the address says. */
  showChart() {
    const { panel } = this;
    const { chart, view } = panel;
    const state = said();
    const pair = (name) => /^(-?[\d.]+)-(-?[\d.]+)$/.exec(state.get(name) ?? "")?.slice(1).map(Number);
    panel.arrange(state.get("by") === "slot" ? "slot" : "batch");
    const time = pair("t");
    if (time && time[1] > time[0]) view.show(time[0], time[1]);
    else if (state.has("follow")) view.follow();
    else if (this.#tabs) panel.fit();
    const rows = pair("rows");
    if (rows && rows[1] > rows[0]) chart.showRows(rows[0], rows[1]);
  }

  /** Opens the tab that the address says, and returns the task. */
  async showRest(tabs) {
    const state = said();
    tabs.tasks.words.value = state.get("q") ?? "";
    const named = /^(run|[\d.]+)\/(\d+)\/(\d+)$/.exec(state.get("task") ?? "");
    this.#tabs = tabs;
    tabs.open(state.get("tab") ?? "failures");
    if (!named) return null;
    const [, batch, op, attempt] = named;
    const { tasks } = await get(`/api/runs/${this.panel.run}/tasks`, { op, batch: batch === "run" ? null : batch, page_size: 1000 });
    return tasks.find((one) => one.attempt === Number(attempt) && (one.batch ?? "run") === batch) ?? null;
  }
}
