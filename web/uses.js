/** How often a link was opened, in words. */

/** `opened up to 12 times, last 2026-11-20`: what is counted are openings of layers. Null where the server does not count. */
export function usesSentence({ uses, lastUsed }) {
  if (typeof uses !== "number") return null;
  if (uses === 0) return "not opened yet";
  const count = uses === 1 ? "once" : `up to ${uses.toLocaleString("en")} times`;
  const last = typeof lastUsed === "number" ? `, last ${new Date(lastUsed).toISOString().slice(0, 10)}` : "";
  return `opened ${count}${last}`;
}
