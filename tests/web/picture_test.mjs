/** Which level and part of a layer is shown, and the colour of its voxels. */

import assert from "node:assert/strict";
import test from "node:test";

import { aspectOf, greyPixels, labelColour, labelPixels, magOf, regionOf, viewOf, windowOf } from "../../web/picture.js";
import { layer } from "./builders/wire.mjs";

const VOXEL_SIZE = { factor: [8, 8, 25], unit: "nanometer" };

function plane(data, width, channels = 1) {
  return { data, width, height: data.length / channels / width, channels, stored: 1 };
}

test("mags are read from both of their forms", () => {
  assert.deepEqual(magOf("1"), [1, 1, 1]);
  assert.deepEqual(magOf("16"), [16, 16, 16]);
  assert.deepEqual(magOf("4-4-2"), [4, 4, 2]);
});

test("the region is the box, without the array's margin, and no larger than the array", () => {
  assert.deepEqual(regionOf(layer(), 0), { z: [6, 250], y: [6, 506], x: [6, 506] });
  assert.deepEqual(regionOf(layer(), 1), { z: [6, 250], y: [3, 253], x: [3, 253] });
  assert.deepEqual(regionOf(layer(), 2), { z: [3, 125], y: [1, 127], x: [1, 127] });
  const beyond = layer({ box: [0, 0, 0, 9000, 9000, 9000] });
  assert.deepEqual(regionOf(beyond, 1), { z: [0, 256], y: [0, 256], x: [0, 256] });
});

test("the level nearest to 256 to 384 pixels is shown", () => {
  assert.equal(viewOf(layer()).level, 1);
  const sizes = (...sides) =>
    layer({
      mags: sides.map((_, level) => String(2 ** level)),
      shapes: sides.map((side) => [8, side, side]),
      origin: [0, 0, 0],
      box: [0, 0, 0, sides[0], sides[0], 8],
    });
  assert.equal(viewOf(sizes(600, 300, 150)).level, 1);
  assert.equal(viewOf(sizes(400, 200, 100)).level, 0);
  assert.equal(viewOf(sizes(450, 225)).level, 1);
  assert.equal(viewOf(sizes(64, 32)).level, 0);
  assert.equal(viewOf(sizes(32768, 16384, 8192)).level, 2);
});

test("of a coarsest level that is still huge, only the centre is shown, whole along z", () => {
  const box = [0, 0, 0, 300, 100_000, 9000];
  const huge = layer({ mags: ["1"], shapes: [[9000, 100_000, 300]], origin: [0, 0, 0], box });
  assert.deepEqual(viewOf(huge), { level: 0, region: { z: [0, 9000], y: [49_744, 50_256], x: [0, 300] }, cut: true });
  assert.equal(viewOf(layer()).cut, false);
});

test("the aspect is that of the sample, not of the voxels", () => {
  const view = viewOf(layer());
  assert.equal(aspectOf(layer(), view, VOXEL_SIZE), 1);
  assert.equal(aspectOf(layer(), view, { factor: [16, 8, 25], unit: "nanometer" }), 2);
  assert.equal(aspectOf(layer({ mags: ["1", "4-2-1", "8-4-2"] }), { ...view, region: { x: [0, 10], y: [0, 10] } }, VOXEL_SIZE), 2);
});

test("grey is scaled by the window and clamped", () => {
  const pixels = greyPixels(plane(Uint16Array.of(0, 1000, 1500, 2000, 65535), 5), [1000, 2000]);
  assert.deepEqual(Array.from(pixels).filter((_, i) => i % 4 === 0), [0, 0, 128, 255, 255]);
  assert.deepEqual(Array.from(pixels.subarray(8, 12)), [128, 128, 128, 255]);
});

test("signed, floating and 64-bit values are grey too; not a number is transparent", () => {
  assert.equal(greyPixels(plane(Int8Array.of(-128, 127), 2), [-128, 127])[4], 255);
  assert.equal(greyPixels(plane(BigUint64Array.of(0n, 40n), 2), [0, 100])[4], 102);
  assert.deepEqual(Array.from(greyPixels(plane(Float32Array.of(NaN, 0.5), 2), [0, 1])), [0, 0, 0, 0, 128, 128, 128, 255]);
});

test("a window of one value does not divide by nothing", () => {
  assert.deepEqual(Array.from(greyPixels(plane(Uint8Array.of(7, 8), 2), [7, 7])).filter((_, i) => i % 4 === 0), [0, 255]);
});

test("three channels are red, green and blue; of two, the first is grey", () => {
  const rgb = greyPixels(plane(Uint8Array.of(1, 2, 11, 12, 21, 22), 2, 3), [0, 255]);
  assert.deepEqual(Array.from(rgb), [1, 11, 21, 255, 2, 12, 22, 255]);
  const two = greyPixels(plane(Uint8Array.of(1, 2, 11, 12), 2, 2), [0, 255]);
  assert.deepEqual(Array.from(two), [1, 1, 1, 255, 2, 2, 2, 255]);
});

test("the window is the layer's, else uint8's, else what the plane holds", () => {
  const none = layer({ window: null });
  assert.deepEqual(windowOf(layer({ window: [5, 9] }), plane(Uint8Array.of(0), 1)), [5, 9]);
  assert.deepEqual(windowOf(none, plane(Uint8Array.of(3, 4), 2)), [0, 255]);
  assert.deepEqual(windowOf(none, plane(Float32Array.of(-2, NaN, 4), 3)), [-2, 4]);
  assert.deepEqual(windowOf(none, plane(BigUint64Array.of(3n, 9n), 2)), [3, 9]);
  assert.deepEqual(windowOf(none, plane(Float32Array.of(NaN), 1)), [0, 1]);
});

test("label 0 is transparent, and a label has one colour in every width of integer", () => {
  const narrow = [Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array].map((Type) => Type.of(0, 7));
  const wide = [BigUint64Array, BigInt64Array].map((Type) => Type.of(0n, 7n));
  for (const data of [...narrow, ...wide]) {
    assert.deepEqual(Array.from(labelPixels(plane(data, 2))), [0, 0, 0, 0, ...labelColour(7), 255]);
  }
});

test("painted labels have the colour that labelColour says, above 32 bits and below 0 too", () => {
  const wide = BigUint64Array.of(1n, 1n << 32n, (1n << 32n) + 1n, 0xffffffffffffffffn, 1n);
  const painted = Array.from(labelPixels(plane(wide, 5)));
  assert.deepEqual(painted, Array.from(wide).flatMap((id) => [...labelColour(id), 255]));
  assert.deepEqual(Array.from(labelPixels(plane(Int16Array.of(-1), 1))), [...labelColour(-1), 255]);
});

test("both halves of a label move its colour, and neighbours differ", () => {
  assert.notDeepEqual(labelColour(1n), labelColour(1n << 32n));
  assert.notDeepEqual(labelColour(5n), labelColour((1n << 40n) + 5n));
  const seen = new Set();
  for (let id = 1; id <= 1000; id += 1) seen.add(labelColour(id).join());
  assert.ok(seen.size > 990, `${seen.size} colours for 1000 labels`);
});

test("no label is nearly black: it would look like no label", () => {
  for (let id = 1; id <= 5000; id += 1) assert.ok(Math.max(...labelColour(id)) > 120, `label ${id}`);
});
