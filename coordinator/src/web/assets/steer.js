// Steering a run: pause, resume, cancel, limits, retry; every command says what it does before it does it.

import { get, post, retry } from "./api.js";
import { ask, choice, limit, number, opened, size } from "./ask.js";
import { bytes, count } from "./format.js";
import { byId, make, onPress } from "./shell.js";

export class Steering {
  /** @param {() => any} latest the run as it was last heard of */
  constructor(run, latest, renew) {
    Object.assign(this, { run, latest, renew });
    const acts = {
      pause: () => this.#at_once("pause"), resume: () => this.#at_once("resume"), cancel: () => this.#cancel(),
      limits: () => this.#limits(), retry: () => this.#retry(), explain: () => this.#explain(),
    };
    onPress("[data-act]", (button) => acts[button.dataset.act]?.());
  }

  async #send(command, body = {}) {
    await post(`/api/runs/${this.run}/${command}`, body);
    this.say("");
    this.renew();
  }

  say(text) {
    byId("steer-said").textContent = text;
  }

  async #at_once(command) {
    try {
      await this.#send(command);
    } catch (error) {
      this.say(error.message);
    }
  }

  #cancel() {
    const { batches, bytes: held, running } = this.latest();
    const begun = batches.in_flight + (batches.committing ?? 0);
    ask({
      title: "Cancel this run?", yes: "Cancel the run", no: "Let it go on", danger: true,
      body: [
        make("p", { id: "cancel-loses" }, `${count(batches.in_flight)} batches in flight: ${count(running.now)} running tasks, ` +
          `${bytes(held.in_flight)} held. ${count(batches.committed)} committed batches stay committed; the rest is never begun. ` +
          "A cancelled run cannot be resumed."),
        choice("mode", [
          ["now", "Now", `What the ${count(begun)} batches in flight have done so far is lost.`],
          ["after_running", "After what runs", `The ${count(running.now)} tasks that run may end; nothing else is begun.`],
        ]),
      ],
      send: (data) => this.#send("cancel", { mode: data.get("mode") }),
    });
  }

  #limits() {
    const run = this.latest();
    const field = (name, label, now) =>
      make("label", {}, label, make("input", { name, autocomplete: "off", placeholder: now ? `now ${now}` : "none now" }));
    const ops = run.ops.slice(1);
    ask({
      title: "Change limits", yes: "Change them",
      body: [
        make("p", { class: "quiet" }, "They hold at once, and are kept. What runs goes on. An empty field changes nothing; none takes a limit off."),
        make("div", { class: "fields" },
          field("max_concurrent", "Tasks at once", count(run.cap)),
          field("max_in_flight", "Batches in flight", run.batches.max_in_flight && count(run.batches.max_in_flight)),
          field("max_in_flight_bytes", "Bytes in flight", run.bytes.max && bytes(run.bytes.max)),
          field("max_committing", "Committing", count(run.batches.max_committing)),
          field("weight", "Weight among runs", String(run.weight))),
        make("details", {}, make("summary", {}, "Of single ops"), ...ops.map((op) => make("div", { class: "fields" },
          field(`cap:${op.name}`, `${op.name}: tasks at once`, op.max_concurrent && count(op.max_concurrent)),
          field(`rate:${op.name}`, `${op.name}: rate, as in 50/s`, op.rate)))),
      ],
      send: (data) => {
        const read = (name, how) => limit(String(data.get(name) ?? ""), how);
        const named = ops.map((op) => [op.name, { max_concurrent: read(`cap:${op.name}`, number), rate: read(`rate:${op.name}`, (text) => text) }])
          .filter(([, limits]) => limits.max_concurrent !== undefined || limits.rate !== undefined);
        return this.#send("limits", {
          max_concurrent: read("max_concurrent", number), max_in_flight: read("max_in_flight", number),
          max_in_flight_bytes: read("max_in_flight_bytes", size), max_committing: read("max_committing", number), weight: read("weight", number),
          ops: named.length ? Object.fromEntries(named) : undefined,
        });
      },
    });
  }

  #retry() {
    const { batches, ops } = this.latest();
    const one = make("select", { name: "op" }, make("option", { value: "" }, "All of them"),
      ...ops.map((op) => make("option", { value: op.name }, `Those that failed in ${op.name}`)));
    ask({
      title: "Retry what failed?", yes: "Retry",
      body: [
        make("p", {}, `${count(batches.failed)} batches failed for good. They are begun again, each with all its attempts; ` +
          "what is loaded already stays as it is."),
        make("label", {}, "Which", one),
      ],
      send: (data) => retry(this.run, data.get("op") ? { op: String(data.get("op")) } : {}),
    });
  }

  async #explain() {
    try {
      explain(await this.#obstacles(), () => this.#obstacles());
    } catch (error) {
      this.say(error.message);
    }
  }

  #obstacles() {
    return get(`/api/runs/${this.run}/explain`);
  }
}

/** How often an explanation that is looked at is made anew, in milliseconds. */
const AGAIN = 1000;

/** Says why nothing more runs, op by op, as long as somebody looks. @param {() => Promise<any>} again */
function explain(found, again) {
  const state = make("p", { class: "quiet" });
  const list = make("ul", { class: "explained" });
  const fill = ({ state: name, ops }) => {
    state.textContent = `The run is ${name}.`;
    list.replaceChildren(...ops.map((op) => {
      const more = op.in_backoff ? `, ${count(op.in_backoff)} wait for their next attempt` : "";
      const obstacles = op.obstacles.length ? op.obstacles.map(({ message }) => message) : ["nothing is in its way: more begins at once"];
      return make("li", {}, make("strong", {}, op.name), `: ${count(op.running)} running, ${count(op.waiting)} waiting${more}`,
        make("ul", {}, ...obstacles.map((message) => make("li", {}, message))));
    }));
  };
  fill(found);
  const dialog = opened(make("h2", { id: "ask-title" }, "Why does nothing more run?"), state,
    make("div", { class: "explaining", role: "region", "aria-label": "Op by op", tabindex: "0" }, list),
    make("p", { class: "row" }, make("button", { onclick: () => dialog.close() }, "Close")));
  const renew = async () => {
    if (!dialog.open) return;
    try {
      fill(await again());
    } catch (error) {
      // A run that has ended is held by nothing any more.
      state.textContent = error.message;
      return;
    }
    setTimeout(renew, AGAIN);
  };
  setTimeout(renew, AGAIN);
}
