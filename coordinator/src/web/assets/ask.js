// Dialogs that ask before something is done, and how what people write into them is read.

import { words } from "./api.js";
import { make } from "./shell.js";

/**
 * Opens a dialog with a form; `send` gets what was filled in and closes it unless it fails.
 * @param {{title: string, body: Node[], yes: string, no?: string, danger?: boolean, send: (data: FormData) => Promise<any>}} what
 */
export function ask({ title, body, yes, no = "Close", danger = false, send }) {
  const said = make("p", { role: "alert" });
  const form = make("form", { method: "dialog" }, make("h2", { id: "ask-title" }, title), ...body,
    make("p", { class: "row" }, make("button", { type: "submit", class: danger ? "danger" : "primary" }, yes),
      make("button", { onclick: () => dialog.close() }, no)), said);
  const dialog = opened(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send(new FormData(form));
      dialog.close();
    } catch (error) {
      said.textContent = words(error);
    }
  });
}

/** Opens a dialog whose head is `ask-title`. */
export function opened(...body) {
  const dialog = make("dialog", { "aria-labelledby": "ask-title", onclose: () => dialog.remove() }, ...body);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Makes a choice of several with a sentence each. */
export function choice(name, options) {
  return make("fieldset", {}, make("legend", { class: "sr" }, "How"), ...options.map(([value, label, more], place) =>
    make("label", { class: "choice" }, make("input", { type: "radio", name, value, checked: place === 0 }),
      make("span", {}, label, make("small", { class: "quiet" }, more)))));
}

/** Reads what was filled in: nothing leaves a limit as it is, `none` takes it off. @param {(text: string) => any} read */
export function limit(text, read) {
  const said = text.trim();
  if (said === "") return undefined;
  return said.toLowerCase() === "none" ? null : read(said);
}

/** Reads `256MiB` and plain numbers of bytes. */
export function size(text) {
  const found = /^([\d.]+)\s*(b|kib|mib|gib|tib)?$/i.exec(text);
  if (!found) throw new Error(`"${text}" is no size; write 64KiB, 8MiB or 1GiB`);
  return Math.round(Number(found[1]) * 1024 ** ["b", "kib", "mib", "gib", "tib"].indexOf((found[2] ?? "b").toLowerCase()));
}

export function number(text) {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`"${text}" is no number; write one, or none`);
  return Number(text);
}
