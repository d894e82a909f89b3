/** One layer as the three pictures read it: its arrays, opened once, and its planes. */

import { levelFor, indexAt, extentOf } from "./ortho_geometry.js";
import { magOf, windowOf } from "./picture.js";
import { openLevels, readPlane } from "./zarr.js";

/** What keeps a layer from being drawn in a window although nothing failed. */
export class NotDrawn extends Error {
  name = "NotDrawn";
}

let count = 0;

export class OrthoLayer {
  /** Another one for the same layer of another link. */
  key = (count += 1);
  #address;
  #store;
  #opened = null;
  /** The values shown as black and white, null until the first plane says them. */
  contrast;

  /** `facts`: as the link's page lists a layer; `base`: the address that its paths begin with. */
  constructor(facts, base, store) {
    this.facts = facts;
    this.contrast = facts.window ?? null;
    this.#address = base + facts.v2;
    this.#store = store;
  }

  get isLabels() {
    return this.facts.category === "segmentation";
  }

  /** The layer's arrays. A failure is not remembered. */
  levels() {
    this.#opened ??= openLevels(this.#address).catch((error) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  /**
   * The picture of a plane at a position, `{plane, extent, mag, at}`: `extent` its place in mag-1 voxels, `at` the index along the
   * normal. Throws NotDrawn where the layer has nothing there or no level that is coarse enough.
   */
  async picture(which, window, position, signal) {
    const arrays = await this.levels();
    const view = levelFor(this.facts, arrays, window, which);
    if (view === null) throw new NotDrawn(`${this.facts.name} has no mag coarse enough for this picture: zoom in.`);
    const at = indexAt(this.facts, view.level, which, position);
    if (view.region === null || at === null) throw new NotDrawn(`${this.facts.name} does not reach here.`);
    const plane = await readPlane(arrays[view.level], view.region, which, at, this.#store, signal);
    if (!this.isLabels) this.contrast ??= windowOf(this.facts, plane);
    return { plane, extent: extentOf(this.facts, view.level, view.region), mag: this.facts.mags[view.level], at };
  }

  /** Whether each of the three pictures of a window can be drawn. */
  async isCheap(planes, window) {
    const arrays = await this.levels();
    return planes.every((plane) => levelFor(this.facts, arrays, window, plane) !== null);
  }

  /** By how many mag-1 voxels a plane of a window is left for the next one, [x, y, z]; of one that is not drawn, by 1. */
  async steps(which, window) {
    const view = levelFor(this.facts, await this.levels(), window, which);
    return view === null ? [1, 1, 1] : magOf(this.facts.mags[view.level]);
  }
}
