/** Lengths and sizes in words. */

const UNIT_SIGNS = {
  angstrom: "Å",
  picometer: "pm",
  nanometer: "nm",
  micrometer: "µm",
  millimeter: "mm",
  centimeter: "cm",
  meter: "m",
};

const LADDER = ["picometer", "nanometer", "micrometer", "millimeter", "meter"];

/** `8 × 8 × 25 nm`, x, y, z. */
export function voxelSizeText({ factor, unit }) {
  return `${factor.map((length) => plain(length, 6)).join(" × ")} ${UNIT_SIGNS[unit] ?? unit}`;
}

/** The size of a box in the sample, `4.1 × 4.1 × 6.4 µm`, in the unit in which its longest side is at least 1. */
export function extentText(box, { factor, unit }) {
  let lengths = factor.map((length, axis) => length * box[axis + 3]);
  let step = LADDER.indexOf(unit);
  while (step >= 0 && step + 1 < LADDER.length && Math.max(...lengths) >= 1000) {
    lengths = lengths.map((length) => length / 1000);
    step += 1;
  }
  const shown = LADDER[step] ?? unit;
  return `${lengths.map((length) => plain(length, 3)).join(" × ")} ${UNIT_SIGNS[shown] ?? shown}`;
}

/** `256 × 512 × 512`. */
export function sizeText(numbers) {
  return numbers.join(" × ");
}

function plain(number, digits) {
  return String(Number(number.toPrecision(digits)));
}
