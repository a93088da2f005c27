// The series of a run: what goes up and down over its time, loaded for a view and again when that moves.

import { get } from "./api.js";
import { bytes, count } from "./format.js";
import { eachFrame } from "./view.js";

const PAUSE = 450;

/** The curves, in the order in which they stand. */
export const CURVES = [
  { name: "batches_in_flight", title: "In flight", long: "Batches in flight", say: count, bound: (info) => info.max_in_flight },
  { name: "bytes_in_flight", title: "Bytes held", long: "Bytes of batches in flight", say: bytes, bound: (info) => info.max_bytes },
  { name: "running", title: "Running", long: "Tasks running, against the slots they may use", say: count, bound: (info) => info.cap },
  { name: "queue", title: "Queue", long: "Tasks that wait, by op", say: count, bound: null },
  { name: "rate", title: "Tasks/s", long: "Tasks done in a second", say: (value) => count(Math.round(value)), bound: null },
];

export class Series extends EventTarget {
  data = null;
  #asked = 0;
  #stale = true;
  #busy = false;
  constructor(run, view, width, whole) {
    super();
    this.run = run;
    this.view = view;
    this.width = width;
    this.whole = whole;
    this.check = eachFrame(() => this.#check());
    view.addEventListener("change", () => this.check());
  }

  update() {
    this.#stale = true;
    this.check();
  }

  #wanted() {
    const { view } = this;
    if (this.whole) return { from: 0, to: view.end * 1.01 };
    return { from: Math.max(0, view.from), to: view.to };
  }

  async #check() {
    const { from, to } = this.#wanted();
    const have = this.data;
    if (!this.#stale && have && Math.abs(have.from - from) < 1 && Math.abs(have.to - to) < 1) return;
    if (this.whole && have && !this.#stale) return;
    const wait = PAUSE - (performance.now() - this.#asked);
    if (this.#busy || (have && wait > 0)) {
      this.again ??= setTimeout(() => {
        this.again = undefined;
        this.#check();
      }, Math.max(60, wait));
      return;
    }
    this.#busy = true;
    this.#asked = performance.now();
    this.#stale = false;
    try {
      const points = Math.max(60, Math.min(1000, Math.round(this.width())));
      const found = await get(`/api/runs/${this.run}/series`, { points, from_us: Math.floor(from), to_us: Math.ceil(to) });
      this.data = { ...derive(found, to), from, to };
      this.dispatchEvent(new Event("loaded"));
    } catch {
      // The next tick or step asks again.
    } finally {
      this.#busy = false;
    }
  }
}

/** Makes the curves of what was found: peaks of gauges, queues one upon the other, differences of what only rises. */
function derive(found, to) {
  const { t_us, names, min, max, last, bucket_us } = found;
  const place = (name) => names.indexOf(name);
  const curves = {};
  for (const name of ["batches_in_flight", "bytes_in_flight", "running"]) curves[name] = max[place(name)];
  const queues = names.flatMap((name, at) => (name.startsWith("queue:") ? [last[at]] : []));
  curves.queue = t_us.map((_, at) => queues.reduce((sum, values) => sum + values[at], 0));
  const done = place("tasks_done");
  curves.rate = t_us.map((us, at) => {
    const before = at > 0 ? last[done][at - 1] : min[done][0];
    return ((last[done][at] - before) * 1e6) / Math.max(1e5, Math.min(bucket_us, to - us));
  });
  return { t_us, curves, queues };
}

/** Returns the value of a curve at a time. */
export function valueAt(data, name, us) {
  const values = data?.curves[name];
  if (!values) return null;
  let [low, high] = [0, data.t_us.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.t_us[middle] <= us) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : values[low - 1];
}
