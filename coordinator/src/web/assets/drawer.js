// The drawer: everything that is known of one attempt, its neighbours in the chain, and ways to take it elsewhere.

import { get, retry } from "./api.js";
import { bytes, count, duration } from "./format.js";
import { byId, copy, make } from "./shell.js";
import { nameOf, stateMark } from "./table.js";

const drawer = byId("drawer");
const side = byId("side");
/** How many lines of its log are shown. */
const TAIL = 12;
let turn = 0;

/** Shows a task; `acts` has what to do on `pick`, on `close`, and whether to `focus`. */
export async function openDrawer(page, task, acts) {
  const mine = ++turn;
  const { run, ops } = page;
  let batch = null;
  if (task.batch !== null) batch = await get(`/api/runs/${run}/batches/${task.batch}`).catch(() => null);
  if (mine !== turn) return;
  const close = make("button", { "aria-label": "Close the drawer", onclick: acts.close }, "✕");
  drawer.replaceChildren(
    make("div", { class: "row between" }, make("h2", {}, nameOf(task, ops)), close), facts(task, batch),
    ...(task.error ? error(task) : []), ...chain(task, batch, ops, acts), elsewhere(page, task));
  drawer.hidden = false;
  side.classList.add("open");
  if (acts.focus) close.focus();
  tail(page, task, mine);
}

export function closeDrawer() {
  turn++;
  drawer.hidden = true;
  drawer.replaceChildren();
  side.classList.remove("open");
}

export const isDrawerOpen = () => !drawer.hidden;

function facts(task, batch) {
  const list = make("dl", { class: "kv" });
  const fact = (name, ...values) => list.append(make("dt", {}, name), make("dd", {}, ...values));
  const known = (value) => value !== null && value !== undefined;
  fact("State", stateMark(task.state));
  fact("Where", `${task.worker}, slot ${task.slot}`);
  fact("Queued", `at ${duration(task.queued_us)}`);
  if (known(task.leased_us)) fact("Leased", `at ${duration(task.leased_us)}`);
  if (known(task.fetch_us)) fact("Fetching from", duration(task.fetch_us));
  fact("Started", `at ${duration(task.start_us)}, after ${duration(task.start_us - task.queued_us)} of waiting`);
  fact("Ended", task.end_us === null ? "not yet" : `at ${duration(task.end_us)}, after ${duration(task.end_us - task.start_us)}`);
  if (known(task.committed_us)) fact("Committed", `at ${duration(task.committed_us)}`);
  if (known(task.rows_in)) fact("Rows in, out", `${count(task.rows_in)} → ${count(task.rows_out ?? 0)}`);
  if (known(task.bytes_in)) fact("Bytes in, out", `${bytes(task.bytes_in)} → ${bytes(task.bytes_out ?? 0)}`);
  const slice = batch?.slice;
  if (slice) {
    fact("Rows", `${slice.rows === null ? "" : `${count(slice.rows)}, `}from line ${count(slice.first_line)}`);
    fact("Bytes", `${count(slice.start)} to ${count(slice.end)} (${bytes(slice.end - slice.start)})`);
    fact("File", slice.path);
  }
  return list;
}

function error(task) {
  const kind = task.error_kind ? ` (${task.error_kind.replaceAll("_", " ")})` : "";
  return [make("h3", {}, `Error${kind}`), make("pre", { tabindex: "0", "aria-label": "The error" }, task.error)];
}

/** All attempts at the batch, in the order of its chain. */
function chain(task, batch, ops, acts) {
  const tasks = batch?.tasks ?? [];
  if (tasks.length < 2) return [];
  const longest = Math.max(1, ...tasks.map((other) => (other.end_us ?? other.start_us) - other.start_us));
  const rows = tasks.map((other) => {
    const took = other.end_us === null ? null : other.end_us - other.start_us;
    const meter = make("meter", { max: longest, value: took ?? 0, "aria-hidden": "true" });
    return make("li", {}, make("button", { class: "plain", onclick: () => acts.pick(other), disabled: other.id === task.id,
      "aria-current": other.id === task.id ? "true" : null, title: other.state },
      make("span", { class: `state ${other.state}` }, make("span", { class: "sr" }, other.state)), nameOf({ ...other, batch: null }, ops)), meter,
      make("span", { class: "quiet" }, took === null ? "runs" : duration(took)));
  });
  return [make("h3", {}, `Batch ${task.batch}, end to end`), make("ol", { class: "chain" }, ...rows)];
}

function elsewhere(page, task) {
  const named = JSON.stringify({ run_id: page.run, batch_id: task.batch ?? undefined });
  const buttons = make("p", { class: "row apart" }, copier("Copy link", () => location.href),
    copier("Copy grpcurl", () => `grpcurl -plaintext -d '${named}' ${drawer.dataset.grpc} plumbline.v1.JobService/${task.batch === null ? "GetRun" : "GetBatch"}`));
  if (task.batch !== null && task.state === "failed") {
    const again = make("button", { onclick: async () => {
      again.disabled = true;
      await retry(page.run, { batches: [task.batch] }).catch((problem) => (again.textContent = problem.message));
    } }, "Retry the batch");
    buttons.append(again);
  }
  return make("div", {}, buttons);
}

/** What the task said last. */
async function tail(page, task, mine) {
  const query = { op: task.op, batch: task.batch, attempt: task.attempt, page_size: 500 };
  const found = await get(`/api/runs/${page.run}/logs`, query).catch(() => null);
  if (mine !== turn || !found?.lines.length) return;
  const text = found.lines.slice(-TAIL).map((line) => `${duration(line.at_us)} ${line.level} ${line.text}`).join("\n");
  drawer.append(make("h3", {}, "The end of its log"), make("pre", { tabindex: "0", "aria-label": "The end of its log" }, text));
}

/** Makes a button that copies a text. */
function copier(label, text) {
  const shown = () => {
    const line = make("pre", { tabindex: "0", "aria-label": label }, text());
    drawer.append(line);
    return line;
  };
  const button = make("button", { onclick: () => copy(button, text(), shown) }, label);
  return button;
}
