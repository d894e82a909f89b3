/** What a link opens, as the link itself says: layers, boxes, mags, voxel size. */

import { problemOf, reach } from "./problem.js";

/** The JSON at a link's address. Throws Problem. */
export async function readFacts(address) {
  // Not from the cache: this JSON has the page's own address, and a browser going back would show it in place of the page.
  const options = { headers: { Accept: "application/json" }, cache: "no-store", referrerPolicy: "no-referrer" };
  const response = await reach(address, options);
  if (response.status !== 200) throw await problemOf(response);
  return response.json();
}
