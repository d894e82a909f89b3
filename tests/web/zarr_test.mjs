/** Planes from chunks: every voxel in its place, absent chunks as 0, and failures never as 0. */

import assert from "node:assert/strict";
import test from "node:test";

import { ChunkStore } from "../../web/chunks.js";
import { DamagedChunk } from "../../web/frame.js";
import { Problem } from "../../web/problem.js";
import { PLANES, PlaneReader, arrayOf, chunksOf, openLevels, planeOf, readPlane } from "../../web/zarr.js";
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

/** What a plane must hold: by its own axes, whatever the code does. */
function expectedPlane(array, region, { normal, down, along }, at) {
  const expected = [];
  for (let c = 0; c < array.channels; c += 1) {
    for (let v = region[down][0]; v < region[down][1]; v += 1) {
      for (let u = region[along][0]; u < region[along][1]; u += 1) {
        const place = { [normal]: at, [down]: v, [along]: u };
        expected.push(valueAt(c, place.z, place.y, place.x));
      }
    }
  }
  return expected;
}

/** All chunks of a plane, from their places to their bytes. */
function chunksAround(array, region, plane, at) {
  const places = chunksOf(array, region, plane, at);
  return new Map(places.map((place) => [place.join("/"), chunkBytes(array, ...place)]));
}

for (const dtype of ["<u2", "<u4", "<u8", "<i4", "<f4", "<f8"]) {
  test(`planes of ${dtype} across every axis at every place, whole, inside, at the far edges and one voxel small`, () => {
    const array = arrayOf(zarray({ dtype }), `${ROOT}/0`);
    const regions = [
      { z: [0, 5], y: [0, 7], x: [0, 9] },
      { z: [1, 5], y: [1, 6], x: [3, 5] },
      { z: [4, 5], y: [4, 7], x: [8, 9] },
      { z: [3, 4], y: [3, 4], x: [0, 1] },
    ];
    for (const region of regions) {
      for (const plane of Object.values(PLANES)) {
        for (let at = region[plane.normal][0]; at < region[plane.normal][1]; at += 1) {
          const found = planeOf(array, region, plane, at, chunksAround(array, region, plane, at));
          assert.deepEqual(Array.from(found.data, Number), expectedPlane(array, region, plane, at));
          const sides = [plane.down, plane.along].map((axis) => region[axis][1] - region[axis][0]);
          assert.deepEqual([found.height, found.width], sides);
          assert.equal(found.stored, chunksOf(array, region, plane, at).length);
        }
      }
    }
  });
}

test("channels come one plane after the other, across every axis", () => {
  const array = arrayOf(zarray({ shape: [3, 5, 7, 9], chunks: [3, 4, 4, 4] }), `${ROOT}/0`);
  const region = { z: [1, 5], y: [2, 7], x: [1, 9] };
  for (const plane of Object.values(PLANES)) {
    const found = planeOf(array, region, plane, 4, chunksAround(array, region, plane, 4));
    assert.equal(found.channels, 3);
    assert.deepEqual(Array.from(found.data), expectedPlane(array, region, plane, 4));
  }
});

test("a chunk that was never stored is 0, the others stay", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { y: [0, 7], x: [0, 9] };
  const chunks = chunksAround(array, region, PLANES.xy, 1).set("0/0/1", null);
  const plane = planeOf(array, region, PLANES.xy, 1, chunks);
  const whole = expectedPlane(array, region, PLANES.xy, 1);
  const expected = whole.map((value, i) => (i < 36 && i % 9 >= 4 && i % 9 < 8 ? 0 : value));
  assert.deepEqual(Array.from(plane.data), expected);
  assert.equal(plane.stored, 5);
});

test("a chunk that nobody asked for is a failure, not 0", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  assert.throws(() => planeOf(array, { y: [0, 7], x: [0, 9] }, PLANES.xy, 1, new Map()), /not asked for/);
});

test("a chunk of another length than its shape is damage", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  for (const length of [0, 64, 127, 129, 256]) {
    const chunks = new Map([["0/0/0", new Uint8Array(length)]]);
    assert.throws(() => planeOf(array, { y: [0, 1], x: [0, 1] }, PLANES.xy, 0, chunks), DamagedChunk);
  }
});

test("a region asks for the chunks that it touches and no other", () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { z: [3, 5], y: [3, 5], x: [4, 8] };
  assert.deepEqual(chunksOf(array, region, PLANES.xy, 4), [[1, 0, 1], [1, 1, 1]]);
  assert.deepEqual(chunksOf(array, region, PLANES.xz, 3), [[0, 0, 1], [1, 0, 1]]);
  assert.deepEqual(chunksOf(array, region, PLANES.yz, 8), [[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]]);
  assert.deepEqual(chunksOf(array, { y: [4, 7], x: [7, 9] }, PLANES.xy, 0), [[0, 1, 1], [0, 1, 2]]);
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

/** A server with every chunk of an array. */
function whole(array) {
  const answers = {};
  const count = array.shape.map((length, axis) => Math.ceil(length / array.chunk[axis]));
  for (let z = 0; z < count[0]; z += 1) {
    for (let y = 0; y < count[1]; y += 1) {
      for (let x = 0; x < count[2]; x += 1) answers[`${ROOT}/0/${z}/${y}/${x}`] = new Response(rawFrame(chunkBytes(array, z, y, x)));
    }
  }
  return server(answers);
}

test("a reader asks once for each chunk of a slab, and again for the next", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { y: [0, 7], x: [0, 9] };
  const { get, asked } = whole(array);
  const reader = new PlaneReader(array, region, get);
  for (const z of [0, 3, 1]) {
    assert.deepEqual(Array.from((await reader.plane(z)).data), expectedPlane(array, region, PLANES.xy, z));
  }
  assert.equal(asked.length, 6);
  assert.deepEqual(Array.from((await reader.plane(4)).data), expectedPlane(array, region, PLANES.xy, 4));
  assert.equal(asked.length, 12);
});

test("planes across three axes share the chunks where they meet", async () => {
  const array = arrayOf(zarray(), `${ROOT}/0`);
  const region = { z: [0, 5], y: [0, 7], x: [0, 9] };
  const { get, asked } = whole(array);
  const store = new ChunkStore(get);
  const read = (plane, at) => readPlane(array, region, plane, at, store);
  const planes = await Promise.all([read(PLANES.xy, 1), read(PLANES.xz, 1), read(PLANES.yz, 1)]);
  Object.values(PLANES).forEach((plane, i) => {
    assert.deepEqual(Array.from(planes[i].data), expectedPlane(array, region, plane, 1));
  });
  assert.equal(asked.length, 6 + 6 + 4 - 6); // of 2 x 2 x 3 chunks, the line and the two rows that planes have in common
  assert.equal(new Set(asked).size, asked.length);
});

test("channels share a chunk, whose key has a leading 0", async () => {
  const array = arrayOf(zarray({ shape: [3, 4, 4, 4], chunks: [3, 4, 4, 4] }), `${ROOT}/0`);
  const { get, asked } = server({ [`${ROOT}/0/0/0/0/0`]: new Response(rawFrame(chunkBytes(array, 0, 0, 0))) });
  const region = { y: [0, 4], x: [0, 4] };
  const plane = await new PlaneReader(array, region, get).plane(2);
  assert.deepEqual(Array.from(plane.data), expectedPlane(array, region, PLANES.xy, 2));
  assert.deepEqual(asked, [`${ROOT}/0/0/0/0/0`]);
});
