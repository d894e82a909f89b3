/** Jobs in words. */

const STATES = { PENDING: "waiting", STARTED: "running", SUCCESS: "done", FAILURE: "failed", CANCELLED: "cancelled" };
const STEPS = ["bytes", "kB", "MB", "GB", "TB"];

export function stateWords(state) {
  return STATES[state] ?? state;
}

export function isRunning({ state }) {
  return state === "PENDING" || state === "STARTED";
}

/** What a job makes: `OME-TIFF of em, mag 2-2-1, box 0, 0, 0, 512, 512, 256`. */
export function jobTitle({ command, commandArgs: args }) {
  if (command === "export_tiff") {
    const layer = args.annotation_layer_name ?? args.layer_name;
    const format = args.export_file_name?.endsWith(".zip") ? "TIFF stack" : "OME-TIFF";
    const { topLeft, width, height, depth } = args.nd_bbox ?? {};
    const box = topLeft ? `box ${[...topLeft, width, height, depth].join(", ")}` : null;
    return [`${format} of ${layer}`, args.mag ? `mag ${args.mag}` : null, box].filter(Boolean).join(", ");
  }
  if (command === "export_annotation") return `Download of an annotation (${args.volume_data_zip_format})`;
  if (command === "import_annotation") return "Import of an annotation";
  return command;
}

/** `48.6 MB`: in steps of 1000, as disks and downloads are counted. */
export function bytesText(bytes) {
  let step = 0;
  while (bytes >= 1000 && step + 1 < STEPS.length) {
    bytes /= 1000;
    step += 1;
  }
  return `${step === 0 ? bytes : Number(bytes.toPrecision(3))} ${STEPS[step]}`;
}

/** `a minute`, `3 hours`: rough, as estimates are. */
export function durationText(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toPrecision(2))} hours`;
}
