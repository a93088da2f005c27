// Columns: tiles as the coordinator cuts them, decoded and made into pictures that a canvas can stretch.

import { opColour, palette } from "./palette.js";
import { onTheme } from "./shell.js";

const COLUMNS = 512;
const FAILED = 1;
const LOST = 2;
const CANCELLED = 4;
/** How many pixels high a lane is where the ops' shares are stacked. */
const STACK = 16;
const KEPT = 96;

/** @typedef {{ops: number, rows: number, sealed: boolean, first: Uint16Array, count: Uint16Array, cells: number, op: Uint8Array,
 *             flags: Uint8Array, busy: Uint16Array, wait: Uint16Array, share: Uint8Array|null}} Tile */
/** @typedef {{tile: Tile, pictures: Map<string, any>}} Entry */

/** @type {Map<string, Entry>} */
const kept = new Map();
onTheme(() => kept.forEach((entry) => entry.pictures.clear()));

/** Keeps a tile, and lets go of those that were not seen for the longest time. */
function keep(url, buffer) {
  const entry = { tile: decode(buffer), pictures: new Map() };
  kept.delete(url);
  kept.set(url, entry);
  for (const old of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(old);
  }
  return entry;
}

async function bytes(url, init) {
  const answer = await fetch(url, init);
  if (!answer.ok) throw new Error(`the coordinator answered ${answer.status}`);
  return answer.arrayBuffer();
}

/**
 * Loads what is seen of a chart with its tiles: those that come along, those that are here already, and the others one by one.
 */
export async function loadView(url, signal) {
  const buffer = await bytes(url, { signal });
  const length = new DataView(buffer).getUint32(4, true);
  const seen = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  let at = 8 + length;
  const load = async (place) => {
    if (place.bytes !== null) {
      at = Math.ceil(at / 8) * 8;
      const entry = keep(place.url, buffer.slice(at, at + place.bytes));
      at += place.bytes;
      return { ...place, entry };
    }
    const known = kept.get(place.url);
    if (known && (known.tile.sealed || !place.sealed)) return { ...place, entry: known };
    return { ...place, entry: keep(place.url, await bytes(place.url, { signal })) };
  };
  seen.tiles = await Promise.all(seen.tiles.map(load));
  return seen;
}

/** @returns {Tile} */
function decode(buffer) {
  const head = new DataView(buffer);
  if (head.getUint32(0, false) !== 0x504c5432) throw new Error("the answer is no tile");
  const ops = head.getUint8(4);
  const rows = head.getUint16(6, true);
  let at = 16;
  const take = (Kind, length) => {
    const array = new Kind(buffer, at, length);
    at += array.byteLength;
    return array;
  };
  const first = take(Uint16Array, rows);
  const count = take(Uint16Array, rows);
  const cells = count.reduce((sum, more) => sum + more, 0);
  return {
    ops, rows, sealed: head.getUint8(8) !== 0, first, count, cells,
    busy: take(Uint16Array, cells), wait: take(Uint16Array, cells), op: take(Uint8Array, cells), flags: take(Uint8Array, cells),
    share: head.getUint8(5) ? take(Uint8Array, cells * ops) : null,
  };
}

/** How many shades of a colour there are. */
const SHADES = 64;

const shades = (rgb, alpha) => Uint32Array.from({ length: SHADES }, (_, at) => pack(rgb, alpha(at / (SHADES - 1))));

/**
 * Makes a picture of a tile: a pixel per cell, or where `stacked`, the shares of its ops one above the other.
 * @param {{rows: number, full: number, stacked: boolean}} cells rows in a cell, how many tasks fill one
 */
export function picture(entry, { rows, full, stacked }) {
  const { tile } = entry;
  stacked &&= tile.share !== null;
  const key = `${rows} ${full} ${stacked}`;
  const known = entry.pictures.get(key);
  if (known) return known;
  const high = stacked ? STACK : 1;
  const canvas = new OffscreenCanvas(COLUMNS, Math.max(1, tile.rows * high));
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = palette();
  const ops = Array.from({ length: tile.ops }, (_, op) => opColour(op).rgb);
  const solid = ops.map((rgb) => pack(rgb, 1));
  const pale = ops.map((rgb) => pack(rgb, 0.35));
  // Little is still seen; what a lost worker ran is hatched: nobody knows how far it came.
  const bright = ops.map((rgb) => shades(rgb, (root) => 0.35 + 0.65 * root));
  const dim = ops.map((rgb) => shades(rgb, (root) => 0.35 * (0.35 + 0.65 * root)));
  const waiting = shades(colours.waiting.rgb, (share) => 0.3 + 0.5 * share);
  const cancelled = pack(colours.muted.rgb, 1);
  const bad = [];
  let cell = 0;
  for (let row = 0; row < tile.rows; row++) {
    const end = tile.first[row] + tile.count[row];
    for (let column = tile.first[row]; column < end; column++, cell++) {
      const flags = tile.flags[cell];
      if (flags & (FAILED | LOST)) bad.push(column, row);
      const is_dim = flags & LOST && column & 2;
      const share = tile.busy[cell] / 256 / full;
      if (stacked) {
        stack(pixels, tile, cell, row * STACK * COLUMNS + column, share, is_dim ? pale : solid);
        continue;
      }
      let pixel = 0;
      const op = tile.op[cell];
      if (op < ops.length) pixel = (is_dim ? dim : bright)[op][Math.round(Math.sqrt(Math.min(1, share)) * (SHADES - 1))];
      else if (tile.wait[cell] > 0) pixel = waiting[Math.round(Math.min(1, tile.wait[cell] / 256 / rows) * (SHADES - 1))];
      if (flags & CANCELLED && (column & 2) === 0) pixel = cancelled;
      pixels[row * COLUMNS + column] = pixel;
    }
  }
  ctx.putImageData(image, 0, 0);
  const made = { canvas, bad, high };
  entry.pictures.set(key, made);
  return made;
}

const pack = (rgb, alpha) => ((Math.round(alpha * 255) << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0]) >>> 0;

function stack(pixels, tile, cell, top, share, solid) {
  const filled = Math.min(1, share) * STACK;
  let from = STACK;
  let rest = 0;
  for (let op = 0; op < tile.ops; op++) {
    rest += (tile.share[op * tile.cells + cell] / 255) * filled;
    const to = STACK - Math.round(rest);
    if (to >= from) continue;
    for (let y = to; y < from; y++) pixels[top + y * COLUMNS] = solid[op];
    from = to;
  }
  if (filled > 0 && from === STACK && tile.op[cell] !== 255) {
    pixels[top + (STACK - 1) * COLUMNS] = solid[tile.op[cell]];
  }
}
