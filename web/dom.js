/** Elements made in one expression. Text only ever arrives as text: names come from other people. */

/**
 * An element with its attributes and children; `class`, `text` and `on…` mean what they say, null and false leave out.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that sends nothing by itself. */
export function button(text, onclick, attributes = {}) {
  return make("button", { type: "button", text, onclick, ...attributes });
}

let count = 0;

/** An id that nothing else in any document or shadow root of this page has. */
export function freshId(word) {
  return `${word}-${(count += 1)}`;
}

/** A label above its control; the control gets the id that ties them. */
export function labelled(text, control, hint = null) {
  control.id ||= freshId("field");
  const said = hint === null ? null : make("p", { class: "hint", id: `${control.id}-hint`, text: hint });
  if (said) control.setAttribute("aria-describedby", said.id);
  return make("div", { class: "field" }, make("label", { for: control.id, text }), control, said);
}

/** The style sheets of this folder, as the `<link>`s that a shadow root begins with. */
export function sheets(...names) {
  return names.map((name) => make("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href }));
}
