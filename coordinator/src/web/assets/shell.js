// What every page has: the theme toggle, the sheet of keys, the mark that says whether the page is live,
// and refreshing parts of the page in place.

const root = document.documentElement;

export const byId = (id) => document.getElementById(id);

/**
 * Makes an element; children that are texts stay texts.
 * @param {Record<string, any>} [attributes] @param {...(Node|string|number|null)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (tag === "button") element.type = tag;
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null) element.append(child instanceof Node ? child : String(child));
  return element;
}

/** Calls back when something is pressed that matches. */
export function onPress(selector, callback) {
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.(selector);
    if (pressed) callback(pressed);
  });
}

/** Lets a callback run once in so many milliseconds at most, however often it is asked for. */
export function atMost(pause, callback) {
  let last = performance.now();
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      last = performance.now();
      callback();
    }, Math.max(0, pause - (performance.now() - last)));
  };
}

/** Copies a text, and says so on the button; where it may not be copied, it is shown to be. */
export async function copy(button, text, place) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection()?.selectAllChildren(place());
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

/** Says whether what is shown is fresh. @param {"none"|"live"|"lost"|"ended"} state */
export function sayLive(state) {
  const mark = byId("live");
  const words = { none: "", live: "Live", lost: "Reconnecting…", ended: "Ended" };
  if (mark.dataset.state === state) return;
  mark.dataset.state = state;
  mark.textContent = words[state];
}

/** Makes one element like another without losing focus, picks or canvases. */
export function morph(have, want) {
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of [...want.attributes]) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  const keyed = new Map();
  for (const child of have.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = have.firstChild;
  for (const node of [...want.childNodes]) {
    const key = node instanceof HTMLElement && node.dataset.key;
    const match = key ? keyed.get(key) : at && at.nodeName === node.nodeName && !at.dataset?.key ? at : null;
    if (!match) {
      have.insertBefore(node, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else have.insertBefore(match, at);
    if (!(match instanceof Element)) {
      if (match.nodeValue !== node.nodeValue) match.nodeValue = node.nodeValue;
    } else if (!match.hasAttribute("data-keep")) morph(match, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

let refreshing = false;
/** Asks for the live part of this page and puts it in place. @returns {Promise<Element|null>} */
export async function refresh() {
  if (refreshing) return null;
  refreshing = true;
  try {
    const url = new URL(location.href);
    url.hash = "";
    url.searchParams.set("part", "live");
    const answer = await fetch(url);
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const want = page.querySelector("[data-live]");
    const have = want && byId(want.id);
    if (!want || !have) return null;
    const open = [...have.querySelectorAll("details")].map((details) => details.open);
    [...want.querySelectorAll("details")].forEach((details, place) => (details.open = open[place] ?? false));
    morph(have, want);
    return have;
  } catch {
    return null;
  } finally {
    refreshing = false;
  }
}

/** Tells whether keys belong to what is being typed. */
export function isTyping(event) {
  const target = event.target;
  return event.ctrlKey || event.metaKey || event.altKey || target.matches?.("input, select, textarea") ||
    document.querySelector("dialog[open]") !== null;
}

export const isDark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

const themed = new Set();
/** Calls back when the theme changes. */
export const onTheme = (callback) => themed.add(callback);

function sayTheme() {
  byId("theme").textContent = isDark() ? "Light theme" : "Dark theme";
  for (const callback of themed) callback();
}

byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // The choice lasts as long as the page.
  }
  sayTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", sayTheme);
sayTheme();

const keys = byId("keys");
byId("help").addEventListener("click", () => keys.showModal());
byId("keys-close").addEventListener("click", () => keys.close());
document.addEventListener("keydown", (event) => {
  if (event.key === "?" && keys.open) keys.close();
  else if (event.key === "?" && !isTyping(event)) keys.showModal();
});
