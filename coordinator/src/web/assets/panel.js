// A chart with what belongs to it: arrangements, zoom, legend, strips, minimap, the tip under the pointer.

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { count, duration } from "./format.js";
import { FARTHER, NEARER } from "./keys.js";
import { swatch } from "./paint.js";
import { GUTTER } from "./palette.js";
import { make, onTheme } from "./shell.js";

/** Options: `whole`, with its own tools, as on a run's page; `scale`, which compared charts share. */
export class Panel {
  constructor(root, view, options) {
    this.root = root;
    this.view = view;
    this.run = root.dataset.run ?? "";
    this.summary = null;
    /** Comes when the chart is there. */
    this.below = null;
    this.end = 0;
    /** When something failed. */
    this.failures = [];
    const canvas = make("canvas", { role: "img", tabindex: "0", "aria-label": "Chart, being loaded" });
    this.tip = make("div", { class: "tip", hidden: true });
    this.cross = make("div", { class: "cross", hidden: true, "aria-hidden": "true" }, make("span", {}));
    this.legend = make("ul", { class: "legend", "aria-label": "Legend" });
    this.scaleLine = make("p", { class: "scale" });
    this.room = make("div", { class: options.whole ? "room whole" : "room" });
    this.plot = make("div", { class: "plot" }, canvas, this.room, this.tip, this.cross);
    root.replaceChildren();
    if (options.whole) root.append(this.#tools());
    root.append(this.plot);
    this.chart = new Chart(this.run, canvas, view);
    root.append(this.legend, this.scaleLine);
    this.chart.addEventListener("hover", (event) => this.#hover(event.detail));
    this.chart.addEventListener("loaded", () => this.say());
    view.addEventListener("change", () => this.#sayTools());
    view.addEventListener("cursor", () => this.#point());
    this.chart.shown.then(() => this.#furnish(options));
  }

  /** Puts what can wait below the chart: its place is kept free. */
  async #furnish(options) {
    onTheme(() => this.#drawLegend());
    this.#drawLegend();
    const { Below } = await import("./below.js");
    this.below = new Below(this.room, this.chart, options);
    this.below.mark(this.failures);
    if (this.chart.info) this.below.update(this.chart.info, this.end, true);
  }

  /** Marks when something failed. */
  mark(times) {
    this.failures = times;
    this.below?.mark(times);
  }

  #tools() {
    const button = (label, title, onclick, extra = {}) => make("button", { title, onclick, ...extra }, label);
    const { view } = this;
    this.byBatch = button("By batch", "b", () => this.arrange("batch"), { "aria-pressed": "true" });
    this.bySlot = button("By slot", "s", () => this.arrange("slot"), { "aria-pressed": "false" });
    this.fitButton = button("Fit", "0", () => this.fit(), { "aria-pressed": "true" });
    this.followButton = button("Follow", "f", () => view.follow(), { "aria-pressed": "false" });
    const group = (label, ...buttons) => make("span", { class: "group", role: "group", "aria-label": label }, ...buttons);
    return make("div", { class: "row between" },
      make("div", { class: "row" },
        group("Arrangement", this.byBatch, this.bySlot),
        group("Zoom", button("−", "-", () => view.zoom(FARTHER), { "aria-label": "Zoom out" }),
          button("+", "+", () => view.zoom(NEARER), { "aria-label": "Zoom in" }), this.fitButton, this.followButton)),
      make("div", { class: "row" },
        button("PNG", "The chart as a picture", () => this.#savePicture(), { "aria-label": "Save the chart as PNG" }),
        make("a", { class: "button", href: `/api/runs/${this.run}/tasks.csv`, download: `${this.run}.csv` }, "CSV"),
        make("a", { class: "button", href: `/api/runs/${this.run}/trace.json`, download: `${this.run}.trace.json`,
          title: "Opens in Perfetto" }, "Trace")));
  }

  fit() {
    this.chart.allRows = true;
    this.chart.showRows(0, this.chart.rows);
    this.view.fit();
  }

  /** @param {"batch"|"slot"} by */
  arrange(by) {
    if (this.chart.by === by) return;
    this.chart.arrange(by);
    this.#drawLegend();
    this.byBatch?.setAttribute("aria-pressed", String(by === "batch"));
    this.bySlot?.setAttribute("aria-pressed", String(by === "slot"));
  }

  #sayTools() {
    this.fitButton?.setAttribute("aria-pressed", String(this.view.mode === "fit"));
    this.followButton?.setAttribute("aria-pressed", String(this.view.mode === "follow"));
  }

  /** Draws with what came with the page, or else asks for it; `place` chooses what is seen at first. */
  async load(place) {
    const seed = this.root.dataset.seed;
    const known = seed && JSON.parse(seed);
    const [info, run] = known ? [known.chart, known.run] :
      await Promise.all([get(`/api/runs/${this.run}/chart`), get(`/api/runs/${this.run}`)]);
    this.root.removeAttribute("data-seed");
    this.chart.expect(this.root.dataset.ahead ?? null);
    this.update(info, run);
    place?.();
  }

  /** Takes what a tick says; asks for the axes again only when they changed. */
  async tick(tick) {
    const before = this.chart.info;
    const { chart, run } = tick;
    const grew = !before || before.batch_rows !== chart.batch_rows || before.lanes.length !== chart.lanes;
    const live = run.ended_ms === null;
    const info = grew || live !== before.live ? await get(`/api/runs/${this.run}/chart`) : { ...before };
    const changed = !before || before.version !== chart.version || live !== before.live;
    Object.assign(info, { epoch: chart.epoch, end_us: chart.end_us, sealed_us: chart.sealed_us, tasks: chart.tasks,
      version: chart.version, max_in_flight: run.batches.max_in_flight, cap: run.cap });
    this.update(info, run, changed);
  }

  update(info, run, changed = true) {
    this.summary = run;
    const now = info.live ? Math.max(run.now_us ?? 0, info.end_us) : info.end_us;
    const end = Math.max(now, 1000);
    this.chart.update(info, now);
    this.grow(end);
    this.end = end;
    this.below?.update(info, end, changed);
    this.say();
  }

  grow(end) {
    this.view.setEnd(end);
  }

  #drawLegend() {
    const { info } = this.chart;
    if (!info) return;
    const entries = info.ops.map((op, place) => ["op", op.name, place]);
    // By slot nothing waits.
    if (this.chart.by === "batch") entries.push(["waiting", "waiting", 0]);
    entries.push(["running", "running", 1], ["failed", "failed", 1], ["retried", "retried", 1],
      ["cancelled", "cancelled", 1], ["lost", "lost worker", 1]);
    this.legend.replaceChildren();
    for (const [kind, name, op] of entries) {
      const canvas = make("canvas", { "aria-hidden": "true" });
      this.legend.append(make("li", {}, canvas, name));
      swatch(canvas, kind, op);
    }
  }

  /** Says in words what is drawn, honestly: exact, or in which columns. */
  say() {
    const { data, info } = this.chart;
    if (!info || !data) return;
    const tasks = `${count(data.tasks)} ${data.tasks === 1 ? "task" : "tasks"}`;
    const cells = data.rows_per_cell > 1 ? ` of ${count(data.rows_per_cell)} ${data.by === "batch" ? "batches" : "slots"}` : "";
    const shown = data.exact ? `${tasks}, exact` : `${tasks}, shown as ${duration(data.column_us)} columns${cells}`;
    const dropped = info.dropped ? ` ${count(info.dropped)} later tasks were not kept and are not shown.` : "";
    this.scaleLine.textContent = `${shown}.${dropped}`;
    const failed = this.summary?.tasks.failed ?? 0;
    const rows = data.by === "batch" ? `${count(info.batch_rows)} batches` : `${count(info.lanes.length)} slots`;
    const label = `Chart of run ${this.run} by ${data.by}: ${rows}, ${info.ops.map((op) => op.name).join(", then ")}; ${shown}; ` +
      `${failed === 0 ? "no failed attempts" : `${count(failed)} failed attempts`}; ` +
      `from ${duration(Math.max(0, this.view.from))} to ${duration(Math.min(this.view.to, info.end_us))}.`;
    this.chart.canvas.setAttribute("aria-label", label);
  }

  /** Moves the line through the chart and its strips to the time that is pointed at. */
  #point() {
    const { cursor } = this.view;
    const x = cursor === null ? -1 : this.chart.x(cursor);
    this.cross.hidden = x < GUTTER || x > this.plot.clientWidth;
    if (this.cross.hidden) return;
    this.cross.style.transform = `translateX(${Math.round(x)}px)`;
    const label = this.cross.firstChild;
    label.textContent = duration(Math.max(0, cursor));
    label.classList.toggle("left", x > this.plot.clientWidth - 80);
  }

  #hover({ x, y, at }) {
    const { tip } = this;
    this.chart.canvas.style.cursor = at >= 0 ? "pointer" : "default";
    tip.hidden = at < 0;
    if (at < 0) return;
    tip.textContent = this.chart.describe(at);
    const room = this.plot.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(x + 14, room - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 16}px`;
  }

  #savePicture() {
    const parts = [...this.plot.querySelectorAll("canvas")];
    const picture = document.createElement("canvas");
    picture.width = Math.max(...parts.map((part) => part.width));
    picture.height = parts.reduce((sum, part) => sum + part.height, 0);
    const ctx = picture.getContext("2d");
    ctx.fillStyle = getComputedStyle(document.body).backgroundColor;
    ctx.fillRect(0, 0, picture.width, picture.height);
    let y = 0;
    for (const part of parts) {
      ctx.drawImage(part, 0, y);
      y += part.height;
    }
    picture.toBlob((blob) => {
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      make("a", { href: url, download: `${this.run}.png` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
  }
}
