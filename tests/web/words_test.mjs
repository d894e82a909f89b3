/** What the page says in words: expiry, sizes, snippets, problems. */

import assert from "node:assert/strict";
import test from "node:test";

import { expiryOf, expirySentence } from "../../web/expiry.js";
import { Problem, problemFor, problemOf, refusals, sentenceOf } from "../../web/problem.js";
import { addressesOf, snippetsOf } from "../../web/snippets.js";
import { extentText, sizeText, voxelSizeText } from "../../web/units.js";
import { layer } from "./builders/wire.mjs";

const NOW = new Date("2026-11-23T10:00:00.000Z");
const BASE = "https://data.example.org/zarr/kTOKEN/";

test("expiry in words, day by day and coarser with distance", () => {
  const said = {
    "2026-11-23": "today",
    "2026-11-24": "tomorrow",
    "2026-11-25": "in 2 days",
    "2026-12-18": "in 25 days",
    "2026-12-19": "in a month",
    "2026-12-23": "in a month",
    "2027-01-07": "in a month",
    "2027-01-23": "in 2 months",
    "2027-05-23": "in 6 months",
    "2027-11-23": "in a year",
    "2029-11-23": "in 3 years",
  };
  for (const [date, words] of Object.entries(said)) {
    assert.equal(expirySentence(`${date}T23:59:59.999Z`, NOW), `${date} (${words})`);
  }
});

test("what has expired says so", () => {
  const said = {
    "2026-11-23T09:59:59.999Z": "2026-11-23 (expired today)",
    "2026-11-22T23:59:59.999Z": "2026-11-22 (expired yesterday)",
    "2026-11-20T23:59:59.999Z": "2026-11-20 (expired 3 days ago)",
    "2026-10-23T23:59:59.999Z": "2026-10-23 (expired a month ago)",
    "2025-11-23T23:59:59.999Z": "2025-11-23 (expired a year ago)",
  };
  for (const [expires, sentence] of Object.entries(said)) {
    assert.equal(expirySentence(expires, NOW), sentence);
    assert.equal(expiryOf(expires, NOW).expired, true);
  }
});

test("a link ends at its very millisecond", () => {
  assert.equal(expiryOf("2026-11-23T10:00:00.001Z", NOW).expired, false);
  assert.equal(expiryOf("2026-11-23T10:00:00.000Z", NOW).expired, true);
});

test("every default link of one calendar month reads as a month", () => {
  const months = {
    "2026-01-31": "2026-02-28",
    "2026-02-28": "2026-03-28",
    "2026-07-31": "2026-08-31",
    "2026-12-15": "2027-01-15",
  };
  for (const [created, expires] of Object.entries(months)) {
    assert.equal(expiryOf(`${expires}T23:59:59.999Z`, new Date(`${created}T12:00:00Z`)).words, "in a month");
  }
});

test("null never expires", () => {
  assert.equal(expirySentence(null, NOW), "never expires");
  assert.equal(expiryOf(null, NOW).expired, false);
});

test("voxel sizes and extents read well", () => {
  assert.equal(voxelSizeText({ factor: [8, 8, 25], unit: "nanometer" }), "8 × 8 × 25 nm");
  assert.equal(voxelSizeText({ factor: [11.239999771118164, 11.24, 28], unit: "nanometer" }), "11.24 × 11.24 × 28 nm");
  assert.equal(voxelSizeText({ factor: [1, 1, 1], unit: "parsec" }), "1 × 1 × 1 parsec");
  assert.equal(extentText([0, 0, 0, 512, 512, 256], { factor: [8, 8, 25], unit: "nanometer" }), "4.1 × 4.1 × 6.4 µm");
  assert.equal(extentText([5, 5, 5, 10, 10, 10], { factor: [8, 8, 25], unit: "nanometer" }), "80 × 80 × 250 nm");
  assert.equal(extentText([0, 0, 0, 1e6, 1e6, 1e5], { factor: [4, 4, 40], unit: "nanometer" }), "4 × 4 × 4 mm");
  assert.equal(extentText([0, 0, 0, 2000, 10, 10], { factor: [1, 1, 1], unit: "parsec" }), "2000 × 10 × 10 parsec");
  assert.equal(sizeText([256, 512, 512]), "256 × 512 × 512");
});

