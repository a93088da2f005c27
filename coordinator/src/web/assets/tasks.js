// The tasks as a real table, of what the chart shows or of the whole run, with a filter.

import { get } from "./api.js";
import { count, duration } from "./format.js";
import { STATES } from "./palette.js";
import { atMost, make } from "./shell.js";
import { PAGE, Pager, cell, choose, name, nameOf, naming, number, quiet, row, stateMark, table, wrapped } from "./table.js";

export class Tasks {
  constructor(page) {
    this.page = page;
    this.pager = new Pager(() => page.reload());
    const again = atMost(200, () => {
      this.pager.rewind();
      page.reload();
    });
    this.only = make("input", { type: "checkbox", id: "only-view", checked: true, onchange: again });
    this.state = make("select", { id: "filter-state", onchange: again });
    choose(this.state, "Any", STATES.map((state) => [state, state]));
    this.op = make("select", { id: "filter-op", onchange: again });
    this.words = make("input", { id: "filter", type: "search", placeholder: "batch, worker:NAME, words of an error", size: 34, oninput: again });
    this.filter = make("div", { class: "row filter" }, naming(this.words, "Filter"), this.words, naming(this.state, "State"), this.state,
      naming(this.op, "Op"), this.op, make("span", { class: "row" }, this.only, naming(this.only, "Only what is in view")));
    this.list = make("div", {});
  }

  /** Tells what the filter asks for. */
  #query() {
    const { chart, view } = this.page.panel;
    const words = this.words.value.trim();
    const worker = words.startsWith("worker:") ? words.slice(7).trim() : null;
    const batch = /^\d+(\.[01])*$/.test(words) ? words : null;
    const query = { state: this.state.value, op: this.op.value, worker, batch, error: worker || batch ? null : words };
    if (!this.only.checked) return query;
    if (view.mode !== "fit") Object.assign(query, { from_us: Math.max(0, Math.floor(view.from)), to_us: Math.ceil(view.to) });
    if (!chart.allRows) Object.assign(query, { by: chart.by, first_row: Math.floor(chart.rowFrom), last_row: Math.ceil(chart.rowTo) });
    return query;
  }

  async load() {
    const { ops, run } = this.page;
    choose(this.op, "Any", ops.map((op, place) => [place, op.name]));
    const found = await get(`/api/runs/${run}/tasks`, { ...this.#query(), page_size: PAGE, page_token: this.pager.token });
    const rows = found.tasks.map((task) => row(
      cell(make("button", { class: "plain", "data-focus": `task ${task.id}`, onclick: () => this.page.inspect(task) }, nameOf(task, ops))),
      cell(stateMark(task.state)), name(`${task.worker} · ${task.slot}`), number(duration(task.start_us - task.queued_us)),
      number(duration(task.start_us)), number(task.end_us === null ? "–" : duration(task.end_us - task.start_us)),
      wrapped(task.error ?? "")));
    const heads = ["Task", "State", "Worker · slot", "#Waited", "#Began at", "#Took", "Error"];
    this.list.replaceChildren(rows.length ? table("Tasks", heads, rows) : quiet("No task is like that."),
      this.pager.buttons(found.next_page_token, rows.length, count(rows.length) === "1" ? "task" : "tasks"));
    return [this.filter, this.list];
  }
}
