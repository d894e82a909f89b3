/** A list of cases on standard input; on standard output what the function makes of each. */

import { readFileSync } from "node:fs";

import { loadFunction, outcome } from "./builders/edge.mjs";

const loaded = await loadFunction("viewer_request.js");
const made = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) made.push(await outcome(loaded, one));
process.stdout.write(JSON.stringify(made));
