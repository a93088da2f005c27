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

/** @typedef {{ops: number, rows: number, sealed: boolean, op: Uint8Array, flags: Uint8Array, busy: Uint16Array,
 *             wait: Uint16Array, share: Uint8Array}} Tile */

/** @type {Map<string, {tile: Tile, pictures: Map<string, any>}>} */
const kept = new Map();
onTheme(() => kept.forEach((entry) => entry.pictures.clear()));

/** @param {string} url @param {boolean} sealed @param {AbortSignal} signal */
export async function loadTile(url, sealed, signal) {
  const known = kept.get(url);
  if (known && sealed && known.tile.sealed) return known;
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(`the coordinator answered ${answer.status}`);
  const entry = { tile: decode(await answer.arrayBuffer()), pictures: new Map() };
  kept.delete(url);
  kept.set(url, entry);
  for (const old of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(old);
  }
  return entry;
}

/** @param {ArrayBuffer} buffer @returns {Tile} */
function decode(buffer) {
  const head = new DataView(buffer);
  if (head.getUint32(0, false) !== 0x504c5431) throw new Error("the answer is no tile");
  const ops = head.getUint8(4);
  const rows = head.getUint16(6, true);
  const cells = rows * COLUMNS;
  let at = 16;
  const take = (Kind, length) => {
    const array = new Kind(buffer, at, length);
    at += array.byteLength;
    return array;
  };
  return {
    ops, rows, sealed: head.getUint8(8) !== 0,
    op: take(Uint8Array, cells), flags: take(Uint8Array, cells),
    busy: take(Uint16Array, cells), wait: take(Uint16Array, cells), share: take(Uint8Array, cells * ops),
  };
}

/**
 * Makes a picture of a tile: a pixel per cell, or where `stacked`, the shares of its ops one above the other.
 * @param {{tile: Tile, pictures: Map<string, any>}} entry
 * @param {{rows: number, full: number, stacked: boolean}} cells rows in a cell, how many tasks fill one
 */
export function picture(entry, { rows, full, stacked }) {
  const key = `${rows} ${full} ${stacked}`;
  const known = entry.pictures.get(key);
  if (known) {
    known.fresh = false;
    return known;
  }
  const { tile } = entry;
  const high = stacked ? STACK : 1;
  const canvas = new OffscreenCanvas(COLUMNS, Math.max(1, tile.rows * high));
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = palette();
  const ops = Array.from({ length: tile.ops }, (_, op) => opColour(op).rgb);
  const solid = ops.map((rgb) => pack(rgb, 1));
  const pale = ops.map((rgb) => pack(rgb, 0.35));
  const bad = [];
  for (let row = 0; row < tile.rows; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      const cell = row * COLUMNS + column;
      const flags = tile.flags[cell];
      if (flags & (FAILED | LOST)) bad.push(column, row);
      const share = tile.busy[cell] / 256 / full;
      const wait = tile.wait[cell] / 256 / rows;
      // What a lost worker ran is hatched: nobody knows how far it came.
      const dim = flags & LOST && column & 2 ? 0.35 : 1;
      if (stacked) {
        stack(pixels, tile, cell, row * STACK * COLUMNS + column, share, dim === 1 ? solid : pale);
        continue;
      }
      let pixel = 0;
      if (tile.op[cell] < ops.length) pixel = pack(ops[tile.op[cell]], shade(share) * dim);
      else if (wait > 0) pixel = pack(colours.waiting.rgb, 0.3 + 0.5 * Math.min(1, wait));
      if (flags & CANCELLED && (column & 2) === 0) pixel = pack(colours.muted.rgb, 1);
      pixels[cell] = pixel;
    }
  }
  ctx.putImageData(image, 0, 0);
  const made = { canvas, bad, high, fresh: true };
  entry.pictures.set(key, made);
  return made;
}

const pack = (rgb, alpha) => ((Math.round(alpha * 255) << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0]) >>> 0;

/** The shade of a cell; little is still seen. @param {number} share */
const shade = (share) => 0.35 + 0.65 * Math.sqrt(Math.min(1, share));

function stack(pixels, tile, cell, top, share, solid) {
  const cells = tile.rows * COLUMNS;
  const filled = Math.min(1, share) * STACK;
  let from = STACK;
  let rest = 0;
  for (let op = 0; op < tile.ops; op++) {
    rest += (tile.share[op * cells + cell] / 255) * filled;
    const to = STACK - Math.round(rest);
    if (to >= from) continue;
    for (let y = to; y < from; y++) pixels[top + y * COLUMNS] = solid[op];
    from = to;
  }
  if (filled > 0 && from === STACK && tile.op[cell] !== 255) {
    pixels[top + (STACK - 1) * COLUMNS] = solid[tile.op[cell]];
  }
}
