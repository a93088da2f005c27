// The tabs below a chart: failures first, then the tasks as a real table, batches, the spec, what happened.

import { get } from "./api.js";
import { nameOf, stateMark } from "./drawer.js";
import { count, duration } from "./format.js";
import { byId, make } from "./shell.js";

const PAGE = 100;

/** @param {string} label @param {string[]} heads @param {Node[]} rows */
function table(label, heads, rows) {
  const head = make("tr", {}, ...heads.map((name) => {
    const number = name.startsWith("#");
    return make("th", { scope: "col", class: number ? "number" : null }, number ? name.slice(1) : name);
  }));
  return make("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

const cell = (...children) => make("td", {}, ...children);
const number = (...children) => make("td", { class: "number" }, ...children);

export class Tabs {
  current = "failures";
  /** @type {string[]} the tokens of the pages of tasks that lie before the one shown */
  #before = [""];
  #turn = 0;

  /**
   * @param {string} run
   * @param {{panel: import("./panel.js").Panel, inspect: (task: any) => void, jump: (task: any) => void, changed: () => void}} page
   */
  constructor(run, page) {
    this.run = run;
    this.page = page;
    this.buttons = [...document.querySelectorAll("[data-tab]")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.open(button.dataset.tab));
      button.addEventListener("keydown", (event) => this.#key(/** @type {any} */ (event)));
    }
    this.#buildFilter();
  }

  get ops() {
    return this.page.panel.chart.info?.ops ?? [];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const place = this.buttons.findIndex((button) => button.dataset.tab === this.current);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? this.buttons.length - 1 : step ? place + step : null;
    if (next === null) return;
    event.preventDefault();
    event.stopPropagation();
    const button = this.buttons[(next + this.buttons.length) % this.buttons.length];
    this.open(button.dataset.tab);
    button.focus();
  }

  /** @param {string} name */
  open(name) {
    if (!this.buttons.some((button) => button.dataset.tab === name)) return;
    this.current = name;
    for (const button of this.buttons) {
      const chosen = button.dataset.tab === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      byId(`panel-${button.dataset.tab}`).hidden = !chosen;
    }
    this.page.changed();
    this.load();
  }

  /** Loads what the open tab shows. */
  async load() {
    const turn = ++this.#turn;
    const panel = byId(`panel-${this.current}`);
    try {
      const parts = await this[`_${this.current}`]();
      if (turn !== this.#turn) return;
      const focused = document.activeElement;
      const key = panel.contains(focused) ? focused?.getAttribute("data-focus") : null;
      panel.replaceChildren(...parts);
      if (key) [...panel.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === key)?.focus();
    } catch (error) {
      if (turn === this.#turn) panel.replaceChildren(make("p", { class: "notice", role: "alert" }, error.message));
    }
  }

  async _failures() {
    const { groups, dropped } = await get(`/api/runs/${this.run}/failures`);
    this.page.panel.minimap && (this.page.panel.minimap.failures = groups.flatMap((group) => [group.first_us, group.last_us]));
    this.page.panel.minimap?.paint();
    if (groups.length === 0) return [make("p", { class: "quiet" }, "Nothing has failed.")];
    const rows = groups.map((group) => {
      const open = make("button", { type: "button", "data-focus": `failure ${group.first_task}`,
        onclick: () => this.#inspectFirst(group) }, `Batch ${group.first_batch ?? "–"}`);
      const others = group.batches.length > 1 ? ` and ${count(group.batches.length - 1)}${group.batches.length >= 20 ? "+" : ""} more` : "";
      return make("tr", {},
        make("td", { class: "wrap" }, make("code", {}, group.example ?? group.error)),
        cell(this.ops[group.op]?.name ?? "–"), cell(String(group.kind ?? "").replaceAll("_", " ")),
        number(count(group.attempts)), cell(open, others), make("td", { class: "name" }, group.workers.join(", ")),
        number(duration(group.first_us)));
    });
    const parts = [table("Failures, by op and error", ["Error", "Op", "Kind", "#Attempts", "First at", "Workers", "#First"], rows)];
    if (dropped) parts.push(make("p", { class: "quiet" }, `${count(dropped)} more kinds of error were not kept.`));
    return parts;
  }

  async #inspectFirst(group) {
    const query = { state: "failed", op: group.op, batch: group.first_batch, page_size: 1 };
    const { tasks } = await get(`/api/runs/${this.run}/tasks`, query);
    const lost = tasks.length ? tasks : (await get(`/api/runs/${this.run}/tasks`, { ...query, state: "lost" })).tasks;
    if (lost[0]) this.page.jump(lost[0]);
  }

  #buildFilter() {
    const again = () => {
      this.#before = [""];
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(), 200);
    };
    this.only = make("input", { type: "checkbox", id: "only-view", checked: true, onchange: again });
    this.state = make("select", { id: "filter-state", onchange: again }, make("option", { value: "" }, "Any"));
    for (const state of ["running", "succeeded", "failed", "cancelled", "lost"]) this.state.append(make("option", { value: state }, state));
    this.op = make("select", { id: "filter-op", onchange: again });
    this.words = make("input", { id: "filter", type: "search", placeholder: "batch, worker:NAME or words of an error", size: 34, oninput: again });
    const label = (target, text) => make("label", { for: target.id }, text);
    this.filter = make("div", { class: "row" }, label(this.words, "Filter"), this.words, label(this.state, "State"), this.state,
      label(this.op, "Op"), this.op, this.only, label(this.only, "Only what is in view"));
    this.list = make("div", {});
    this.filter.style.marginBottom = "12px";
  }

  /** Tells what the filter asks for. */
  #query() {
    const { chart, view } = this.page.panel;
    const words = this.words.value.trim();
    const worker = words.startsWith("worker:") ? words.slice(7).trim() : null;
    const batch = /^\d+(\.[01])*$/.test(words) ? words : null;
    const query = { state: this.state.value, op: this.op.value, worker, batch, error: worker || batch ? null : words };
    if (!this.only.checked || view.mode === "fit") return query;
    return { ...query, from_us: Math.max(0, Math.floor(view.from)), to_us: Math.ceil(view.to), by: chart.by,
      first_row: Math.floor(chart.rowFrom), last_row: Math.ceil(chart.rowTo) };
  }

  async _tasks() {
    if (this.op.options.length === 0 && this.ops.length) {
      this.op.append(make("option", { value: "" }, "Any"), ...this.ops.map((op, place) => make("option", { value: place }, op.name)));
    }
    const found = await get(`/api/runs/${this.run}/tasks`, { ...this.#query(), page_size: PAGE, page_token: this.#before.at(-1) });
    const rows = found.tasks.map((task) => make("tr", {},
      cell(make("button", { type: "button", "data-focus": `task ${task.id}`, onclick: () => this.page.inspect(task) }, nameOf(task, this.ops))),
      cell(stateMark(task.state)), make("td", { class: "name" }, `${task.worker} · ${task.slot}`), number(duration(task.start_us - task.queued_us)),
      number(duration(task.start_us)), number(task.end_us === null ? "–" : duration(task.end_us - task.start_us)),
      make("td", { class: "wrap" }, task.error ?? "")));
    const heads = ["Task", "State", "Worker · slot", "#Waited", "#Began at", "#Took", "Error"];
    const shown = rows.length ? table("Tasks", heads, rows) : make("p", { class: "quiet" }, "No task is like that.");
    const pager = make("div", { class: "pager" },
      make("button", { type: "button", disabled: this.#before.length === 1, "data-focus": "newer", onclick: () => this.#turnBack() }, "Back"),
      make("button", { type: "button", disabled: !found.next_page_token, "data-focus": "next", onclick: () => this.#turnOn(found.next_page_token) }, "Next"),
      make("span", { class: "quiet", role: "status" }, `Page ${this.#before.length}, ${count(rows.length)} tasks`));
    this.list.replaceChildren(shown, pager);
    return [this.filter, this.list];
  }

  #turnBack() {
    this.#before.pop();
    this.load();
  }

  #turnOn(token) {
    this.#before.push(token);
    this.load();
  }

  async _batches() {
    const { batches, next_page_token } = await get(`/api/runs/${this.run}/batches`, { page_size: PAGE });
    if (batches.length === 0) return [make("p", { class: "quiet" }, "No batch is in flight, committing or failed.")];
    const rows = batches.map((batch) => make("tr", {}, cell(batch.id), cell(stateMark(batch.state)),
      cell(batch.op === null ? "–" : this.ops[batch.op]?.name ?? "–"), number(batch.attempt), make("td", { class: "name" }, batch.worker ?? "–"),
      number(batch.slice ? count(batch.slice.first_line) : "–"), make("td", { class: "wrap" }, batch.failure?.message ?? "")));
    const parts = [table("Batches", ["Batch", "State", "Op", "#Attempt", "Worker", "#First line", "Failure"], rows)];
    if (next_page_token) parts.push(make("p", { class: "quiet" }, `The first ${PAGE} are shown.`));
    return parts;
  }

  async _spec() {
    const spec = await get(`/api/runs/${this.run}/spec`);
    return [make("pre", { tabindex: "0", "aria-label": "The job's spec" }, spec.yaml ?? spec.json ?? JSON.stringify(spec.job, null, 2))];
  }

  async _activity() {
    let token = "";
    const entries = [];
    do {
      const page = await get(`/api/runs/${this.run}/activity`, { page_token: token });
      entries.push(...page.entries);
      token = page.next_page_token;
    } while (token && entries.length < 1000);
    if (entries.length === 0) return [make("p", { class: "quiet" }, "Nothing has happened yet.")];
    const rows = entries.map((entry) => make("tr", {},
      cell(make("time", { datetime: new Date(entry.at_ms).toISOString() }, new Date(entry.at_ms).toLocaleTimeString())),
      cell(entry.kind.replaceAll("_", " ")), make("td", { class: "wrap" }, entry.message)));
    return [table("Activity", ["At", "What", "In words"], rows)];
  }
}
