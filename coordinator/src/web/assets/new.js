// A new run: fields that write into the spec, the coordinator's opinion of it while it is typed, the same from a shell.

import { get, post } from "./api.js";
import { bytes, count } from "./format.js";
import { byId, make } from "./shell.js";

const PAUSE = 300;
const form = byId("new");
const spec = byId("spec");
const checked = byId("checked");
/** @type {Record<string, any>} */
const fields = Object.fromEntries([...form.querySelectorAll("[data-field]")].map((field) => [field.dataset.field, field]));
let timer = 0;
let newest = 0;
/** One name per attempt to submit, so that a retry after a lost answer starts nothing twice. */
let request = newName();

/** Where the page is not on this machine, browsers have no randomUUID. */
function newName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read() {
  return JSON.parse(spec.value);
}

/** Shows the job's values in the fields. @param {any} job */
function toFields(job) {
  fields.name.value = job.name ?? "";
  fields.uris.value = (job.source?.uris ?? []).join(", ");
  fields.whole.value = job.batch?.whole_input ? "whole" : "rows";
  fields.rows.value = job.batch?.rows ?? "";
  fields.rows.disabled = Boolean(job.batch?.whole_input);
  fields.order.value = job.schedule?.order ?? "ORDER_DEPTH_FIRST";
  fields.cap.value = job.schedule?.max_concurrent ?? "";
}

/** Writes the fields' values into the job. @param {any} job */
function fromFields(job) {
  job.name = fields.name.value;
  job.source = { ...job.source, uris: fields.uris.value.split(",").map((uri) => uri.trim()).filter(Boolean) };
  const rows = Number(fields.rows.value);
  job.batch = fields.whole.value === "whole" ? { whole_input: true } : { ...job.batch, whole_input: undefined, rows: rows || undefined };
  job.schedule = { ...job.schedule, order: fields.order.value, max_concurrent: Number(fields.cap.value) || undefined };
  fields.rows.disabled = fields.whole.value === "whole";
  return job;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {any} job */
function sayLines(job) {
  const grpc = form.dataset.grpc;
  const file = `${(job.name || "job").replace(/[^\w.-]+/g, "_")}.json`;
  byId("line-plumb").textContent = `plumb submit ${file} --coordinator ${"http:" + "//"}${grpc}`;
  byId("line-grpcurl").textContent =
    `grpcurl -plaintext -d ${quoted(JSON.stringify({ job }))} \\\n  ${grpc} plumbline.v1.JobService/SubmitJob`;
}

/** @param {{path: string, problem: string}[]} problems */
function sayProblems(problems) {
  const list = make("ul", { class: "problems" });
  for (const { path, problem } of problems) list.append(make("li", {}, make("code", {}, path), ` ${problem}`));
  checked.replaceChildren(make("p", {}, problems.length === 1 ? "One thing is wrong:" : `${problems.length} things are wrong:`), list);
  spec.setAttribute("aria-invalid", "true");
  const bad = (name, ...prefixes) =>
    fields[name].setAttribute("aria-invalid", String(problems.some(({ path }) => prefixes.some((prefix) => path.includes(prefix)))));
  bad("name", "name");
  bad("uris", "source.uris");
  bad("rows", "batch.rows");
  bad("cap", "schedule.max_concurrent");
}

/** @param {any} plan */
function sayPlan(plan) {
  spec.setAttribute("aria-invalid", "false");
  for (const field of Object.values(fields)) field.setAttribute("aria-invalid", "false");
  const facts = make("dl", { class: "kv" });
  const fact = (name, value) => facts.append(make("dt", {}, name), make("dd", {}, value));
  fact("Input", `${count(plan.files.length)} ${plan.files.length === 1 ? "file" : "files"}, ${bytes(plan.source_bytes)}`);
  for (const file of plan.files.slice(0, 5)) fact("", `${file.path} (${bytes(file.bytes)})`);
  fact("Batches", plan.estimated_batches === null ? "known when it runs" : `about ${count(plan.estimated_batches)}`);
  fact("In flight at most", plan.max_in_flight === null ? "no bound" : count(plan.max_in_flight));
  fact("Bytes in flight at most", plan.max_in_flight_bytes === null ? "no bound" : bytes(plan.max_in_flight_bytes));
  fact("Ops", plan.ops.map((op) => op.name ?? op).join(" → "));
  fact("Columns in", plan.source_columns.join(", "));
  fact("Columns out", plan.output_columns.join(", "));
  checked.replaceChildren(make("p", {}, "This can run."), facts);
}

async function check() {
  const turn = ++newest;
  let job;
  try {
    job = read();
  } catch (error) {
    sayProblems([{ path: "spec", problem: error.message }]);
    return;
  }
  sayLines(job);
  try {
    const { plan } = await post("/api/runs?validate=true", { job });
    if (turn === newest) sayPlan(plan);
  } catch (error) {
    if (turn === newest) sayProblems(error.problems?.length ? error.problems : [{ path: "spec", problem: error.message }]);
  }
}

function soon() {
  clearTimeout(timer);
  request = newName();
  timer = setTimeout(check, PAUSE);
}

for (const field of Object.values(fields)) {
  field.addEventListener("input", () => {
    try {
      spec.value = JSON.stringify(fromFields(read()), null, 2);
    } catch {
      // While the spec is no JSON the fields cannot write into it; the check says so.
    }
    soon();
  });
}

spec.addEventListener("input", () => {
  try {
    toFields(read());
  } catch {
    // The check says what is wrong.
  }
  soon();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("submit");
  button.disabled = true;
  byId("said").textContent = "Starting…";
  try {
    const { run } = await post("/api/runs", { job: read(), request_id: request });
    location.assign(`/runs/${run}`);
  } catch (error) {
    byId("said").textContent = "It was not started.";
    sayProblems(error.problems?.length ? error.problems : [{ path: "spec", problem: error.message }]);
    button.disabled = false;
  }
});

document.addEventListener("click", async (event) => {
  const button = /** @type {any} */ (event.target).closest?.("[data-copy]");
  if (!button) return;
  const line = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection()?.selectAllChildren(line);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

async function begin() {
  const from = new URLSearchParams(location.search).get("from");
  if (from) {
    try {
      const found = await get(`/api/runs/${encodeURIComponent(from)}/spec`);
      spec.value = JSON.stringify(found.job, null, 2);
    } catch (error) {
      byId("said").textContent = error.message;
    }
  }
  try {
    const job = read();
    spec.value = JSON.stringify(job, null, 2);
    toFields(job);
  } catch {
    // The check says what is wrong.
  }
  check();
}
begin();
