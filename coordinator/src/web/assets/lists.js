// The tabs that only list: batches, the spec, what happened to the run.

import { get } from "./api.js";
import { count } from "./format.js";
import { make } from "./shell.js";
import { toYaml } from "./yaml.js";
import { PAGE, Pager, cell, name, number, quiet, row, stateMark, table, wrapped } from "./table.js";

let pager = null;

export async function batches(page) {
  const { run, ops } = page;
  pager ??= new Pager(() => page.reload());
  const found = await get(`/api/runs/${run}/batches`, { page_size: PAGE, page_token: pager.token });
  if (found.batches.length === 0 && pager.tokens.length === 1) return [quiet("No batch is in flight, committing or failed.")];
  const rows = found.batches.map((batch) => row(cell(batch.id), cell(stateMark(batch.state)),
    cell(batch.op === null ? "–" : ops[batch.op]?.name ?? "–"), number(batch.attempt), name(batch.worker ?? "–"),
    number(batch.slice ? count(batch.slice.first_line) : "–"), wrapped(batch.failure?.message ?? "")));
  return [table("Batches", ["Batch", "State", "Op", "#Attempt", "Worker", "#First line", "Failure"], rows),
    pager.buttons(found.next_page_token, rows.length, rows.length === 1 ? "batch" : "batches")];
}

export async function spec({ run }) {
  const found = await get(`/api/runs/${run}/spec`);
  return [make("pre", { tabindex: "0", "aria-label": "The job's spec" }, toYaml(found.job))];
}

export async function activity({ run }) {
  let token = "";
  const entries = [];
  do {
    const found = await get(`/api/runs/${run}/activity`, { page_token: token });
    entries.push(...found.entries);
    token = found.next_page_token;
  } while (token && entries.length < 1000);
  if (entries.length === 0) return [quiet("Nothing has happened yet.")];
  const rows = entries.map((entry) => row(
    cell(make("time", { datetime: new Date(entry.at_ms).toISOString() }, new Date(entry.at_ms).toLocaleTimeString())),
    cell(entry.kind.replaceAll("_", " ")), cell(entry.who ?? entry.by ?? ""), wrapped(entry.message)));
  return [table("Activity", ["At", "What", "Who", "In words"], rows)];
}
