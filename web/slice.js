/** The moving slice of one layer: a canvas, a slider under it, and a sentence over it where there is nothing to show. */

import { aspectOf, greyPixels, labelPixels, magOf, viewOf, windowOf } from "./picture.js";
import { sentenceOf } from "./problem.js";
import { PlaneReader, openLevels } from "./zarr.js";

let count = 0; // gives each slider an id; layer names are not ids

export class Slice {
  #layer;
  #address;
  #view;
  #parts;
  #reader = null;
  #window = null;
  #wanted;
  #busy = false;

  /** `figure` is a copy of the template's; nothing is fetched until `show()`. */
  constructor(figure, layer, address, voxelSize) {
    this.#layer = layer;
    this.#address = address;
    this.#view = viewOf(layer);
    this.#parts = {
      figure,
      frame: figure.querySelector(".frame"),
      canvas: figure.querySelector("canvas"),
      over: figure.querySelector(".over"),
      sentence: figure.querySelector(".over p"),
      again: figure.querySelector(".over button"),
      slider: figure.querySelector("input"),
      label: figure.querySelector("label"),
      output: figure.querySelector("output"),
      caption: figure.querySelector(".scale"),
    };
    this.#arrange(aspectOf(layer, this.#view, voxelSize));
  }

  #arrange(aspect) {
    const { figure, canvas, slider, label, output, caption, again } = this.#parts;
    const { region, level, cut } = this.#view;
    const [from, to] = region.z;
    canvas.width = region.x[1] - region.x[0];
    canvas.height = region.y[1] - region.y[0];
    figure.style.setProperty("--aspect", String(aspect));
    figure.classList.toggle("labels", this.#layer.category === "segmentation");

    slider.id = `slice-${(count += 1)}`;
    label.htmlFor = slider.id;
    label.querySelector("span").textContent = ` of ${this.#layer.name}`;
    output.htmlFor = slider.id;
    slider.min = String(from);
    slider.max = String(to - 1);
    slider.value = String(Math.floor((from + to) / 2));
    slider.disabled = to - from < 2;
    slider.addEventListener("input", () => this.#move());
    again.addEventListener("click", () => {
      slider.focus(); // the button is about to go, and the keyboard would be back at the top of the page
      this.show();
    });

    const part = cut ? `centre ${canvas.width} × ${canvas.height} px` : `${canvas.width} × ${canvas.height} px`;
    caption.textContent = `Level ${level}, mag ${this.#layer.mags[level]}, ${part}`;
    this.#tell(Number(slider.value));
  }

  #move() {
    this.#tell(Number(this.#parts.slider.value));
    this.show();
  }

  /** Say which slice it is: counted from 1 in the box, and as z of the whole dataset. */
  #tell(z) {
    const { slider, output, canvas } = this.#parts;
    const [from, to] = this.#view.region.z;
    const mag = magOf(this.#layer.mags[this.#view.level]);
    const datasetZ = this.#layer.origin[2] + z * mag[2];
    output.textContent = `${z - from + 1} of ${to - from}, z = ${datasetZ}`;
    slider.setAttribute("aria-valuetext", `${z - from + 1} of ${to - from}, z ${datasetZ}`);
    canvas.setAttribute("aria-label", `Slice of ${this.#layer.name} across z at ${datasetZ}`);
  }

  /** Draw the slider's slice. One reading at a time: a slider moves faster than slices arrive, and only its last place counts. */
  async show() {
    this.#wanted = Number(this.#parts.slider.value);
    if (this.#busy) return;
    this.#busy = true;
    this.#parts.figure.setAttribute("aria-busy", "true");
    let drawn = null;
    try {
      this.#reader ??= await this.#open();
      while (drawn !== this.#wanted) {
        const z = this.#wanted;
        this.#draw(await this.#reader.plane(z));
        drawn = z;
      }
    } catch (error) {
      this.#clear();
      this.#cover(sentenceOf(error), "failed");
    } finally {
      this.#busy = false;
      this.#parts.figure.removeAttribute("aria-busy");
    }
  }

  async #open() {
    const levels = await openLevels(this.#address);
    const array = levels[this.#view.level];
    if (!array) throw new Error(`The layer has no level ${this.#view.level}.`);
    return new PlaneReader(array, this.#view.region);
  }

  #draw(plane) {
    let pixels;
    if (this.#layer.category === "segmentation") {
      pixels = labelPixels(plane);
    } else {
      // Kept from the first plane on, so that brightness can be compared from slice to slice.
      this.#window ??= windowOf(this.#layer, plane);
      pixels = greyPixels(plane, this.#window);
    }
    const context = this.#parts.canvas.getContext("2d");
    context.putImageData(new ImageData(pixels, plane.width, plane.height), 0, 0);
    if (plane.stored === 0) this.#cover("Nothing is stored in this slice.", "empty");
    else this.#parts.over.hidden = true;
  }

  #clear() {
    const { canvas } = this.#parts;
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  #cover(sentence, kind) {
    const { over, again } = this.#parts;
    this.#parts.sentence.textContent = sentence;
    over.dataset.kind = kind;
    again.hidden = kind !== "failed";
    over.hidden = false;
  }
}
