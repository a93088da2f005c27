// The list of workers and the limits that runs share: refreshed while it is looked at; a worker can be drained, a limit set.

import { follow, post } from "./api.js";
import { ask, limit, number } from "./ask.js";
import { atMost, byId, make, onPress, refresh } from "./shell.js";

const soon = atMost(1000, refresh);

onPress("[data-drain]", async (button) => {
  const name = button.dataset.drain;
  button.disabled = true;
  try {
    await post(`/api/workers/${encodeURIComponent(name)}/drain`);
    byId("workers-said").textContent = `${name} takes no new work; it leaves when what it holds is done.`;
  } catch (error) {
    // A worker that held nothing may be gone before the answer is made.
    const left = error.reason === "NO_SUCH_WORKER";
    byId("workers-said").textContent = left ? `${name} has left.` : error.message;
    button.disabled = left;
  }
  soon();
});

/** Asks for a limit. */
function change(title, body, send) {
  ask({ title, yes: "Set it", body, send: async (data) => {
    await send(data);
    soon();
  } });
}

const field = (name, label, value = "") => make("label", {}, label, make("input", { name, value, required: true, autocomplete: "off" }));

onPress("[data-pool], [data-cap]", (button) => {
  const { pool, limit: now, cap } = button.dataset;
  if (cap !== undefined) {
    change("The coordinator's cap", [
      make("p", { class: "quiet" }, "How many tasks of all runs together may run at once. Nothing that runs is stopped. none leaves it to the slots."),
      make("div", { class: "fields" }, field("cap", "Tasks at once", cap || "none")),
    ], (data) => post("/api/cluster/cap", { max_concurrent: limit(String(data.get("cap")), number) ?? null }));
    return;
  }
  change(pool ? `The pool ${pool}` : "A new pool", [
    make("p", { class: "quiet" }, pool ? "Ops that name it take a unit each while they run. Nothing that runs is stopped." :
      "Ops that name it take a unit each while they run, over all runs. A pool stays for good."),
    make("div", { class: "fields" }, ...(pool ? [] : [field("name", "Name")]), field("limit", "Units", now)),
  ], (data) => post("/api/pools", { name: pool || String(data.get("name")).trim(), limit: number(String(data.get("limit")).trim()) }));
});

follow("/api/events", soon);
setInterval(() => document.visibilityState === "visible" && soon(), 5000);
