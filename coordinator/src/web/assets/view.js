// Which part of the time axis is seen: shared by a chart, its strips and its minimap, and between compared charts.

/** The shortest span that can be seen, in microseconds. */
const SHORTEST = 20;

export class View extends EventTarget {
  /** @type {"fit"|"follow"|"free"} */
  mode = "fit";
  from = 0;
  to = 1e6;
  /** The end of what there is. */
  end = 1e6;
  /** The time under the pointer. */
  cursor = null;

  get span() {
    return this.to - this.from;
  }

  /** Says that there is more, or less, to see. */
  setEnd(end) {
    const next = Math.max(1000, end);
    if (next === this.end && this.mode !== "fit") return;
    this.end = next;
    if (this.mode === "fit") this.#set(0, this.end * 1.01);
    else if (this.mode === "follow") this.#set(this.end * 1.01 - this.span, this.end * 1.01);
    else this.#changed();
  }

  fit() {
    this.mode = "fit";
    this.#set(0, this.end * 1.01);
  }

  follow() {
    this.mode = "follow";
    const span = Math.min(this.span, this.end * 1.01);
    this.#set(this.end * 1.01 - span, this.end * 1.01);
  }

  show(from, to) {
    this.mode = "free";
    this.#set(from, to);
  }

  /** Moves by a share of what is seen. */
  pan(share) {
    this.show(this.from + this.span * share, this.to + this.span * share);
  }

  /** @param {number} factor below one shows less @param {number} [at] the time that stays where it is */
  zoom(factor, at = (this.from + this.to) / 2) {
    const span = Math.min(Math.max(this.span * factor, SHORTEST), this.end * 1.2);
    const share = (at - this.from) / this.span;
    this.show(at - span * share, at + span * (1 - share));
  }

  /** Points at a time. */
  point(us) {
    this.cursor = us;
    this.dispatchEvent(new Event("cursor"));
  }

  #set(from, to) {
    const span = Math.max(to - from, SHORTEST);
    const least = -span * 0.1;
    const most = Math.max(this.end * 1.01 - span * 0.5, 0);
    this.from = Math.min(Math.max(from, least), most);
    if (this.mode !== "free") this.from = Math.max(0, from);
    this.to = this.from + span;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** How long a frame works on what wants to be painted, in milliseconds; what is left comes first in the next one. */
export const FRAME = 8;
/** What wants to be painted, in the order in which it was asked for. */
const wanted = new Set();

function frame() {
  const began = performance.now();
  for (const callback of wanted) {
    wanted.delete(callback);
    callback();
    if (performance.now() - began > FRAME) break;
  }
  if (wanted.size > 0) requestAnimationFrame(frame);
}

/** Runs a callback at most once a frame, and later when others take the frame's time. */
export function eachFrame(callback) {
  return () => {
    if (wanted.size === 0) requestAnimationFrame(frame);
    wanted.add(callback);
  };
}

/** Runs a callback once behind what happens now, however often it is asked for. */
export function afterwards(callback) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      callback();
    });
  };
}

/** Lets the browser answer to other things before going on. */
export function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
