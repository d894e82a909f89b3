/** The edge's function against its cases, and what the cases do not say. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { FOLDER, loadCases, loadFunction, outcome } from "./builders/edge.mjs";

const loaded = await loadFunction("viewer_request.js");
const CASES = loadCases();

function checkAnswer(one, { expected, request }) {
  assert.equal(one.status, expected.status);
  assert.equal(one.headers["access-control-allow-origin"], "*");
  for (const [name, value] of Object.entries(expected.headers)) assert.equal(one.headers[name], value, name);
  assert.deepEqual(one.log, []);
  assert.ok(one.body.length < 400, "what was asked is not said back at any length");
  const isJson = one.headers["content-type"] === "application/problem+json";
  if (request.method === "HEAD" || one.status < 400) assert.equal(one.body, "");
  else if (isJson) assert.equal(JSON.parse(one.body).status, one.status);
  else assert.match(one.body, /not valid/);
}

function checkRewritten(one, { expected, request }) {
  assert.equal(one.uri, expected.uri);
  assert.equal(one.query, expected.query ?? "");
  assert.equal(one.method, request.method ?? "GET");
  const alone = !one.uri.startsWith("/c/");
  const ours = {
    "x-zarrlink-link": expected.link,
    "x-zarrlink-token": expected.token,
    "x-zarrlink-alone": alone ? "request-1" : undefined,
    "x-zarrlink-host": alone ? "zarr.example.org" : undefined,
    ...expected.headers,
  };
  for (const [name, value] of Object.entries(ours)) assert.equal(one.headers[name], value, name);
  const found = Object.keys(one.headers).filter((name) => /zarrlink/i.test(name));
  assert.deepEqual(found.filter((name) => ours[name] === undefined), []);
  const linkOfToken = expected.token?.slice(1, 17);
  assert.deepEqual(one.log, expected.log ? [expected.link ?? linkOfToken] : []);
}

test("every case comes out as it says", async (t) => {
  assert.ok(CASES.length > 80);
  for (const given of CASES) {
    await t.test(given.name, async () => {
      const one = await outcome(loaded, given);
      const check = given.expected.status ? checkAnswer : checkRewritten;
      check(one, given);
    });
  }
});

test("a token stands in no log, and in no body but the page's redirect", async () => {
  for (const given of CASES) {
    const one = await outcome(loaded, given);
    const token = /\/zarr\/([A-Za-z0-9_-]{33})/.exec(given.request.uri)?.[1];
    if (!token) continue;
    assert.ok(!one.log.join().includes(token));
    assert.ok(!(one.body ?? "").includes(token), given.name);
    if (one.uri?.match(/^\/[cu]\//)) assert.ok(!one.uri.includes(token));
  }
});

test("at most two entries are read, and a third where a key is not there", async () => {
  for (const given of CASES) {
    const read = [];
    const watched = new Proxy(given.entries, {
      getOwnPropertyDescriptor: (target, name) => {
        read.push(name);
        return Object.getOwnPropertyDescriptor(target, name);
      },
    });
    await outcome(loaded, { ...given, entries: watched });
    assert.ok(read.length <= (read.includes("k:") ? 3 : 2), `${given.name}: ${read}`);
    assert.equal(new Set(read).size, read.length, "each once");
  }
});

test("CloudFront takes it: 10 KB with comments, and nothing that its runtime does not know", () => {
  for (const name of ["viewer_request.js", "viewer_response.js"]) {
    const text = readFileSync(join(FOLDER, name));
    assert.ok(text.length <= 9 * 1024, `${name} has ${text.length} bytes`);
    const code = text.toString().replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
    for (const unknown of [/ of /, /\.\.\./, /\?\./, /\?\?/, /\bclass\b/, /require\(/, /catch \{/, /\(\?<[=!]/]) {
      assert.doesNotMatch(code, unknown, name);
    }
  }
});
