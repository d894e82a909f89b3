/** The JSON API, as everything on these pages calls it. */

import { problemFor, reach } from "./problem.js";

/** What addresses begin with where an element is not told: the folder above `/web/`, behind whatever stage name. */
export const HERE = new URL("..", import.meta.url).href.replace(/\/$/, "");

export class Api {
  #token;

  /** `base`: what addresses begin with, which may end with a path. `token`: of a person; "" asks as a stranger. */
  constructor(base, token) {
    this.base = new URL(base || HERE, HERE).href.replace(/\/+$/, "");
    this.#token = token ?? "";
  }

  /** The JSON at `path`, which begins with `/api/`. Throws Problem for every answer but a success. */
  async get(path, params = {}, { signal } = {}) {
    return this.send("GET", path, { params, signal });
  }

  /**
   * The JSON that a method answers, null where it answers nothing. `body`: JSON, or a FormData.
   * `keepalive`: outlives the page. Throws Problem.
   */
  async send(method, path, { params = {}, body, signal, keepalive = false } = {}) {
    const response = await reach(this.address(path, params), {
      method,
      signal,
      keepalive,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      headers: this.#headers(body),
      body: body === undefined || body instanceof FormData ? body : JSON.stringify(body),
    });
    if (!response.ok) throw await problemFor(this.#token, response);
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  }

  /** The complete address of a path; parameters that are null, undefined or "" are left out, lists are repeated. */
  address(path, params = {}) {
    const address = new URL(this.base + path);
    for (const [name, value] of Object.entries(params)) {
      for (const one of [value].flat()) {
        if (one !== undefined && one !== null && one !== "") address.searchParams.append(name, one);
      }
    }
    return address.href;
  }

  #headers(body) {
    const headers = { Accept: "application/json" };
    if (this.#token !== "") headers["X-Auth-Token"] = this.#token;
    // A FormData says its own type, with the boundary between its parts.
    if (body !== undefined && !(body instanceof FormData)) headers["Content-Type"] = "application/json";
    return headers;
  }
}
