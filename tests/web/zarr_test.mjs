/** Planes from chunks: every voxel in its place, absent chunks as 0, and failures never as 0. */

import assert from "node:assert/strict";
import test from "node:test";

import { DamagedChunk } from "../../web/frame.js";
import { Problem } from "../../web/problem.js";
import { PlaneReader, arrayOf, chunksOf, fetchChunk, openLevels, planeOf } from "../../web/zarr.js";
import { rawFrame, server, zarray } from "./builders/wire.mjs";

const ROOT = "http://host/zarr/token/v2/em.zarr";

/** A voxel's value says where it is, so one in the wrong place cannot go unseen. */
function valueAt(c, z, y, x) {
  return 1 + c * 10_000 + z * 1000 + y * 30 + x;
}

/** The raw bytes of one chunk of an array, edge chunks filled up with 65535, which no plane may show. */
function chunkBytes(array, chunkZ, chunkY, chunkX) {
  const [depth, height, width] = array.chunk;
  const voxels = new array.VoxelType(array.channels * depth * height * width);
  const big = array.VoxelType === BigUint64Array ? BigInt : Number;
  let i = 0;
  for (let c = 0; c < array.channels; c += 1) {
    for (let z = chunkZ * depth; z < (chunkZ + 1) * depth; z += 1) {
      for (let y = chunkY * height; y < (chunkY + 1) * height; y += 1) {
        for (let x = chunkX * width; x < (chunkX + 1) * width; x += 1) {
          const inside = z < array.shape[0] && y < array.shape[1] && x < array.shape[2];
          voxels[i++] = big(inside ? valueAt(c, z, y, x) : 65535);
        }
      }
    }
  }
  return new Uint8Array(voxels.buffer);
}

function expectedPlane(array, region, z) {
  const expected = [];
  for (let c = 0; c < array.channels; c += 1) {
    for (let y = region.y[0]; y < region.y[1]; y += 1) {
      for (let x = region.x[0]; x < region.x[1]; x += 1) expected.push(valueAt(c, z, y, x));
    }
  }
  return expected;
}

function response(frame) {
  return new Response(frame);
}

function problem(status, detail, headers = {}) {
  const type = { "Content-Type": "application/problem+json", ...headers };
  return new Response(JSON.stringify({ type: "about:blank", title: "A title", status, detail }), { status, headers: type });
}

for (const dtype of ["<u2", "<u4", "<u8", "<i4", "<f4", "<f8"]) {
  test(`planes of ${dtype} at every z, whole, inside, at the far edges and one voxel small`, () => {
    const array = arrayOf(zarray({ dtype }), `${ROOT}/0`);
    const regions = [
      { y: [0, 7], x: [0, 9] },
      { y: [1, 6], x: [3, 5] },
      { y: [4, 7], x: [8, 9] },
      { y: [3, 4], x: [0, 1] },
    ];
    for (const region of regions) {
      for (let z = 0; z < 5; z += 1) {
        const plane = planeOf(array, region, z, (y, x) => chunkBytes(array, Math.floor(z / 4), y, x));
        assert.deepEqual(Array.from(plane.data, Number), expectedPlane(array, region, z));
        assert.deepEqual([plane.height, plane.width], [region.y[1] - region.y[0], region.x[1] - region.x[0]]);
        assert.equal(plane.stored, chunksOf(array, region).length);
      }
    }
  });
}

test("channels come one plane after the other", () => {
  const array = arrayOf(zarray({ shape: [3, 5, 7, 9], chunks: [3, 4, 4, 4] }), `${ROOT}/0`);
  const region = { y: [2, 7], x: [1, 9] };
  const plane = planeOf(array, region, 4, (y, x) => chunkBytes(array, 1, y, x));
  assert.equal(plane.channels, 3);
  assert.deepEqual(Array.from(plane.data), expectedPlane(array, region, 4));
});

test("a chunk that was never stored is 0, the others stay", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { y: [0, 7], x: [0, 9] };
  const plane = planeOf(array, region, 1, (y, x) => (y === 0 && x === 1 ? null : chunkBytes(array, 0, y, x)));
  const expected = expectedPlane(array, region, 1).map((value, i) => (i < 36 && i % 9 >= 4 && i % 9 < 8 ? 0 : value));
  assert.deepEqual(Array.from(plane.data), expected);
  assert.equal(plane.stored, 5);
});

test("a chunk of another length than its shape is damage", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  for (const length of [0, 64, 127, 129, 256]) {
    assert.throws(() => planeOf(array, { y: [0, 1], x: [0, 1] }, 0, () => new Uint8Array(length)), DamagedChunk);
  }
});

test("a region asks for the chunks that it touches and no other", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  assert.deepEqual(chunksOf(array, { y: [3, 5], x: [4, 8] }), [[0, 1], [1, 1]]);
  assert.deepEqual(chunksOf(array, { y: [4, 7], x: [7, 9] }), [[1, 1], [1, 2]]);
});

