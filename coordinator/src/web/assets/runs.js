// The list of runs: refreshed while it is looked at, with a strip per run; picks two or three to compare.

import { follow, get, post, words } from "./api.js";
import { dashed, palette, prepare } from "./palette.js";
import { atMost, byId, onPress, onTheme, refresh } from "./shell.js";

const sparks = new Map();
const PAUSE = 1000;

/** Draws batches in flight over the run's time. */
function draw(canvas) {
  const run = sparks.get(canvas.dataset.strip ?? "");
  const { ctx, width, height } = prepare(canvas, 24);
  const colours = palette();
  ctx.fillStyle = colours.line.css;
  ctx.fillRect(0, height - 1, width, 1);
  if (!run?.spark?.length) return;
  const bound = run.batches.max_in_flight;
  const peak = Math.max(1, ...run.spark);
  const top = Math.max(peak, bound && bound <= peak * 2 ? bound : 0) * 1.1;
  const wide = width / run.spark.length;
  ctx.fillStyle = colours.focus.css;
  run.spark.forEach((value, at) => {
    const high = (value / top) * (height - 2);
    ctx.fillRect(at * wide, height - 1 - high, Math.max(wide, 0.75), high);
  });
  if (bound && bound <= top) dashed(ctx, 0, width, height - 1 - (bound / top) * (height - 2));
  const at = bound ? `bound ${bound}` : "no bound";
  canvas.setAttribute("aria-label", `Batches in flight over time: peak ${run.batches.in_flight_peak}, ${at}`);
}

const drawAll = () => document.querySelectorAll("canvas[data-strip]").forEach((canvas) => draw(canvas));

async function strips() {
  try {
    const token = new URLSearchParams(location.search).get("page_token") ?? "";
    const found = await get("/api/runs", { page_size: 50, page_token: token });
    for (const run of found.runs) sparks.set(run.id, run);
    drawAll();
  } catch {
    // The next tick asks again.
  }
}

async function renew() {
  await refresh();
  wire();
  await strips();
}

/** Runs that are to be picked and may not be in the list yet. */
const toPick = new Set();

/** @returns {any[]} */
const boxes = () => [...document.querySelectorAll("input[name=runs]")];

const picked = () => boxes().filter((box) => box.checked).map((box) => box.value);

function sayPicked() {
  const button = byId("compare-button");
  if (!button) return;
  const runs = picked();
  button.disabled = runs.length < 2 || runs.length > 3;
  const words = ["Pick two or three runs.", "Pick one or two more."];
  byId("compare-said").textContent = words[runs.length] ?? (runs.length > 3 ? "Three at most." : `${runs.length} runs picked.`);
}

async function startSamples(button) {
  const card = button.closest("section, details");
  const said = card.querySelector("[data-samples-said]");
  button.disabled = true;
  said.textContent = "Starting…";
  const started = [];
  try {
    for (const sample of card.querySelectorAll("[data-sample]")) {
      started.push((await post("/api/runs", { job: JSON.parse(sample.dataset.job) })).run);
    }
    said.textContent = "Started.";
    // They are picked as soon as they are in the list: what remains is to compare them.
    for (const box of boxes()) box.checked = false;
    for (const run of started) toPick.add(run);
    await renew();
  } catch (error) {
    said.textContent = words(error);
  } finally {
    button.disabled = false;
  }
}

function wire() {
  for (const box of boxes()) if (toPick.delete(box.value)) box.checked = true;
  sayPicked();
}

document.addEventListener("change", (event) => {
  if (event.target.name === "runs") sayPicked();
});
onPress("[data-samples]", startSamples);
document.addEventListener("submit", (event) => {
  if (event.target.id !== "compare") return;
  event.preventDefault();
  location.assign(`/compare?runs=${picked().reverse().join(",")}`);
});
onTheme(drawAll);
wire();
strips();
follow("/api/events", atMost(PAUSE, renew));
