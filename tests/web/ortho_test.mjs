/** Where the three pictures look, which level they read, and what becomes of a box under the mouse. */

import assert from "node:assert/strict";
import test from "node:test";

import { boxWithin, checkedBox, drawnBox, gripAt, movedBox, resizedBox } from "../../web/box_edit.js";
import { drawnLengths, extentOf, indexAt, levelFor, mostZoom, regionIn, windowAround } from "../../web/ortho_geometry.js";
import { PLANES } from "../../web/zarr.js";
import { layer } from "./builders/wire.mjs";

const VOXEL_SIZE = { factor: [8, 8, 25], unit: "nanometer" };
const BOUNDS = [1030, 2054, 262, 500, 500, 244];

/** The levels of `layer()` as `openLevels` gives them. */
function arrays(of = layer(), chunk = [32, 32, 32]) {
  return of.shapes.map((shape) => ({ shape, chunk, channels: 1, VoxelType: Uint8Array }));
}

test("the first window is the box, and each zoom halves its longest physical side", () => {
  const middle = [1280, 2304, 384];
  assert.deepEqual(windowAround(BOUNDS, VOXEL_SIZE, middle, 0), BOUNDS);
  const [x, y, z, width, height, depth] = windowAround(BOUNDS, VOXEL_SIZE, middle, 2);
  assert.deepEqual([width, height, depth], [191, 191, 61]); // a quarter of 244 * 25 nm
  assert.ok(x <= 1280 && 1280 < x + width && y <= 2304 && 2304 < y + height && z <= 384 && 384 < z + depth);
});

test("a window never leaves the box, wherever its middle is asked for", () => {
  for (const position of [[1030, 2054, 262], [1529, 2553, 505], [0, 0, 0], [9999, 9999, 9999]]) {
    for (let zoom = 0; zoom <= mostZoom(BOUNDS, VOXEL_SIZE); zoom += 1) {
      const window = windowAround(BOUNDS, VOXEL_SIZE, position, zoom);
      for (let i = 0; i < 3; i += 1) {
        assert.ok(window[i + 3] >= 1 && window[i] >= BOUNDS[i] && window[i] + window[i + 3] <= BOUNDS[i] + BOUNDS[i + 3]);
      }
    }
  }
});

test("a region holds every voxel that the window touches, and none outside of the layer's box", () => {
  assert.deepEqual(regionIn(layer(), 0, BOUNDS), { z: [6, 250], y: [6, 506], x: [6, 506] });
  const window = [1041, 2065, 270, 3, 3, 3];
  assert.deepEqual(regionIn(layer(), 2, window), { z: [7, 9], y: [4, 5], x: [4, 5] });
  assert.deepEqual(extentOf(layer(), 2, regionIn(layer(), 2, window)), [1040, 2064, 270, 4, 4, 4]);
  assert.equal(regionIn(layer(), 0, [0, 0, 0, 1030, 2054, 262]), null);
});

test("an index lies in the layer's box or is none", () => {
  assert.equal(indexAt(layer(), 0, PLANES.xy, [1100, 2100, 262]), 6);
  assert.equal(indexAt(layer(), 2, PLANES.xz, [1100, 2063, 300]), 3);
  assert.equal(indexAt(layer(), 0, PLANES.xy, [1100, 2100, 261]), null);
  assert.equal(indexAt(layer(), 0, PLANES.xy, [1100, 2100, 506]), null);
});

test("the finest level that is cheap is shown, finer ones in smaller windows", () => {
  assert.equal(levelFor(layer(), arrays(), BOUNDS, PLANES.xy).level, 0); // 16 x 16 chunks
  assert.equal(levelFor(layer(), arrays(layer(), [16, 16, 16]), BOUNDS, PLANES.xy).level, 1); // 32 x 32 would be too many
  assert.equal(levelFor(layer(), arrays(layer(), [16, 16, 16]), windowAround(BOUNDS, VOXEL_SIZE, [1280, 2304, 384], 2), PLANES.xy).level, 0);
});

test("without a level that is coarse enough there is no picture, and outside of the layer nothing to read", () => {
  const huge = { ...layer({ mags: ["1"], shapes: [[9000, 9000, 9000]], origin: [0, 0, 0], box: [0, 0, 0, 9000, 9000, 9000] }) };
  assert.equal(levelFor(huge, arrays(huge), huge.box, PLANES.xy), null);
  assert.deepEqual(levelFor(layer(), arrays(), [0, 0, 0, 9, 9, 9], PLANES.xy), { level: 0, region: null });
});

