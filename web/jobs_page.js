/** All jobs of the person who is signed in. */

import { make, sheets } from "./dom.js";
import { JobList } from "./job_list.js";

export async function showJobs(content, { api, token, signal, announce }) {
  const list = new JobList(api, token, { announce });
  const place = make("div", { class: "card" });
  place.attachShadow({ mode: "open" }).append(...sheets("colours.css", "controls.css", "download.css"), list.element);
  content.append(
    make("p", {
      class: "lead",
      text: "Exports and imports that you asked for. New ones begin on the page of a dataset or annotation.",
    }),
    place,
  );
  signal.addEventListener("abort", () => list.stop());
  await list.watch();
}
