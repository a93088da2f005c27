// Tables, and what stands in them, made the same way in every tab.

import { count } from "./format.js";
import { make } from "./shell.js";

/** How many rows a page of a table has. */
export const PAGE = 50;

/** Makes a table that scrolls by itself; a head that begins with # is a column of numbers. */
export function table(label, heads, rows) {
  const head = make("tr", {}, ...heads.map((name) => {
    const number = name.startsWith("#");
    return make("th", { scope: "col", class: number ? "number" : null }, number ? name.slice(1) : name);
  }));
  return make("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

export const row = (...cells) => make("tr", {}, ...cells);
export const cell = (...children) => make("td", {}, ...children);
export const number = (...children) => make("td", { class: "number" }, ...children);
export const name = (...children) => make("td", { class: "name" }, ...children);
export const wrapped = (...children) => make("td", { class: "wrap" }, ...children);
export const quiet = (text) => make("p", { class: "quiet" }, text);

/** A state as a shape and a word. */
export const stateMark = (state) => make("span", { class: `state ${state}` }, state.replaceAll("_", " "));

/** Writes a task's name. */
export function nameOf(task, ops) {
  const op = ops[task.op]?.name ?? "?";
  return `${task.batch === null ? op : `${op}[${task.batch}]`}#${task.attempt}`;
}

/** Makes the label of a field. */
export const naming = (field, text) => make("label", { for: field.id }, text);

/** Fills a choice once its options, values and names, are known. */
export function choose(field, all, options) {
  if (field.options.length || !options.length) return;
  field.append(...[["", all], ...options].map(([value, text]) => make("option", { value }, text)));
}

/** Walks through the pages of a list by the tokens that it hands out. */
export class Pager {
  /** The tokens of the pages up to the one shown. */
  tokens = [""];

  constructor(again) {
    this.again = again;
  }

  get token() {
    return this.tokens.at(-1) ?? "";
  }

  rewind() {
    this.tokens = [""];
  }

  buttons(next, rows, what) {
    const go = (move) => () => {
      move();
      this.again();
    };
    const button = (label, key, disabled, move) =>
      make("button", { disabled, "data-focus": key, onclick: go(move) }, label);
    return make("div", { class: "pager" },
      button("Back", "back", this.tokens.length === 1, () => this.tokens.pop()),
      button("Next", "next", !next, () => this.tokens.push(next)),
      make("span", { class: "quiet", role: "status" }, `Page ${count(this.tokens.length)}, ${count(rows)} ${what}`));
  }
}