test("axes are drawn as long as they are, but for ribbons", () => {
  assert.deepEqual(drawnLengths([0, 0, 0, 100, 50, 20], VOXEL_SIZE), { x: 800, y: 400, z: 500, stretched: false });
  assert.deepEqual(drawnLengths([0, 0, 0, 1000, 1000, 4], VOXEL_SIZE), { x: 8000, y: 8000, z: 1000, stretched: true });
});

test("boxes are whole voxels within their bounds", () => {
  assert.deepEqual(boxWithin([1031.4, 2054, 262.6, 10.2, 20, 1e9], BOUNDS), [1031, 2054, 263, 11, 20, 243]);
  assert.deepEqual(boxWithin([0, 0, 0, 1, 1, 1], BOUNDS), [1030, 2054, 262, 1, 1, 1]);
  assert.deepEqual(boxWithin([9e9, 9e9, 9e9, 5, 5, 5], BOUNDS), [1529, 2553, 505, 1, 1, 1]);
});

test("numbers that make no box are named", () => {
  assert.deepEqual(checkedBox([1030, 2054, 262, 1, 2, 3], BOUNDS), [1030, 2054, 262, 1, 2, 3]);
  assert.match(checkedBox([1030, 2054, 262, 0, 2, 3], BOUNDS), /width is at least 1/);
  assert.match(checkedBox([1030.5, 2054, 262, 1, 2, 3], BOUNDS), /The x is not a whole number/);
  assert.match(checkedBox([1030, 2054, 262, 1, 2, 999], BOUNDS), /Along z the box reaches from 262 to 1261, the data from 262 to 506/);
});

test("a box is drawn either way round, as deep as it was or as the window", () => {
  const like = [1030, 2054, 300, 500, 500, 10];
  for (const [from, to] of [[[1100, 2100, 0], [1150, 2180, 0]], [[1150, 2180, 0], [1100, 2100, 0]]]) {
    assert.deepEqual(drawnBox(PLANES.xy, from, to, like, BOUNDS), [1100, 2100, 300, 50, 80, 10]);
  }
  assert.deepEqual(drawnBox(PLANES.yz, [0, 2100, 270], [0, 2110, 280], like, BOUNDS), [1030, 2100, 270, 500, 10, 10]);
});

test("a box moves and is resized as far as the bounds let it", () => {
  const box = [1100, 2100, 300, 50, 80, 10];
  assert.deepEqual(movedBox(box, [5.4, -7, 0], BOUNDS), [1105, 2093, 300, 50, 80, 10]);
  assert.deepEqual(movedBox(box, [-9999, 9999, 0], BOUNDS), [1030, 2474, 300, 50, 80, 10]);
  assert.deepEqual(resizedBox(box, { x: -1, y: 1 }, [1090, 2200, 0], BOUNDS), [1090, 2100, 300, 60, 100, 10]);
  assert.deepEqual(resizedBox(box, { x: -1 }, [9999, 0, 0], BOUNDS), [1149, 2100, 300, 1, 80, 10]);
  assert.deepEqual(resizedBox(box, { x: 1 }, [0, 0, 0], BOUNDS), [1100, 2100, 300, 1, 80, 10]);
});

test("the mouse takes hold of sides, corners and the inside, on each plane by its own axes", () => {
  const box = [1100, 2100, 300, 50, 80, 10];
  const reach = { x: 3, y: 3, z: 1 };
  const at = (plane, ...position) => gripAt(plane, box, position, reach);
  assert.deepEqual(at(PLANES.xy, 1101, 2140, 0), { sides: { x: -1 } });
  assert.deepEqual(at(PLANES.xy, 1152, 2098, 0), { sides: { x: 1, y: -1 } });
  assert.deepEqual(at(PLANES.xy, 1125, 2140, 0), {});
  assert.equal(at(PLANES.xy, 1160, 2140, 0), null);
  assert.deepEqual(at(PLANES.xz, 1125, 0, 309.5), { sides: { z: 1 } });
  assert.deepEqual(at(PLANES.yz, 0, 2100, 300), { sides: { z: -1, y: -1 } });
});
