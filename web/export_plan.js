/** What an export comes to before the server is asked: sizes, voxel sizes, limits, and the request itself. */

import { magOf } from "./picture.js";

const MEGA = 1024 * 1024;
const WIDE_TYPES = ["uint64", "int64", "float64"];

/** Voxels along x, y and z of a box in a mag, as WEBKNOSSOS counts them: each side rounded up. */
export function sizeInMag(box, mag) {
  return magOf(mag).map((factor, i) => Math.ceil(box[i + 3] / factor));
}

/** The voxel size of a mag, as `voxelSizeText` takes it. */
export function voxelSizeInMag(mag, { factor, unit }) {
  return { factor: magOf(mag).map((times, i) => times * factor[i]), unit };
}

/** Whether a box is not too large in a mag, by the server's `features`. */
export function fits(box, mag, features) {
  const size = sizeInMag(box, mag);
  const volume = size.reduce((product, side) => product * side, 1);
  return volume <= features.exportTiffMaxVolumeMVx * MEGA && Math.max(...size) <= features.exportTiffMaxEdgeLengthVx;
}

/** The finest of a layer's mags, finest first, in which a box fits, or null. */
export function finestThatFits(box, mags, features) {
  return mags.find((mag) => fits(box, mag, features)) ?? null;
}

/** Whether what becomes of 64-bit numbers is a question for this layer. */
export function isWide({ dtype }) {
  return WIDE_TYPES.includes(dtype);
}

/** Both boxes' common part, or null where they have none. */
export function commonBox(a, b) {
  const corner = [0, 1, 2].map((i) => Math.max(a[i], b[i]));
  const sides = [0, 1, 2].map((i) => Math.min(a[i] + a[i + 3], b[i] + b[i + 3]) - corner[i]);
  return sides.every((side) => side > 0) ? [...corner, ...sides] : null;
}

/**
 * The request for an export, `{path, params}`; `${path}/estimate` takes the same.
 *
 * `subject`: `{dataset, annotation}`, ids or null. `layer`: of the link's JSON with `ofAnnotation`. `choice`:
 * `{format: "ome-tiff" or "tiff-stack", box, mag, compression, wide, mapping}`; what is "" is left to the server.
 */
export function exportRequest({ dataset, annotation }, layer, { format, box, mag, compression, wide, mapping }) {
  const params = { bbox: box.join(","), asOmeTiff: String(format === "ome-tiff"), mag, compression, wide, mappingName: mapping };
  if (layer.ofAnnotation) Object.assign(params, { annotationId: annotation, annotationLayerName: layer.name });
  else params.layerName = layer.name;
  // An annotation without a dataset stands for itself.
  return { path: `/api/jobs/run/exportTiff/${encodeURIComponent(dataset ?? annotation)}`, params };
}
