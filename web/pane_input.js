/** What mouse and keyboard do on one picture: move the crosshair, zoom, draw, move and resize the box. */

import { boxWithin, drawnBox, gripAt, movedBox, resizedBox } from "./box_edit.js";
import { AT } from "./ortho_geometry.js";

const GRIP_PX = 8;
// A mouse that moved less was not dragged.
const CLICK_PX = 4;
const LEAP = 10;

const ARROWS = { ArrowLeft: ["along", -1], ArrowRight: ["along", 1], ArrowUp: ["down", -1], ArrowDown: ["down", 1] };
const PAGES = { PageUp: -1, PageDown: 1 };
const ZOOMS = { "+": 1, "=": 1, "-": -1 };

/**
 * Listen on a picture's `stage` and on the `box` in it. `which`: the plane, of PLANES. `scene()`: what is shown, null before
 * there is any; `mag()`: voxels of mag 1 along x, y, z in one voxel of it; `actions`: as OrthoPane takes them.
 */
export function listen(stage, box, which, { scene, mag, actions }) {
  const input = new PaneInput(stage, which, scene, mag, actions);
  stage.addEventListener("pointerdown", (event) => input.press(event));
  stage.addEventListener("pointermove", (event) => input.drive(event));
  stage.addEventListener("pointerup", (event) => input.release(event));
  stage.addEventListener("pointercancel", () => input.drop());
  stage.addEventListener("keydown", (event) => input.key(event));
  stage.addEventListener("wheel", (event) => input.wheel(event), { passive: false });
  box.addEventListener("keydown", (event) => input.boxKey(event));
}

class PaneInput {
  #stage;
  #which;
  #read;
  #mag;
  #actions;
  #drag = null;

  constructor(stage, which, read, mag, actions) {
    this.#stage = stage;
    this.#which = which;
    this.#read = read;
    this.#mag = mag;
    this.#actions = actions;
  }

  get #scene() {
    return this.#read();
  }

  /** The position in mag-1 voxels under the mouse, and how many of them a grip reaches. */
  #under(event) {
    const { along, down } = this.#which;
    const { window, position } = this.#scene;
    const frame = this.#stage.getBoundingClientRect();
    const found = position.map((place) => place + 0.5);
    const reach = {};
    for (const [axis, at, side] of [[along, event.clientX - frame.left, frame.width], [down, event.clientY - frame.top, frame.height]]) {
      const voxels = window[AT[axis] + 3] / side;
      found[AT[axis]] = window[AT[axis]] + at * voxels;
      reach[axis] = GRIP_PX * voxels;
    }
    return { position: found, reach };
  }

  press(event) {
    if (event.button !== 0 || this.#scene === null || event.target.closest(".over")) return;
    event.preventDefault();
    this.#stage.focus({ preventScroll: true });
    this.#stage.setPointerCapture(event.pointerId);
    const under = this.#under(event);
    const grip = this.#scene.drawing && !event.shiftKey ? this.#gripUnder(under) : null;
    this.#drag = { from: under.position, x: event.clientX, y: event.clientY, grip, box: this.#scene.box, moved: false };
    if (!this.#scene.drawing) this.#look(under.position);
  }

  /** A box that fills the picture is nothing to move: the mouse draws a new one in it. */
  #gripUnder({ position, reach }) {
    const { box, window } = this.#scene;
    if (box === null) return null;
    const grip = gripAt(this.#which, box, position, reach);
    const fills = [this.#which.along, this.#which.down].every((axis) => {
      const i = AT[axis];
      return box[i] <= window[i] && box[i] + box[i + 3] >= window[i] + window[i + 3];
    });
    return grip !== null && fills && !grip.sides ? null : grip;
  }

  drive(event) {
    if (this.#scene === null) return;
    const under = this.#under(event);
    if (this.#drag === null) {
      this.#stage.style.cursor = this.#scene.drawing ? cursorOf(this.#gripUnder(under), this.#which) : "";
      return;
    }
    if (!this.#scene.drawing) {
      this.#look(under.position);
      return;
    }
    this.#drag.moved ||= Math.hypot(event.clientX - this.#drag.x, event.clientY - this.#drag.y) >= CLICK_PX;
    if (this.#drag.moved) this.#actions.box(this.#dragged(under.position));
  }

  #dragged(to) {
    const { from, grip, box } = this.#drag;
    const { bounds, window } = this.#scene;
    if (grip === null) return drawnBox(this.#which, from, to, box ?? boxWithin(window, bounds), bounds);
    if (grip.sides) return resizedBox(box, grip.sides, to, bounds);
    return movedBox(box, to.map((place, i) => place - from[i]), bounds);
  }

  release(event) {
    if (this.#drag !== null && this.#scene.drawing && !this.#drag.moved) this.#look(this.#under(event).position);
    this.#drag = null;
  }

  #look(position) {
    this.#actions.move(position.map(Math.floor));
  }

  wheel(event) {
    // Without the focus a wheel goes on scrolling the page.
    if (this.#scene === null || this.#stage.getRootNode().activeElement !== this.#stage) return;
    event.preventDefault();
    const by = Math.sign(event.deltaY);
    if (event.ctrlKey) this.#actions.zoom(-by);
    else this.#step(this.#which.normal, by);
  }

  key(event) {
    if (this.#scene === null || event.ctrlKey || event.altKey || event.metaKey) return;
    const leap = event.shiftKey ? LEAP : 1;
    if (event.key in ARROWS) {
      const [side, by] = ARROWS[event.key];
      this.#step(this.#which[side], by * leap);
    } else if (event.key in PAGES) {
      this.#step(this.#which.normal, PAGES[event.key] * leap);
    } else if (event.key in ZOOMS) {
      this.#actions.zoom(ZOOMS[event.key]);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** The crosshair goes on by whole voxels of the level that is shown. */
  #step(axis, by) {
    const position = [...this.#scene.position];
    position[AT[axis]] += by * this.#mag()[AT[axis]];
    this.#actions.move(position);
  }

  boxKey(event) {
    if (!(event.key in ARROWS) || event.ctrlKey || event.altKey || event.metaKey || !this.#scene.drawing) return;
    event.preventDefault();
    event.stopPropagation();
    const [side, by] = ARROWS[event.key];
    const i = AT[this.#which[side]];
    const { box, bounds } = this.#scene;
    const way = by * this.#mag()[i];
    const far = box.slice(0, 3).map((start, axis) => start + box[axis + 3] + (axis === i ? way : 0));
    const made = event.shiftKey
      ? resizedBox(box, { [this.#which[side]]: 1 }, far, bounds)
      : movedBox(box, [0, 1, 2].map((axis) => (axis === i ? way : 0)), bounds);
    this.#actions.box(made);
  }

  drop() {
    this.#drag = null;
  }
}

function cursorOf(grip, { along, down }) {
  if (grip === null) return "crosshair";
  if (!grip.sides) return "move";
  const { [along]: u, [down]: v } = grip.sides;
  if (u && v) return u === v ? "nwse-resize" : "nesw-resize";
  return u ? "ew-resize" : "ns-resize";
}
