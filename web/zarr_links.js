/**
 * `<zarr-links api token dataset|annotation>`: the Zarr links to a dataset or annotation; without either, all of one's own.
 *
 * Attributes: `api`, what addresses of the API begin with (default: where this file comes from); `token`, a personal token;
 * `neuroglancer`, a viewer to open links in; `undo-seconds`, how long a revocation can be taken back (default 8).
 * Property `box`, [x, y, z, width, height, depth] or null: filled in where somebody limits a new link.
 * Events, with the link's JSON as detail: `link-created`, `link-changed`, `link-revoked`.
 */

import { Api } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, make, sheets } from "./dom.js";
import { LinkCard, nameOf } from "./link_card.js";
import { readFacts } from "./link_facts.js";
import { linkForm } from "./link_form.js";
import { Problem, sentenceOf } from "./problem.js";
import { Revocations } from "./revocations.js";
import { untilGone } from "./untold.js";

const UNDO_SECONDS = 8;

export class ZarrLinks extends HTMLElement {
  static observedAttributes = ["api", "token", "dataset", "annotation"];

  #api;
  #user = null;
  #names = new Map();
  #cards = new Map();
  #form = null;
  #box = null;
  #loading = null;
  #revocations = new Revocations((link, options) => this.#delete(link, options));
  #parts;

  constructor() {
    super();
    const list = make("div", { class: "links" });
    const failure = make("div", { class: "message failure", role: "alert", hidden: true });
    const empty = make("p", { class: "hint", text: "No link yet.", hidden: true });
    const live = make("div", { class: "offscreen", role: "status", "aria-live": "polite" });
    const form = make("div");
    const create = button("New link", () => this.#openForm(), { class: "primary" });
    this.#parts = { list, failure, empty, live, form, create };
    this.attachShadow({ mode: "open" }).append(
      ...sheets("colours.css", "controls.css", "elements.css"),
      make("div", { class: "heading" }, make("h2", { text: "Zarr links" }), create),
      form,
      failure,
      empty,
      list,
      live,
    );
  }

  get box() {
    return this.#box;
  }

  set box(box) {
    this.#box = box;
    this.#form?.setBox(box);
  }

  connectedCallback() {
    this.#reload();
    addEventListener("pagehide", this.#leave);
  }

  disconnectedCallback() {
    this.#loading?.abort();
    removeEventListener("pagehide", this.#leave);
    this.#leave();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#reload();
  }

  /** Whoever leaves has had the chance to undo. */
  #leave = () => this.#revocations.finish();

  /** Read the list anew. Attributes are often set one after the other: only the last of such readings counts. */
  async #reload() {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    await Promise.resolve();
    if (loading.signal.aborted) return;
    this.#revocations.finish();
    this.#api = new Api(this.getAttribute("api"), this.getAttribute("token"));
    this.#closeForm();
    this.#parts.create.hidden = this.#subject() === null;
    this.setAttribute("aria-busy", "true");
    try {
      const [user, links] = await Promise.all(
        ["/api/user", this.#listPath()].map((path) => this.#api.get(path, {}, { signal: loading.signal })),
      );
      this.#user = user.id;
      this.#names = this.#subject() === null ? await this.#readNames(loading.signal) : new Map();
      this.#cards.clear();
      this.#parts.list.replaceChildren(...links.map((link) => this.#card(link).element));
      this.#say("");
      this.#tellEmpty();
    } catch (error) {
      if (loading.signal.aborted) return;
      this.#parts.list.replaceChildren();
      this.#say(`The links could not be read. ${sentenceOf(error)}`, () => this.#reload());
    }
    this.removeAttribute("aria-busy");
  }

  /** `["dataset" or "annotation", id]`, or null. */
  #subject() {
    const kind = ["annotation", "dataset"].find((name) => this.getAttribute(name));
    return kind ? [kind, this.getAttribute(kind)] : null;
  }

  /** Names of datasets and annotations by id. */
  async #readNames(signal) {
    const lists = ["/api/datasets", "/api/annotations/readable"].map((path) => this.#api.get(path, {}, { signal }));
    return new Map((await Promise.all(lists)).flat().map(({ id, name }) => [id, name]));
  }

  #listPath() {
    const subject = this.#subject();
    if (subject === null) return "/api/zarrPrivateLinks";
    const [kind, id] = subject;
    return `/api/zarrPrivateLinks/by${kind === "dataset" ? "Dataset" : "Annotation"}/${encodeURIComponent(id)}`;
  }

  #card(link) {
    const card = new LinkCard(link, {
      api: this.#api,
      user: this.#user,
      names: this.#names,
      viewer: this.getAttribute("neuroglancer"),
      announce: (sentence) => this.#announce(sentence),
      change: (known, changes) => this.#change(known, changes),
      revoke: (known) => this.#revoke(known),
    });
    this.#cards.set(link.id, card);
    return card;
  }

  // Making

