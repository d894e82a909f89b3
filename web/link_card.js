/** One link as a card: when it ends, its addresses to copy, and what can be done with it. */

import { copies } from "./copy.js";
import { boxText } from "./box_text.js";
import { button, labelled, make } from "./dom.js";
import { expiryField } from "./expiry_field.js";
import { endAfter, expiryOf, expirySentence } from "./expiry.js";
import { readFacts } from "./link_facts.js";
import { sentenceOf } from "./problem.js";
import { webknossosLines } from "./snippets.js";
import { toolsSection } from "./tools.js";
import { usesSentence } from "./uses.js";

// Of a link with more layers than this the addresses come on demand.
const LAYERS_SHOWN = 8;
// Of more than one above this, that many are named.
const LAYERS_NAMED = 5;
// What is copied, on its button and in words.
const DIALECTS = { v3: ["v3", "Zarr v3"], v2: ["v2", "Zarr v2"], webknossos: ["wk", "WEBKNOSSOS"] };

export function nameOf(link) {
  return link.name || "Unnamed link";
}

/**
 * The card of a link. `how`: `change(link, changes)` and `revoke(link)` do what they say, `announce(sentence)` reaches the
 * live region, `viewer` is a configured Neuroglancer, `api` what the link was asked from, `user` the id of who asked: of
 * other people's links to what is theirs people see that they are there, and can revoke them. `names`: of datasets and
 * annotations by id, where the page does not say what its links are to.
 */
export class LinkCard {
  #link;
  #how;
  #head = make("div", { class: "head" });
  #failure = make("p", { class: "failure", role: "alert", hidden: true });
  #editing = make("div", { hidden: true });
  #tools = make("div", { hidden: true });
  #openIn = button("Open in…", () => this.#toggleTools(), { "aria-expanded": "false" });
  #longer = button("Extend by a month", () => this.#extend());
  #edit = button("Edit", () => this.#toggleEdit(), { "aria-expanded": "false" });
  #revoke = button("Revoke", () => this.#how.revoke(this.#link), { class: "danger" });

