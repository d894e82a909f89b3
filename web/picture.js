/** From planes to pictures: which level to show, which part of it, and the colour of each voxel. */

// Near this many pixels a picture fills its place on the page and still costs few chunks.
const WANTED_SIDE = [256, 384];

// Where even the coarsest level is larger than this, only its centre is shown: a plane of a whole brain would be gigabytes.
const LARGEST_SIDE = 640;
const CUT_SIDE = 512;

/** Voxels along x, y, z that one voxel of a mag stands for: "2-2-1" is [2, 2, 1], "4" is [4, 4, 4]. */
export function magOf(text) {
  const factors = text.split("-").map(Number);
  return factors.length === 1 ? [factors[0], factors[0], factors[0]] : factors;
}

/** The layer's box in the indices of one level, `{z: [from, to], y, x}`, half-open. The array starts before its box. */
export function regionOf(layer, level) {
  const mag = magOf(layer.mags[level]);
  const [depth, height, width] = layer.shapes[level].slice(-3);
  const along = (axis, length) => {
    const from = Math.floor((layer.box[axis] - layer.origin[axis]) / mag[axis]);
    const to = Math.ceil((layer.box[axis] + layer.box[axis + 3] - layer.origin[axis]) / mag[axis]);
    return [Math.max(from, 0), Math.min(to, length)];
  };
  return { z: along(2, depth), y: along(1, height), x: along(0, width) };
}

/** What to show of a layer: `{level, region, cut}`, the level whose plane is nearest to the wanted size; the finer of two. */
export function viewOf(layer) {
  const views = layer.mags.map((_, level) => ({ level, region: regionOf(layer, level), cut: false }));
  const best = views.reduce((chosen, view) => (distance(view) < distance(chosen) ? view : chosen));
  const { z, y, x } = best.region;
  const region = { z, y: centre(y), x: centre(x) };
  return { level: best.level, region, cut: lengthOf(region.y) < lengthOf(y) || lengthOf(region.x) < lengthOf(x) };
}

/** How many times too large or too small a view's longer side is. */
function distance({ region }) {
  const side = Math.max(lengthOf(region.x), lengthOf(region.y), 1);
  return Math.max(WANTED_SIDE[0] / side, side / WANTED_SIDE[1], 1);
}

function centre([from, to]) {
  if (to - from <= LARGEST_SIDE) return [from, to];
  const start = Math.floor((from + to - CUT_SIDE) / 2);
  return [start, start + CUT_SIDE];
}

function lengthOf([from, to]) {
  return to - from;
}

/** Width over height of a view as the sample has it, not as the voxels are counted. */
export function aspectOf(layer, view, voxelSize) {
  const mag = magOf(layer.mags[view.level]);
  const [x, y] = voxelSize.factor;
  return (lengthOf(view.region.x) * mag[0] * x) / (lengthOf(view.region.y) * mag[1] * y);
}

/** The values shown as black and white: the layer's own, else all that uint8 can say, else what this plane holds. */
export function windowOf(layer, plane) {
  if (layer.window) return layer.window;
  if (plane.data instanceof Uint8Array) return [0, 255];
  return rangeOf(plane) ?? [0, 1];
}

/** The least and the greatest value of a plane, or null where it holds no number. */
export function rangeOf(plane) {
  let low = Infinity;
  let high = -Infinity;
  for (const voxel of plane.data) {
    const value = Number(voxel);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** A plane as RGBA bytes: red, green, blue from three channels, else the first channel in grey. Not a number is transparent. */
export function greyPixels(plane, [low, high]) {
  const size = plane.width * plane.height;
  const pixels = new Uint8ClampedArray(size * 4);
  const scale = 255 / (high > low ? high - low : 1);
  const green = plane.channels === 3 ? size : 0;
  for (let i = 0; i < size; i += 1) {
    const red = Number(plane.data[i]);
    // Clamped arrays clamp and round.
    pixels[4 * i] = (red - low) * scale;
    pixels[4 * i + 1] = (Number(plane.data[i + green]) - low) * scale;
    pixels[4 * i + 2] = (Number(plane.data[i + 2 * green]) - low) * scale;
    pixels[4 * i + 3] = Number.isNaN(red) ? 0 : 255;
  }
  return pixels;
}

/** A plane of labels as RGBA bytes, one colour a label, label 0 transparent. */
export function labelPixels(plane) {
  const size = plane.width * plane.height;
  const pixels = new Uint8ClampedArray(size * 4);
  const wide = plane.data.BYTES_PER_ELEMENT === 8;
  // 64-bit labels are read as two halves: a BigInt for every pixel would be slow.
  const halves = wide ? new Uint32Array(plane.data.buffer, plane.data.byteOffset, size * 2) : null;
  let lastLow = 0;
  let lastHigh = 0;
  let colour = [0, 0, 0];
  for (let i = 0; i < size; i += 1) {
    const low = wide ? halves[2 * i] : plane.data[i] >>> 0;
    const high = wide ? halves[2 * i + 1] : plane.data[i] < 0 ? 0xffffffff : 0;
    if (low === 0 && high === 0) continue;
    if (low !== lastLow || high !== lastHigh) {
      colour = colourOf(low, high);
      lastLow = low;
      lastHigh = high;
    }
    pixels.set(colour, 4 * i);
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** The colour `[red, green, blue]` of a label, a number or a BigInt; the same on every machine and in every slice. */
export function labelColour(id) {
  const bits = BigInt.asUintN(64, BigInt(id));
  return colourOf(Number(bits & 0xffffffffn), Number(bits >> 32n));
}

/** Neighbouring labels are often neighbouring numbers, so every bit of a label must move its colour: a hash picks it. */
function colourOf(low, high) {
  const hash = mixed(low ^ mixed(high ^ 0x9e3779b9));
  const hue = (hash & 0xffff) / 0x10000;
  const saturation = 0.5 + (0.35 * ((hash >>> 16) & 0xff)) / 255;
  const lightness = 0.5 + (0.2 * (hash >>> 24)) / 255;
  return rgbOf(hue, saturation, lightness);
}

/** MurmurHash3's 32-bit finaliser. */
function mixed(bits) {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function rgbOf(hue, saturation, lightness) {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((turn) => {
    const k = (turn + hue * 12) % 12;
    return Math.round(255 * (lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}
