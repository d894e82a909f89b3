/** What an export asks for, what it comes to, and the words and lines of Python around it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { commonBox, exportRequest, finestThatFits, fits, isWide, sizeInMag, voxelSizeInMag } from "../../web/export_plan.js";
import { bytesText, durationText, jobTitle } from "../../web/job_words.js";
import { callsOf } from "../../web/python_calls.js";
import { layer } from "./builders/wire.mjs";

const BOX = [0, 0, 0, 1025, 512, 9];
const CHOICE = { format: "ome-tiff", box: BOX, mag: "2-2-1", compression: "", wide: "", mapping: "" };

test("sizes and voxel sizes are those of the mag, sides rounded up", () => {
  assert.deepEqual(sizeInMag(BOX, "1"), [1025, 512, 9]);
  assert.deepEqual(sizeInMag(BOX, "2-2-1"), [513, 256, 9]);
  assert.deepEqual(voxelSizeInMag("4-4-2", { factor: [8, 8, 25], unit: "nanometer" }), { factor: [32, 32, 50], unit: "nanometer" });
});

test("a box fits by its volume and by its longest side", () => {
  const mags = ["1", "2-2-1", "4-4-2"];
  const box = [0, 0, 0, 2048, 1024, 4]; // 8 * 1024 * 1024 voxels
  assert.ok(fits(box, "1", { exportTiffMaxVolumeMVx: 8, exportTiffMaxEdgeLengthVx: 2048 }));
  assert.ok(!fits(box, "1", { exportTiffMaxVolumeMVx: 7, exportTiffMaxEdgeLengthVx: 2048 }));
  assert.equal(finestThatFits(box, mags, { exportTiffMaxVolumeMVx: 7, exportTiffMaxEdgeLengthVx: 2048 }), "2-2-1");
  assert.equal(finestThatFits(box, mags, { exportTiffMaxVolumeMVx: 99, exportTiffMaxEdgeLengthVx: 512 }), "4-4-2");
  assert.equal(finestThatFits(box, mags, { exportTiffMaxVolumeMVx: 99, exportTiffMaxEdgeLengthVx: 100 }), null);
});

test("boxes meet or do not", () => {
  assert.deepEqual(commonBox([0, 0, 0, 10, 10, 10], [5, 5, 5, 10, 10, 10]), [5, 5, 5, 5, 5, 5]);
  assert.equal(commonBox([0, 0, 0, 10, 10, 10], [10, 0, 0, 10, 10, 10]), null);
});

test("a request names the layer of the dataset, or that of the annotation", () => {
  const subject = { dataset: "d/1", annotation: "a1" };
  const request = exportRequest(subject, { name: "em", ofAnnotation: false }, CHOICE);
  assert.equal(request.path, "/api/jobs/run/exportTiff/d%2F1");
  assert.deepEqual([request.params.layerName, request.params.bbox, request.params.mag], ["em", "0,0,0,1025,512,9", "2-2-1"]);
  assert.equal(request.params.asOmeTiff, "true");
  const painted = exportRequest(subject, { name: "Volume", ofAnnotation: true }, { ...CHOICE, format: "tiff-stack" }).params;
  assert.deepEqual([painted.annotationId, painted.annotationLayerName, painted.asOmeTiff], ["a1", "Volume", "false"]);
  assert.equal(painted.layerName, undefined);
  assert.equal(exportRequest({ dataset: null, annotation: "a1" }, { name: "Volume", ofAnnotation: true }, CHOICE).path, "/api/jobs/run/exportTiff/a1");
});

test("only 64-bit numbers are a question", () => {
  assert.deepEqual(["uint8", "uint32", "uint64", "int64"].map((dtype) => isWide({ dtype })), [false, false, true, true]);
});

test("bytes, durations and jobs in words", () => {
  assert.deepEqual([0, 999, 48_570_163, 5e12].map(bytesText), ["0 bytes", "999 bytes", "48.6 MB", "5 TB"]);
  assert.deepEqual([0, 59, 120, 7200].map(durationText), ["1 s", "59 s", "2 min", "2 hours"]);
  const args = { layer_name: "em", annotation_layer_name: null, mag: "1", export_file_name: "x.zip", nd_bbox: { topLeft: [1, 2, 3], width: 4, height: 5, depth: 6 } };
  assert.equal(jobTitle({ command: "export_tiff", commandArgs: args }), "TIFF stack of em, mag 1, box 1, 2, 3, 4, 5, 6");
});

const PYTHON = "python3";

for (const kind of ["dataset", "annotation"]) {
  for (const token of [null, "to\"ken'\\"]) {
    test(`the calls for a ${kind} ${token ? "with" : "without"} a token are Python`, () => {
      const calls = callsOf({
        subject: { kind, id: 'i"d', dataset: "d1" },
        server: "https://host/stage",
        layer: { ...layer({ name: 'an "odd" läyer' }), ofAnnotation: kind === "annotation" },
        box: BOX,
        mag: "2-2-1",
        format: "ome-tiff",
        token,
      });
      for (const { name, code } of calls) {
        execFileSync(PYTHON, ["-c", "import sys, ast; ast.parse(sys.argv[1])", code], { stdio: "pipe" });
        assert.equal(code.includes("to\\\"ken"), token !== null, name);
        assert.equal(code.includes("WK_TOKEN"), token === null, name);
      }
    });
  }
}
