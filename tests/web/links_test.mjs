/** What the links dialog computes: ends of links, boxes, use counts, Neuroglancer's state, requests. */

import assert from "node:assert/strict";
import test from "node:test";

import { Api } from "../../web/api.js";
import { boxText, parseBox } from "../../web/box_text.js";
import { CHOICES, endAfter, endOfDay } from "../../web/expiry.js";
import { neuroglancerAddress, neuroglancerState } from "../../web/neuroglancer.js";
import { Problem } from "../../web/problem.js";
import { Revocations } from "../../web/revocations.js";
import { webknossosLines } from "../../web/snippets.js";
import { untilGone } from "../../web/untold.js";
import { usesSentence } from "../../web/uses.js";
import { layer } from "./builders/wire.mjs";

const BASE = "https://data.example.org/prod/zarr/kTOKEN/";
const isoOf = (ms) => new Date(ms).toISOString();

test("each choice ends with a UTC day, as the server's own month does", () => {
  const start = new Date("2026-11-23T10:00:00Z");
  const said = {
    day: "2026-11-24",
    week: "2026-11-30",
    month: "2026-12-23",
    "half-year": "2027-05-23",
    year: "2027-11-23",
  };
  for (const [choice, day] of Object.entries(said))
    assert.equal(isoOf(endAfter(choice, start)), `${day}T23:59:59.999Z`);
  assert.equal(endAfter("never", start), null);
  assert.deepEqual(CHOICES.map(({ value }) => value).sort(), [...Object.keys(said), "never"].sort());
});

test("a month after the 31st is the last day of the next month, also of February", () => {
  assert.equal(isoOf(endAfter("month", new Date("2027-01-31T00:00:00Z"))).slice(0, 10), "2027-02-28");
  assert.equal(isoOf(endAfter("month", new Date("2028-01-31T23:59:59Z"))).slice(0, 10), "2028-02-29");
  assert.equal(isoOf(endAfter("half-year", new Date("2026-08-31T12:00:00Z"))).slice(0, 10), "2027-02-28");
  assert.equal(isoOf(endAfter("year", new Date("2028-02-29T12:00:00Z"))).slice(0, 10), "2029-02-28");
});

test("a day that is none has no end", () => {
  assert.equal(isoOf(endOfDay("2026-12-23")), "2026-12-23T23:59:59.999Z");
  assert.equal(endOfDay(""), null);
});

test("a box is read as people copy it, and nothing else is", () => {
  const box = [1024, 2048, 256, 512, 512, 100];
  for (const text of [boxText(box), "1024 2048 256 512 512 100", "[1024,2048,256],[512,512,100]"]) {
    assert.deepEqual(parseBox(text), box);
  }
  assert.deepEqual(parseBox("-1, 0, 0, 1, 1, 1"), [-1, 0, 0, 1, 1, 1]);
  assert.equal(parseBox("  "), null);
  for (const text of ["1,2,3", "1,2,3,4,5,0", "1,2,3,4,5,6,7", "a 1 2 3 4 5 6", "1.5,2,3,4,5,6"]) {
    assert.throws(() => parseBox(text), /A box is/);
  }
});

test("use counts in words, and none where nobody counts", () => {
  const lastUsed = Date.parse("2026-11-20T12:00:00Z");
  assert.equal(usesSentence({ uses: 12, lastUsed }), "opened up to 12 times, last 2026-11-20");
  assert.equal(usesSentence({ uses: 1, lastUsed }), "opened once, last 2026-11-20");
  assert.equal(usesSentence({ uses: 0, lastUsed: null }), "not opened yet");
  assert.equal(usesSentence({}), null);
});

const facts = {
  voxelSize: { factor: [8, 8, 25], unit: "nanometer" },
  box: [1024, 2048, 256, 512, 512, 256],
  layers: [
    layer({ name: "cells", category: "segmentation", dtype: "uint32", window: null, v3: "v3/cells.zarr" }),
    layer({ window: [10, 200] }),
    layer({ name: "affinity", category: "segmentation", dtype: "float32", window: null, v3: "v3/affinity.zarr" }),
  ],
};

test("Neuroglancer's state has every layer by its complete address, in the middle of the box", () => {
  const state = neuroglancerState(facts, BASE);
  assert.deepEqual(state.dimensions, { x: [8e-9, "m"], y: [8e-9, "m"], z: [2.5e-8, "m"] });
  assert.deepEqual(state.position, [1280, 2304, 384]);
  assert.deepEqual(
    state.layers.map(({ name, type, source }) => [name, type, source]),
    [
      ["em", "image", `zarr3://${BASE}v3/em.zarr/`],
      ["affinity", "image", `zarr3://${BASE}v3/affinity.zarr/`], // its ids would have to be whole numbers
      ["cells", "segmentation", `zarr3://${BASE}v3/cells.zarr/`], // over the images
    ],
  );
  assert.deepEqual(state.layers[0].shaderControls, { normalized: { range: [10, 200] } });
  assert.ok(state.crossSectionScale > 0);
});

test("three channels are shown in colour, each voxel with all of them", () => {
  const colour = { ...facts, layers: [layer({ channels: 3 })] };
  const [{ source, shader }] = neuroglancerState(colour, BASE).layers;
  assert.equal(source.url, `zarr3://${BASE}v3/em.zarr/`);
  // In the array's own order of axes.
  assert.deepEqual(Object.keys(source.transform.outputDimensions), ["c^", "z", "y", "x"]);
  assert.match(shader, /emitRGB/);
});

