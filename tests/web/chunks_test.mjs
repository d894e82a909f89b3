/** Chunks from the server: only 404 is absence, every other answer is a failure, and what is kept stays bounded. */

import assert from "node:assert/strict";
import test from "node:test";

import { ChunkStore, fetchChunk } from "../../web/chunks.js";
import { DamagedChunk } from "../../web/frame.js";
import { Problem } from "../../web/problem.js";
import { rawFrame, server } from "./builders/wire.mjs";

const ROOT = "http://host/zarr/token/v2/em.zarr/0";
const ARRAY = { address: ROOT, hasChannelAxis: false };

function problem(status, detail, headers = {}) {
  const type = { "Content-Type": "application/problem+json", ...headers };
  return new Response(JSON.stringify({ type: "about:blank", title: "A title", status, detail }), { status, headers: type });
}

function chunk(value, length = 100) {
  return new Uint8Array(length).fill(value);
}

/** A server with chunks 0/0/0 to 0/0/9, each filled with its number. */
function ten() {
  const numbers = Array.from({ length: 10 }, (_, x) => x);
  return server(Object.fromEntries(numbers.map((x) => [`${ROOT}/0/0/${x}`, new Response(rawFrame(chunk(x)))])));
}

const places = (...xs) => xs.map((x) => [0, 0, x]);

test("status 404 alone means that nothing was stored", async () => {
  assert.equal(await fetchChunk(`${ROOT}/0/0/0`, server({}).get), null);
  for (const status of [204, 206, 400, 403, 410, 416, 500, 502]) {
    const answer = () => (status === 204 ? new Response(null, { status }) : problem(status, "Because."));
    const failing = server({ [`${ROOT}/0/0/0`]: answer });
    const ofThisStatus = (error) => error instanceof Problem && error.status === status;
    await assert.rejects(fetchChunk(`${ROOT}/0/0/0`, failing.get), ofThisStatus);
  }
});

test("a busy server is asked again when it says, and not for ever", async () => {
  let left = 2;
  const busy = () => problem(503, "Busy.", { "Retry-After": "0" });
  const recovering = server({ [ROOT]: () => (left-- > 0 ? busy() : new Response(rawFrame(chunk(7)))) });
  assert.deepEqual(await fetchChunk(ROOT, recovering.get), chunk(7));
  const dead = server({ [ROOT]: busy });
  await assert.rejects(fetchChunk(ROOT, dead.get), /Busy/);
  assert.equal(dead.asked.length, 3);
});

test("chunks come by their places, those that were never stored as null, each asked for once", async () => {
  const { get, asked } = ten();
  const store = new ChunkStore(get);
  const both = await Promise.all([store.load(ARRAY, places(1, 2, 12)), store.load(ARRAY, places(2, 12, 3))]);
  assert.deepEqual(both[0].get("0/0/2"), chunk(2));
  assert.deepEqual(both[1].get("0/0/3"), chunk(3));
  assert.deepEqual([both[0].get("0/0/12"), both[1].get("0/0/12")], [null, null]);
  await store.load(ARRAY, places(1, 12));
  assert.deepEqual(asked.toSorted(), places(1, 12, 2, 3).map((place) => `${ROOT}/${place.join("/")}`));
});

test("only the chunks used last are kept", async () => {
  const { get, asked } = ten();
  const store = new ChunkStore(get, 3 * (100 + 256));
  for (const x of [0, 1, 2, 0, 3]) await store.load(ARRAY, places(x)); // 1 is the longest unused when 3 comes
  asked.length = 0;
  await store.load(ARRAY, places(0, 2, 3));
  assert.deepEqual(asked, []);
  await store.load(ARRAY, places(1));
  assert.equal(asked.length, 1);
});

test("a load larger than what is kept is whole all the same", async () => {
  const store = new ChunkStore(ten().get, 1);
  const found = await store.load(ARRAY, places(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  assert.deepEqual([...found.values()].map((bytes) => bytes[0]).toSorted(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("one failed chunk fails the load, however many others came, and the next load asks again", async () => {
  let broken = true;
  const { get } = server({ [`${ROOT}/0/0/1`]: () => (broken ? problem(502, "A stored block is damaged.") : new Response(rawFrame(chunk(1)))) });
  const store = new ChunkStore(get);
  await assert.rejects(store.load(ARRAY, places(0, 1, 2)), /A stored block is damaged/);
  broken = false;
  assert.deepEqual((await store.load(ARRAY, places(0, 1, 2))).get("0/0/1"), chunk(1));
});

test("a damaged frame fails the load", async () => {
  const { get } = server({ [`${ROOT}/0/0/0`]: new Response(rawFrame(chunk(1)).subarray(0, 50)) });
  await assert.rejects(new ChunkStore(get).load(ARRAY, places(0)), DamagedChunk);
});

test("a load that is not wanted any more asks for nothing more", async () => {
  const { get, asked } = ten();
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(new ChunkStore(get).load(ARRAY, places(0, 1), stop.signal), { name: "AbortError" });
  assert.deepEqual(asked, []);
});
