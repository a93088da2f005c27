// Numbers as people read them; the same words as on the server.

const numbers = new Intl.NumberFormat("en-US");

export const count = (value) => numbers.format(value);

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** Writes a duration. @param {number|null|undefined} us microseconds */
export function duration(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1e3) return `${Math.round(us)} µs`;
  if (us < 1e5) return `${+(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms`;
  const seconds = us / 1e6;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** Writes a point on the time axis whose ticks are `step` apart. */
export function tick(us, step) {
  if (us === 0) return "0";
  if (step >= 60e6) {
    const minutes = Math.round(us / 60e6);
    return minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h` : `${minutes} min`;
  }
  if (us >= 60e6) {
    const rest = (us % 60e6) / 1e6;
    const digits = step >= 1e6 ? 0 : Math.min(6, Math.ceil(-Math.log10(step / 1e6)));
    return `${Math.floor(us / 60e6)}:${rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
  }
  if (step >= 1e6) return `${Math.round(us / 1e6)} s`;
  if (us >= 1e6) return `${(us / 1e6).toFixed(Math.ceil(-Math.log10(step / 1e6)))} s`;
  return step >= 1e3 ? `${Math.round(us / 1e3)} ms` : `${Math.round(us)} µs`;
}

/** Returns the distance of round ticks, at most `most` in `span`. */
export function step(span, most) {
  const least = Math.max(1, span / Math.max(1, most));
  const rounds = least < 1e6 ? null : [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const found = rounds?.find((seconds) => seconds * 1e6 >= least);
  if (found) return found * 1e6;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((digit) => digit * power >= least) ?? 10);
}
