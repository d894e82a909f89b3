/** An annotation as WEBKNOSSOS downloads it: with its volumes as WKW or Zarr, or the NML alone. */

import { freshId, make } from "./dom.js";
import { sentenceOf } from "./problem.js";
import { save } from "./save.js";

const CHOICES = [
  { value: "wkw", name: "With volumes as WKW", hint: "A zip with the NML and a zip of WKW files for each volume layer." },
  { value: "zarr3", name: "With volumes as Zarr", hint: "A zip with the NML and a zip of Zarr v3 arrays for each volume layer." },
  { value: "", name: "NML only", hint: "Skeletons, boxes and what the annotation says of itself, without voxels." },
];

/** `{element, stop()}`. `annotation`: its information, with `annotationLayers`. */
export function downloadTab(api, token, annotation, announce) {
  const volumes = annotation.annotationLayers.filter(({ typ }) => typ === "Volume");
  const skeletons = annotation.annotationLayers.filter(({ typ }) => typ === "Skeleton");
  const stop = new AbortController();
  const name = freshId("volumes");
  const choices = volumes.length ? CHOICES : CHOICES.slice(-1);
  const status = make("p", { class: "hint", role: "status" });
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: "primary", text: "Download" });

  async function send(event) {
    event.preventDefault();
    failure.hidden = true;
    submit.disabled = true;
    status.textContent = "Asking the server…";
    const format = form.querySelector("input:checked").value;
    const params = { skipVolumeData: String(format === ""), volumeDataZipFormat: format, ids: "uploaded" };
    try {
      const path = `/api/annotations/${encodeURIComponent(annotation.id)}/download`;
      const waiting = (sentence) => (status.textContent = `The server is preparing the file: ${sentence}.`);
      await save(api, token, path, params, { waiting, signal: stop.signal });
      status.textContent = "The download begins. Your browser shows how far it is.";
    } catch (error) {
      if (stop.signal.aborted) return;
      status.textContent = "";
      failure.textContent = sentenceOf(error);
      failure.hidden = false;
      announce("The download failed.");
    }
    submit.disabled = false;
  }

  const notes = [
    volumes.length === 0 ? "This annotation has no volume layer: the NML is all of it." : null,
    volumes.length > 0 && skeletons.length === 0 ? "This annotation has volume layers only: its NML names them." : null,
    volumes.length > 0 ? "Volumes hold what was painted. A segmentation of the dataset below them (the fallback layer) is not part of the download." : null,
  ].filter(Boolean);
  const form = make(
    "form",
    { "aria-label": "Download of the annotation", onsubmit: send },
    make(
      "fieldset",
      { class: "choices" },
      make("legend", { text: "What to download" }),
      choices.map((choice, index) => choiceRow(choice, name, index === 0)),
    ),
    make("ul", { class: "notes" }, notes.map((note) => make("li", { text: note }))),
    make("div", { class: "actions" }, submit),
    status,
    failure,
  );
  return { element: form, stop: () => stop.abort() };
}

function choiceRow({ value, name, hint }, group, checked) {
  const said = freshId("hint");
  const radio = make("input", { type: "radio", name: group, value, checked, "aria-describedby": said });
  return make("div", {}, make("label", { class: "check" }, radio, name), make("p", { class: "hint", id: said, text: hint }));
}
