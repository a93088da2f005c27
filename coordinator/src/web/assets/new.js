// A new run: a form that writes the spec, the coordinator's opinion of it while it is typed, the same from a shell.

import { get, post } from "./api.js";
import { bytes, count } from "./format.js";
import { byId, copy, make, onPress } from "./shell.js";
import { table } from "./table.js";
import { toYaml } from "./yaml.js";

const PAUSE = 250;
const form = byId("new");
const spec = byId("spec");
const checked = byId("checked");
const fields = Object.fromEntries([...form.querySelectorAll("[data-field]")].map((field) => [field.dataset.field, field]));
/** The job as the coordinator read it last: what the form's fields are written into. */
let job = null;
let timer = 0;
let newest = 0;
/** One name per attempt to submit, so that a retry after a lost answer starts nothing twice. */
let request = newName();

/** Where the page is not on this machine, browsers have no randomUUID. */
function newName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Shows the job's values in the fields, except in the one that is being filled in. */
function toFields() {
  const put = (name, value) => fields[name] !== document.activeElement && (fields[name].value = value ?? "");
  put("name", job.name);
  put("uris", (job.source?.uris ?? []).join(", "));
  put("whole", job.batch?.whole_input ? "whole" : "rows");
  put("rows", job.batch?.rows);
  put("order", job.schedule?.order ?? "ORDER_DEPTH_FIRST");
  put("cap", job.schedule?.max_concurrent);
  put("flight", job.schedule?.max_in_flight);
  put("failure", job.failure?.on_failure ?? "ON_FAILURE_DRAIN");
  fields.rows.disabled = fields.whole.value === "whole";
}

/** Writes the fields' values into the job. */
function fromFields() {
  const whole = fields.whole.value === "whole";
  const number = (name) => (fields[name].value === "" ? undefined : Number(fields[name].value));
  fields.rows.disabled = whole;
  return {
    ...job,
    name: fields.name.value,
    source: { ...job.source, uris: fields.uris.value.split(",").map((uri) => uri.trim()).filter(Boolean) },
    batch: whole ? { whole_input: true } : { ...job.batch, whole_input: undefined, rows: number("rows") },
    schedule: { ...job.schedule, order: fields.order.value, max_concurrent: number("cap"), max_in_flight: number("flight") },
    failure: { ...job.failure, on_failure: fields.failure.value },
  };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function sayLines() {
  const { grpc } = form.dataset;
  const file = `${(job.name || "job").replace(/[^\w.-]+/g, "_")}.yaml`;
  byId("line-plumb").textContent = `plumb submit ${file} --coordinator ${"http:" + "//"}${grpc}`;
  byId("line-grpcurl").textContent =
    `grpcurl -plaintext -d ${quoted(JSON.stringify({ job }))} \\\n  ${grpc} plumbline.v1.JobService/SubmitJob`;
}

/** Puts the cursor at a line and a column of the spec. */
function goTo(line, column) {
  const lines = spec.value.split("\n");
  const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
  spec.focus();
  spec.setSelectionRange(at, at);
}

/** @param {any} error with the problems, each with its path and where the spec has it, or with words */
function sayProblems(error) {
  const problems = error.problems?.length ? error.problems : [{ path: "", problem: error.message }];
  const list = make("ul", { class: "problems" });
  for (const { path, problem, line, column } of problems) {
    const place = line ? make("button", { class: "plain", onclick: () => goTo(line, column) }, `Line ${line}`) : null;
    list.append(make("li", {}, place, path ? make("code", {}, path) : null, ` ${problem}`));
  }
  checked.replaceChildren(make("p", {}, problems.length === 1 ? "One thing is wrong:" : `${problems.length} things are wrong:`), list);
  spec.setAttribute("aria-invalid", "true");
  const paths = { name: ["name"], uris: ["source.uris"], rows: ["batch.rows"], cap: ["schedule.max_concurrent"], flight: ["schedule.max_in_flight"] };
  for (const [name, own] of Object.entries(paths)) {
    fields[name].setAttribute("aria-invalid", String(problems.some(({ path }) => own.some((prefix) => path.startsWith(prefix)))));
  }
}

function sayPlan(plan) {
  for (const field of [spec, ...Object.values(fields)]) field.setAttribute("aria-invalid", "false");
  const facts = make("dl", { class: "kv" });
  const fact = (name, value) => facts.append(make("dt", {}, name), make("dd", {}, value));
  const files = plan.files.slice(0, 3).map((file) => file.path).join(", ");
  fact("Input", `${count(plan.files.length)} ${plan.files.length === 1 ? "file" : "files"}, ${bytes(plan.source_bytes)}: ${files}${plan.files.length > 3 ? ", …" : ""}`);
  fact("Batches", plan.estimated_batches === null ? "known when it runs" : `about ${count(plan.estimated_batches)}`);
  fact("In flight at most", `${plan.max_in_flight === null ? "no bound" : `${count(plan.max_in_flight)} batches`}, ${
    plan.max_in_flight_bytes === null ? "no bound on bytes" : bytes(plan.max_in_flight_bytes)}`);
  fact("Chain", plan.ops.map((op) => op.name ?? op).join(" → "));
  fact("Columns out", plan.output_columns.join(", "));
  const rows = plan.first_rows.map((row) => make("tr", {}, ...row.map((field) => make("td", {}, field))));
  const shown = rows.length ? [make("h3", {}, "The first rows"), table("The first rows", plan.source_columns, rows)] : [];
  checked.replaceChildren(make("p", {}, make("strong", {}, "This can run.")), facts, ...shown);
}

async function check() {
  const turn = ++newest;
  try {
    const { plan, spec: read } = await post("/api/runs?validate=true", { yaml: spec.value });
    if (turn !== newest) return;
    job = read;
    toFields();
    sayPlan(plan);
    sayLines();
  } catch (error) {
    if (turn === newest) sayProblems(error);
  }
}

function soon() {
  clearTimeout(timer);
  request = newName();
  timer = setTimeout(check, PAUSE);
}

for (const field of Object.values(fields)) {
  field.addEventListener("input", () => {
    // Until the coordinator has read a job there is nothing that a field could be written into; the check says why.
    if (job) {
      job = fromFields();
      spec.value = toYaml(job);
    }
    soon();
  });
}
spec.addEventListener("input", soon);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("submit");
  button.disabled = true;
  byId("said").textContent = "Starting…";
  try {
    const { run } = await post("/api/runs", { yaml: spec.value, request_id: request });
    location.assign(`/runs/${run}`);
  } catch (error) {
    byId("said").textContent = "It was not started.";
    sayProblems(error);
    button.disabled = false;
  }
});

onPress("[data-copy]", (button) => {
  const line = byId(button.dataset.copy);
  copy(button, line.textContent, () => line);
});

async function begin() {
  const from = new URLSearchParams(location.search).get("from");
  if (from) {
    try {
      const found = await get(`/api/runs/${encodeURIComponent(from)}/spec`);
      spec.value = toYaml(found.job);
    } catch (error) {
      byId("said").textContent = error.message;
    }
  }
  check();
}
begin();
