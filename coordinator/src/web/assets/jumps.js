// Going from task to task: to the next failure, to the next of what is in view, to the one under the pointer.

import { get } from "./api.js";

/** How many tasks are walked through at most. */
const WALKED = 1000;

const byStart = (a, b) => a.start_us - b.start_us || a.id - b.id;

/** An id changes when a task ends; op, batch and attempt name it for ever. */
const isSame = (a, b) => a.op === b.op && a.batch === b.batch && a.attempt === b.attempt;

export class Jumps {
  #failures = { tasks: [], of: "" };

  constructor(panel, went) {
    this.panel = panel;
    this.went = went;
  }

  #tasks(query) {
    return get(`/api/runs/${this.panel.run}/tasks`, { page_size: WALKED, ...query }).then((found) => found.tasks);
  }

  /** Selects a task and moves the chart to it, unless it is seen well already. */
  to(task) {
    const { chart, view } = this.panel;
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
  }

    async failure(direction) {
    const { info } = this.panel.chart;
    const of = `${info?.epoch} ${info?.version}`;
    if (this.#failures.of !== of) {
      const lists = await Promise.all(["failed", "lost"].map((state) => this.#tasks({ state })));
      this.#failures = { tasks: lists.flat().sort(byStart), of };
    }
    this.#step(this.#failures.tasks, direction);
  }

  /** Goes to the next task of what is in view, or back. */
  async task(direction) {
    const { view } = this.panel;
    const query = view.mode === "fit" ? {} : { from_us: Math.max(0, Math.floor(view.from)), to_us: Math.ceil(view.to) };
    this.#step((await this.#tasks(query)).sort(byStart), direction);
  }

  #step(tasks, direction) {
    if (tasks.length === 0) return;
    const { selected } = this.panel.chart;
    const at = selected ? tasks.findIndex((task) => isSame(task, selected)) : -1;
    const first = direction > 0 ? 0 : tasks.length - 1;
    const next = at < 0 ? first : (at + direction + tasks.length) % tasks.length;
    this.to(tasks[next]);
    this.went(tasks[next]);
  }

  /** Finds the task at a point: the bar that is drawn there, or the worst one of a column. */
  async at({ x, y, at }) {
    const { chart } = this.panel;
    const row = Math.floor(chart.row(y));
    const us = chart.time(x);
    const slack = chart.data?.exact ? 1 : chart.data?.column_us ?? 1;
    if (at < 0 && chart.data?.exact) return null;
    const from = at >= 0 ? chart.data.bars.start_us[at] : us - slack;
    const to = at >= 0 ? chart.data.bars.end_us[at] ?? chart.now : us + slack;
    const rows = chart.data?.exact ? 1 : chart.data?.rows_per_cell ?? 1;
    const tasks = await this.#tasks({ by: chart.by, first_row: row, last_row: row + rows,
      from_us: Math.max(0, Math.floor(from)), to_us: Math.ceil(to) + 1 });
    const id = at >= 0 ? chart.data.bars.id[at] : null;
    return tasks.find((one) => one.id === id) ?? tasks.find((one) => one.state === "failed") ?? tasks[0] ?? null;
  }
}
