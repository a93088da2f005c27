// Writing a job as YAML: the form a person would write, from the canonical JSON of the coordinator.

const SIZES = ["B", "KiB", "MiB", "GiB"];
/** What comes first, as a person would write it. */
const FIRST = ["name", "source", "batch", "schedule", "ops", "failure"];
/** How long a line may be before a map or a list is spread over several. */
const WIDE = 100;

export const toYaml = (job) => `${block(job, 0)}\n`;

function block(value, depth) {
  const pad = "  ".repeat(depth);
  return parts(value).map(([name, one]) => {
    const short = `${pad}${name}: ${inline(one, name)}`;
    if (typeof one !== "object" || (depth > 0 && short.length <= WIDE) || (short.length <= WIDE && name !== "ops")) return short;
    if (!Array.isArray(one)) return `${pad}${name}:\n${block(one, depth + 1)}`;
    return `${pad}${name}:\n${one.map((item) => entry(item, depth + 1)).join("\n")}`;
  }).join("\n");
}

/** The fields that have a value, in the order in which they are written. */
function parts(value) {
  const place = ([name]) => (FIRST.indexOf(name) + 1 || FIRST.length + 1);
  return Object.entries(value).filter(([, one]) => one !== undefined && one !== null).sort((a, b) => place(a) - place(b));
}

function entry(item, depth) {
  const pad = "  ".repeat(depth);
  const short = `${pad}- ${inline(item, "")}`;
  if (typeof item !== "object" || short.length <= WIDE) return short;
  return `${pad}- ${block(item, depth + 1).trimStart()}`;
}

function inline(value, name) {
  if (Array.isArray(value)) return `[${value.map((one) => inline(one, name)).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const fields = parts(value).map(([key, one]) => `${key}: ${inline(one, key)}`);
    return fields.length ? `{ ${fields.join(", ")} }` : "{}";
  }
  return typeof value === "string" ? scalar(value, name) : String(value);
}

function scalar(text, name) {
  // The values of enums are spelled out in JSON, ORDER_DEPTH_FIRST, and short in YAML.
  const prefix = `${name.toUpperCase()}_`;
  if (text.startsWith(prefix) && /^[A-Z_]+$/.test(text)) return text.slice(prefix.length).toLowerCase();
  if (name.endsWith("bytes") && /^\d+$/.test(text)) return size(Number(text));
  const seconds = /^(\d+)(?:\.(\d{1,9}))?s$/.exec(text);
  if (seconds) return seconds[2] && seconds[1] === "0" ? milliseconds(`0.${seconds[2]}`, text) : text;
  return /^[A-Za-z_./][\w./*-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text) ? text : JSON.stringify(text);
}

function milliseconds(fraction, text) {
  const ms = Number(fraction) * 1000;
  return Math.abs(ms - Math.round(ms)) < 1e-9 ? `${Math.round(ms)}ms` : text;
}

function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && bytes % 1024 === 0 && unit + 1 < SIZES.length) {
    bytes /= 1024;
    unit += 1;
  }
  return unit === 0 ? String(bytes) : `${bytes}${SIZES[unit]}`;
}
