/** The section of snippets: a layer to choose, a tab for each tool, one panel with the lines to paste. */

import { copies } from "./copy.js";
import { snippetsOf } from "./snippets.js";

/** Fill and show the section for at least one layer. */
export function fillTools(section, layers, { base, announce }) {
  const select = section.querySelector("select");
  const tablist = section.querySelector("[role=tablist]");
  const panel = section.querySelector("[role=tabpanel]");
  const code = panel.querySelector("code");
  const button = panel.querySelector(".copy");
  let chosen = 0;

  select.replaceChildren(...layers.map((layer, index) => new Option(layer.name, String(index))));
  section.querySelector(".choice").hidden = layers.length < 2;
  const tabs = snippetsOf(layers[0], base).map(({ name }, index) => tabOf(name, index, panel));
  tablist.replaceChildren(...tabs);

  function show(index) {
    chosen = index;
    const snippet = snippetsOf(layers[Number(select.value)], base)[chosen];
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", tabs[chosen].id);
    panel.querySelector(".hint").textContent = snippet.hint;
    code.replaceChildren(...snippet.code.split("\n").flatMap(lineOf));
    button.setAttribute("aria-label", `Copy the lines for ${snippet.name}`);
  }

  select.addEventListener("change", () => show(chosen));
  tabs.forEach((tab, index) => tab.addEventListener("click", () => show(index)));
  tablist.addEventListener("keydown", (event) => {
    const next = neighbour(event.key, chosen, tabs.length);
    if (next === null) return;
    event.preventDefault();
    show(next);
    tabs[next].focus();
  });
  copies(button, { textOf: () => code.textContent, shown: code, what: "the lines", announce });

  show(0);
  section.hidden = false;
}

/** A line of a snippet, with its end; whoever selects the lines by hand gets them as they are copied. */
function lineOf(text, index) {
  const line = document.createElement("span");
  line.textContent = text;
  line.classList.toggle("address-line", text.includes("://"));
  return index === 0 ? [line] : ["\n", line];
}

function tabOf(name, index, panel) {
  const tab = document.createElement("button");
  tab.type = "button";
  tab.id = `tool-${index}`;
  tab.setAttribute("role", "tab");
  tab.textContent = name;
  tab.setAttribute("aria-controls", panel.id);
  return tab;
}

/** The tab that an arrow, Home or End leads to, as the ARIA tabs pattern has it, or null. */
function neighbour(key, at, count) {
  if (key === "ArrowRight") return (at + 1) % count;
  if (key === "ArrowLeft") return (at + count - 1) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return null;
}
