// Steering a run: pause, resume, cancel, limits, retry; every command says what it does before it does it.

import { get, post } from "./api.js";
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

/** Reads `256MiB` and plain numbers of bytes; `undefined` for nothing, an error for anything else. */
function size(text) {
  if (!text.trim()) return undefined;
  const found = /^([\d.]+)\s*(b|kib|mib|gib|tib)?$/i.exec(text.trim());
  if (!found) throw new Error(`"${text}" is no size; write 64KiB, 8MiB or 1GiB`);
  return Math.round(Number(found[1]) * 1024 ** ["b", "kib", "mib", "gib", "tib"].indexOf((found[2] ?? "b").toLowerCase()));
}

const whole = (text) => (text.trim() ? Number(text) : undefined);

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

  async #limits() {
    const run = this.latest();
    const { job } = await get(`/api/runs/${this.run}/spec`);
    const schedule = job.schedule ?? {};
    const field = (name, label, value, hint, more = {}) =>
      make("label", {}, label, make("input", { name, value: value ?? "", placeholder: hint, autocomplete: "off", ...more }));
    const digits = { inputmode: "numeric", pattern: "[0-9]*" };
    const ops = run.ops.slice(1).map((op, place) => {
      const own = job.ops?.[place] ?? {};
      return make("div", { class: "fields" }, make("strong", {}, op.name),
        field(`cap:${op.name}`, `Tasks of ${op.name} at once`, own.max_concurrent, "as many as fit", digits),
        field(`rate:${op.name}`, `Starts of ${op.name} a second`, own.rate?.per_second ?? own.rate, "no rate", { inputmode: "decimal" }));
    });
    ask({
      title: "Change limits", yes: "Change them",
      body: [
        make("p", { class: "quiet" }, "They hold at once and until the run ends. Lowering a limit stops nothing that runs. An empty field changes nothing."),
        make("div", { class: "fields" },
          field("max_concurrent", "Tasks at once", schedule.max_concurrent ?? run.cap, "all slots", digits),
          field("max_in_flight", "Batches in flight", run.batches.max_in_flight, "no bound", digits),
          field("max_in_flight_bytes", "Bytes in flight", run.bytes.max === null ? "" : bytes(run.bytes.max).replace(".0", ""), "no bound"),
          field("weight", "Weight among runs", run.weight ?? "", "1", digits)),
        ...ops,
      ],
      send: (data) => {
        const text = (name) => String(data.get(name) ?? "");
        const named = {};
        for (const op of run.ops.slice(1)) {
          const limits = { max_concurrent: whole(text(`cap:${op.name}`)), rate: whole(text(`rate:${op.name}`)) };
          if (limits.max_concurrent !== undefined || limits.rate !== undefined) named[op.name] = limits;
        }
        return this.#send("limits", {
          max_concurrent: whole(text("max_concurrent")), max_in_flight: whole(text("max_in_flight")),
          max_in_flight_bytes: size(text("max_in_flight_bytes")), weight: whole(text("weight")),
          ops: Object.keys(named).length ? named : undefined,
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
      send: (data) => this.#send("retry", data.get("op") ? { op: data.get("op") } : {}),
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

/** Says why nothing more runs. @param {any} found */
function explain(found) {
  const reasons = found.reasons ?? [];
  const dialog = make("dialog", { "aria-labelledby": "explain-title", onclose: () => dialog.remove() },
    make("h2", { id: "explain-title" }, "Why does nothing more run?"),
    make("p", {}, found.message ?? found.summary ?? ""),
    make("ul", {}, ...reasons.map((reason) => make("li", {}, typeof reason === "string" ? reason : reason.message))),
    make("p", { class: "row" }, make("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
