/** Revoked links whose revocation a CDN does not know yet: the API shows them until it does. */

import { Problem } from "./problem.js";

// Usually some seconds; two minutes altogether.
const PAUSES_MS = [500, 500, 1000, 1000, 2000, ...Array(29).fill(4000)];

const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Ask for a link until it is not there any more: true; false where that takes longer than anybody waits, or where
 * `goesOn()` says that nobody waits. `look()` asks, and throws what the API refuses with.
 */
export async function untilGone(look, { goesOn = () => true, wait = after } = {}) {
  for (const pause of PAUSES_MS) {
    await wait(pause);
    if (!goesOn()) return false;
    try {
      await look();
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return true;
    }
  }
  return false;
}
