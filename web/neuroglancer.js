/** A Neuroglancer that shows all layers of a link: its state as JSON, and the address that carries it. */

import { HERE } from "./api.js";

const PUBLIC_VIEWER = "https://neuroglancer-demo.appspot.com/";

// What one unit of a dataset is in metres; lengths in other units are shown as if they were nanometres.
const METRES = {
  angstrom: 1e-10,
  picometer: 1e-12,
  nanometer: 1e-9,
  micrometer: 1e-6,
  millimeter: 1e-3,
  centimeter: 1e-2,
  meter: 1,
};

// Of three channels; they have to be an axis that a shader sees at once, which is what `c^` says.
const COLOUR_SHADER = `void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}
`;

// So many screen pixels the first view is laid out for.
const SCREEN_SIDE = 500;

/**
 * The state that shows a link's layers around the middle of their box; `facts`: the link's JSON, `base`: its address,
 * with a slash at the end.
 */
export function neuroglancerState(facts, base) {
  const { factor, unit } = facts.voxelSize;
  const [x, y, z, width, height, depth] = facts.box;
  const metre = METRES[unit] ?? METRES.nanometer;
  const [alongX, alongY, alongZ] = factor.map((length) => [lengthOf(length, metre), "m"]);
  const finest = Math.min(...factor);
  // One unit of the scale is the canonical voxel, whose side is that of the finest axis.
  const side = Math.max(width * factor[0], height * factor[1], depth * factor[2]) / finest;
  return {
    dimensions: { x: alongX, y: alongY, z: alongZ },
    position: [x + width / 2, y + height / 2, z + depth / 2],
    crossSectionScale: side / SCREEN_SIDE,
    projectionScale: side * 1.5,
    // Each layer is drawn over those before it, and segments belong over images.
    layers: facts.layers
      .map((layer) => layerState(layer, { z: alongZ, y: alongY, x: alongX }, base))
      .sort((a, b) => (a.type === "segmentation") - (b.type === "segmentation")),
    selectedLayer: { layer: facts.layers[0].name },
    layout: "4panel",
  };
}

/** 8 nm must read 8e-9, not 8.000000000000001e-9: Neuroglancer shows the number. */
function lengthOf(length, metre) {
  return Number((length * metre).toPrecision(12));
}

function layerState(layer, voxel, base) {
  // Neuroglancer takes whole numbers alone for the ids of segments.
  const labels = layer.category === "segmentation" && !layer.dtype.startsWith("float");
  const address = `zarr3://${base}${layer.v3}/`;
  if (labels) return { type: "segmentation", source: address, name: layer.name };
  if (layer.channels === 3 && layer.shapes[0].length === 3) {
    const transform = { outputDimensions: { "c^": [1, ""], ...voxel } };
    return { type: "image", source: { url: address, transform }, shader: COLOUR_SHADER, name: layer.name };
  }
  const image = { type: "image", source: address, name: layer.name };
  return layer.window ? { ...image, shaderControls: { normalized: { range: layer.window } } } : image;
}

/** The address of a viewer, which ends with a slash or a file, showing a state. What follows `#` goes to no server. */
export function neuroglancerAddress(viewer, state) {
  return `${viewer}#!${encodeURIComponent(JSON.stringify(state))}`;
}

let found;

/** The viewer to open: the configured one, else the one that this server brings or leads to, else the public one. */
export function findViewer(configured) {
  if (configured) return Promise.resolve(configured);
  found ??= findOwn();
  return found;
}

async function findOwn() {
  const own = `${HERE}/neuroglancer/v/links/`;
  // Not followed where it leads elsewhere: that server need not let this page look at it. That this one may be asked from a
  // page of another origin is what it says itself.
  const options = { method: "HEAD", redirect: "manual", referrerPolicy: "no-referrer" };
  const response = await fetch(own, options).catch(() => null);
  return response?.ok || response?.type === "opaqueredirect" ? own : PUBLIC_VIEWER;
}
