// Failures, grouped by op and error: the tab, and the line above the chart that says what failed first and why.

import { get, retry } from "./api.js";
import { count, duration } from "./format.js";
import { byId, make } from "./shell.js";
import { cell, name, number, quiet, row, table, wrapped } from "./table.js";

/** How many batches a group names at most. */
const NAMED = 20;

export async function failures(page) {
  const { groups, dropped } = await look(page);
  if (groups.length === 0) return [quiet("Nothing has failed.")];
  const rows = groups.map((group) => {
    const more = group.batches.length > 1 ? ` and ${count(group.batches.length - 1)}${group.batches.length >= NAMED ? "+" : ""} more` : "";
    return row(
      wrapped(make("code", {}, group.error ?? group.example), make("br", {}), make("small", { class: "quiet" }, `first: ${group.example}`)),
      cell(page.ops[group.op]?.name ?? "–"), cell(words(group.kind)), number(count(group.attempts)),
      cell(first(page, group, `Batch ${group.first_batch ?? "–"}`), more), name(group.workers.join(", ")),
      number(duration(group.first_us)), cell(again(page, group)));
  });
  const parts = [table("Failures, by op and error", ["Error", "Op", "Kind", "#Attempts", "First at", "Workers", "#First",
    "Again"], rows)];
  if (dropped) parts.push(quiet(`${count(dropped)} more kinds of error were not kept.`));
  return parts;
}

const words = (kind) => String(kind ?? "").replaceAll("_", " ");

/** Asks for the failures and says the first one above the chart. */
export async function look(page) {
  const found = await get(`/api/runs/${page.run}/failures`);
  page.panel.mark(found.groups.flatMap((group) => [group.first_us, group.last_us]));
  sayFirst(page, found.groups);
  return found;
}

function sayFirst(page, groups) {
  const place = byId("first-failure");
  const group = groups.reduce((least, one) => (!least || one.first_us < least.first_us ? one : least), null);
  const attempts = groups.reduce((sum, one) => sum + one.attempts, 0);
  const mark = group ? `${group.first_task} ${group.first_us} ${groups.length} ${attempts}` : "";
  if (place.dataset.mark === mark) return;
  place.dataset.mark = mark;
  if (!group) return place.replaceChildren();
  const others = groups.length > 1 ? `${count(groups.length)} kinds of failure, ` : "";
  place.replaceChildren(make("div", { class: "notice row between", role: "note" },
    make("div", {}, make("p", {}, make("strong", {}, "First failure"), ` after ${duration(group.first_us)}: `,
      make("code", {}, `${page.ops[group.op]?.name ?? "?"}${group.first_batch === null ? "" : `[${group.first_batch}]`}`),
      ` on ${group.workers[0] ?? "?"} · ${words(group.kind)} · `,
      make("span", { class: "quiet" }, `${others}${count(attempts)} failed ${attempts === 1 ? "attempt" : "attempts"}`)),
    make("p", {}, make("code", {}, group.example))), first(page, group, "Inspect it")));
}

/** Makes a button that shows the first task of a group. */
function first(page, group, label) {
  return make("button", { "data-focus": `failure ${group.first_task} ${label}`, onclick: async () => {
    const query = { op: group.op, batch: group.first_batch, page_size: 1 };
    for (const state of ["failed", "lost"]) {
      const { tasks } = await get(`/api/runs/${page.run}/tasks`, { ...query, state });
      if (tasks[0]) return page.jump(tasks[0]);
    }
  } }, label);
}

/** Makes a button that has the batches of a group tried again, where they failed for good. */
function again(page, group) {
  const some = group.batches.length > 0 && group.batches.length < NAMED;
  const op = page.ops[group.op]?.name;
  const label = some ? `Retry all ${count(group.batches.length)}` : `Retry all of ${op}`;
  const said = make("span", { role: "status", class: "quiet" });
  const button = make("button", { "data-focus": `retry ${group.first_task}`, onclick: async () => {
    button.disabled = true;
    try {
      await retry(page.run, some ? { batches: group.batches } : { op });
    } catch (error) {
      said.textContent = error.message;
      button.disabled = false;
    }
  } }, label);
  return make("span", { class: "row" }, button, said);
}
