/** A small still picture of a dataset or annotation: the middle slice of its first image, drawn from its own stream. */

import { make } from "./dom.js";
import { readFacts } from "./link_facts.js";
import { greyPixels, labelPixels, viewOf, windowOf } from "./picture.js";
import { sentenceOf } from "./problem.js";
import { PlaneReader, openLevels } from "./zarr.js";

/** A frame that fills itself once it comes near the window. `kind`: "datasets" or "annotations". */
export function thumbnail(api, kind, { id, name }) {
  const sentence = make("p", { class: "hint" });
  const canvas = make("canvas", { role: "img", "aria-label": `Slice of ${name}`, hidden: true });
  const frame = make("div", { class: "thumbnail" }, canvas, sentence);
  const observer = new IntersectionObserver(
    async ([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      try {
        await draw(canvas, await openView(api, kind, id));
      } catch (error) {
        sentence.textContent = `No picture. ${sentenceOf(error)}`;
        sentence.classList.add("failure");
      }
    },
    { rootMargin: "200px" },
  );
  observer.observe(frame);
  return frame;
}

/** What the short-lived link of a dataset or annotation opens: `{facts, page, expires}`. Throws Problem. */
export async function openView(api, kind, id) {
  const { page, expires } = await api.send("POST", `/api/${kind}/${encodeURIComponent(id)}/view`);
  return { facts: await readFacts(page), page, expires };
}

async function draw(canvas, { facts, page }) {
  const layer = facts.layers.find(({ category }) => category !== "segmentation") ?? facts.layers[0];
  const view = viewOf(layer);
  const [from, to] = view.region.z;
  const levels = await openLevels(page + layer.v2);
  const plane = await new PlaneReader(levels[view.level], view.region).plane(Math.floor((from + to) / 2));
  const pixels = layer.category === "segmentation" ? labelPixels(plane) : greyPixels(plane, windowOf(layer, plane));
  canvas.width = plane.width;
  canvas.height = plane.height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, plane.width, plane.height), 0, 0);
  canvas.hidden = false;
}
