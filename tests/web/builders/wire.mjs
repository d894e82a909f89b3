/** Frames, arrays and answers for the tests of the web page. */

/** `raw` behind Blosc's header with the memcpy flag. */
export function rawFrame(raw) {
  return framed(0x22, raw.length, raw);
}

/** One LZ4 block behind Blosc's header, block start and stream length. */
export function lz4Frame(stream, rawBytes) {
  const body = new Uint8Array(8 + stream.length);
  const view = new DataView(body.buffer);
  view.setInt32(0, 20, true);
  view.setInt32(4, stream.length, true);
  body.set(stream, 8);
  return framed(0x30, rawBytes, body);
}

function framed(flags, rawBytes, body) {
  const frame = new Uint8Array(16 + body.length);
  const view = new DataView(frame.buffer);
  frame.set([2, 1, flags, 1]);
  view.setUint32(4, rawBytes, true);
  view.setUint32(8, rawBytes, true);
  view.setUint32(12, frame.length, true);
  frame.set(body, 16);
  return frame;
}

/** A `.zarray` as the server writes it. */
export function zarray(changes = {}) {
  return {
    zarr_format: 2,
    shape: [5, 7, 9],
    chunks: [4, 4, 4],
    dtype: "<u2",
    order: "C",
    dimension_separator: "/",
    compressor: { id: "blosc", cname: "lz4", clevel: 5, shuffle: 0, blocksize: 0 },
    filters: null,
    fill_value: 0,
    ...changes,
  };
}

/** A layer as the link's JSON has it: 512 x 512 x 256 voxels, its box 6 voxels inside the array on each side. */
export function layer(changes = {}) {
  return {
    name: "em",
    category: "color",
    dtype: "uint8",
    channels: 1,
    mags: ["1", "2-2-1", "4-4-2"],
    shapes: [
      [256, 512, 512],
      [256, 256, 256],
      [128, 128, 128],
    ],
    origin: [1024, 2048, 256],
    box: [1030, 2054, 262, 500, 500, 244],
    window: [0, 255],
    v3: "v3/em.zarr",
    v2: "v2/em.zarr",
    notes: [],
    ...changes,
  };
}

/** A `fetch` that answers from `{address: Response or a maker of one}`, 404 for the rest; `asked` lists the addresses. */
export function server(answers) {
  const asked = [];
  const get = async (address) => {
    asked.push(address);
    const answer = answers[address];
    if (answer === undefined) return new Response("absent", { status: 404 });
    return typeof answer === "function" ? answer() : answer.clone();
  };
  return { get, asked };
}
