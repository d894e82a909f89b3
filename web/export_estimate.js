/** What an export would come to, asked of the server a moment after the last change; why it cannot be made, and the mag that fits. */

import { button, make } from "./dom.js";
import { bytesText, durationText } from "./job_words.js";
import { sentenceOf } from "./problem.js";
import { sizeText } from "./units.js";

const ASK_AFTER_MS = 300;
const TOO_MANY_JOBS = 429;

export class ExportEstimate {
  #api;
  #changed;
  #words = make("p", { class: "estimate", role: "status" });
  #failure = make("p", { class: "failure", role: "alert", hidden: true });
  #timer = null;
  #asking = null;
  /** Whether the server would not take the request as it is. */
  refused = false;

  /** `takeMag(mag)`: somebody chose the mag that fits. `changed()`: `refused` may be another. */
  constructor(api, takeMag, changed) {
    this.#api = api;
    this.#changed = changed;
    this.element = make("div", { class: "estimates" }, this.#words, this.#failure);
    this.coarser = button("", () => takeMag(this.coarser.dataset.mag), { hidden: true });
  }

  /** Ask for a request of `exportRequest`; null: there is nothing to ask for yet. `fitting`: the mag to offer where it is refused, or null. */
  ask(request, fitting) {
    this.stop();
    this.accept();
    this.#words.textContent = request === null ? "" : "Estimating…";
    if (request !== null) this.#timer = setTimeout(() => this.#estimate(request, fitting), ASK_AFTER_MS);
  }

  async #estimate({ path, params }, fitting) {
    const { signal } = (this.#asking = new AbortController());
    try {
      const found = await this.#api.get(`${path}/estimate`, params, { signal });
      const [size, time] = [bytesText(found.sizeEstimate), durationText(found.timeEstimateSeconds)];
      this.#words.textContent = `About ${size}, in about ${time}: ${sizeText(found.sizeInMag)} voxels (x, y, z).`;
    } catch (error) {
      if (signal.aborted) return;
      this.#words.textContent = "";
      this.refuse(error, fitting);
    }
  }

  /** Say why the request cannot be had. A server that is busy, or was away, may take it the next time. */
  refuse(error, fitting) {
    const { status } = error;
    this.refused = status >= 400 && status < 500 && status !== TOO_MANY_JOBS;
    this.#failure.textContent = sentenceOf(error);
    this.#failure.hidden = false;
    this.coarser.hidden = !this.refused || fitting === null;
    this.coarser.textContent = `Use mag ${fitting}`;
    this.coarser.dataset.mag = fitting;
    this.#changed();
  }

  /** Nothing is wrong with the request, as far as is known. */
  accept() {
    this.refused = false;
    this.#failure.hidden = true;
    this.#failure.textContent = "";
    this.coarser.hidden = true;
    this.#changed();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }
}
