// The list of workers: refreshed while it is looked at; a worker can be drained.

import { follow, post } from "./api.js";
import { byId, refresh } from "./shell.js";

const PAUSE = 1000;
let last = performance.now();
let later = 0;

function soon() {
  later ||= setTimeout(async () => {
    later = 0;
    last = performance.now();
    await refresh();
  }, Math.max(0, PAUSE - (performance.now() - last)));
}

document.addEventListener("click", async (event) => {
  const button = /** @type {any} */ (event.target).closest?.("[data-drain]");
  if (!button) return;
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

follow("/api/events", soon);
setInterval(() => document.visibilityState === "visible" && soon(), 5000);
