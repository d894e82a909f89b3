/** What a browser may keep, out of what the CDN may keep. */

import assert from "node:assert/strict";
import test from "node:test";

import { loadFunction } from "./builders/edge.mjs";

const { handler } = await loadFunction("viewer_response.js");

function kept(headers) {
  const response = { statusCode: 200, headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, { value }])) };
  const made = handler({ response }).headers;
  return Object.fromEntries(Object.entries(made).map(([name, { value }]) => [name, value]));
}

test("what both may keep is the browser's own, for its own time", () => {
  const chunk = kept({ "cache-control": "public, max-age=300, s-maxage=31536000, immutable", etag: '"x"' });
  assert.equal(chunk["cache-control"], "private, max-age=300");
  assert.equal(chunk.etag, '"x"');
  assert.equal(kept({ "cache-control": "public, max-age=60, s-maxage=60" })["cache-control"], "private, max-age=60");
  assert.equal(kept({ "cache-control": "public, max-age=0, s-maxage=31536000, immutable" })["cache-control"], "private, no-cache");
});

test("its time begins now, however long the CDN has had it", () => {
  const chunk = kept({
    "cache-control": "public, max-age=300, s-maxage=31536000, immutable",
    age: "86400",
    date: "Mon, 01 Jan 2024 00:00:00 GMT",
  });
  assert.equal(chunk.age, undefined);
  assert.ok(Math.abs(Date.parse(chunk.date) - Date.now()) < 60_000);
});

test("everything else stays as the origin said it", () => {
  for (const given of ["no-store", "private, max-age=300", "private, no-cache", "public, max-age=3600"]) {
    const date = "Mon, 01 Jan 2024 00:00:00 GMT";
    assert.deepEqual(kept({ "cache-control": given, date, age: "5" }), { "cache-control": given, date, age: "5" });
  }
  assert.deepEqual(kept({ etag: '"x"' }), { etag: '"x"' });
});
