/** What a link opens, ready to be drawn: its facts, its layers, and how near to begin. */

import { ChunkStore } from "./chunks.js";
import { readFacts } from "./link_facts.js";
import { mostZoom, windowAround } from "./ortho_geometry.js";
import { OrthoLayer } from "./ortho_layer.js";
import { PLANES } from "./zarr.js";

/** `{facts, layers, zoom}` of the link at `page`; `image`: the name of the layer to begin with, or null. Throws Problem. */
export async function openVolume(page, image) {
  const base = new URL(page.replace(/\/*$/, "/"), document.baseURI).href;
  const facts = await readFacts(base);
  const store = new ChunkStore();
  const layers = facts.layers.map((layer) => new OrthoLayer(layer, base, store));
  return { facts, layers, zoom: await firstZoom(facts, imageOf(layers, image)) };
}

/** The first zoom at which the image can be read: a layer without coarse mags is not read whole. */
async function firstZoom({ box, voxelSize }, layer) {
  const middle = middleOf(layer.facts.box);
  const most = mostZoom(box, voxelSize);
  for (let zoom = 0; zoom < most; zoom += 1) {
    if (await layer.isCheap(Object.values(PLANES), windowAround(box, voxelSize, middle, zoom))) return zoom;
  }
  return most;
}

/** The layer that is asked for, else the first image, else the first. */
export function imageOf(layers, name) {
  return layers.find((layer) => layer.facts.name === name) ?? layers.find((layer) => !layer.isLabels) ?? layers[0];
}

export function middleOf(box) {
  return [0, 1, 2].map((i) => box[i] + Math.floor(box[i + 3] / 2));
}
