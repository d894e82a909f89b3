/** The edge's functions as Node runs them: their text untouched, the store and the clock in our hands. */

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const FOLDER = fileURLToPath(new URL("../../../functions/edge/", import.meta.url));

/** What `import cf from 'cloudfront'` finds: `state.entries`, `state.failing` (names whose reads fail), `state.log`. */
const CLOUDFRONT = `
  export const state = { entries: {}, failing: [], log: [] };
  async function get(name) {
    if (state.failing.includes(name)) throw new Error("InternalError: the store cannot be reached");
    if (!Object.hasOwn(state.entries, name)) throw new Error("NotFoundError: key not found");
    return state.entries[name];
  }
  export default { kvs: () => ({ get }), logCustomData: (text) => state.log.push(text) };
`;

/** `handler` and `state` of one of the functions. */
export async function loadFunction(name) {
  const folder = mkdtempSync(join(tmpdir(), "zarrlink-edge-"));
  try {
    const library = join(folder, "node_modules/cloudfront");
    mkdirSync(library, { recursive: true });
    writeFileSync(join(library, "package.json"), '{"type": "module", "exports": "./index.js"}');
    writeFileSync(join(library, "index.js"), CLOUDFRONT);
    const module = join(folder, name.replace(/js$/, "mjs"));
    writeFileSync(module, `${readFileSync(join(FOLDER, name), "utf8")}\nexport { handler };\n`);
    const { handler } = await import(pathToFileURL(module));
    const { state } = await import(pathToFileURL(join(library, "index.js")));
    return { handler, state };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** All cases, their `{names}` filled in, with the file they stand in. */
export function loadCases() {
  const world = JSON.parse(readFileSync(join(FOLDER, "cases/world.json"), "utf8"));
  const files = readdirSync(join(FOLDER, "cases")).filter((name) => name.endsWith(".json") && name !== "world.json");
  const named = (text) => text.replace(/\{([a-z-]+(?:\.id)?)\}/g, (whole, name) => world.names[name] ?? whole);
  const fill = (value) => {
    if (typeof value === "string") return named(value);
    if (Array.isArray(value)) return value.map(fill);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [named(key), fill(inner)]));
  };
  return files.flatMap((file) => JSON.parse(readFileSync(join(FOLDER, "cases", file), "utf8")).map((given) => {
    const one = fill(given);
    const changed = Object.entries({ ...(one.lost ? {} : world.entries), ...one.entries });
    const entries = Object.fromEntries(changed.filter(([, value]) => value !== null));
    return { now_ms: world.now_ms, ...one, name: `${file}: ${one.name}`, entries };
  }));
}

const wrapped = (fields) => Object.fromEntries(Object.entries(fields).map(([name, value]) => {
  if (!Array.isArray(value)) return [name, { value }];
  return [name, { value: value[0], multiValue: value.map((one) => ({ value: one })) }];
}));

const plain = (fields) => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value]));

/** The event that a viewer's request is to CloudFront. `query`: the text after `?`. */
export function requestEvent({ method = "GET", uri, query = "", headers = {} }) {
  const querystring = Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) => [name, { value }]));
  const given = { host: "zarr.example.org", ...headers };
  return {
    version: "1.0",
    context: { eventType: "viewer-request", requestId: "request-1" },
    viewer: { ip: "192.0.2.1" },
    request: { method, uri, querystring, headers: wrapped(given), cookies: {} },
  };
}

/** What the function makes of a case: `status`, `headers`, `body`, or `uri`, `query`, `headers`; and `log`. */
export async function outcome({ handler, state }, { request, entries, failing = [], now_ms }) {
  Object.assign(state, { entries, failing, log: [] });
  const now = Date.now;
  Date.now = () => now_ms;
  try {
    const made = await handler(requestEvent(request));
    const common = { headers: plain(made.headers), log: state.log };
    if (made.statusCode) return { ...common, status: made.statusCode, body: made.body?.data ?? "" };
    const query = Object.entries(plain(made.querystring)).map((pair) => pair.join("=")).join("&");
    return { ...common, uri: made.uri, method: made.method, query };
  } finally {
    Date.now = now;
  }
}
