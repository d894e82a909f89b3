/**
 * `<ortho-view page="…/zarr/<token>/">`: three pictures of a link's volume, across z, y and x, and a box on them.
 *
 * Properties: `box`, `[x, y, z, width, height, depth]` in mag-1 voxels or null; `drawing`, whether the mouse and the keys draw it;
 * `layer`, the name of the image layer. Events: `box-changed` (detail `{box}`), after a person changed it; `page-gone`, where the
 * address opens nothing any more.
 */

import { boxWithin } from "./box_edit.js";
import { button, make, sheets } from "./dom.js";
import { boxFields, layerFields, placeFields } from "./ortho_fields.js";
import { drawnLengths, holds, mostZoom, windowAround } from "./ortho_geometry.js";
import { OrthoPane } from "./ortho_pane.js";
import { imageOf, middleOf, openVolume } from "./ortho_volume.js";
import { sentenceOf } from "./problem.js";

const GONE = 410;
// yz beside xy, xz below it: neighbours share an axis.
const LAYOUT = ["xy", "yz", "xz"];
// Which part of the width the sliders need.
const ROOMY = 0.3;

export class OrthoView extends HTMLElement {
  static observedAttributes = ["page"];

  #parts;
  #panes;
  #layers = [];
  #facts = null;
  #box = null;
  #drawing = false;
  #wantedLayer = null;
  #look = { position: null, centre: null, zoom: 0, image: null, overlay: null, opacity: 0.4 };
  #opening = 0;

