/** Chunks as they are asked for: whole, or never stored, or a failure; and those that are kept for the next plane. */

import { decodeFrame } from "./frame.js";
import { problemOf, reach } from "./problem.js";

const REQUESTS_AT_ONCE = 12;
const TRIES = 3;
const LONGEST_PAUSE_S = 5;
const MOST_KEPT_BYTES = 96 * 2 ** 20;
// What a chunk that was never stored costs to remember: there may be very many of them.
const ENTRY_BYTES = 256;

/** Raw chunks of any number of arrays, the ones used last. Failures are not kept: the next plane asks again. */
export class ChunkStore {
  #get;
  #mostBytes;
  #keptBytes = 0;
  #kept = new Map(); // address -> bytes or null, the longest unused first
  #coming = new Map(); // address -> promise: three pictures of one place share chunks

  constructor(get = reach, mostBytes = MOST_KEPT_BYTES) {
    this.#get = get;
    this.#mostBytes = mostBytes;
  }

  /**
   * The chunks at `places`, `[z, y, x]` each, as a Map from `z/y/x` to raw bytes, or null for one that was never stored.
   * Whole or not at all: throws the first failure. `signal`: stops asking; what is under way arrives, and is kept.
   */
  async load(array, places, signal) {
    const found = new Map();
    const wanted = [...places];
    const stop = new AbortController();
    const worker = async () => {
      for (let place = wanted.pop(); place && !stop.signal.aborted; place = wanted.pop()) {
        signal?.throwIfAborted();
        found.set(place.join("/"), await this.#chunk(chunkAddress(array, place)));
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(REQUESTS_AT_ONCE, wanted.length) }, worker));
    } catch (error) {
      stop.abort();
      throw error;
    }
    return found;
  }

  async #chunk(address) {
    if (this.#kept.has(address)) {
      const bytes = this.#kept.get(address);
      this.#kept.delete(address);
      this.#kept.set(address, bytes);
      return bytes;
    }
    if (!this.#coming.has(address)) {
      const coming = fetchChunk(address, this.#get).finally(() => this.#coming.delete(address));
      this.#coming.set(address, coming);
      coming.then((bytes) => this.#keep(address, bytes), () => {});
    }
    return this.#coming.get(address);
  }

  #keep(address, bytes) {
    this.#kept.set(address, bytes);
    this.#keptBytes += costOf(bytes);
    for (const [oldest, held] of this.#kept) {
      if (this.#keptBytes <= this.#mostBytes) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= costOf(held);
    }
  }
}

function costOf(bytes) {
  return ENTRY_BYTES + (bytes?.length ?? 0);
}

function chunkAddress(array, place) {
  return `${array.address}/${array.hasChannelAxis ? "0/" : ""}${place.join("/")}`;
}

/** A chunk's raw bytes, or null where none was stored. Every other answer is an error: it must never look like black voxels. */
export async function fetchChunk(address, get) {
  for (let tries = 1; ; tries += 1) {
    const response = await get(address);
    if (response.status === 404) return null;
    if (response.status === 200) return decodeFrame(new Uint8Array(await response.arrayBuffer()));
    const problem = await problemOf(response);
    if (response.status !== 503 || tries === TRIES) throw problem;
    const asked = Number(response.headers.get("Retry-After") ?? 1);
    await pause(Math.min(asked >= 0 ? asked : 1, LONGEST_PAUSE_S));
  }
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
