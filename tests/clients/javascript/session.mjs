// JavaScript's Zarr clients in a process of their own: `node session.mjs CLIENT v2|v3`, asked as readers/session.py is.
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { loadOmeZarr } from "@vivjs/loaders";
import { getMultiscaleWithArray } from "ome-zarr.js";
// The one that ome-zarr.js brings.
import * as older from "./node_modules/ome-zarr.js/node_modules/zarrita/dist/src/index.js";
import * as zarr from "zarrita";

const [client, version] = process.argv.slice(2);
const DTYPES = { uint8: "|u1", uint16: "<u2", uint32: "<u4", uint64: "<u8" };

/** What opens a layer by its address: the function that reads a level, as {data, shape, stride, dtype}. */
const CLIENTS = {
  async zarrita(address) {
    const root = zarr.root(new zarr.FetchStore(address));
    const array = (level) => zarr.open[version](root.resolve(String(level)), { kind: "array" });
    const finest = await array(0);
    return async (level) => {
      const from = level === 0 ? finest : await array(level);
      return { ...(await zarr.get(from)), dtype: from.dtype };
    };
  },

  async "ome-zarr.js"(address) {
    const array = async (level) => (await getMultiscaleWithArray(address, level)).arr;
    const finest = await array(0);
    return async (level) => {
      const from = level === 0 ? finest : await array(level);
      return { ...(await older.get(from)), dtype: from.dtype };
    };
  },

  /** Viv draws planes: each is one raster. */
  async "Viv's loader"(address) {
    const { data: levels } = await loadOmeZarr(address, { type: "multiscales" });
    return async (level) => {
      const { shape, dtype } = levels[level];
      const [depth, height, width] = shape.slice(-3);
      const channels = shape.length === 4 ? shape[0] : 1;
      let data;
      for (let c = 0; c < channels; c++) {
        for (let z = 0; z < depth; z++) {
          const plane = await levels[level].getRaster({ selection: shape.length === 4 ? { c, z } : { z } });
          data ??= new plane.data.constructor(channels * depth * height * width);
          data.set(plane.data, (c * depth + z) * height * width);
        }
      }
      const stride = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
      return { data, shape, stride, dtype: dtype.toLowerCase() };
    };
  },
};
const open = CLIENTS[client];
const PACKAGES = { zarrita: ["zarrita"], "ome-zarr.js": ["ome-zarr.js", "ome-zarr.js/node_modules/zarrita"] };
PACKAGES["Viv's loader"] = ["@vivjs/loaders", "@vivjs/loaders/node_modules/zarrita"];

function versionOf(name) {
  const own = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url)));
  return `${own.name} ${own.version}`;
}

function inOrder(shape, stride) {
  return stride.every((step, axis) => step === shape.slice(axis + 1).reduce((a, b) => a * b, 1));
}

function reordered(data, shape, stride) {
  const out = new data.constructor(shape.reduce((a, b) => a * b, 1));
  const place = shape.map(() => 0);
  for (let n = 0; n < out.length; n++) {
    out[n] = data[place.reduce((at, index, axis) => at + index * stride[axis], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++place[axis] === shape[axis]; axis--) place[axis] = 0;
  }
  return out;
}

/** As a file of NumPy's, in C order whatever the strides. */
function npy({ data, shape, stride, dtype }) {
  const out = inOrder(shape, stride) ? data : reordered(data, shape, stride);
  const header = `{'descr': '${DTYPES[dtype]}', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const padded = header.padEnd(Math.ceil((10 + header.length + 1) / 64) * 64 - 11) + "\n";
  const front = Buffer.alloc(10);
  front.write("\x93NUMPY\x01\x00", "latin1");
  front.writeUInt16LE(padded.length, 8);
  return Buffer.concat([front, Buffer.from(padded), Buffer.from(out.buffer, out.byteOffset, out.byteLength)]);
}

// A browser keeps what it has fetched, without which Viv's planes ask for each chunk as often as it has planes.
const fetched = new Map();
const fetchAnew = globalThis.fetch;
globalThis.fetch = async (asked, options) => {
  const request = new Request(asked, options);
  const key = [request.method, request.url, request.headers.get("Range")].join(" ");
  if (!fetched.has(key)) fetched.set(key, fetchAnew(request));
  return (await fetched.get(key)).clone();
};

let address;
let held;
let stage;

async function perform(asked) {
  stage = "open";
  // What follows a revocation is asked of the server.
  fetched.clear();
  if (asked.do === "versions") {
    return { versions: [...PACKAGES[client].map(versionOf), `Node ${process.versions.node.split(".")[0]}`].join(", ") };
  }
  if (asked.do === "open") {
    held = undefined;
    address = asked.address;
    const kept = await open(address);
    const read = await open(address);
    stage = "read";
    for (let level = 0; level < asked.levels; level++) await writeFile(`${asked.out}${level}.npy`, npy(await read(level)));
    held = kept;
    return {};
  }
  const read = asked.do === "held" ? held : await open(address);
  stage = "read";
  const { data } = await read(0);
  return { nonzero: data.some((value) => value != 0) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await perform(JSON.parse(line)).catch((error) => ({ error: [error, error.cause].filter(Boolean).join("; "), stage }));
  console.log(JSON.stringify(answer));
}
