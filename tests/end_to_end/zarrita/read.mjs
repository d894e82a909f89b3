// Reads a whole array with zarrita and writes shape, strides (in elements) and type as a line, then its elements: `node read.mjs ADDRESS v2|v3 LEVEL`.
// Exit status 1, and the reason, where anything fails.
import * as zarr from "zarrita";

const [address, version, level] = process.argv.slice(2);
try {
  const root = zarr.root(new zarr.FetchStore(address));
  const open = version === "v2" ? zarr.open.v2 : zarr.open.v3;
  const array = await open(root.resolve(level), { kind: "array" });
  const { data, shape, stride } = await zarr.get(array);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  await new Promise((done) => process.stdout.write(`${JSON.stringify({ shape, stride, dtype: array.dtype })}\n`, done));
  await new Promise((done) => process.stdout.write(bytes, done));
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
