/** All links of the person who is signed in. */

import "./zarr_links.js";
import { make } from "./dom.js";

export function showLinks(content, { token }) {
  content.append(
    make("p", {
      class: "lead",
      text: "Whoever has one of these addresses can read what it opens. New links are made on the page of a dataset or annotation.",
    }),
    make("zarr-links", { token }),
  );
}
