/**
 * Where the three pictures of a volume look: windows, levels, places. Boxes and windows are `[x, y, z, width, height, depth]`,
 * positions `[x, y, z]`, all in mag-1 voxels; regions are `{z: [from, to], y, x}` in the voxels of one level, half-open.
 */

import { magOf } from "./picture.js";
import { chunksOf } from "./zarr.js";

/** The place of an axis in boxes and positions. */
export const AT = { x: 0, y: 1, z: 2 };

// One picture costs at most this much, whatever lies in the window: a coarser level is shown, or none.
const MOST_SIDE = 768;
const MOST_CHUNKS = 256;
const MOST_BYTES = 32 * 2 ** 20;
// Windows are not made smaller than this many voxels of mag 1.
const LEAST_SIDE = 16;
// A ribbon thinner than this part of the longest side can be neither seen nor clicked, and is shown wider than it is.
const THINNEST = 1 / 8;

/** How many times the window can be halved, from one as long as the box's longest side. */
export function mostZoom(box, voxelSize) {
  const longest = spanOf(box, voxelSize) / Math.min(...voxelSize.factor);
  return Math.max(0, Math.floor(Math.log2(longest / LEAST_SIDE)));
}

/** The window of a zoom around a position: inside the box, and of the same physical length along each axis that has as much. */
export function windowAround(box, voxelSize, position, zoom) {
  const span = spanOf(box, voxelSize) / 2 ** zoom;
  const sides = voxelSize.factor.map((length, i) => Math.min(box[i + 3], Math.max(1, Math.ceil(span / length))));
  const corner = sides.map((side, i) => {
    const start = Math.round(position[i] + 0.5 - side / 2);
    return Math.min(Math.max(start, box[i]), box[i] + box[i + 3] - side);
  });
  return [...corner, ...sides];
}

function spanOf(box, { factor }) {
  return Math.max(...factor.map((length, i) => length * box[i + 3]));
}

/** Whether a position lies in a box. */
export function holds(box, position) {
  return position.every((place, i) => place >= box[i] && place < box[i] + box[i + 3]);
}

/** The part of a layer's level that a window shows, whole voxels, or null where there is none. */
export function regionIn(layer, level, window) {
  const mag = magOf(layer.mags[level]);
  const region = {};
  for (const [axis, i] of Object.entries(AT)) {
    const start = Math.max(window[i], layer.box[i]);
    const end = Math.min(window[i] + window[i + 3], layer.box[i] + layer.box[i + 3]);
    const from = Math.max(0, Math.floor((start - layer.origin[i]) / mag[i]));
    const to = Math.min(layer.shapes[level].at(-1 - i), Math.ceil((end - layer.origin[i]) / mag[i]));
    if (start >= end || from >= to) return null;
    region[axis] = [from, to];
  }
  return region;
}

/** The place in mag-1 voxels of a region: it may reach beyond the window and the box, since its voxels are whole. */
export function extentOf(layer, level, region) {
  const mag = magOf(layer.mags[level]);
  const extent = [];
  for (const [axis, i] of Object.entries(AT)) {
    extent[i] = layer.origin[i] + region[axis][0] * mag[i];
    extent[i + 3] = (region[axis][1] - region[axis][0]) * mag[i];
  }
  return extent;
}

/** The index along the plane's normal at which a position lies in a level, or null outside of the layer's box. */
export function indexAt(layer, level, { normal }, position) {
  const i = AT[normal];
  if (position[i] < layer.box[i] || position[i] >= layer.box[i] + layer.box[i + 3]) return null;
  return Math.floor((position[i] - layer.origin[i]) / magOf(layer.mags[level])[i]);
}

/**
 * The finest level of which a window's plane is cheap, as `{level, region}`; `region` is null where the layer has nothing in the
 * window. null: no level is coarse enough. `arrays`: the layer's levels as `openLevels` gives them.
 */
export function levelFor(layer, arrays, window, plane) {
  for (let level = 0; level < arrays.length; level += 1) {
    const region = regionIn(layer, level, window);
    if (region === null || isCheap(arrays[level], region, plane)) return { level, region };
  }
  return null;
}

function isCheap(array, region, plane) {
  const sides = [plane.along, plane.down].map((axis) => region[axis][1] - region[axis][0]);
  if (Math.max(...sides) > MOST_SIDE) return false;
  const chunks = chunksOf(array, region, plane, region[plane.normal][0]).length;
  const chunkBytes = array.chunk.reduce((a, b) => a * b) * array.channels * array.VoxelType.BYTES_PER_ELEMENT;
  return chunks <= MOST_CHUNKS && chunks * chunkBytes <= MOST_BYTES;
}

/** How long each axis of a window is drawn, in any unit: as in the sample, but for ribbons; `{x, y, z, stretched}`. */
export function drawnLengths(window, { factor }) {
  const lengths = factor.map((length, i) => length * window[i + 3]);
  const least = Math.max(...lengths) * THINNEST;
  const [x, y, z] = lengths.map((length) => Math.max(length, least));
  return { x, y, z, stretched: lengths.some((length) => length < least) };
}
