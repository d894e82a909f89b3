/** Tabs as the ARIA pattern has them: arrows, Home and End move between them, one panel is shown. */

import { button, freshId, make } from "./dom.js";

/** `{element, show(index)}` of `[{name, content}]`; `shown(index)` is told which one was chosen. */
export function tabs(label, pages, shown = () => {}) {
  const panels = pages.map(({ content }) => make("div", { role: "tabpanel", id: freshId("panel"), hidden: true }, content));
  const buttons = pages.map(({ name }, index) =>
    button(name, () => show(index), { role: "tab", id: freshId("tab"), "aria-controls": panels[index].id }),
  );
  panels.forEach((panel, index) => panel.setAttribute("aria-labelledby", buttons[index].id));
  let chosen = 0;

  function show(index) {
    chosen = index;
    buttons.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
      panels[at].hidden = at !== index;
    });
    shown(index);
  }

  const list = make("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons);
  list.addEventListener("keydown", (event) => {
    const next = neighbour(event.key, chosen, buttons.length);
    if (next === null) return;
    event.preventDefault();
    show(next);
    buttons[next].focus();
  });
  return { element: make("div", {}, list, panels), show };
}

/** The tab that an arrow, Home or End leads to, or null. */
function neighbour(key, at, count) {
  if (key === "ArrowRight") return (at + 1) % count;
  if (key === "ArrowLeft") return (at + count - 1) % count;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return null;
}