test("arrays that this page would misread are refused", () => {
  const refused = [
    { zarr_format: 3 },
    { order: "F" },
    { dimension_separator: "." },
    { dimension_separator: undefined },
    { compressor: null },
    { compressor: { id: "zstd" } },
    { filters: [{ id: "delta" }] },
    { fill_value: 255 },
    { dtype: ">u2" },
    { dtype: "|b1" },
    { dtype: "toString" },
    { shape: [7, 9], chunks: [4, 4] },
    { shape: [3, 5, 7, 9], chunks: [1, 4, 4, 4] },
  ];
  for (const change of refused) assert.throws(() => arrayOf(zarray(change), `${ROOT}/0`), /cannot read/, JSON.stringify(change));
});

test("levels come from the consolidated metadata, in order", async () => {
  const metadata = { ".zgroup": {}, ".zattrs": {}, "1/.zarray": zarray({ shape: [5, 4, 5] }), "0/.zarray": zarray() };
  const { get } = server({ [`${ROOT}/.zmetadata`]: Response.json({ zarr_consolidated_format: 1, metadata }) });
  const levels = await openLevels(ROOT, get);
  assert.deepEqual(levels.map(({ address, shape }) => [address, shape]), [[`${ROOT}/0`, [5, 7, 9]], [`${ROOT}/1`, [5, 4, 5]]]);
});

test("metadata that is not there is a failure, not an empty layer", async () => {
  await assert.rejects(openLevels(ROOT, server({}).get), Problem);
  const { get } = server({ [`${ROOT}/.zmetadata`]: Response.json({ metadata: {} }) });
  await assert.rejects(openLevels(ROOT, get), /names no array/);
});

test("a reader asks once for each chunk of a slab, and again for the next", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { y: [0, 7], x: [0, 9] };
  const answers = {};
  for (const z of [0, 1]) {
    for (const [y, x] of chunksOf(array, region)) {
      answers[`${ROOT}/0/${z}/${y}/${x}`] = response(rawFrame(chunkBytes(array, z, y, x)));
    }
  }
  const { get, asked } = server(answers);
  const reader = new PlaneReader(array, region, get);
  for (const z of [0, 3, 1]) assert.deepEqual(Array.from((await reader.plane(z)).data), expectedPlane(array, region, z));
  assert.equal(asked.length, 6);
  assert.deepEqual(Array.from((await reader.plane(4)).data), expectedPlane(array, region, 4));
  assert.equal(asked.length, 12);
});

test("channels share a chunk, whose key has a leading 0", async () => {
  const array = arrayOf(zarray({ shape: [3, 4, 4, 4], chunks: [3, 4, 4, 4] }), `${ROOT}/0`);
  const { get, asked } = server({ [`${ROOT}/0/0/0/0/0`]: response(rawFrame(chunkBytes(array, 0, 0, 0))) });
  const region = { y: [0, 4], x: [0, 4] };
  const plane = await new PlaneReader(array, region, get).plane(2);
  assert.deepEqual(Array.from(plane.data), expectedPlane(array, region, 2));
  assert.deepEqual(asked, [`${ROOT}/0/0/0/0/0`]);
});

test("status 404 alone means that nothing was stored", async () => {
  assert.equal(await fetchChunk(`${ROOT}/0/0/0/0`, server({}).get), null);
  for (const status of [204, 206, 400, 403, 410, 416, 500, 502]) {
    const answer = () => (status === 204 ? new Response(null, { status }) : problem(status, "Because."));
    const failing = server({ [`${ROOT}/0/0/0/0`]: answer });
    const ofThisStatus = (error) => error instanceof Problem && error.status === status;
    await assert.rejects(fetchChunk(`${ROOT}/0/0/0/0`, failing.get), ofThisStatus);
  }
});

test("one failed chunk fails the plane, however many others came", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const { get } = server({ [`${ROOT}/0/0/1/1`]: () => problem(502, "A stored block is damaged.") });
  const reader = new PlaneReader(array, { y: [0, 7], x: [0, 9] }, get);
  await assert.rejects(reader.plane(0), /A stored block is damaged/);
});

test("a damaged frame fails the plane", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const { get } = server({ [`${ROOT}/0/0/0/0`]: response(rawFrame(chunkBytes(array, 0, 0, 0)).subarray(0, 100)) });
  await assert.rejects(new PlaneReader(array, { y: [0, 4], x: [0, 4] }, get).plane(0), DamagedChunk);
});

test("after a failure the same plane can be read again", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  let broken = true;
  const whole = () => response(rawFrame(chunkBytes(array, 0, 0, 0)));
  const { get } = server({ [`${ROOT}/0/0/0/0`]: () => (broken ? problem(500, "Oh.") : whole()) });
  const region = { y: [0, 4], x: [0, 4] };
  const reader = new PlaneReader(array, region, get);
  await assert.rejects(reader.plane(0), /Oh/);
  broken = false;
  assert.deepEqual(Array.from((await reader.plane(0)).data), expectedPlane(array, region, 0));
});

test("a busy server is asked again when it says, and not for ever", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const address = `${ROOT}/0/0/0/0`;
  let left = 2;
  const whole = () => response(rawFrame(chunkBytes(array, 0, 0, 0)));
  const recovering = server({ [address]: () => (left-- > 0 ? problem(503, "Busy.", { "Retry-After": "0" }) : whole()) });
  assert.equal((await fetchChunk(address, recovering.get)).length, 128);
  const busy = server({ [address]: () => problem(503, "Busy.", { "Retry-After": "0" }) });
  await assert.rejects(fetchChunk(address, busy.get), /Busy/);
  assert.equal(busy.asked.length, 3);
});
