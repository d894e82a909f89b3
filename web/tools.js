/** Opening a link elsewhere: one click for Neuroglancer, and a tab for each tool with the lines to paste. */

import { copies } from "./copy.js";
import { button, freshId, labelled, make } from "./dom.js";
import { findViewer, neuroglancerAddress, neuroglancerState } from "./neuroglancer.js";
import { snippetsOf } from "./snippets.js";
import { tabs } from "./tabs.js";

/**
 * The section of a link with at least one layer; `facts`: its JSON, `base`: its address. `viewer`: the Neuroglancer to
 * open, where one is configured. `more`: further `{name, hint, code}` that are the same for every layer.
 */
export function toolsSection(facts, { base, announce, heading = "h2", viewer = null, more = [] }) {
  const { layers } = facts;
  const snippets = (layer) => [...snippetsOf(layer, base), ...more];
  const select = make(
    "select",
    {},
    layers.map((layer, index) => new Option(layer.name, String(index))),
  );
  const choice = labelled("Layer", select);
  choice.className = "choice";
  choice.hidden = layers.length < 2;
  const panels = snippets(layers[0]).map(({ name }) => snippetPanel(name, announce));
  const fill = () => snippets(layers[Number(select.value)]).forEach((snippet, index) => panels[index].show(snippet));
  select.addEventListener("change", fill);
  fill();
  const shown = tabs(
    "Tool",
    panels.map(({ name, element }) => ({ name, content: element })),
  );
  shown.show(0);

  const title = make(heading, { id: freshId("tools"), text: "Open in your tools" });
  return make(
    "section",
    { class: "card tools", "aria-labelledby": title.id },
    make("div", { class: "heading" }, title, choice),
    neuroglancerLink(facts, base, viewer),
    shown.element,
  );
}

function snippetPanel(name, announce) {
  const code = make("code");
  const hint = make("p", { class: "hint" });
  const copy = button("Copy", null, { class: "copy", "aria-label": `Copy the lines for ${name}` });
  // It takes the focus, or the keyboard could not scroll it.
  const lines = make("pre", { tabindex: "0", "aria-label": `Lines for ${name}` }, code);
  copies(copy, { textOf: () => code.textContent, shown: code, what: "the lines", announce });
  const show = (snippet) => {
    hint.textContent = snippet.hint;
    code.replaceChildren(...snippet.code.split("\n").flatMap(lineOf));
  };
  return { name, element: make("div", { class: "tools-panel" }, hint, lines, copy), show };
}

/** The link that opens all layers at once. Which viewer there is turns out a moment later. */
function neuroglancerLink(facts, base, viewer) {
  const link = make("a", {
    class: "button primary",
    target: "_blank",
    rel: "noopener noreferrer",
    text: "Open in Neuroglancer",
    hidden: true,
  });
  findViewer(viewer).then((found) => {
    link.href = neuroglancerAddress(found, neuroglancerState(facts, base));
    link.hidden = false;
  });
  return make("p", { class: "actions" }, link);
}

/** A line of a snippet, with its end; whoever selects the lines by hand gets them as they are copied. */
function lineOf(text, index) {
  const line = make("span", { text });
  line.classList.toggle("address-line", text.includes("://"));
  return index === 0 ? [line] : ["\n", line];
}
