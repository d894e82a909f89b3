/**
 * `<download-panel api token dataset|annotation>`: downloads, TIFF exports and their jobs, and the calls for Python.
 *
 * `api`: what addresses begin with (default: where this file lies); `token`: a personal token; `dataset` or `annotation`: an id.
 * Property `box`: what is exported, `[x, y, z, width, height, depth]` in mag-1 voxels. Events: `export-started` and `export-finished`
 * (detail: the job), `box-changed` (detail `{box}`).
 */

import { Api } from "./api.js";
import { button, make, sheets } from "./dom.js";
import { downloadTab } from "./download_tab.js";
import { ExportForm } from "./export_form.js";
import { JobList } from "./job_list.js";
import { readFacts } from "./link_facts.js";
import "./ortho_view.js";
import { sentenceOf } from "./problem.js";
import { pythonTab } from "./python_tab.js";
import { tabs } from "./tabs.js";

// The picture's address is good for an hour: one that ended sooner after the last has no better successor.
const RENEW_AFTER_MS = 60_000;

export class DownloadPanel extends HTMLElement {
  static observedAttributes = ["api", "token", "dataset", "annotation"];

  #content = make("div");
  #live = make("div", { class: "offscreen", "aria-live": "polite" });
  #parts = null;
  #box = null;
  #opening = 0;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).append(
      ...sheets("colours.css", "controls.css", "download.css"),
      make("section", { class: "card", "aria-label": "Download" }, make("h2", { text: "Download" }), this.#content),
      this.#live,
    );
  }

  get box() {
    return this.#parts?.form?.box ?? this.#box;
  }

  set box(box) {
    this.#box = box;
    if (this.#parts?.form) this.#parts.form.box = box;
    this.#parts?.python.refresh();
  }

  connectedCallback() {
    this.#open();
  }

  disconnectedCallback() {
    this.#opening += 1;
    this.#close();
  }

  attributeChangedCallback(_name, before, after) {
    if (this.isConnected && before !== after) this.#open();
  }

  #close() {
    this.#parts?.form?.stop();
    this.#parts?.download?.stop();
    this.#parts?.jobs.stop();
    this.#parts = null;
  }

  async #open() {
    const opening = (this.#opening += 1);
    this.#close();
    const [dataset, annotation] = ["dataset", "annotation"].map((name) => this.getAttribute(name));
    if (!dataset && !annotation) return;
    this.#content.replaceChildren(make("p", { class: "hint", role: "status", text: "Reading the layers…" }));
    try {
      const token = this.getAttribute("token") ?? "";
      const api = new Api(this.getAttribute("api") ?? "", token);
      const known = await readSubject(api, dataset, annotation);
      if (opening === this.#opening) this.#fill(api, token, known);
    } catch (error) {
      if (opening !== this.#opening) return;
      const again = button("Try again", () => this.#open());
      this.#content.replaceChildren(make("div", { class: "failure", role: "alert" }, make("p", { text: sentenceOf(error) }), again));
    }
  }

  #fill(api, token, known) {
    const announce = (sentence) => this.#announce(sentence);
    const { subject, annotation, layers } = known;
    const jobs = new JobList(api, token, {
      filter: ({ commandArgs: args }) => (annotation ? args.annotation_id === annotation.id : args.dataset_id === subject.dataset && !args.annotation_id),
      announce,
      finished: (job) => this.#emit("export-finished", job),
    });
    const form = token !== "" && known.features.jobsEnabled && layers.length > 0 ? this.#form(api, known, jobs) : null;
    const download = annotation ? downloadTab(api, token, annotation, announce) : null;
    const kind = annotation ? "annotation" : "dataset";
    const first = { layer: layers[0], mag: layers[0]?.mags[0], format: "ome-tiff" };
    const calls = () => ({
      ...(form?.choice ?? first),
      subject: { kind, id: annotation?.id ?? subject.dataset, dataset: subject.dataset },
      server: api.base,
      box: form?.box ?? layers[0].box,
    });
    const python = layers.length > 0 ? pythonTab(token, calls, announce) : { element: noLayers(known), refresh: () => {} };
    this.#parts = { form, download, python, jobs };
    if (form && this.#box) form.box = this.#box;
    const noExports = known.features.jobsEnabled ? "Sign in to export." : "This server makes no exports.";
    const exports = form ? make("div", {}, form.element, unreadable(known)) : layers.length > 0 ? make("p", { text: noExports }) : noLayers(known);
    const pages = [
      ...(download ? [{ name: "Download", content: download.element }] : []),
      { name: "TIFF Export", content: exports },
      { name: "Python", content: python.element },
    ];
    const strip = tabs("Ways to download", pages, () => python.refresh());
    strip.show(0);
    this.#content.replaceChildren(strip.element, ...(token === "" ? [] : [make("h3", { text: "Jobs" }), jobs.element]));
    if (known.features.jobsEnabled && token !== "") jobs.watch();
  }

  #form(api, known, jobs) {
    return new ExportForm({
      ...known,
      api,
      boxes: known.annotation?.boundingBoxes ?? [],
      voxelSize: known.facts.voxelSize,
      makePicture: () => this.#picture(api, known),
      boxChanged: (box) => {
        this.#box = box;
        this.#emit("box-changed", { box });
      },
      submitted: (job) => {
        jobs.add(job);
        this.#announce("The export has started.");
        this.#emit("export-started", job);
      },
    });
  }

  /** A picture of its own, by the link that the layers were read by; another link where that has ended meanwhile. */
  #picture(api, known) {
    const picture = make("ortho-view", { page: known.page });
    let renewedAt = -Infinity;
    picture.addEventListener("page-gone", async (event) => {
      event.stopPropagation();
      if (performance.now() - renewedAt < RENEW_AFTER_MS) return; // what is gone for good says so
      renewedAt = performance.now();
      const view = await api.send("POST", known.viewPath).catch(() => null);
      if (view !== null) picture.page = view.page;
    });
    return picture;
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #announce(sentence) {
    // Emptied first: the same sentence twice would otherwise be said once.
    this.#live.textContent = "";
    setTimeout(() => (this.#live.textContent = sentence), 50);
  }
}

/** What there is to download: `{subject, annotation, layers, facts, page, viewPath, features}`. */
async function readSubject(api, datasetId, annotationId) {
  const kind = annotationId ? "annotations" : "datasets";
  const viewPath = `/api/${kind}/${encodeURIComponent(annotationId ?? datasetId)}/view`;
  const [features, annotation, view] = await Promise.all([
    api.get("/api/features"),
    annotationId ? api.get(`/api/annotations/${encodeURIComponent(annotationId)}/info`) : null,
    api.send("POST", viewPath).catch((error) => {
      // A skeleton over no dataset has no layer, and so no picture; its NML can be had.
      if (annotationId && error.status === 400) return null;
      throw error;
    }),
  ]);
  const facts = view === null ? { layers: [], unavailable: [] } : await readFacts(view.page);
  const painted = new Set(annotation?.annotationLayers.filter(({ typ }) => typ === "Volume").map(({ name }) => name));
  const layers = facts.layers.map((layer) => ({ ...layer, ofAnnotation: painted.has(layer.name) }));
  const subject = { dataset: datasetId ?? annotation.dataSetId, annotation: annotationId };
  return { subject, annotation, layers, facts, page: view?.page ?? "", viewPath, features };
}

function noLayers(known) {
  return make("div", {}, make("p", { text: "There is no layer that can be read." }), unreadable(known));
}

function unreadable({ facts }) {
  const reasons = facts.unavailable.map(({ name, reason }) => make("li", { text: `Layer ${name} cannot be read: ${reason}` }));
  return reasons.length > 0 ? make("ul", { class: "notes" }, reasons) : null;
}

customElements.define("download-panel", DownloadPanel);
