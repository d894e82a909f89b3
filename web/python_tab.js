/** The Python tab: the exact calls for this dataset or annotation, with the token in them only where somebody wants it. */

import { copies } from "./copy.js";
import { button, make } from "./dom.js";
import { callsOf } from "./python_calls.js";

/** `{element, refresh()}`. `known()`: what `callsOf` takes but for the token; `announce` reaches the live region. */
export function pythonTab(token, known, announce) {
  let shown = false;
  const blocks = make("div", { class: "calls" });
  const warning = make("p", {
    class: "warning",
    role: "alert",
    hidden: true,
    text: "The lines below hold your personal token. Whoever has it can do what you can: do not share them, and keep them out of notebooks and repositories.",
  });
  const toggle = button("Put my token into the lines", () => {
    shown = !shown;
    toggle.textContent = shown ? "Take my token out" : "Put my token into the lines";
    refresh();
  });
  toggle.hidden = token === "";
  const hint = make("p", { class: "hint", text: "To start from. The token is read from the environment: set WK_TOKEN before you start Python." });

  function refresh() {
    warning.hidden = !shown;
    hint.hidden = shown;
    const calls = callsOf({ ...known(), token: shown ? token : null });
    blocks.replaceChildren(...calls.map((call) => block(call, shown, announce)));
  }

  refresh();
  return { element: make("div", {}, hint, warning, make("div", { class: "actions" }, toggle), blocks), refresh };
}

function block({ name, hint, code }, isPrivate, announce) {
  const lines = make("code", { text: code });
  const copy = button("Copy", null, { class: "copy", "aria-label": `Copy the lines for ${name}` });
  const what = isPrivate ? `the lines for ${name}. Your clipboard now holds private data: your token` : `the lines for ${name}`;
  copies(copy, { textOf: () => code, shown: lines, what, announce });
  return make(
    "section",
    { class: "tools-panel", "aria-label": name },
    make("div", {}, make("h4", { text: name }), make("p", { class: "hint", text: hint })),
    make("pre", { tabindex: "0", "aria-label": `Lines for ${name}` }, lines),
    copy,
  );
}
