// Reads boxes with zarrita in one process: for each line {address, version, level, box} of its input a line with the shape, the strides (in
// elements), the type and the elements in base64, or with the error. Each array is opened anew, as by somebody who comes for the first time.
import { createInterface } from "node:readline";
import * as zarr from "zarrita";

async function read({ address, version, level, box }) {
  const root = zarr.root(new zarr.FetchStore(address));
  const array = await zarr.open[version](root.resolve(level), { kind: "array" });
  const { data, shape, stride } = await zarr.get(array, box.map(([start, end]) => zarr.slice(start, end)));
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { shape, stride, dtype: array.dtype, data: bytes.toString("base64") };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await read(JSON.parse(line)).catch((error) => ({ error: String(error) }))));
}