test("the state travels behind #, where no server sees it", () => {
  const state = neuroglancerState(facts, BASE);
  const address = new URL(neuroglancerAddress("https://ng.example.org/v1/", state));
  assert.equal(address.pathname, "/v1/");
  assert.deepEqual(JSON.parse(decodeURIComponent(address.hash.slice(2))), state);
});

test("the library's lines name the dataset or the annotation, and no token", () => {
  const dataset = webknossosLines("https://data.example.org", { dataset: "d1", annotation: null });
  assert.ok(dataset.code.includes('url="https://data.example.org"'));
  assert.ok(dataset.code.includes('wk.RemoteDataset.open(dataset_id="d1")'));
  assert.ok(
    webknossosLines("https://x", { dataset: "d1", annotation: "a1" }).code.includes('Annotation.download("a1")'),
  );
});

/** Calls to `fetch` while `act` runs, each answered by `answer`. */
async function fetched(answer, act) {
  const asked = [];
  const before = globalThis.fetch;
  globalThis.fetch = async (address, options) => {
    asked.push({ address, ...options });
    return answer();
  };
  try {
    return { result: await act().catch((error) => error), asked };
  } finally {
    globalThis.fetch = before;
  }
}

test("requests keep the base's path, carry the token in its header, and leave out what is not said", async () => {
  const api = new Api("https://x.example.org/prod/", "secret");
  const act = () => api.get("/api/datasets", { query: "a b", tag: "", mine: null, id: ["1", "2"] });
  const { result, asked } = await fetched(() => new Response('[{"id": 1}]'), act);
  assert.deepEqual(result, [{ id: 1 }]);
  assert.equal(asked[0].address, "https://x.example.org/prod/api/datasets?query=a+b&id=1&id=2");
  assert.equal(asked[0].headers["X-Auth-Token"], "secret");
  assert.equal(asked[0].credentials, "omit");
});

test("a stranger sends no token; bodies are JSON, forms are themselves; nothing answered is null", async () => {
  const api = new Api("https://x.example.org", "");
  const json = await fetched(
    () => new Response(""),
    () => api.send("PATCH", "/api/x", { body: { a: null } }),
  );
  assert.equal(json.result, null);
  assert.equal(json.asked[0].body, '{"a":null}');
  assert.ok(!("X-Auth-Token" in json.asked[0].headers));
  const form = await fetched(
    () => new Response("{}"),
    () => api.send("POST", "/api/x", { body: new FormData() }),
  );
  assert.ok(!("Content-Type" in form.asked[0].headers));
});

test("whatever is no success is thrown in the server's words", async () => {
  const body = JSON.stringify({ title: "No", status: 404, detail: "there is no such dataset" });
  const api = new Api("https://x.example.org", "");
  const { result } = await fetched(
    () => new Response(body, { status: 404 }),
    () => api.get("/api/datasets/x"),
  );
  assert.ok(result instanceof Problem);
  assert.deepEqual([result.status, result.message], [404, "there is no such dataset"]);
});

test("a revocation waits for its seconds, is undone within them, and is sent at once when the page is left", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const told = [];
  const revocations = new Revocations(async ({ id }, options) => sent.push([id, options.keepalive ?? false]));
  const begin = (id) =>
    revocations.begin(
      { id },
      { seconds: 3, tick: (rest) => told.push(`${id}${rest}`), done: () => told.push(id), failed: assert.fail },
    );
  const pass = (seconds) => {
    for (let i = 0; i < seconds; i += 1) t.mock.timers.tick(1000);
  };
  begin("a");
  pass(2);
  assert.deepEqual([sent, told], [[], ["a2", "a1"]]);
  assert.equal(revocations.undo("a"), true);
  pass(9);
  assert.deepEqual(sent, []);
  assert.equal(revocations.undo("a"), false);

  begin("b");
  pass(3);
  begin("c");
  revocations.finish();
  pass(9);
  await Promise.resolve();
  assert.deepEqual(sent, [
    ["b", false],
    ["c", true],
  ]);
});

test("a revocation that fails says so, and is over", async () => {
  const revocations = new Revocations(async () => {
    throw new Problem(503, "later");
  });
  const failed = await new Promise((resolve) => {
    revocations.begin({ id: "a" }, { seconds: 5, tick: () => {}, done: assert.fail, failed: resolve });
    revocations.finish();
  });
  assert.equal(failed.message, "later");
  assert.equal(revocations.undo("a"), false);
});

test("what becomes of a revoked link is told to whoever shows it", async () => {
  const revocations = new Revocations(async () => "revoking");
  const state = await new Promise((resolve) => {
    revocations.begin({ id: "a" }, { seconds: 5, tick: () => {}, done: resolve, failed: assert.fail });
    revocations.finish();
  });
  assert.equal(state, "revoking");
});

test("a link that is being revoked is asked for until it is gone", async () => {
  const waited = [];
  const wait = async (ms) => waited.push(ms);
  // There, there, a server that fails, and gone.
  const answers = [() => ({}), () => ({}), new Problem(503, "later"), new Problem(404, "you have no such link")];
  const look = async () => {
    const answer = answers.shift();
    if (answer instanceof Problem) throw answer;
  };
  assert.equal(await untilGone(look, { wait }), true);
  assert.deepEqual([answers, waited.length], [[], 4]);

  waited.length = 0;
  assert.equal(await untilGone(async () => {}, { wait }), false);
  const seconds = waited.reduce((sum, ms) => sum + ms, 0) / 1000;
  assert.ok(seconds > 60 && seconds < 180, `${seconds} s`);
  assert.equal(await untilGone(assert.fail, { wait, goesOn: () => false }), false);
});