  #openForm() {
    if (this.#form === null) {
      const [kind, id] = this.#subject();
      this.#form = linkForm({
        readFacts: async () => {
          const { page } = await this.#api.send("POST", `/api/${kind}s/${encodeURIComponent(id)}/view`);
          return readFacts(page);
        },
        create: (wish) => this.#create({ [kind]: id, ...wish }),
        close: () => {
          this.#closeForm();
          this.#parts.create.focus();
        },
      });
      if (this.#box) this.#form.setBox(this.#box);
      this.#parts.form.replaceChildren(this.#form.element);
    }
    this.#parts.create.hidden = true;
    this.#form.element.querySelector("input").focus();
  }

  #closeForm() {
    this.#form = null;
    this.#parts.form.replaceChildren();
    this.#parts.create.hidden = false;
  }

  async #create(wish) {
    const link = await this.#api.send("POST", "/api/zarrPrivateLinks", { body: wish });
    this.#closeForm();
    const card = this.#card(link);
    this.#parts.list.prepend(card.element);
    if (link.leftOut.length > 0) card.fail(`Not in this link: ${link.leftOut.join("; ")}.`);
    this.#tellEmpty();
    card.element.querySelector("button").focus();
    this.#announce(`Created ${nameOf(link)}.`);
    this.#tell("link-created", link);
  }

  // Changing

  /** Shown at once, and taken back where the server will not have it. */
  async #change(link, changes) {
    const card = this.#cards.get(link.id);
    card.fail("");
    card.show({ ...link, ...changes });
    try {
      const changed = await this.#api.send("PUT", `/api/zarrPrivateLinks/${link.id}`, { body: changes });
      card.show(changed);
      this.#announce(`Changed ${nameOf(changed)}.`);
      this.#tell("link-changed", changed);
    } catch (error) {
      card.show(link);
      card.fail(`Not changed. ${sentenceOf(error)}`);
    }
  }

  // Revoking

  async #revoke(link) {
    const sure = await confirmed(this.shadowRoot, {
      title: `Revoke “${nameOf(link)}”?`,
      text: "Whoever uses its addresses is refused from then on, for good. A new link has other addresses.",
      yes: "Revoke",
      no: "Keep it",
    });
    if (!sure) return;
    const card = this.#cards.get(link.id);
    const seconds = Number(this.getAttribute("undo-seconds") ?? UNDO_SECONDS);
    const undo = button("Undo", () => {
      if (!this.#revocations.undo(link.id)) return; // it is being sent
      notice.replaceWith(card.element);
      card.focus();
      this.#announce(`${nameOf(link)} stays open.`);
    });
    const left = make("span", { text: `in ${seconds} seconds` });
    const sentence = make("p", { text: `Revoking “${nameOf(link)}” ` }, left, ".");
    const notice = make(
      "div",
      { class: "card notice", role: "group", "aria-label": `Revoking ${nameOf(link)}` },
      sentence,
      undo,
    );
    card.element.replaceWith(notice);
    undo.focus();
    this.#announce(`${nameOf(link)} will be revoked in ${seconds} seconds. Undo is in focus.`);
    this.#revocations.begin(link, {
      seconds,
      tick: (rest) => (left.textContent = rest > 0 ? `in ${rest} ${rest === 1 ? "second" : "seconds"}` : "now"),
      done: async (state) => {
        const focused = this.shadowRoot.activeElement === undo;
        this.#cards.delete(link.id);
        if (state === "revoking") {
          undo.remove();
          if (focused) this.#nextFocus();
          if (!(await this.#waitUntilTold(link, sentence))) return;
        }
        notice.remove();
        this.#tellEmpty();
        if (focused && state !== "revoking") this.#nextFocus();
        this.#announce(`Revoked ${nameOf(link)}.`);
        this.#tell("link-revoked", link);
      },
      failed: (error) => {
        notice.replaceWith(card.element);
        card.fail(`Not revoked: the link is still open. ${sentenceOf(error)}`);
      },
    });
    undo.focus();
  }

  /** What the link is then: "revoking" while a CDN is being told, else "revoked". */
  async #delete(link, options) {
    try {
      const answer = await this.#api.send("DELETE", `/api/zarrPrivateLinks/${link.id}`, options);
      return answer?.state ?? "revoked";
    } catch (error) {
      // Somebody was faster: it is as revoked as can be.
      if (error instanceof Problem && error.status === 404) return "revoked";
      throw error;
    }
  }

  /** Whether the CDN is told of a revocation while this element is there. */
  async #waitUntilTold(link, sentence) {
    const api = this.#api;
    sentence.textContent = `“${nameOf(link)}” is revoked. The CDN is being told, which takes some seconds.`;
    this.#announce(sentence.textContent);
    const isTold = await untilGone(() => api.get(`/api/zarrPrivateLinks/${link.id}`), {
      goesOn: () => sentence.isConnected,
    });
    if (!isTold) sentence.textContent = `“${nameOf(link)}” is revoked. The CDN is not known to refuse it yet.`;
    return isTold;
  }

  // Telling

  #nextFocus() {
    const target = this.#parts.list.querySelector("button") ?? this.#parts.create;
    target.focus();
  }

  #tellEmpty() {
    this.#parts.empty.hidden = this.#parts.list.children.length > 0;
  }

  #say(sentence, again = null) {
    this.#parts.failure.hidden = sentence === "";
    this.#parts.failure.replaceChildren(make("p", { text: sentence }), ...(again ? [button("Try again", again)] : []));
    if (sentence) this.#parts.empty.hidden = true;
  }

  #announce(sentence) {
    // A new element, so that the same sentence is said again.
    this.#parts.live.replaceChildren(make("p", { text: sentence }));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

customElements.define("zarr-links", ZarrLinks);
