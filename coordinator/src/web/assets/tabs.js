// The tabs below a chart: which one is open, loading what it shows, and showing it anew without taking the focus away.

import { activity, batches, spec } from "./lists.js";
import { failures } from "./failures.js";
import { Log } from "./log.js";
import { Tasks } from "./tasks.js";
import { byId, make } from "./shell.js";

export class Tabs {
  current = "failures";
  #turn = 0;

  constructor(page) {
    this.page = page;
    this.buttons = [...document.querySelectorAll("[data-tab]")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.open(button.dataset.tab));
      button.addEventListener("keydown", (event) => this.#key(event));
    }
    this.tasks = new Tasks(page);
    this.log = new Log(page);
    this.loaders = {
      failures: () => failures(page), log: () => this.log.load(), tasks: () => this.tasks.load(),
      batches: () => batches(page), spec: () => spec(page), activity: () => activity(page),
    };
  }

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

  open(name) {
    if (!this.buttons.some((button) => button.dataset.tab === name)) return Promise.resolve();
    this.current = name;
    for (const button of this.buttons) {
      const chosen = button.dataset.tab === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      byId(`panel-${button.dataset.tab}`).hidden = !chosen;
    }
    this.page.address.soon();
    return this.load();
  }

  /** Loads what the open tab shows. */
  async load() {
    const turn = ++this.#turn;
    const name = this.current;
    const panel = byId(`panel-${name}`);
    try {
      const parts = await this.loaders[name]();
      if (turn !== this.#turn) return;
      const focused = document.activeElement;
      const key = panel.contains(focused) ? focused?.getAttribute("data-focus") : null;
      // What is there already stays: a field keeps its text and its focus.
      if (parts.length !== panel.childNodes.length || parts.some((part, place) => part !== panel.childNodes[place])) {
        panel.replaceChildren(...parts);
      }
      if (key) [...panel.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === key)?.focus();
    } catch (error) {
      if (turn === this.#turn) panel.replaceChildren(make("p", { class: "notice", role: "alert" }, error.message));
    }
  }
}
