// Steering a run: pause, resume, cancel, limits, retry; every command says what it does before it does it.

import { get, post, retry } from "./api.js";
import { bytes, count } from "./format.js";
import { byId, make, offers } from "./shell.js";

/**
 * Opens a dialog with a form; `send` gets what was filled in and closes it unless it fails.
 * @param {{title: string, body: Node[], yes: string, no?: string, danger?: boolean, send: (data: FormData) => Promise<any>}} what
 */
function ask({ title, body, yes, no = "Close", danger = false, send }) {
  const said = make("p", { role: "alert" });
  const form = make("form", { method: "dialog" }, make("h2", { id: "ask-title" }, title), ...body,
    make("p", { class: "row" }, make("button", { type: "submit", class: danger ? "danger" : "primary" }, yes),
      make("button", { type: "button", onclick: () => dialog.close() }, no)), said);
  const dialog = make("dialog", { "aria-labelledby": "ask-title", onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send(new FormData(form));
      dialog.close();
    } catch (error) {
      said.textContent = error.problems?.length ? error.problems.map(({ path, problem }) => `${path}: ${problem}`).join("; ") : error.message;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Makes a choice of several with a sentence each. */
function choice(name, options) {
  return make("fieldset", {}, make("legend", { class: "sr" }, "How"), ...options.map(([value, label, more], place) =>
    make("label", { class: "choice" }, make("input", { type: "radio", name, value, checked: place === 0 }),
      make("span", {}, label, make("small", { class: "quiet" }, more)))));
}

/** Reads what was filled in: nothing leaves a limit as it is, `none` takes it off. @param {string} text @param {(text: string) => any} read */
function limit(text, read) {
  const said = text.trim();
  if (said === "") return undefined;
  return said.toLowerCase() === "none" ? null : read(said);
}

/** Reads `256MiB` and plain numbers of bytes. */
function size(text) {
  const found = /^([\d.]+)\s*(b|kib|mib|gib|tib)?$/i.exec(text);
  if (!found) throw new Error(`"${text}" is no size; write 64KiB, 8MiB or 1GiB`);
  return Math.round(Number(found[1]) * 1024 ** ["b", "kib", "mib", "gib", "tib"].indexOf((found[2] ?? "b").toLowerCase()));
}

function number(text) {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`"${text}" is no number; write one, or none`);
  return Number(text);
}

export class Steering {
  /** @param {string} run @param {() => any} latest the run as it was last heard of @param {() => void} renew */
  constructor(run, latest, renew) {
    Object.assign(this, { run, latest, renew });
    const acts = {
      pause: () => this.#at_once("pause"), resume: () => this.#at_once("resume"), cancel: () => this.#cancel(),
      limits: () => this.#limits(), retry: () => this.#retry(), explain: () => this.#explain(),
    };
    document.addEventListener("click", (event) => {
      const button = /** @type {any} */ (event.target).closest?.("[data-act]");
      if (button) acts[button.dataset.act]?.();
    });
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
        ].slice(0, offers("cancel-modes") ? 2 : 1)),
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
        make("p", { class: "quiet" }, "They hold at once, and are kept. Nothing that runs is stopped. An empty field changes nothing; none takes a limit off."),
        make("div", { class: "fields" },
          field("max_concurrent", "Tasks at once", count(run.cap)),
          field("max_in_flight", "Batches in flight", run.batches.max_in_flight && count(run.batches.max_in_flight)),
          field("max_in_flight_bytes", "Bytes in flight", run.bytes.max && bytes(run.bytes.max)),
          field("weight", "Weight among runs", run.weight ?? "as given")),
        make("details", {}, make("summary", {}, "Of single ops"), ...ops.map((op) => make("div", { class: "fields" },
          field(`cap:${op.name}`, `${op.name}: tasks at once`, "as given"), field(`rate:${op.name}`, `${op.name}: rate, as in 50/s`, "as given")))),
      ],
      send: (data) => {
        const read = (name, how) => limit(String(data.get(name) ?? ""), how);
        const named = ops.map((op) => [op.name, { max_concurrent: read(`cap:${op.name}`, number), rate: read(`rate:${op.name}`, (text) => text) }])
          .filter(([, limits]) => limits.max_concurrent !== undefined || limits.rate !== undefined);
        return this.#send("limits", {
          max_concurrent: read("max_concurrent", number), max_in_flight: read("max_in_flight", number),
          max_in_flight_bytes: read("max_in_flight_bytes", size), weight: read("weight", number),
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
      const found = await get(`/api/runs/${this.run}/explain`);
      explain(found);
    } catch (error) {
      this.say(error.message);
    }
  }
}

/** Says why nothing more runs, op by op. @param {any} found */
function explain({ state, ops }) {
  const said = ops.map((op) => {
    const more = op.in_backoff ? `, ${count(op.in_backoff)} wait for their next attempt` : "";
    return make("li", {}, make("strong", {}, op.name), `: ${count(op.running)} running, ${count(op.waiting)} waiting${more}`,
      make("ul", {}, ...op.obstacles.map((obstacle) => make("li", {}, obstacle.message))));
  });
  const dialog = make("dialog", { "aria-labelledby": "explain-title", onclose: () => dialog.remove() },
    make("h2", { id: "explain-title" }, "Why does nothing more run?"), make("p", { class: "quiet" }, `The run is ${state}.`),
    make("ul", { class: "explained" }, ...said),
    make("p", { class: "row" }, make("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
