// The drawer: everything that is known of one attempt, its neighbours in the chain, and ways to take it elsewhere.

import { get } from "./api.js";
import { bytes, count, duration } from "./format.js";
import { byId, make } from "./shell.js";

const drawer = byId("drawer");
const side = byId("side");

/** Writes a task's name. @param {any} task @param {any[]} ops */
export function nameOf(task, ops) {
  const op = ops[task.op]?.name ?? "?";
  return `${task.batch === null ? op : `${op}[${task.batch}]`}#${task.attempt}`;
}

/** Makes a state as a shape and a word. @param {string} state */
export const stateMark = (state) => make("span", { class: `state ${state}` }, state.replaceAll("_", " "));

/**
 * @param {string} run @param {any} task @param {any[]} ops
 * @param {{pick: (task: any) => void, close: () => void, focus: boolean}} acts
 */
export async function openDrawer(run, task, ops, acts) {
  let batch = null;
  if (task.batch !== null) batch = await get(`/api/runs/${run}/batches/${task.batch}`).catch(() => null);
  const facts = make("dl", { class: "kv" });
  const fact = (name, ...values) => facts.append(make("dt", {}, name), make("dd", {}, ...values));
  fact("State", stateMark(task.state));
  fact("Where", `${task.worker}, slot ${task.slot}`);
  fact("Queued", `at ${duration(task.queued_us)}`);
  fact("Waited", duration(task.start_us - task.queued_us));
  fact("Started", `at ${duration(task.start_us)}`);
  fact("Ended", task.end_us === null ? "not yet" : `at ${duration(task.end_us)}`);
  fact("Took", task.end_us === null ? "still running" : duration(task.end_us - task.start_us));
  const slice = batch?.slice;
  if (slice) {
    fact("Rows", `${slice.rows === null ? "" : `${count(slice.rows)}, `}from line ${count(slice.first_line)}`);
    fact("Bytes", `${count(slice.start)} to ${count(slice.end)} (${bytes(slice.end - slice.start)})`);
    fact("File", slice.path);
  }
  const close = make("button", { type: "button", "aria-label": "Close the drawer", onclick: acts.close }, "✕");
  drawer.replaceChildren(make("div", { class: "row between" }, make("h2", {}, nameOf(task, ops)), close), facts);
  if (task.error) {
    drawer.append(make("h3", {}, `Error${task.error_kind ? ` (${task.error_kind.replaceAll("_", " ")})` : ""}`),
      make("pre", { tabindex: "0" }, task.error));
  }
  const tasks = batch?.tasks ?? [];
  if (tasks.length > 1) {
    const list = make("ul", { class: "problems", "aria-label": "The chain" });
    for (const other of tasks) {
      const row = make("button", { type: "button", onclick: () => acts.pick(other), disabled: other.id === task.id },
        stateMark(other.state), nameOf(other, ops));
      list.append(make("p", {}, row));
    }
    const chain = make("div", {}, ...list.children);
    drawer.append(make("h3", {}, `Batch ${task.batch}, end to end`), chain);
  }
  drawer.append(make("h3", {}, "Take it elsewhere"), make("p", { class: "row" },
    copier("Copy link", location.href),
    copier("Copy grpcurl", `grpcurl -plaintext -d '${JSON.stringify({ run_id: run, batch_id: task.batch ?? undefined })}' ` +
      `${drawer.dataset.grpc ?? "127.0.0.1:50051"} plumbline.v1.JobService/GetBatch`)));
  drawer.hidden = false;
  side.classList.add("open");
  if (acts.focus) close.focus();
}

export function closeDrawer() {
  drawer.hidden = true;
  drawer.replaceChildren();
  side.classList.remove("open");
}

export const isDrawerOpen = () => !drawer.hidden;

/** Makes a button that copies a text. @param {string} label @param {string} text */
function copier(label, text) {
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      drawer.append(make("pre", { tabindex: "0" }, text));
    }
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}
