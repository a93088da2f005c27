// Keys of a chart, on the page of a run and where runs are compared.

import { isTyping } from "./shell.js";

/** How much a key pans and zooms. */
const PAN = 0.15;
export const NEARER = 0.625;
export const FARTHER = 1.6;

/** Returns what the keys of a view do. */
export const viewKeys = (view) => ({
  ArrowLeft: () => view.pan(-PAN),
  ArrowRight: () => view.pan(PAN),
  "+": () => view.zoom(NEARER),
  "=": () => view.zoom(NEARER),
  "-": () => view.zoom(FARTHER),
  0: () => view.fit(),
  f: () => view.follow(),
});

/**
 * Lets keys act unless they belong to what has the focus.
 * @param {Record<string, () => any>} acts
 * @param {(event: KeyboardEvent) => boolean} [mine] tells whether a key is for something else after all
 */
export function listen(acts, mine = () => false) {
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (isTyping(event)) return;
    const onControl = target.matches("button, a, summary, [role=tab]");
    if (onControl && (event.key === "Enter" || event.key === " ")) return;
    // What scrolls by itself keeps its arrows.
    if (event.key.startsWith("Arrow") && target.matches(".scroll, pre, .log, [role=tab]")) return;
    const act = acts[event.key];
    if (!act || mine(event)) return;
    event.preventDefault();
    act();
  });
}
