/**
 * Planes of an OME-Zarr 0.4 (Zarr v2) layer, read chunk by chunk.
 *
 * Only what this server writes is understood: C order, separator `/`, little-endian numbers, Blosc frames (frame.js), axes
 * z, y, x with a leading c where a layer has several channels. Anything else is refused with a sentence, because a
 * misread array still makes a picture.
 */

import { ChunkStore } from "./chunks.js";
import { DamagedChunk } from "./frame.js";
import { problemOf, reach } from "./problem.js";

// Typed arrays take the machine's byte order, and every machine that runs a browser today is little-endian, as `<` is.
const VOXEL_TYPES = {
  "|u1": Uint8Array,
  "<u2": Uint16Array,
  "<u4": Uint32Array,
  "<u8": BigUint64Array,
  "|i1": Int8Array,
  "<i2": Int16Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "<f4": Float32Array,
  "<f8": Float64Array,
};

/** The arrays of a layer, finest first, from its consolidated metadata. */
export async function openLevels(address, get = reach) {
  const response = await get(`${address}/.zmetadata`);
  if (response.status !== 200) throw await problemOf(response);
  const { metadata } = await response.json();
  const levels = [];
  while (metadata[`${levels.length}/.zarray`]) {
    levels.push(arrayOf(metadata[`${levels.length}/.zarray`], `${address}/${levels.length}`));
  }
  if (levels.length === 0) throw new Error("The layer's metadata names no array.");
  return levels;
}

/** A `.zarray` as `{address, VoxelType, channels, shape, chunk}`, shape and chunk in z, y, x. */
export function arrayOf(zarray, address) {
  const { zarr_format, shape, chunks, dtype, order, dimension_separator, compressor, filters, fill_value } = zarray;
  const understood =
    zarr_format === 2 &&
    order === "C" &&
    dimension_separator === "/" &&
    compressor?.id === "blosc" &&
    !filters?.length &&
    !fill_value &&
    Object.hasOwn(VOXEL_TYPES, dtype) &&
    (shape.length === 3 || (shape.length === 4 && chunks[0] === shape[0])) &&
    chunks.length === shape.length;
  if (!understood) throw new Error(`This page cannot read the array ${address.split("/").at(-1)} of type ${dtype}.`);
  return {
    address,
    VoxelType: VOXEL_TYPES[dtype],
    channels: shape.length === 4 ? shape[0] : 1,
    hasChannelAxis: shape.length === 4,
    shape: shape.slice(-3),
    chunk: chunks.slice(-3),
  };
}

/**
 * The three orientations: across which axis a plane lies (`normal`), and which axes run down and along its picture.
 * Of yz, z runs along: beside xy the two share their y, as xz below it shares its x.
 */
export const PLANES = {
  xy: { normal: "z", down: "y", along: "x" },
  xz: { normal: "y", down: "z", along: "x" },
  yz: { normal: "x", down: "y", along: "z" },
};

const AXES = ["z", "y", "x"];

/** The chunks `[z, y, x]` that the plane at `at` touches in a region `{z: [from, to], y, x}`; the region's own normal is not asked. */
export function chunksOf(array, region, { normal }, at) {
  const [zs, ys, xs] = AXES.map((axis, i) => {
    const [from, to] = axis === normal ? [at, at + 1] : region[axis];
    const first = Math.floor(from / array.chunk[i]);
    return Array.from({ length: Math.max(Math.ceil(to / array.chunk[i]) - first, 0) }, (_, step) => first + step);
  });
  return zs.flatMap((z) => ys.flatMap((y) => xs.map((x) => [z, y, x])));
}

/**
 * One plane of a region as `{data, channels, height, width, stored}`, data in C order: channel, down, along.
 *
 * `chunks`: Map from `z/y/x` to a chunk's raw bytes, or null for one that was never stored: that, and only that, becomes 0.
 * `stored` counts the chunks that exist. Throws DamagedChunk where a chunk has another length than its shape asks for.
 */
export function planeOf(array, region, plane, at, chunks) {
  const [normal, down, along] = [plane.normal, plane.down, plane.along].map((axis) => AXES.indexOf(axis));
  const width = region[plane.along][1] - region[plane.along][0];
  const height = region[plane.down][1] - region[plane.down][0];
  const data = new array.VoxelType(array.channels * height * width);
  const [depth, rows, columns] = array.chunk;
  const steps = [rows * columns, columns, 1]; // from voxel to voxel along z, y, x
  let stored = 0;
  for (const place of chunksOf(array, region, plane, at)) {
    const bytes = chunks.get(place.join("/"));
    if (bytes === undefined) throw new Error("A chunk of the plane was not asked for.");
    if (bytes === null) continue;
    stored += 1;
    const voxels = voxelsOf(array, bytes);
    const part = (axis) => {
      const start = place[axis] * array.chunk[axis];
      const [from, to] = region[AXES[axis]];
      return { start, from: Math.max(start, from), to: Math.min(start + array.chunk[axis], to) };
    };
    const v = part(down);
    const u = part(along);
    for (let c = 0; c < array.channels; c += 1) {
      for (let row = v.from; row < v.to; row += 1) {
        let source = c * depth * rows * columns + (at - place[normal] * array.chunk[normal]) * steps[normal];
        source += (row - v.start) * steps[down] + (u.from - u.start) * steps[along];
        let target = (c * height + (row - region[plane.down][0])) * width + (u.from - region[plane.along][0]);
        if (steps[along] === 1) {
          data.set(voxels.subarray(source, source + u.to - u.from), target);
        } else {
          for (let column = u.from; column < u.to; column += 1, source += steps[along]) data[target++] = voxels[source];
        }
      }
    }
  }
  return { data, channels: array.channels, height, width, stored };
}

function voxelsOf(array, bytes) {
  const [depth, height, width] = array.chunk;
  const count = array.channels * depth * height * width; // edge chunks are stored whole
  const expected = count * array.VoxelType.BYTES_PER_ELEMENT;
  if (bytes.length !== expected) throw new DamagedChunk(`a chunk has ${bytes.length} bytes instead of ${expected}`);
  return new array.VoxelType(bytes.buffer, bytes.byteOffset, count);
}

/** The plane at `at` of a region, whole or not at all: throws the first failure of any of its chunks. */
export async function readPlane(array, region, plane, at, store, signal) {
  return planeOf(array, region, plane, at, await store.load(array, chunksOf(array, region, plane, at), signal));
}

/** Reads xy planes of one region. Keeps chunks, so moving within a slab (one chunk deep) asks for nothing. */
export class PlaneReader {
  #array;
  #region;
  #store;

  constructor(array, region, get = reach) {
    this.#array = array;
    this.#region = region;
    this.#store = new ChunkStore(get);
  }

  /** As `readPlane`. */
  async plane(z) {
    return readPlane(this.#array, this.#region, PLANES.xy, z, this.#store);
  }
}