  constructor() {
    super();
    const actions = {
      move: (position) => this.#move(position),
      zoom: (by) => this.#zoom(by),
      box: (box) => this.#change(box),
      again: () => this.#draw(),
      failed: (error) => this.#tellGone(error),
    };
    this.#panes = LAYOUT.map((name) => new OrthoPane(name, actions));
    const sentence = make("p");
    this.#parts = {
      sentence,
      status: make("p", { class: "hint", role: "status" }),
      failure: make("div", { class: "message", role: "alert", hidden: true }, sentence, button("Try again", () => this.#open())),
      layers: layerFields({
        choose: (choice) => this.#choose(choice),
        paint: () => this.#paint(),
        auto: () => this.#stretch(),
        opacity: (opacity) => this.#setOpacity(opacity),
      }),
      places: placeFields({ move: (position) => this.#move(position), zoom: (by) => this.#zoom(by) }),
      box: boxFields({ change: (box) => this.#change(box), bounds: () => this.#facts.box, window: () => this.#window() }),
      stretched: make("p", { class: "hint", hidden: true }),
      draw: button("Draw a box", () => (this.drawing = !this.drawing), { "aria-pressed": "false" }),
    };
    const { status, failure, layers, places, box, stretched, draw } = this.#parts;
    this.#parts.all = make(
      "div",
      { class: "ortho", hidden: true },
      layers.element,
      make("div", { class: "panes" }, this.#panes.map((pane) => pane.element), places.element),
      stretched,
      make("div", { class: "actions" }, draw),
      box.element,
    );
    this.attachShadow({ mode: "open" }).append(...sheets("colours.css", "controls.css", "ortho_view.css"), status, failure, this.#parts.all);
  }

  get page() {
    return this.getAttribute("page") ?? "";
  }

  set page(address) {
    this.setAttribute("page", address);
  }

  get box() {
    return this.#box;
  }

  set box(box) {
    const given = box ?? null;
    this.#box = given === null || this.#facts === null ? given : boxWithin(given, this.#facts.box);
    this.#arrange();
  }

  get drawing() {
    return this.#drawing;
  }

  set drawing(drawing) {
    this.#drawing = Boolean(drawing);
    this.#parts.draw.setAttribute("aria-pressed", String(this.#drawing));
    this.#arrange();
  }

  get layer() {
    return this.#look.image?.facts.name ?? this.#wantedLayer;
  }

  set layer(name) {
    this.#wantedLayer = name;
    if (this.#facts !== null) this.#choose({ image: name });
  }

  connectedCallback() {
    if (this.#facts === null) this.#open();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#open();
  }

  /** Ask the address what it opens. What was looked at stays, where the new address has it too. */
  async #open() {
    const opening = (this.#opening += 1);
    if (this.page === "") return;
    this.#parts.failure.hidden = true;
    this.#parts.status.textContent = "Opening the picture…";
    try {
      const volume = await openVolume(this.page, this.#wantedLayer);
      if (opening === this.#opening) this.#begin(volume);
    } catch (error) {
      if (opening !== this.#opening) return;
      this.#parts.status.textContent = "";
      this.#parts.sentence.textContent = sentenceOf(error);
      this.#parts.failure.hidden = false;
      this.#parts.all.hidden = true;
      this.#tellGone(error);
    }
  }

  #tellGone({ status }) {
    if (status === GONE) this.dispatchEvent(new CustomEvent("page-gone", { bubbles: true, composed: true }));
  }

  #begin({ facts, layers, zoom }) {
    const named = (name) => layers.find((layer) => layer.facts.name === name) ?? null;
    const before = this.#look;
    const image = named(before.image?.facts.name) ?? imageOf(layers, this.#wantedLayer);
    const stays = before.position !== null && holds(facts.box, before.position);
    const place = stays ? before : { position: middleOf(image.facts.box), centre: middleOf(image.facts.box), zoom };
    const overlay = before.image === null ? layers.find((layer) => layer.isLabels && layer !== image) : named(before.overlay?.facts.name);
    this.#facts = facts;
    this.#layers = layers;
    this.#look = { ...before, position: place.position, centre: place.centre, zoom: place.zoom, image, overlay: overlay ?? null };
    if (this.#box !== null) this.#box = boxWithin(this.#box, facts.box);
    this.#parts.status.textContent = "";
    this.#parts.all.hidden = false;
    this.#draw();
  }

  #window() {
    return windowAround(this.#facts.box, this.#facts.voxelSize, this.#look.centre, this.#look.zoom);
  }

  #scene() {
    const window = this.#window();
    return {
      ...this.#look,
      window,
      bounds: this.#facts.box,
      lengths: drawnLengths(window, this.#facts.voxelSize),
      box: this.#box,
      drawing: this.#drawing,
    };
  }

  /** Everything, with the voxels. */
  async #draw() {
    const scene = this.#arrange();
    this.#parts.layers.show(this.#layers, this.#look);
    await Promise.all(this.#panes.map((pane) => pane.show(scene)));
    // The first plane of a layer says its contrast.
    if (scene.image === this.#look.image) this.#parts.layers.show(this.#layers, this.#look);
  }

  /** Everything that needs no voxels. */
  #arrange() {
    if (this.#facts === null) return null;
    const scene = this.#scene();
    for (const pane of this.#panes) pane.arrange(scene);
    const most = mostZoom(this.#facts.box, this.#facts.voxelSize);
    this.#parts.places.show(scene, this.#facts, most);
    this.#parts.box.show(this.#box, this.#drawing, this.#facts.voxelSize);
    const { lengths } = scene;
    this.#parts.stretched.hidden = !lengths.stretched;
    this.#parts.stretched.textContent = lengths.stretched ? "The volume is very thin along one axis: it is drawn thicker than it is." : "";
    const panes = this.shadowRoot.querySelector(".panes");
    panes.style.setProperty("--columns", `${lengths.x}fr ${lengths.z}fr`);
    // Beside xz, where there is room for them; else below.
    panes.classList.toggle("roomy", lengths.z >= ROOMY * (lengths.x + lengths.z));
    return scene;
  }

  #paint() {
    for (const pane of this.#panes) pane.paint();
  }

  /** From the least value that is shown to the greatest. */
  #stretch() {
    const ranges = this.#panes.map((pane) => pane.range()).filter(Boolean);
    if (ranges.length === 0) return;
    this.#look.image.contrast = [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))];
    this.#parts.layers.show(this.#layers, this.#look);
    this.#paint();
  }

  #setOpacity(opacity) {
    this.#look.opacity = opacity;
    this.#arrange();
    this.#paint();
  }

  #choose({ image = this.layer, overlay = this.#look.overlay?.facts.name ?? null }) {
    const named = (name) => this.#layers.find((layer) => layer.facts.name === name) ?? null;
    this.#look.image = named(image) ?? this.#look.image;
    this.#look.overlay = overlay === this.#look.image.facts.name ? null : named(overlay);
    this.#draw();
  }

  #move(position) {
    const { box } = this.#facts;
    this.#look.position = position.map((place, i) => Math.min(Math.max(place, box[i]), box[i] + box[i + 3] - 1));
    if (!holds(this.#window(), this.#look.position)) this.#look.centre = this.#look.position;
    this.#draw();
  }

  #zoom(by) {
    const most = mostZoom(this.#facts.box, this.#facts.voxelSize);
    this.#look.zoom = Math.min(Math.max(this.#look.zoom + by, 0), most);
    this.#look.centre = this.#look.position;
    this.#draw();
  }

  #change(box) {
    this.#box = box;
    this.#arrange();
    this.dispatchEvent(new CustomEvent("box-changed", { detail: { box }, bubbles: true, composed: true }));
  }
}

customElements.define("ortho-view", OrthoView);
