/**
 * Planes of an OME-Zarr 0.4 (Zarr v2) layer, read chunk by chunk.
 *
 * Only what this server writes is understood: C order, separator `/`, little-endian numbers, Blosc frames (frame.js), axes
 * z, y, x with a leading c where a layer has several channels. Anything else is refused with a sentence, because a
 * misread array still makes a picture.
 */

import { DamagedChunk, decodeFrame } from "./frame.js";
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

const REQUESTS_AT_ONCE = 12;
const TRIES = 3;
const LONGEST_PAUSE_S = 5;

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

/** The chunks `[y, x]` that a region `{y: [from, to], x: [from, to]}` of one plane touches. */
export function chunksOf(array, region) {
  const [, chunkHeight, chunkWidth] = array.chunk;
  const found = [];
  for (let y = Math.floor(region.y[0] / chunkHeight); y * chunkHeight < region.y[1]; y += 1) {
    for (let x = Math.floor(region.x[0] / chunkWidth); x * chunkWidth < region.x[1]; x += 1) found.push([y, x]);
  }
  return found;
}

/**
 * One plane of a region as `{data, channels, height, width, stored}`, data in C order (c, y, x).
 *
 * `chunkAt(y, x)` gives a chunk's raw bytes, or null for one that was never stored: that, and only that, becomes 0.
 * `stored` counts the chunks that exist. Throws DamagedChunk where a chunk has another length than its shape asks for.
 */
export function planeOf(array, region, z, chunkAt) {
  const [depth, chunkHeight, chunkWidth] = array.chunk;
  const width = region.x[1] - region.x[0];
  const height = region.y[1] - region.y[0];
  const data = new array.VoxelType(array.channels * height * width);
  let stored = 0;
  for (const [chunkY, chunkX] of chunksOf(array, region)) {
    const bytes = chunkAt(chunkY, chunkX);
    if (bytes === null) continue;
    stored += 1;
    const voxels = voxelsOf(array, bytes);
    const top = chunkY * chunkHeight;
    const left = chunkX * chunkWidth;
    const fromX = Math.max(left, region.x[0]);
    const toX = Math.min(left + chunkWidth, region.x[1]);
    const fromY = Math.max(top, region.y[0]);
    const toY = Math.min(top + chunkHeight, region.y[1]);
    for (let c = 0; c < array.channels; c += 1) {
      for (let y = fromY; y < toY; y += 1) {
        const start = ((c * depth + (z % depth)) * chunkHeight + (y - top)) * chunkWidth;
        const row = voxels.subarray(start + fromX - left, start + toX - left);
        data.set(row, (c * height + (y - region.y[0])) * width + (fromX - region.x[0]));
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

/** Reads planes of one region. Keeps the chunks of one slab (one chunk deep), so moving within it asks for nothing. */
export class PlaneReader {
  #array;
  #region;
  #get;
  #slab = { z: null, chunks: new Map() };

  constructor(array, region, get = reach) {
    this.#array = array;
    this.#region = region;
    this.#get = get;
  }

  /** The plane at `z`, whole or not at all: throws the first failure of any of its chunks. */
  async plane(z) {
    const chunkZ = Math.floor(z / this.#array.chunk[0]);
    if (chunkZ !== this.#slab.z) this.#slab = { z: chunkZ, chunks: new Map() };
    const { chunks } = this.#slab;
    await this.#fetchMissing(chunkZ, chunks);
    return planeOf(this.#array, this.#region, z, (y, x) => chunks.get(`${y}/${x}`));
  }

  async #fetchMissing(z, chunks) {
    const wanted = chunksOf(this.#array, this.#region).filter(([y, x]) => !chunks.has(`${y}/${x}`));
    const stop = new AbortController();
    const worker = async () => {
      for (let next = wanted.pop(); next; next = wanted.pop()) {
        const [y, x] = next;
        chunks.set(`${y}/${x}`, await fetchChunk(chunkAddress(this.#array, z, y, x), this.#get, stop.signal));
      }
    };
    try {
      await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, worker));
    } catch (error) {
      stop.abort();
      throw error;
    }
  }
}

function chunkAddress(array, z, y, x) {
  return `${array.address}/${array.hasChannelAxis ? "0/" : ""}${z}/${y}/${x}`;
}

/** A chunk's raw bytes, or null where none was stored. Every other answer is an error: it must never look like black voxels. */
export async function fetchChunk(address, get, signal) {
  for (let tries = 1; ; tries += 1) {
    const response = await get(address, { signal });
    if (response.status === 404) return null;
    if (response.status === 200) return decodeFrame(new Uint8Array(await response.arrayBuffer()));
    const problem = await problemOf(response);
    if (response.status !== 503 || tries === TRIES) throw problem;
    const asked = Number(response.headers.get("Retry-After") ?? 1);
    await pause(Math.min(asked >= 0 ? asked : 1, LONGEST_PAUSE_S), signal);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
