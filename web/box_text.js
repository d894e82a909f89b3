/** A box as people copy it: six numbers, x, y, z, width, height, depth, in voxels of mag 1. */

/** The six numbers in a text with any separators between them; null for an empty text. Throws Error with a sentence. */
export function parseBox(text) {
  if (text.trim() === "") return null;
  const numbers = text.match(/-?\d+(\.\d+)?/g) ?? [];
  const leftOver = text.replace(/-?\d+(\.\d+)?/g, "").replace(/[\s,;[\]()×x]/g, "");
  if (numbers.length !== 6 || leftOver !== "" || numbers.some((number) => number.includes("."))) {
    throw new Error("A box is six whole numbers: x, y, z, width, height, depth.");
  }
  const box = numbers.map(Number);
  if (box.slice(3).some((side) => side <= 0)) throw new Error("A box is at least one voxel wide, high and deep.");
  return box;
}

/** `1024, 2048, 256, 512, 512, 256`. */
export function boxText(box) {
  return box.join(", ");
}
