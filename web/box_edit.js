/**
 * A box under the mouse and the keyboard. Boxes are `[x, y, z, width, height, depth]` in mag-1 voxels, whole numbers, at least one
 * voxel along each side and inside `bounds`, which is a box as well.
 */

import { AT } from "./ortho_geometry.js";

/** The box nearest to what was asked for. */
export function boxWithin(wanted, bounds) {
  const box = [];
  for (let i = 0; i < 3; i += 1) {
    const end = bounds[i] + bounds[i + 3];
    const start = limited(Math.round(wanted[i]), bounds[i], end - 1);
    box[i] = start;
    box[i + 3] = limited(Math.round(wanted[i] + wanted[i + 3]), start + 1, end) - start;
  }
  return box;
}

/** Six numbers as a box, or the sentence that says what is wrong with them. */
export function checkedBox(numbers, bounds) {
  const names = ["x", "y", "z", "width", "height", "depth"];
  for (let i = 0; i < 6; i += 1) {
    if (!Number.isInteger(numbers[i])) return `The ${names[i]} is not a whole number.`;
    if (i >= 3 && numbers[i] < 1) return `The ${names[i]} is at least 1.`;
  }
  for (const [axis, i] of Object.entries(AT)) {
    const end = bounds[i] + bounds[i + 3];
    if (numbers[i] < bounds[i] || numbers[i] + numbers[i + 3] > end) {
      return `Along ${axis} the box reaches from ${numbers[i]} to ${numbers[i] + numbers[i + 3]}, the data from ${bounds[i]} to ${end}.`;
    }
  }
  return numbers;
}

/** The box moved by `[x, y, z]`, as far as the bounds let it. */
export function movedBox(box, by, bounds) {
  const corner = [0, 1, 2].map((i) => limited(Math.round(box[i] + by[i]), bounds[i], bounds[i] + bounds[i + 3] - box[i + 3]));
  return [...corner, ...box.slice(3)];
}

/** The box with some of its sides at a position: `sides` has -1 for the near side of an axis, 1 for the far one. */
export function resizedBox(box, sides, position, bounds) {
  const made = [...box];
  for (const [axis, side] of Object.entries(sides)) {
    const i = AT[axis];
    const end = box[i] + box[i + 3];
    if (side < 0) {
      made[i] = limited(Math.round(position[i]), bounds[i], end - 1);
      made[i + 3] = end - made[i];
    } else {
      made[i + 3] = limited(Math.round(position[i]), box[i] + 1, bounds[i] + bounds[i + 3]) - box[i];
    }
  }
  return made;
}

/** A box drawn on a plane from one position to another; across the plane it is as deep as `like`. */
export function drawnBox({ along, down }, from, to, like, bounds) {
  const wanted = [...like];
  for (const i of [AT[along], AT[down]]) {
    wanted[i] = Math.min(from[i], to[i]);
    wanted[i + 3] = Math.abs(to[i] - from[i]);
  }
  return boxWithin(wanted, bounds);
}

/**
 * What the mouse takes hold of at a position of a plane: `{sides}` near an edge or a corner, `{}` inside, null elsewhere.
 * `reach`: how near counts, in voxels by axis.
 */
export function gripAt({ along, down }, box, position, reach) {
  const sides = {};
  for (const axis of [along, down]) {
    const i = AT[axis];
    const near = position[i] - box[i];
    const far = position[i] - (box[i] + box[i + 3]);
    if (near < -reach[axis] || far > reach[axis]) return null;
    // Of a box thinner than the reach, the side that is nearer.
    if (Math.abs(far) <= reach[axis] && Math.abs(far) <= Math.abs(near)) sides[axis] = 1;
    else if (Math.abs(near) <= reach[axis]) sides[axis] = -1;
  }
  return Object.keys(sides).length > 0 ? { sides } : {};
}

function limited(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
