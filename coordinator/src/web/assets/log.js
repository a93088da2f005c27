// What ops said: the log of a run, filtered by the coordinator, followed while the run goes on.

import { get } from "./api.js";
import { duration } from "./format.js";
import { atMost, make } from "./shell.js";
import { choose, nameOf, naming } from "./table.js";

/** How many lines are asked for at once, and how many are kept on the page. */
const ASKED = 500;
const KEPT = 2000;

export class Log {
  /** Where the next lines are asked from. */
  #after = "";
  #key = "";

  constructor(page) {
    this.page = page;
    const again = atMost(200, () => page.reload());
    this.words = make("input", { id: "log-q", type: "search", placeholder: "words", size: 28, oninput: again });
    this.level = make("select", { id: "log-level", onchange: again });
    choose(this.level, "All", ["debug", "info", "warn", "error"].map((level) => [level, level]));
    this.op = make("select", { id: "log-op", onchange: again });
    this.batch = make("input", { id: "log-batch", size: 8, oninput: again, inputmode: "decimal" });
    this.stay = make("input", { type: "checkbox", id: "log-follow", checked: true });
    this.filter = make("div", { class: "row filter" }, naming(this.words, "Search"), this.words, naming(this.level, "Level"), this.level,
      naming(this.op, "Op"), this.op, naming(this.batch, "Batch"), this.batch,
      make("span", { class: "row" }, this.stay, naming(this.stay, "Follow")));
    this.lines = make("ol", { class: "log", tabindex: "0", "aria-label": "Log lines" });
    this.said = make("p", { class: "quiet", role: "status" });
  }

  async load() {
    const { ops, run } = this.page;
    choose(this.op, "Any", ops.map((op, place) => [place, op.name]));
    const filter = { q: this.words.value.trim(), level: this.level.value, op: this.op.value, batch: this.batch.value.trim() };
    const key = JSON.stringify(filter);
    if (key !== this.#key) {
      this.#key = key;
      this.#after = "";
      this.lines.replaceChildren();
    }
    for (let turn = 0; turn < 20; turn++) {
      const found = await get(`/api/runs/${run}/logs`, { ...filter, after: this.#after, page_size: ASKED });
      if (key !== this.#key) break;
      this.#after = found.next ?? this.#after;
      this.#append(found.lines);
      this.#say(found);
      if (found.lines.length < ASKED) break;
    }
    return [this.filter, this.lines, this.said];
  }

  #append(lines) {
    this.lines.append(...lines.map((line) => make("li", { class: line.level },
      make("span", { class: "quiet" }, duration(line.at_us)), make("span", {}, line.level),
      make("span", { class: "quiet" }, nameOf(line, this.page.ops)), make("span", {}, line.text))));
    while (this.lines.children.length > KEPT) this.lines.firstElementChild?.remove();
    if (this.stay.checked && lines.length) requestAnimationFrame(() => (this.lines.scrollTop = this.lines.scrollHeight));
  }

  #say({ dropped }) {
    const some = this.lines.children.length;
    const lost = dropped ? ` ${dropped} older lines were not kept.` : "";
    this.said.textContent = some ? `${some} lines${some === KEPT ? ", the newest" : ""}.${lost}` : `No line is like that.${lost}`;
  }
}
