// The colours of the style sheet as the canvas needs them, and how each state is drawn: never by colour alone.

import { onTheme } from "./shell.js";

/** Where the plots begin and how high the time axis is, in pixels: the same for charts, strips and minimaps. */
export const GUTTER = innerWidth < 640 ? 66 : 88;
export const AXIS = 26;
const OPS = 6;
const NAMES = ["bg", "panel", "line", "text", "muted", "focus", "waiting", "failed"];

let current = null;
onTheme(() => (current = null));

/** Returns the colours of the theme in force. */
export function palette() {
  if (current) return current;
  // All at once, so that styles are computed once.
  const probes = [...NAMES, ...Array.from({ length: OPS }, (_, place) => `op${place}`)].map((name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    return probe;
  });
  document.body.append(...probes);
  const found = probes.map((probe) => {
    const css = getComputedStyle(probe).color;
    probe.remove();
    return { css, rgb: (css.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number) };
  });
  current = Object.fromEntries(NAMES.map((name, place) => [name, found[place]]));
  current.ops = found.slice(NAMES.length);
  return current;
}

export const opColour = (op) => palette().ops[op % OPS];

/** Draws diagonal lines over a box. */
export function hatch(ctx, x, y, w, h, css, gap = 5, width = 1.5) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, w, h);
  ctx.clip();
  ctx.strokeStyle = css;
  ctx.lineWidth = width;
  ctx.beginPath();
  const first = Math.floor((x - h) / gap) * gap;
  const last = Math.min(x + w, first + 6000);
  for (let at = first; at < last; at += gap) {
    ctx.moveTo(at, y + h);
    ctx.lineTo(at + h, y);
  }
  ctx.stroke();
  ctx.restore();
}

/** The states of bars, in the order in which the API numbers them. */
export const STATES = ["running", "succeeded", "failed", "cancelled", "lost"];

/** Draws one task; `state` is its place in STATES. */
export function drawTask(ctx, op, state, retried, x, y, w, h) {
  const colours = palette();
  const own = opColour(op).css;
  if (state === 2) w = Math.max(w, 3);
  ctx.fillStyle = state === 2 ? colours.failed.css : own;
  if (state === 0 || state === 3 || state === 4) {
    ctx.globalAlpha = state === 0 ? 0.4 : 0.25;
    ctx.fillRect(x, y, w, h);
    ctx.globalAlpha = 1;
  } else {
    ctx.fillRect(x, y, w, h);
  }
  if (op >= OPS && state !== 2 && w > 3) hatch(ctx, x, y, w, h, colours.bg.css);
  if (w > 2 && h > 3 && (state === 0 || state === 4)) {
    ctx.strokeStyle = state === 4 ? colours.failed.css : own;
    ctx.lineWidth = 1.5;
    ctx.setLineDash(state === 4 ? [3, 2] : []);
    ctx.strokeRect(x + 0.75, y + 0.75, w - 1.5, h - 1.5);
    ctx.setLineDash([]);
  }
  if (state === 3) hatch(ctx, x, y, w, h, own, 4, 1);
  if (state === 2 && w >= 6 && h >= 6) {
    const arm = Math.min(w, h, 12) / 2 - 1.5;
    const [cx, cy] = [x + Math.min(w / 2, 10), y + h / 2];
    ctx.strokeStyle = colours.bg.css;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    ctx.moveTo(cx - arm, cy - arm);
    ctx.lineTo(cx + arm, cy + arm);
    ctx.moveTo(cx + arm, cy - arm);
    ctx.lineTo(cx - arm, cy + arm);
    ctx.stroke();
  }
  if (retried && w > 4 && h > 5) {
    const cut = Math.min(6, w / 2, h / 2);
    ctx.fillStyle = colours.bg.css;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + cut, y);
    ctx.lineTo(x, y + cut);
    ctx.fill();
  }
}

/** Draws a bound as a dashed line. */
export function dashed(ctx, left, right, y) {
  ctx.strokeStyle = palette().text.css;
  ctx.lineWidth = 1;
  ctx.setLineDash([5, 3]);
  ctx.beginPath();
  ctx.moveTo(left, Math.round(y) + 0.5);
  ctx.lineTo(right, Math.round(y) + 0.5);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** Prepares a canvas for its size on the screen. */
export function prepare(canvas, height = canvas.clientHeight, anew = true) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (anew) ctx.clearRect(0, 0, width, height);
  ctx.font = "12px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  return { ctx, width, height };
}
