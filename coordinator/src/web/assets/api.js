// Asking the coordinator: answers as JSON, problems as errors with words, events with reconnecting.

import { sayLive } from "./shell.js";

/** A problem as the coordinator says it (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? body?.error ?? `the coordinator answered ${status}`);
    this.status = status;
    this.reason = body?.reason ?? "";
    this.problems = body?.problems ?? [];
  }
}

/** Says in a line what went wrong. */
export const words = (error) =>
  error.problems?.length ? error.problems.map(({ path, problem }) => `${path}: ${problem}`).join("; ") : error.message;

async function ask(url, init) {
  let answer;
  try {
    answer = await fetch(url, init);
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw new Problem(0, { detail: "the coordinator does not answer; is it running?" });
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

export function get(path, query = {}, signal) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return ask(text ? `${path}?${text}` : path, { signal });
}

export function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/**
 * Has failed batches of a run tried again. A run that had ended goes on with that, so the page begins anew.
 * @param {{op?: string, batches?: string[]}} what
 */
export async function retry(run, what) {
  await post(`/api/runs/${run}/retry`, what);
  location.reload();
}

/**
 * Follows events until they end. The browser reconnects after a cut by itself and says what it saw last; when it gives
 * up (the answer was an error), this asks again.
 * @param {(event: string, data: any) => void} heard
 */
export function follow(url, heard) {
  let wait = 500;
  const open = () => {
    const source = new EventSource(url);
    source.onopen = () => {
      wait = 500;
      sayLive("live");
    };
    source.onerror = () => {
      sayLive("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 8000);
    };
    source.addEventListener("tick", (event) => heard("tick", JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      source.close();
      sayLive("ended");
      heard("end", JSON.parse(event.data));
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  };
  open();
}
