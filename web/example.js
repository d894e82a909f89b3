/** The example page: makes the elements of what is filled in, shows their lines, and prints their events. */

import "./download_panel.js";
import "./zarr_links.js";
import { HERE } from "./api.js";
import { make } from "./dom.js";

const ELEMENTS = ["zarr-links", "download-panel"];
const EVENTS = ["link-created", "link-changed", "link-revoked", "export-started", "export-finished", "box-changed"];

const byId = (id) => document.getElementById(id);

function show(event) {
  event?.preventDefault();
  const attributes = { api: byId("api").value, token: byId("token").value, [byId("kind").value]: byId("id").value };
  byId("lines").textContent = ELEMENTS.map((name) => linesOf(name, attributes)).join("\n\n");
  if (event) byId("shown").replaceChildren(...ELEMENTS.map((name) => make(name, attributes)));
}

function linesOf(name, attributes) {
  const said = { ...attributes, token: "…" };
  const words = Object.entries(said).map(([key, value]) => `${key}="${value}"`);
  const source = `${attributes.api || HERE}/web/${name.replace("-", "_")}.js`;
  return `<script type="module" src="${source}"></script>\n<${name} ${words.join(" ")}></${name}>`;
}

byId("api").value = HERE;
byId("choice").addEventListener("submit", show);
byId("choice").addEventListener("input", () => show());
for (const name of EVENTS) {
  byId("shown").addEventListener(name, ({ detail }) => {
    // The detail of a link holds its secret: what is printed is what happened to which.
    byId("events").append(make("li", { text: `${name} ${detail?.id ?? JSON.stringify(detail)}` }));
  });
}
show();