  constructor(link, how) {
    this.#how = how;
    const mine = link.owner === how.user ? [this.#longer, this.#edit] : [];
    this.element = make(
      "article",
      { class: "card link" },
      this.#head,
      this.#addresses(link),
      make("div", { class: "actions" }, link.page ? this.#openIn : null, mine, this.#revoke),
      this.#failure,
      this.#editing,
      this.#tools,
    );
    this.show(link);
  }

  /** Say what the link is now; what is open stays open. */
  show(link) {
    this.#link = link;
    this.element.setAttribute("aria-label", `Link ${nameOf(link)}`);
    const now = new Date();
    const { expired } = expiryOf(link.expirationDateTime, now);
    const end = make("time", { text: expirySentence(link.expirationDateTime, now), class: expired ? "expired" : null });
    if (link.expirationDateTime !== null) end.dateTime = new Date(link.expirationDateTime).toISOString();
    const words = [expired || link.expirationDateTime === null ? "" : "expires ", end];
    const opened = this.#how.names.get(link.annotation ?? link.dataset);
    const maker = link.owner === this.#how.user ? null : `made by ${link.owner}`;
    this.#longer.hidden = link.expirationDateTime === null;
    this.element.classList.toggle("gone", expired);
    this.#head.replaceChildren(
      make("div", { class: "heading" }, make("h3", { text: nameOf(link) }), make("p", { class: "kind end" }, words)),
      make("p", {
        class: "hint",
        text: [opened ? `to ${opened}` : null, maker, scopeSentence(link), usesSentence(link)]
          .filter(Boolean)
          .join(" · "),
      }),
    );
  }

  /** Say why a change was taken back. */
  fail(sentence) {
    this.#failure.textContent = sentence;
    this.#failure.hidden = sentence === "";
  }

  focus() {
    this.#revoke.focus();
  }

  #addresses(link) {
    if (!link.page)
      return make("p", { class: "hint", text: "Its addresses are not yours to see: it opens more than you may read." });
    const rows = link.layers.map((layer) =>
      make(
        "tr",
        {},
        make("th", { scope: "row", text: layer.name }),
        Object.entries(DIALECTS).map(([dialect, [label, words]]) =>
          make("td", {}, this.#copying(label, layer.name, layer[dialect], `the ${words} address of ${layer.name}`)),
        ),
      ),
    );
    const table = make(
      "table",
      { class: "addresses" },
      make("caption", { class: "offscreen", text: "Addresses of the layers" }),
      rows,
    );
    const page = make(
      "div",
      { class: "page-row" },
      make("a", { href: link.page, target: "_blank", rel: "noopener noreferrer", text: "The link's page" }),
      this.#copying("link", nameOf(link), link.page, `the address of ${nameOf(link)}`),
    );
    if (link.layers.length <= LAYERS_SHOWN) return [page, table];
    return [page, make("details", {}, make("summary", { text: `Addresses of ${link.layers.length} layers` }), table)];
  }

  #copying(label, name, address, what) {
    const shown = make("code", { text: address, hidden: true });
    const copy = button(`Copy ${label}`, null, { class: "copy", "aria-label": `Copy ${label}: ${name}` });
    copies(copy, { textOf: () => address, shown, what, announce: this.#how.announce });
    return [copy, shown];
  }

  async #extend() {
    const start = new Date(Math.max(this.#link.expirationDateTime, Date.now()));
    await this.#how.change(this.#link, { expirationDateTime: endAfter("month", start) });
  }

  #toggleEdit() {
    const opening = this.#editing.hidden;
    this.#editing.hidden = !opening;
    this.#edit.setAttribute("aria-expanded", String(opening));
    if (!opening) {
      this.#editing.replaceChildren();
      return;
    }
    const name = make("input", { type: "text", maxlength: 200, autocomplete: "off", value: this.#link.name });
    const expiry = expiryField(this.#link.expirationDateTime);
    const close = () => {
      this.#toggleEdit();
      this.#edit.focus();
    };
    const save = (event) => {
      event.preventDefault();
      const wished = { name: name.value.trim(), expirationDateTime: expiry.value() };
      const changes = Object.entries(wished).filter(([key, value]) => value !== undefined && value !== this.#link[key]);
      close();
      if (changes.length > 0) this.#how.change(this.#link, Object.fromEntries(changes));
    };
    this.#editing.replaceChildren(
      make(
        "form",
        {
          "aria-label": `Edit ${nameOf(this.#link)}`,
          onsubmit: save,
          onkeydown: (event) => event.key === "Escape" && close(),
        },
        make("div", { class: "row" }, labelled("Name", name), expiry.element),
        make(
          "div",
          { class: "actions" },
          make("button", { type: "submit", class: "primary", text: "Save" }),
          button("Cancel", close),
        ),
      ),
    );
    name.focus();
  }

  async #toggleTools() {
    const opening = this.#tools.hidden;
    this.#tools.hidden = !opening;
    this.#openIn.setAttribute("aria-expanded", String(opening));
    if (!opening || this.#tools.firstChild) return;
    const { announce, viewer, api } = this.#how;
    const link = this.#link;
    try {
      this.#tools.replaceChildren(make("p", { class: "hint", role: "status", text: "Asking the link what it opens…" }));
      const facts = await readFacts(link.page);
      const more = [webknossosLines(api.base, link)];
      this.#tools.replaceChildren(toolsSection(facts, { base: link.page, announce, viewer, heading: "h4", more }));
    } catch (error) {
      this.#tools.replaceChildren();
      this.#tools.hidden = true;
      this.#openIn.setAttribute("aria-expanded", "false");
      this.fail(sentenceOf(error));
    }
  }
}

/** `a, b, c, d, e and 57 more`. */
function layerWords(layers) {
  const names = layers.map(({ name }) => name);
  if (names.length <= LAYERS_NAMED + 1) return names.join(", ");
  return `${names.slice(0, LAYERS_NAMED).join(", ")} and ${names.length - LAYERS_NAMED} more`;
}

/** `em, segmentation · box 0, 0, 0, 512, 512, 256 · mag 2-2-1 and coarser`. */
function scopeSentence({ layers, scope }) {
  const parts = [layerWords(layers)];
  if (scope?.boundingBox) parts.push(`box ${boxText(scope.boundingBox)}`);
  if (scope?.finestMag) parts.push(`mag ${scope.finestMag} and coarser`);
  for (const [layer, mapping] of Object.entries(scope?.mappings ?? {}))
    parts.push(`${layer} by the mapping ${mapping}`);
  return parts.join(" · ");
}