test("addresses are the base and what the server lists, untouched", () => {
  assert.deepEqual(addressesOf(layer({ v3: "v3/a%20b.zarr", v2: "v2/a%20b.zarr" }), BASE), {
    v3: `${BASE}v3/a%20b.zarr`,
    v2: `${BASE}v2/a%20b.zarr`,
    webknossos: null,
  });
});

test("the WEBKNOSSOS address lies beside the link's page, below whatever stands before it, where there are words for it", () => {
  const said = (base, webknossos) => addressesOf(layer({ webknossos }), base).webknossos;
  assert.equal(said("http://host/zarr/TOKEN/", "a%20b"), "http://host/data/annotations/zarr/TOKEN/a%20b");
  assert.equal(said("https://host/v1/zarr/TOKEN/", "em"), "https://host/v1/data/annotations/zarr/TOKEN/em");
  assert.equal(said("https://host/zarr/of/zarr/TOKEN/", "em"), "https://host/zarr/of/data/annotations/zarr/TOKEN/em");
  assert.equal(said("http://host/zarr/TOKEN/", null), null);
});

test("each tool gets its complete address, v3 or v2 as it reads", () => {
  const code = Object.fromEntries(snippetsOf(layer(), BASE).map((snippet) => [snippet.name, snippet.code]));
  const zarr = [
    "import zarr",
    "",
    "group = zarr.open_group(",
    `    "${BASE}v3/em.zarr",`,
    '    mode="r",',
    ")",
    'print(group["0"][128, 224:288, 224:288])   # z, y, x',
  ];
  assert.equal(code.zarr, zarr.join("\n"));
  assert.match(code.tensorstore, /"driver": "zarr3"/);
  assert.ok(code.tensorstore.includes(`"kvstore": "${BASE}v3/em.zarr/0/"`));
  assert.ok(code.dask.includes(`da.from_zarr("${BASE}v2/em.zarr/0")`));
  assert.equal(code.Neuroglancer, `zarr3://${BASE}v3/em.zarr/`);
  assert.equal(code.napari, `napari --plugin napari-ome-zarr ${BASE}v2/em.zarr/`);
  assert.equal(code.Fiji, `${BASE}v2/em.zarr`);
});

test("the sampled piece lies in the box and in the array, and has a channel axis where there is one", () => {
  const sampled = (changes) => snippetsOf(layer(changes), BASE)[0].code.split("\n").at(-1);
  assert.equal(sampled({ channels: 3 }), 'print(group["0"][:, 128, 224:288, 224:288])   # c, z, y, x');
  const thin = { shapes: [[1, 20, 512]], mags: ["1"], origin: [0, 0, 0], box: [0, 4, 0, 512, 10, 1] };
  assert.equal(sampled(thin), 'print(group["0"][0, 4:14, 224:288])   # z, y, x');
});

test("Neuroglancer's layer type follows the category", () => {
  const hint = (category) => snippetsOf(layer({ category }), BASE).find(({ name }) => name === "Neuroglancer").hint;
  assert.match(hint("segmentation"), /“segmentation”/);
  assert.match(hint("color"), /“image”/);
});

test("problems speak in the server's words, or say that there were none", async () => {
  const body = JSON.stringify({ type: "about:blank", title: "Gone", status: 410, detail: "It was revoked." });
  const gone = await problemOf(new Response(body, { status: 410 }));
  assert.deepEqual([gone.status, gone.message], [410, "It was revoked."]);
  assert.equal(sentenceOf(gone), "This link is no longer open. It was revoked.");
  for (const odd of ["<html>", "null", '"text"', ""]) {
    const problem = await problemOf(new Response(odd, { status: 502 }));
    assert.equal(sentenceOf(problem), "The server answered 502. The server gave no reason.");
  }
  assert.equal(sentenceOf(new Problem(0, "The server could not be reached.")), "The server could not be reached.");
});

test("who is not signed in, or no longer, is told so in words for people", async () => {
  const refused = [];
  refusals.addEventListener("refused", ({ detail }) => refused.push(detail));
  const answer = () => Response.json({ detail: "sign in with a personal token in the X-Auth-Token header" }, { status: 401 });
  assert.equal(sentenceOf(await problemFor("", answer())), "Sign in to see this.");
  assert.deepEqual(refused, []);
  assert.equal(sentenceOf(await problemFor("old", answer())), "Your token is not valid any more: sign in again.");
  assert.deepEqual(refused, ["old"]);
});
