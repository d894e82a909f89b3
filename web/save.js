/** Files to disk: the browser fetches them by itself, so that size does not matter. */

import { problemFor, reach } from "./problem.js";

const LONGEST_PAUSE_S = 10;

/**
 * Let the browser download what is at a path of the API. Asked first in a way that shows failures, which a browser that is sent
 * to the address would show in place of this page. Throws Problem.
 *
 * A browser sends no header by itself, so the address holds the token: it is made for this one moment and shown nowhere.
 * `waiting(sentence)` is told while the server still makes the file.
 */
export async function save(api, token, path, params, { waiting = () => {}, signal } = {}) {
  await untilReady(api.address(path, params), token, waiting, signal);
  const link = document.createElement("a");
  link.href = api.address(path, { ...params, token });
  link.download = "";
  link.referrerPolicy = "no-referrer";
  document.body.append(link);
  link.click();
  link.remove();
}

async function untilReady(address, token, waiting, signal) {
  const headers = token ? { "X-Auth-Token": token } : {};
  for (;;) {
    const stop = new AbortController();
    signal?.addEventListener("abort", () => stop.abort());
    // The file may lie elsewhere, where scripts of this page have nothing to seek: that it lies there is enough.
    const response = await reach(address, { headers, redirect: "manual", cache: "no-store", credentials: "omit", signal: stop.signal });
    if (response.ok || response.type === "opaqueredirect") {
      stop.abort();
      return;
    }
    const problem = await problemFor(token, response);
    const asked = Number(response.headers.get("Retry-After"));
    if (response.status !== 503 || !(asked > 0)) throw problem;
    waiting(problem.message);
    await new Promise((resolve) => setTimeout(resolve, Math.min(asked, LONGEST_PAUSE_S) * 1000));
    signal?.throwIfAborted();
  }
}
